"""``/v1/jobs`` and ``/v1/catalogues`` over HTTP."""

import json
import threading
from io import BytesIO
from zipfile import ZipFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from redis.exceptions import TimeoutError

from redden.jobs import Job
from service.jobs import manager, results
from service.jobs.state import Jobs
from service.processes import free_port

THREE = ("F277W", "F356W", "F444W")


def problem(answer):
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["type"].removeprefix("/problems/"), answer.json()["detail"]


def test_a_catalogue_is_queued_measured_and_given_back(desk, submit):
    answer = submit(name="deep field.csv", headers=None)
    assert answer.status_code == 202
    queued = Job.model_validate_json(answer.content)
    assert answer.headers["location"] == f"/v1/jobs/{queued.id}"
    assert (queued.phase, queued.rows.total, queued.options.model) == ("QUEUED", 10, "gaussian-3band")
    assert queued.provenance.catalogue == "deep field.csv"
    assert queued.provenance.columns == {"ra": "ra", "dec": "dec"}
    assert desk.waiting == [(queued.id, 0), (queued.id, 1), (queued.id, 2)]
    messages = desk.queue.redis.lrange("celery", 0, -1)
    assert all(len(message) < 2000 for message in messages), "only ids and small numbers"

    desk.work()
    done = Job.model_validate_json(desk.client.get(f"/v1/jobs/{queued.id}").content)
    assert (done.phase, done.rows.done, done.rows.failed) == ("COMPLETED", 10, 2)
    found = desk.table(queued.id)
    assert found["name"].to_pylist() == [f"galaxy {number}" for number in range(10)]
    bad = {2, 5}
    for row, (status, a_v) in enumerate(zip(found["status"].to_pylist(), found["a_v"].to_pylist(), strict=True)):
        assert (status != "ok") is (row in bad)
        assert (a_v is None) is (row in bad)
    assert "survey demo does not have data here" in found["status"][5].as_py()


def test_rows_are_those_of_a_single_measurement(desk, submit, galaxies):
    job = submit().json()["id"]
    desk.work()
    row = desk.client.get(f"/v1/jobs/{job}/rows/3").json()["values"]
    _, ra, dec = galaxies.splitlines()[4].split(",")
    single = desk.client.get("/v1/predict", params={"survey": "demo", "ra": ra, "dec": dec}).json()
    assert row["name"] == "galaxy 3"
    for name, quantity in single["quantities"].items():
        assert row[name] == pytest.approx(quantity["median"], rel=1e-4, abs=1e-5)
        assert row[f"{name}_lower_68"] == pytest.approx(quantity["interval_68"][0], rel=1e-4, abs=1e-5)
    assert row["snr_F277W"] == pytest.approx(single["snr"]["F277W"], rel=1e-4)


def test_results_of_a_job_that_runs_are_partial_and_can_be_paged(desk, submit, monkeypatch):
    job = submit().json()["id"]
    assert set(desk.table(job)["status"].to_pylist()) == {"pending"}
    desk.work(1)
    partial = desk.table(job)
    pending = [status == "pending" for status in partial["status"].to_pylist()]
    assert sum(pending) == 6
    assert [value is None for value in partial["a_v"].to_pylist()] == [
        status != "ok" for status in partial["status"].to_pylist()
    ]
    desk.work()
    whole = desk.table(job)
    for page in (1, 3, 100):
        monkeypatch.setattr(results, "PAGE", page)
        assert desk.table(job).equals(whole)
        pages = [desk.table(job, offset=offset, limit=4) for offset in (0, 4, 8)]
        assert [len(each) for each in pages] == [4, 4, 2]
        assert pa.concat_tables(pages).equals(whole)
    assert len(desk.table(job, offset=99)) == 0
    answer = desk.client.get(f"/v1/jobs/{job}/results", params={"limit": 2})
    assert answer.headers["x-total-count"] == "10"


def test_rows_are_pending_also_beside_a_column_named_status(desk, submit, galaxies):
    job = submit(galaxies.replace("name,", "status,", 1)).json()["id"]
    desk.work(1)
    found = desk.table(job)
    assert found["status"][0].as_py() == "galaxy 0"
    assert found["redden_status"].to_pylist().count("pending") == 6


@pytest.mark.parametrize("part", ["todo", "parts", "pace"])
def test_what_is_stored_beside_a_job_is_no_job(desk, submit, part):
    job = submit().json()["id"]
    for method, path in (("GET", ""), ("GET", "/results"), ("POST", "/abort"), ("DELETE", "")):
        answer = desk.client.request(method, f"/v1/jobs/{job}:{part}{path}")
        assert problem(answer)[:2] == (422, "parameter")
    desk.work()
    assert desk.client.get(f"/v1/jobs/{job}").json()["phase"] == "COMPLETED"


