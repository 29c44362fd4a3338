"""Jobs whose parts are killed, stopped and started again: the results are those of a job that nobody disturbed."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Self

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from service.embedded import redis_binary
from service.processes import Child, Children, free_port

ROOT = Path(__file__).parents[2]
PATIENCE = 150
"""Seconds that anything may take on a busy machine."""
PARTS = ("redis", "model-server", "gateway", "worker")
ROWS = 120
CHUNK_ROWS = 20
NOWHERE = (17, 110)
"""Rows off the footprint."""
BLANK = 50
"""A row without a position."""


WITHIN = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", 'eval "$0" && exec "$@"')
"""Begins a command that mounts something, its first argument, and starts a program that alone sees it."""


class System:
    """The parts of a service, each a process that may be killed and started again.

    Parameters
    ----------
    folder : Path
        For data and logs.
    """

    def __init__(self, folder: Path) -> None:
        self._ports = {name: free_port() for name in ("gateway", "redis", "model-server")}
        self._folder = folder
        self.running: dict[str, Child] = {}
        self.jobs_dir = folder / "jobs"
        environment = {
            "REDDEN_MODEL_SERVER": f"127.0.0.1:{self._ports['model-server']}",
            "REDDEN_REDIS_URL": f"redis://127.0.0.1:{self._ports['redis']}/0",
            "REDDEN_JOBS_URL": str(self.jobs_dir),
            "REDDEN_CHUNK_ROWS": str(CHUNK_ROWS),
            "REDDEN_PREDICT_DEADLINE": "120",
        }
        self._children = Children(folder / "logs", environment)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self._ports['gateway']}", timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.client.close()
        self._children.__exit__(*exception)

    def start(self, name: str, *prefix: str | Path) -> None:
        """Start a part; ``prefix`` is a command that starts its command."""
        kind = name.partition(".")[0]
        command, stdin = self._command(kind)
        self.running[name] = self._children.start(name, (*prefix, *command), stdin=stdin)

    def _command(self, kind: str) -> tuple[tuple[str | Path, ...], str]:
        python = (sys.executable, "-m")
        port = self._ports.get(kind)
        if kind == "redis":
            config = (
                f'bind 127.0.0.1\nport {port}\ndir "{self._folder}"\nsave ""\nappendonly yes\nappendfsync everysec\n'
            )
            return (redis_binary(), "-"), config
        if kind == "gateway":
            return (*python, "uvicorn", "--factory", "service.app:create_app", "--port", str(port)), ""
        return (*python, "service", kind), ""

    def kill(self, name: str) -> None:
        """SIGKILL a part, with its children."""
        child = self.running.pop(name)
        self._children._children.remove(child)
        os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a part and its children."""
        os.killpg(self.running[name].process.pid, number)

    def pool_children(self, name: str) -> list[int]:
        """Process ids of a worker's children."""
        pid = self.running[name].process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def log(self, name: str) -> str:
        """What a part has said."""
        return (self._folder / "logs" / f"{name}.log").read_text()

    def restore(self) -> None:
        """Start what a test has left killed or stopped, and end the workers that it started besides the first."""
        for name in PARTS:
            if name in self.running:
                self.signal(name, signal.SIGCONT)
            else:
                self.start(name)
        for name in self.running.keys() - set(PARTS):
            self.kill(name)
        self.ready()

    def ready(self) -> None:
        """Wait until the gateway answers, and model server and queue are there."""

        def there() -> bool:
            with suppress(httpx.TransportError):
                parts = self.client.get("/readyz").json()
                return bool(parts["ready"] and parts["queue"] == "AVAILABLE")
            return False

        eventually(there)

    def submit(self, catalogue: bytes) -> str:
        """Begin a job."""
        answer = self.client.post("/v1/jobs", files={"catalogue": ("galaxies.csv", catalogue)}, data={"survey": "demo"})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def job(self, job: str) -> dict[str, Any]:
        """How far a job is."""
        answer = self.client.get(f"/v1/jobs/{job}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def begun(self, catalogue: bytes) -> str:
        """A job that has done some of its rows, and waits for a model server that was stopped: a chunk is in flight."""
        job = self.submit(catalogue)
        eventually(lambda: self.job(job)["rows"]["done"] > 0)
        self.signal("model-server", signal.SIGSTOP)
        done = -1
        while (now := self.job(job)["rows"]["done"]) != done:
            done = now
            sleep(0.7)
        assert 0 < done < ROWS
        return job

    def ended(self, job: str, phase: str = "COMPLETED") -> dict[str, Any]:
        """Wait for the end of a job."""
        eventually(lambda: self.job(job)["phase"] in ("COMPLETED", "ERROR", "ABORTED"))
        state = self.job(job)
        assert state["phase"] == phase, state
        return state

    def results(self, job: str) -> pa.Table:
        """The results of a job."""
        answer = self.client.get(f"/v1/jobs/{job}/results", params={"format": "parquet"})
        assert answer.status_code == 200, answer.text
        return pq.read_table(BytesIO(answer.content))


def eventually(condition: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Wait for something to become true."""
    deadline = monotonic() + patience
    while not condition():
        assert monotonic() < deadline
        sleep(0.02)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The parts, of which tests kill some."""
    if sys.platform != "linux":
        pytest.skip("processes are looked up in Linux's /proc")
    folder = tmp_path_factory.mktemp("system")
    (folder / "logs").mkdir()
    with System(folder) as system:
        yield system


@pytest.fixture
def system(started: System) -> System:
    """A service with all its parts, and one worker."""
    started.restore()
    return started


@pytest.fixture(scope="module")
def catalogue() -> bytes:
    """Galaxies of the demo survey, with some rows that cannot be measured."""
    demo = Table.read(ROOT / "service/demo/survey/catalogue.ecsv")
    lines = ["id,ra,dec"]
    for number in range(ROWS):
        galaxy = demo[number * 7 % len(demo)]
        ra, dec = galaxy["ra"], galaxy["dec"] + (1 if number in NOWHERE else 0)
        lines.append(f"{number},," if number == BLANK else f"{number},{ra:.7f},{dec:.7f}")
    return "\n".join(lines).encode()


@pytest.fixture(scope="module")
def undisturbed(started: System, catalogue: bytes) -> pa.Table:
    """Results of a job that nothing happens to."""
    started.restore()
    job = started.submit(catalogue)
    state = started.ended(job)
    results = started.results(job)
    assert results["id"].to_pylist() == list(range(ROWS))
    failed = {row for row, status in enumerate(results["status"].to_pylist()) if status != "ok"}
    assert failed == {*NOWHERE, BLANK}
    assert state["rows"] == {"total": ROWS, "done": ROWS, "failed": len(failed)}
    measured = np.delete(results["a_v"].to_numpy(), sorted(failed))
    assert np.isfinite(measured).all()
    return results


def check(system: System, job: str, undisturbed: pa.Table) -> None:
    """A job ends, each of its rows is counted once, and its results are what they should be."""
    state = system.ended(job)
    assert state["rows"] == {"total": ROWS, "done": ROWS, "failed": len(NOWHERE) + 1}
    assert system.results(job).equals(undisturbed)


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
