"""The queue: a real Redis-protocol server and a real worker, which may be killed."""

import os
import signal
import sys
from time import monotonic, sleep

import pytest
from pydantic import RedisDsn

from service.embedded import redis_binary
from service.jobs.celery_app import make_celery
from service.processes import Children, free_port
from service.settings import Settings


@pytest.fixture
def queue(tmp_path):
    """A Celery application with a broker of its own, its URL, and the processes behind it."""
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with Children(tmp_path, {"REDDEN_REDIS_URL": url}) as children:
        children.start(
            "redis", (redis_binary(), "-"), stdin=f'bind 127.0.0.1\nport {port}\ndir "{tmp_path}"\nsave ""\n'
        )
        app = make_celery(Settings(redis_url=RedisDsn(url)))
        yield app, children
        app.close()


def test_a_worker_waits_for_its_queue_however_long_it_is_away():
    """Also when it goes away while the worker starts, which counts the attempts."""
    assert make_celery(Settings()).conf.broker_connection_max_retries is None


# `redden worker` with a task that can be caught in the act, and with less patience for lost tasks than in service.
WORKER = """
import os, sys, time
from pathlib import Path
from service.cli import commands
from service.jobs.celery_app import app

app.conf.broker_transport_options |= {"visibility_timeout": 3}

@app.task(name="test.wait")
def wait(folder: str) -> int:
    (Path(folder) / "begun").write_text(str(os.getpid()))
    while not (Path(folder) / "go").exists():
        time.sleep(0.05)
    return os.getpid()

commands(["worker"])
"""


def start_worker(children):
    children.start("worker", (sys.executable, "-c", WORKER))
    return children._children[-1].process


def eventually(condition):
    deadline = monotonic() + 60
    while not condition():
        assert monotonic() < deadline
        sleep(0.05)


def test_a_task_goes_through_the_queue(queue):
    app, children = queue
    children.start("worker", (sys.executable, "-m", "service", "worker"))
    assert app.send_task("redden.ping").get(timeout=60) == "pong"


def test_a_task_survives_the_death_of_its_worker(queue, tmp_path):
    app, children = queue
    worker = start_worker(children)
    result = app.send_task("test.wait", [str(tmp_path)])
    begun = tmp_path / "begun"
    eventually(lambda: begun.exists() and begun.read_text())
    os.killpg(worker.pid, signal.SIGKILL)  # with the process of its pool that is in the task
    worker.wait()
    assert not result.ready()

    first = int(begun.read_text())
    (tmp_path / "go").touch()
    start_worker(children)
    assert result.get(timeout=60) != first


def test_nothing_is_lost_and_nothing_is_unpickled():
    conf = make_celery(Settings()).conf
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.accept_content == ["json"]
    assert conf.broker_transport_options["unacked_restore_interval"] == 1
