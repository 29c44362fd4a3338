"""What workers see to: lost chunks, and what has expired."""

import time

from redden.jobs import Phase
from service.jobs import state
from service.jobs.state import Jobs
from service.jobs.sweep import put_back_lost, tidy


def submit(desk, galaxies):
    return desk.client.post("/v1/jobs", files={"catalogue": ("g.csv", galaxies)}, data={"survey": "demo"}).json()["id"]


def test_chunks_that_left_the_queue_without_a_trace_come_back(desk, galaxies, redis, monkeypatch):
    monkeypatch.setattr(state, "LEASE", 0.2)
    job = submit(desk, galaxies)
    assert desk.waiting == [(job, 0), (job, 1), (job, 2)]
    put_back_lost(desk.tools.jobs, desk.queue)
    redis.delete("celery")  # Redis has lost its last second, or the gateway died before it queued them
    put_back_lost(desk.tools.jobs, desk.queue)
    assert desk.waiting == []
    time.sleep(0.3)
    put_back_lost(desk.tools.jobs, desk.queue)
    put_back_lost(desk.tools.jobs, desk.queue)
    assert desk.waiting == [(job, 0), (job, 1), (job, 2)]
    assert redis.llen("celery") == 3
    desk.work()
    assert desk.client.get(f"/v1/jobs/{job}").json()["phase"] == "COMPLETED"
    redis.delete("celery")
    time.sleep(0.3)
    put_back_lost(desk.tools.jobs, desk.queue)
    assert desk.waiting == []


def test_other_messages_in_the_queue_are_left_alone(desk, galaxies):
    desk.queue.celery.send_task("redden.ping")
    job = submit(desk, galaxies)
    put_back_lost(desk.tools.jobs, desk.queue)
    assert desk.waiting == [(job, 0), (job, 1), (job, 2)]


def test_what_has_expired_is_deleted_and_nothing_else(desk, galaxies, redis):
    store = desk.tools.store
    jobs = Jobs(redis, lifetime=3)
    expired, going_on = submit(desk, galaxies), submit(desk, galaxies)
    catalogue = desk.client.post("/v1/catalogues", files={"catalogue": ("g.csv", galaxies)}).json()["id"]
    forgotten = "0" * 28
    for name in (f"jobs/{forgotten}", "jobs/lost+found", f"incoming/{forgotten}-left-by-a-killed-gateway"):
        with store.new(name) as folder:
            (folder / "file").touch()
    jobs.stop(expired, Phase.ABORTED)
    tidy(jobs, store, lifetime=3600)
    assert set(store.folders("jobs")) == {expired, going_on, "lost+found"}
    assert store.folders("incoming") == []
    time.sleep(3.1)
    tidy(jobs, store, lifetime=3600)
    assert set(store.folders("jobs")) == {going_on, "lost+found"}
    assert desk.client.get(f"/v1/jobs/{expired}").status_code == 404
    assert desk.client.get(f"/v1/jobs/{going_on}").status_code == 200
    assert store.folders("catalogues") == [catalogue]
    tidy(jobs, store, lifetime=0.1)
    assert store.folders("catalogues") == []
    assert set(store.folders("jobs")) == {going_on, "lost+found"}, "a job that runs is not forgotten, however old"