@pytest.mark.parametrize("format", ["parquet", "csv", "ecsv", "votable", "fits", "jsonl"])
def test_results_come_in_every_format(desk, submit, format):
    job = submit(format=format, label=None).json()["id"]
    desk.work()
    answer = desk.client.get(f"/v1/jobs/{job}/results")
    assert answer.status_code == 200
    assert f'filename="{job}.' in answer.headers["content-disposition"]
    assert b"galaxy 9" in answer.content
    if format == "jsonl":
        lines = [json.loads(line) for line in answer.text.splitlines()]
        assert [line["name"] for line in lines] == [f"galaxy {number}" for number in range(10)]


def test_a_name_clash_is_solved_and_columns_are_chosen(desk, submit, galaxies):
    lines = galaxies.splitlines()
    content = "\n".join([f"{lines[0]},a_v,other", *(f"{line},17,x" for line in lines[1:])])
    job = submit(content, columns="a_v,name").json()["id"]
    desk.work()
    found = desk.table(job)
    assert found.column_names[:2] == ["name", "a_v"]
    assert "other" not in found.column_names
    assert set(found["a_v"].to_pylist()) == {17}
    assert "redden_a_v" in found.column_names


def test_a_row_that_is_not_there(desk, submit):
    job = submit().json()["id"]
    assert problem(desk.client.get(f"/v1/jobs/{job}/rows/10"))[:2] == (404, "unknown-row")
    assert desk.client.get(f"/v1/jobs/{job}/rows/-1").status_code == 422


def test_only_what_failed_is_measured_again(desk, submit, monkeypatch):
    job = submit().json()["id"]
    desk.work()
    before = desk.table(job)
    desk.queue.redis.delete("celery")
    asked = []
    monkeypatch.setattr("service.jobs.plan.Chunk.without", _noting(asked))
    answer = desk.client.post(f"/v1/jobs/{job}/retry")
    assert (answer.status_code, answer.json()["phase"]) == (202, "QUEUED")
    assert answer.json()["rows"] == {"total": 10, "done": 8, "failed": 0}
    assert desk.table(job).equals(before)
    desk.work()
    assert sorted(asked) == [2, 5]
    assert desk.client.get(f"/v1/jobs/{job}").json()["rows"] == {"total": 10, "done": 10, "failed": 2}
    assert desk.table(job).equals(before)


def _noting(asked):
    from service.jobs.plan import Chunk

    original = Chunk.without

    def without(self, rows):
        left = original(self, rows)
        asked.extend(left.rows.tolist())
        return left

    return without


def test_abort_stops_and_what_was_done_stays(desk, submit):
    job = submit().json()["id"]
    desk.work(1)
    assert desk.client.post(f"/v1/jobs/{job}/abort").json()["phase"] == "ABORTED"
    desk.work()
    state = desk.client.get(f"/v1/jobs/{job}").json()
    assert (state["phase"], state["rows"]["done"]) == ("ABORTED", 4)
    assert desk.client.post(f"/v1/jobs/{job}/abort").status_code == 200
    assert desk.client.post(f"/v1/jobs/{job}/retry").json()["phase"] == "QUEUED"
    desk.work()
    assert desk.client.get(f"/v1/jobs/{job}").json()["phase"] == "COMPLETED"
    assert problem(desk.client.post(f"/v1/jobs/{job}/abort"))[:2] == (409, "job-phase")


def test_delete_removes_everything(desk, submit):
    job = submit().json()["id"]
    desk.work(1)
    answer = desk.client.delete(f"/v1/jobs/{job}")
    assert (answer.status_code, answer.content) == (204, b"")
    desk.work()
    assert desk.tools.store.folders("jobs") == []
    for method, path in (("GET", ""), ("GET", "/results"), ("GET", "/events"), ("POST", "/retry"), ("DELETE", "")):
        assert problem(desk.client.request(method, f"/v1/jobs/{job}{path}"))[:2] == (404, "unknown-job")


