"""The task of a worker: what it does when its store, the model server or its time is not what it should be."""

import asyncio
import dataclasses
from functools import cache
from pathlib import Path

from service.jobs import tasks
from service.jobs.chunk import PARTS, folder_of, measure_chunk
from service.jobs.state import Jobs, Part
from service.jobs.store import Store
from service.processes import free_port


def test_a_worker_that_looks_elsewhere_says_so(desk, submit, monkeypatch, tmp_path):
    job = submit().json()["id"]
    elsewhere = dataclasses.replace(desk.tools, store=Store.at(str(tmp_path / "elsewhere")))
    monkeypatch.setattr(tasks, "_tools", cache(lambda: elsewhere))
    tasks.measure.apply(args=(job, 0, 0)).get()
    state = desk.client.get(f"/v1/jobs/{job}").json()
    assert state["phase"] == "ERROR"
    assert "REDDEN_JOBS_URL must be one place" in state["error"]
    desk.client.post(f"/v1/jobs/{job}/retry")
    desk.work()
    assert desk.client.get(f"/v1/jobs/{job}").json()["phase"] == "COMPLETED"


def test_a_part_that_a_late_worker_stores_again_changes_and_counts_nothing(desk, submit, monkeypatch):
    job, part = submit().json()["id"], Part(2, 0)  # with the row that has no position
    before = desk.tools.jobs.begin(job, part)
    desk.measure(job, part.chunk)  # it was given to another, who was faster
    counted = desk.client.get(f"/v1/jobs/{job}").json()["rows"]
    assert counted["failed"] > 0
    found, stored = desk.table(job), Path(desk.tools.store.path(folder_of(job), PARTS, part.name))
    first = stored.stat().st_ino
    monkeypatch.setattr(Jobs, "beat", lambda *_: True)  # the late one still believes that it is wanted
    asyncio.run(measure_chunk(desk.tools, job, part, before))
    assert stored.stat().st_ino != first, "it has stored its part"
    assert desk.table(job).equals(found)
    state = desk.client.get(f"/v1/jobs/{job}").json()
    assert (state["phase"], state["rows"]) == ("EXECUTING", counted)
    desk.work()
    state = desk.client.get(f"/v1/jobs/{job}").json()
    assert (state["phase"], state["rows"]) == ("COMPLETED", {"total": 10, "done": 10, "failed": 2})


def test_a_chunk_waits_for_a_model_server_that_is_away(desk, submit, monkeypatch):
    job = submit().json()["id"]
    settings = desk.tools.settings.model_copy(update={"model_server": f"127.0.0.1:{free_port()}"})
    monkeypatch.setattr(tasks, "_tools", cache(lambda: dataclasses.replace(desk.tools, settings=settings)))
    monkeypatch.setattr(tasks, "_WAITS", (0, 0))
    result = tasks.measure.apply(args=(job, 0, 0))
    assert result.successful(), "after the last attempt the chunk is left to the sweep, without an error"
    state = desk.client.get(f"/v1/jobs/{job}").json()
    assert state["phase"] == "EXECUTING"
    assert "model server is away" in state["error"]
    monkeypatch.setattr(tasks, "_tools", cache(lambda: desk.tools))
    desk.work()
    state = desk.client.get(f"/v1/jobs/{job}").json()
    assert (state["phase"], state["error"]) == ("COMPLETED", None)
