"""Jobs whose parts are killed, stopped and started again: the results are those of a job that nobody disturbed."""

import os
import shutil
import signal
import subprocess
from time import sleep

import pyarrow as pa
import pytest

from tests.e2e.system import ROWS, System, check, eventually

WITHIN = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", 'eval "$0" && exec "$@"')
"""Begins a command that mounts something, its first argument, and starts a program that alone sees it."""


def test_a_killed_child_of_the_pool(system: System, catalogue: bytes, undisturbed: pa.Table) -> None:
    job = system.begun(catalogue)
    (child,) = system.pool_children("worker")
    os.kill(child, signal.SIGKILL)
    system.signal("model-server", signal.SIGCONT)
    check(system, job, undisturbed)


def test_a_killed_worker(system: System, catalogue: bytes, undisturbed: pa.Table) -> None:
    job = system.begun(catalogue)
    system.kill("worker")
    system.signal("model-server", signal.SIGCONT)
    system.start("worker")
    check(system, job, undisturbed)


def test_a_killed_redis(system: System, catalogue: bytes, undisturbed: pa.Table) -> None:
    job = system.begun(catalogue)
    system.kill("redis")
    assert system.client.get(f"/v1/jobs/{job}").json()["type"] == "/problems/queue"
    system.signal("model-server", signal.SIGCONT)
    sleep(2)
    system.start("redis")
    system.ready()
    check(system, job, undisturbed)


def test_a_killed_gateway(system: System, catalogue: bytes, undisturbed: pa.Table) -> None:
    job = system.begun(catalogue)
    system.kill("gateway")
    system.signal("model-server", signal.SIGCONT)
    system.start("gateway")
    system.ready()
    check(system, job, undisturbed)


def test_a_killed_model_server_that_is_away_for_half_a_minute(
    system: System, catalogue: bytes, undisturbed: pa.Table
) -> None:
    job = system.begun(catalogue)
    system.kill("model-server")
    sleep(30)
    state = system.job(job)
    assert state["phase"] == "EXECUTING"
    assert "model server is away" in state["error"]
    system.start("model-server")
    check(system, job, undisturbed)
    log = system.log("worker")
    assert "Retry in 4s" in log
    assert "raised unexpected" not in log


def test_a_worker_that_comes_back_after_its_chunk_was_given_to_another(
    system: System, catalogue: bytes, undisturbed: pa.Table
) -> None:
    job = system.begun(catalogue)
    system.signal("worker", signal.SIGSTOP)
    system.signal("model-server", signal.SIGCONT)
    system.start("worker.2")
    check(system, job, undisturbed)
    ended = system.log("worker").count(" succeeded in ")
    system.signal("worker", signal.SIGCONT)
    eventually(lambda: system.log("worker").count(" succeeded in ") > ended)
    check(system, job, undisturbed)


def test_two_workers(system: System, catalogue: bytes, undisturbed: pa.Table) -> None:
    system.start("worker.2")
    eventually(lambda: all("ready." in system.log(name) for name in ("worker", "worker.2")))
    job = system.submit(catalogue)
    check(system, job, undisturbed)
    for name in ("worker", "worker.2"):
        assert f"{job}/" in system.log(name)


def test_an_abort_while_a_chunk_is_in_flight(system: System, catalogue: bytes, undisturbed: pa.Table) -> None:
    job = system.begun(catalogue)
    assert system.client.post(f"/v1/jobs/{job}/abort").json()["phase"] == "ABORTED"
    system.signal("model-server", signal.SIGCONT)
    other = system.submit(catalogue)  # goes through after what is left of the aborted one
    check(system, other, undisturbed)
    state = system.ended(job, "ABORTED")
    assert state["rows"]["done"] < ROWS
    partial = system.results(job)
    done = pa.compute.not_equal(partial["status"], "pending")
    assert pa.compute.sum(done).as_py() == state["rows"]["done"]
    assert partial.filter(done).equals(undisturbed.filter(done))

    assert system.client.post(f"/v1/jobs/{job}/retry").status_code == 202
    check(system, job, undisturbed)


def test_a_full_disk(system: System, catalogue: bytes, undisturbed: pa.Table) -> None:
    if shutil.which("unshare") is None or subprocess.run((*WITHIN, ":", "true"), check=False).returncode != 0:
        pytest.skip("this machine lets nobody have disks of their own")
    system.kill("worker")
    job = system.submit(catalogue)
    parts = system.jobs_dir / "jobs" / job / "parts"
    # A worker that sees a disk of one page where it stores its results; nobody else does.
    system.start("worker", *WITHIN, f'mount -t tmpfs -o size=4k tmpfs "{parts}"')
    state = system.ended(job, "ERROR")
    assert "No space left on device" in state["error"]
    assert state["rows"]["done"] == 0
    system.kill("worker")

    system.start("worker")
    assert system.client.post(f"/v1/jobs/{job}/retry").json()["error"] is None
    check(system, job, undisturbed)