def test_progress_is_sent_as_events_until_the_end(desk, submit):
    job = submit().json()["id"]
    seen = []
    with desk.client.stream("GET", f"/v1/jobs/{job}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            name, _, text = line.partition(": ")
            if name == "event":
                seen.append([text])
            elif name == "data":
                seen[-1].append(json.loads(text))
                if len(seen) == 1:
                    desk.work()
    assert [name for name, _ in seen][:1] == ["progress"]
    assert (seen[-1][0], seen[-1][1]["phase"], seen[-1][1]["rows"]["done"]) == ("end", "COMPLETED", 10)


def test_an_uploaded_catalogue_serves_several_jobs(desk, galaxies):
    stored = desk.client.post("/v1/catalogues", files={"catalogue": ("galaxies.csv", galaxies)})
    assert (stored.status_code, stored.json()["bytes"]) == (201, len(galaxies))
    path = stored.headers["location"]
    assert desk.client.get(path).json() == stored.json()
    ids = []
    for model in ("gaussian-3band", "paper-3band"):
        asked = {"catalogue": stored.json()["id"], "survey": "demo", "model": model, "name": model}
        answer = desk.client.post("/v1/jobs", json=asked)
        assert answer.status_code == 202, answer.text
        assert answer.json()["provenance"]["catalogue_sha256"] == stored.json()["sha256"]
        ids.append(answer.json()["id"])
    assert desk.client.delete(path).status_code == 204
    assert problem(desk.client.get(path))[:2] == (404, "unknown-catalogue")
    desk.work()
    gaussian, paper = (desk.table(job) for job in ids)
    assert gaussian["a_v_lower_68"].null_count == 2
    assert paper["a_v_lower_68"].null_count == 10


def test_jobs_are_listed(desk, submit):
    ids = [submit(name=f"{number}.csv").json()["id"] for number in range(3)]
    desk.client.post(f"/v1/jobs/{ids[0]}/abort")
    listed = desk.client.get("/v1/jobs", params={"limit": 2}).json()
    assert [job["id"] for job in listed["jobs"]] == ids[:0:-1]
    rest = desk.client.get("/v1/jobs", params={"limit": 2, "cursor": listed["next"]}).json()
    assert ([job["id"] for job in rest["jobs"]], rest["next"]) == (ids[:1], None)
    aborted = desk.client.get("/v1/jobs", params={"phase": "ABORTED"}).json()
    assert [job["id"] for job in aborted["jobs"]] == ids[:1]
    assert desk.client.get("/v1/jobs", params={"phase": "LOST"}).status_code == 422


def test_a_resend_with_its_key_makes_no_second_job(desk, submit, galaxies):
    key = {"Idempotency-Key": "ceers-1"}
    first = submit(headers=key)
    again = submit(headers=key)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert len(desk.client.get("/v1/jobs").json()["jobs"]) == 1
    other = submit(galaxies.replace("galaxy 0", "galaxy A"), headers=key)
    assert problem(other)[:2] == (409, "idempotency-key")
    assert submit(headers={"Idempotency-Key": "ceers-2"}).json()["id"] != first.json()["id"]


def test_resends_at_the_same_time_make_one_job(desk, submit):
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(submit(headers={"Idempotency-Key": "at once"})))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 202}) == 1
    assert len(desk.client.get("/v1/jobs").json()["jobs"]) == 1


def test_a_job_is_not_left_behind_when_the_answer_of_the_queue_is_lost(desk, submit, monkeypatch):
    add = Jobs.add

    def unheard(jobs, *arguments):
        add(jobs, *arguments)
        raise TimeoutError("nothing was heard")

    key = {"Idempotency-Key": "lost"}
    with monkeypatch.context() as lossy:
        lossy.setattr(Jobs, "add", unheard)
        assert problem(submit(headers=key))[:2] == (503, "queue")
    assert desk.client.get("/v1/jobs").json()["jobs"] == []
    assert desk.tools.store.folders("jobs") == []
    assert submit(headers=key).status_code == 202


def test_a_key_is_free_again_when_its_request_was_refused(desk, submit):
    key = {"Idempotency-Key": "mistaken"}
    assert submit("name,ra,dec\nx,1,95\n", headers=key).status_code == 422
    assert submit(headers=key).status_code == 202


