"""The queue: a real Redis-protocol server and a real worker, which may be killed."""

import os
import signal
import sys

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


def worker_of(children):
    children.start("worker", (sys.executable, "-m", "service", "worker"))


def test_a_task_goes_through_the_queue_and_survives_the_death_of_its_worker(queue):
    app, children = queue
    worker_of(children)
    result = app.send_task("redden.ping")
    assert result.get(timeout=30) == "pong"

    worker = children._children[-1].process
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    later = app.send_task("redden.ping")
    worker_of(children)
    assert later.get(timeout=30) == "pong"


def test_nothing_is_lost_and_nothing_is_unpickled():
    conf = make_celery(Settings()).conf
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.accept_content == ["json"]
    assert conf.broker_transport_options["unacked_restore_interval"] == 1