@pytest.mark.parametrize(
    ("content", "fields", "kind", "words"),
    [
        ("name,ra,dec\na,1,2\nb,1,95\n", {}, (422, "catalogue"), ("Row 2", "dec")),
        ("name,ra,dec\n", {}, (422, "catalogue"), ("no rows",)),
        (b"\x00\x01\x02", {}, (422, "catalogue"), ()),
        (None, {"survey": None}, (422, "catalogue"), ("survey",)),
        (None, {"survey": "nowhere"}, (404, "unknown-survey"), ("demo",)),
        (None, {"model": "none-such"}, (404, "unknown-model"), ("gaussian-3band",)),
        (None, {"version": "7th!"}, (422, "parameter"), ("version",)),
        (None, {"version": "seven"}, (404, "unknown-model"), ("the label 'seven'", "stable")),
        (None, {"ra": "alpha"}, (422, "catalogue"), ("alpha",)),
        (None, {"columns": "name,colour"}, (422, "catalogue"), ("colour",)),
        (None, {"format": "xlsx"}, (422, "parameter"), ("format",)),
        (None, {"unit": "nJy"}, (422, "catalogue"), ("`unit`", "positions")),
        (None, {"wavelength": "5"}, (422, "parameter"), ("wavelength",)),
        (None, {"recentre_radius": "-1"}, (422, "parameter"), ("recentre_radius",)),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_is_queued(desk, submit, galaxies, content, fields, kind, words):
    answer = submit(galaxies if content is None else content, **fields)
    status, name, detail = problem(answer)
    assert (status, name) == kind, detail
    assert all(word in detail for word in words), detail
    assert desk.waiting == []
    assert desk.tools.store.folders("jobs") == []
    assert desk.client.get("/v1/jobs").json()["jobs"] == []


def test_bodies_that_are_no_catalogue(desk, galaxies):
    client = desk.client
    assert problem(client.post("/v1/jobs", content=galaxies, headers={"Content-Type": "text/csv"}))[:2] == (
        415,
        "media-type",
    )
    assert problem(client.post("/v1/jobs", files={"table": ("g.csv", galaxies)}))[:2] == (400, "upload")
    assert problem(client.post("/v1/jobs", data={"catalogue": "text"}, files={"x": ("", "")}))[0] == 400
    assert problem(client.post("/v1/jobs", json={"survey": "demo"}))[:2] == (422, "parameter")
    assert problem(client.post("/v1/jobs", content="[", headers={"Content-Type": "application/json"}))[0] == 422
    for missing in ("abc", "../jobs"):
        answer = client.post("/v1/jobs", json={"catalogue": missing, "survey": "demo"})
        assert problem(answer)[:2] == (404, "unknown-catalogue")
    answer = client.post("/v1/catalogues", files={"catalogue": ("g.csv", galaxies)}, data={"survey": "demo"})
    assert problem(answer)[:2] == (400, "upload")


def test_a_catalogue_that_is_too_large(settings, running_gateway, galaxies):
    with running_gateway(settings.model_copy(update={"max_catalogue_bytes": 100})) as client:
        answer = client.post("/v1/jobs", files={"catalogue": ("g.csv", galaxies)}, data={"survey": "demo"})
    assert problem(answer)[:2] == (413, "too-large")


def test_a_queue_that_is_away_and_a_disk_that_is_full(settings, running_gateway, galaxies, monkeypatch, redis):
    def post(client):
        return client.post("/v1/jobs", files={"catalogue": ("g.csv", galaxies)}, data={"survey": "demo"})

    away = settings.model_copy(update={"redis_url": f"redis://127.0.0.1:{free_port()}/0"})
    with running_gateway(away) as client:
        assert problem(post(client))[:2] == (503, "queue")
        assert problem(client.get("/v1/jobs"))[:2] == (503, "queue")

    def full(*_):
        raise OSError(28, "No space left on device")

    with running_gateway(settings) as client:
        monkeypatch.setattr(manager, "write_plan", full)
        status, name, detail = problem(post(client))
        assert (status, name) == (507, "storage")
        assert "No space left on device" in detail


def test_an_archive_of_images_is_measured_like_each_galaxy_alone(desk, image, post):
    archive = BytesIO()
    galaxies = {name: [image(seed=seed, FILTER=band) for band in THREE] for seed, name in enumerate("abcde")}
    with ZipFile(archive, "w") as zipped:
        for name, files in galaxies.items():
            for band, content in zip(THREE, files, strict=True):
                zipped.writestr(f"{name}_{band}.fits", content[:1000] if name == "d" else content)
    answer = desk.client.post("/v1/jobs", files={"catalogue": ("cutouts.zip", archive.getvalue())})
    assert answer.status_code == 202, answer.text
    job = answer.json()["id"]
    desk.work()
    found = desk.table(job)
    assert [status == "ok" for status in found["status"].to_pylist()] == [True, True, True, False, True]
    for row in (0, 4):
        single = post(*galaxies["abcde"[row]]).json()["quantities"]["a_v"]
        assert found["a_v"][row].as_py() == pytest.approx(single["median"], rel=1e-4)
    zipped = {"catalogue": ("cutouts.zip", archive.getvalue())}
    assert problem(desk.client.post("/v1/jobs", files=zipped, data={"survey": "demo"}))[:2] == (422, "catalogue")


def test_numbers_that_json_has_no_word_for_are_null(desk, submit, galaxies):
    lines = galaxies.splitlines()
    sink = pa.BufferOutputStream()
    columns = {name: [line.split(",")[i] for line in lines[1:]] for i, name in enumerate(("name", "ra", "dec"))}
    positions = {name: [float(text or "nan") for text in columns[name]] for name in ("ra", "dec")}
    odd = [[np.nan, np.inf]] * 10
    pq.write_table(pa.table({**columns, **positions, "odd": odd, "raw": [b"\xff"] * 10}), sink)
    job = submit(sink.getvalue().to_pybytes(), name="g.parquet").json()["id"]
    values = desk.client.get(f"/v1/jobs/{job}/rows/2").json()["values"]
    assert (values["ra"], values["odd"], values["status"]) == (None, [None, None], "pending")
