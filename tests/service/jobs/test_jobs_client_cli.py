"""Jobs from Python, at once and awaited, and from the command line, against a real gateway and queue."""

import asyncio
import json
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import astropy.units as u
import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from typer.testing import CliRunner

from redden import client_jobs
from redden.client import AsyncClient, Client, ClientJob, NoServiceError, RefusedError, StoppedError
from redden.jobs import Phase
from service.catalogue_cli import commands
from service.processes import free_port


@pytest.fixture
def url(desk):
    return str(desk.client.base_url)


@pytest.fixture
def file(tmp_path, galaxies):
    path = tmp_path / "galaxies.csv"
    path.write_text(galaxies)
    return path


@pytest.fixture
def working(desk):
    """Measure what is queued, from another thread."""

    class Work:
        def __enter__(self):
            self.thread = Thread(target=desk.work)
            self.thread.start()

        def __exit__(self, *_):
            self.thread.join()

    return Work


def run(url, *arguments):
    texts = [str(argument) for argument in arguments]
    return CliRunner().invoke(commands, texts, env={"COLUMNS": "160", "REDDEN_SERVER": url})


def check(table):
    """The ten galaxies of the fixture, measured."""
    assert list(table["name"]) == [f"galaxy {number}" for number in range(10)]
    measured = np.array([status == "ok" for status in table["status"]])
    assert np.flatnonzero(~measured).tolist() == [2, 5]
    assert (np.isfinite(np.ma.filled(table["a_v"], np.nan)) == measured).all()


def test_a_catalogue_comes_back_as_a_table(url, file, working, tmp_path):
    with Client(url) as client:
        job = client.submit(file, survey="demo", name="ten", format="ecsv")
        assert job.state.phase is Phase.QUEUED
        assert job.row(0).values["status"] == "pending"
        with working():
            states = [*job.events()]
        assert [states[-1].phase, states[-1].rows.done, states[-1].rows.failed] == [Phase.COMPLETED, 10, 2]
        assert job.wait() == job.state
        table = job.to_table()
        check(table)
        assert table["a_v"].unit == "mag"
        assert table["a_v"].meta["ucd"].startswith("phys.absorption")
        assert str(table["log_ssfr"].unit) == "dex(1 / yr)"
        assert not any(key.startswith("T") for key in table.meta)
        job.save(tmp_path / "saved.ecsv")
        check(Table.read(tmp_path / "saved.ecsv"))
        assert len(b"".join(job.results("jsonl", offset=3, limit=2)).splitlines()) == 2
        assert client.job(job.id).state.options.name == "ten"
        assert [listed.id for listed in client.jobs("completed").jobs] == [job.id]
        job.delete()
        with pytest.raises(RefusedError):
            job.refresh()


def test_a_table_can_be_submitted_as_it_is(url, file, working):
    with Client(url) as client:
        job = client.submit(Table.read(file), survey="demo")
        assert job.id in repr(job)
        with working():
            job.wait()
        check(job.to_table())


def test_the_same_awaited(url, file, working, tmp_path):
    async def main():
        async with AsyncClient(url) as client:
            job = await client.submit(file, survey="demo", columns=["name"])
            with working():
                states = [state.phase async for state in job.events()]
                assert (await job.wait()).rows.done == 10
            assert states[-1] is Phase.COMPLETED
            check(await job.to_table())
            await job.save(tmp_path / "saved.parquet", "parquet")
            assert (await job.row(1)).values["status"] == "ok"
            assert (await job.refresh()).phase is Phase.COMPLETED
            again = await client.job(job.id)
            assert (await again.retry()).phase is not Phase.COMPLETED
            assert (await again.abort()).phase is Phase.ABORTED
            with pytest.raises(StoppedError, match="ABORTED"):
                await again.wait()
            assert [listed.id for listed in (await client.jobs(Phase.ABORTED)).jobs] == [job.id]
            await again.delete()
            return [model.name for model in (await client.models()).models], (await client.surveys()).surveys[0].name

    models, survey = asyncio.run(main())
    assert ("gaussian-3band" in models, survey) == (True, "demo")
    assert pq.read_table(tmp_path / "saved.parquet").column_names[:2] == ["name", "a_v"]


class RestartingQueue(BaseHTTPRequestHandler):
    """Says twice that its queue is away, and then how far the job is."""

    asked = 0

    def do_GET(self):
        type(self).asked += 1
        away = self.asked <= 2
        self.send_response(503 if away else 200)
        self.send_header("Content-Type", "application/problem+json" if away else "text/event-stream")
        self.end_headers()
        if not away:
            self.wfile.write(f"event: end\ndata: {self.server.job}\n\n".encode())

    def log_message(self, *_):
        pass


def test_waiting_outlasts_a_queue_that_starts_anew(url, file, monkeypatch):
    monkeypatch.setattr(client_jobs, "_PAUSE", 0.01)
    with Client(url) as client:
        done = client.submit(file, survey="demo").abort()
    with HTTPServer(("127.0.0.1", 0), RestartingQueue) as server:
        server.job = done.model_dump_json()
        Thread(target=server.serve_forever, daemon=True).start()
        with Client(f"http://127.0.0.1:{server.server_port}") as client:
            assert list(ClientJob(client._connection, done).events()) == [done]
        server.shutdown()
    assert RestartingQueue.asked == 3


def test_what_is_said_of_images_and_names_with_brackets_pass_the_command_line(url, tmp_path, three_bands):
    with zipfile.ZipFile(tmp_path / "galaxies.zip", "w") as archive:
        for number, data in enumerate(three_bands):
            archive.writestr(f"galaxy/{number}.fits", data)
    said = ("--unit", "nJy", "--pixel-scale", "0.03", "--name", "[/deep] field")
    told = run(url, "submit", tmp_path / "galaxies.zip", *said)
    assert told.exit_code == 0, told.output
    assert "[/deep] field" in told.output
    assert "[/deep] field" in run(url, "list").output
    with Client(url) as client:
        (job,) = client.jobs().jobs
    assert (job.options.unit, job.options.pixel_scale) == ("nJy", 0.03)


def test_the_async_client_measures_single_galaxies(url, file, tmp_path, three_bands):
    paths = [tmp_path / f"{number}.fits" for number in range(3)]
    for path, data in zip(paths, three_bands, strict=True):
        path.write_bytes(data)

    async def main():
        async with AsyncClient(url) as client:
            answer = await client.predict(paths)
            at = await client.predict_position("demo", 29.99903, 12.00498)
            many = [one async for one in client.predict_positions("demo", [(29.99903, 12.00498), (0, 0)])]
            cutout = await client.cutout("demo", 29.99903, 12.00498)
            with pytest.raises(RefusedError):
                await client.submit(tmp_path / "0.fits")
        async with AsyncClient(f"http://127.0.0.1:{free_port()}") as nobody:
            with pytest.raises(NoServiceError, match="redden serve"):
                await nobody.models()
        return answer, at, sorted(many, key=lambda one: one.index), cutout

    answer, at, many, cutout = asyncio.run(main())
    with Client(url) as client:
        assert answer == client.predict(paths)
        assert at == client.predict_position("demo", 29.99903, 12.00498)
    assert many[0].answer is not None
    assert many[1].problem is not None
    assert cutout.startswith(b"SIMPLE")


def test_a_resent_catalogue_makes_no_second_job(url, file):
    with Client(url) as client:
        first, second = (client.submit(file, survey="demo", idempotency_key="key") for _ in range(2))
        assert first.id == second.id
        assert client.submit(file, survey="demo").id != first.id
        assert len(client.jobs(limit=1).jobs) == 1
        assert client.jobs(limit=1).next is not None


def test_what_is_wrong_with_a_catalogue_is_said(url, tmp_path):
    (tmp_path / "t.csv").write_text("ra,dec\n1,2\n400,3\n")
    with Client(url) as client:
        with pytest.raises(RefusedError, match="Row 2, column 'ra'") as refused:
            client.submit(tmp_path / "t.csv", survey="demo")
        assert (refused.value.status, client.jobs().jobs) == (422, [])


def test_a_file_is_written_whole_or_not_at_all(url, file, tmp_path):
    with Client(url) as client:
        job = client.submit(file, survey="demo")
        target = tmp_path / "out" / "t.csv"
        target.parent.mkdir()
        target.write_text("older")
        with pytest.raises(RefusedError):
            job.save(target, "nonsense")
        assert [*target.parent.iterdir()] == [target]
        assert target.read_text() == "older"


def test_the_command_line_from_catalogue_to_file(url, file, working, desk, tmp_path):
    submitted = run(url, "submit", file, "--survey", "demo", "--name", "mine", "--keep", "name", "--json")
    assert submitted.exit_code == 0, submitted.output
    job = json.loads(submitted.stdout)["id"]
    assert "fetch" in submitted.stderr
    listed = CliRunner().invoke(commands, ["list"], env={"COLUMNS": "80", "REDDEN_SERVER": url}).output
    assert job in listed
    with working():
        fetched = run(url, "fetch", job, "--wait", "-o", tmp_path / "out.vot")
    assert fetched.exit_code == 0, fetched.output
    check(Table.read(tmp_path / "out.vot"))
    status = run(url, "status", job).output
    for text in (job, "mine", "COMPLETED", "10 of 10 done, 2 of them cannot", "gaussian-3band version 1", "demo"):
        assert text in status
    assert json.loads(run(url, "list", "--phase", "completed", "--json").output)["jobs"][0]["id"] == job
    assert run(url, "retry", job).exit_code == 0
    assert "ABORTED" in run(url, "abort", job).output
    assert run(url, "delete", job).exit_code == 0
    assert job not in run(url, "list").output


def test_submitting_with_an_output_waits_for_it(url, file, desk, tmp_path):
    def work():
        while len(desk.waiting) < 3:  # all of ten rows in chunks of four
            httpx.get(f"{url}/healthz")
        desk.work()

    thread = Thread(target=work)
    thread.start()
    result = run(url, "submit", file, "--survey", "demo", "-o", tmp_path / "out.fits")
    thread.join()
    assert result.exit_code == 0, result.output
    check(Table.read(tmp_path / "out.fits", character_as_bytes=False))


@pytest.mark.parametrize("ending", ["ecsv", "fits"])
def test_positions_as_sky_coordinates_come_back_as_such(url, working, tmp_path, ending):
    given = Table({"id": [1, 2], "coord": SkyCoord([30.0, 30.001], [12.0, 12.001], unit="deg")})
    given.write(tmp_path / f"sky.{ending}")
    with Client(url) as client:
        job = client.submit(tmp_path / f"sky.{ending}", survey="demo")
        with working():
            job.wait()
        job.save(tmp_path / f"measured.{ending}")
        assert job.state.provenance.columns == {"ra": "coord.ra", "dec": "coord.dec"}
    measured = Table.read(tmp_path / f"measured.{ending}")
    assert list(measured["status"]) == ["ok", "ok"]
    assert np.all(measured["coord"].separation(given["coord"]) == 0 * u.deg)


def test_that_no_row_could_be_measured_is_said_with_a_reason(url, working, tmp_path):
    file = tmp_path / "elsewhere.csv"
    file.write_text("status,RA,DEC,z_phot\nfirst,200.5,45,7.1\nsecond,201,46,7.2\n")
    job = json.loads(run(url, "submit", file, "--survey", "demo", "--redshift", "z_phot", "--json").stdout)["id"]
    with working():
        fetched = run(url, "fetch", job, "--wait", "-o", tmp_path / "out.ecsv")
    assert "No row could be measured. The first: survey demo does not have data here" in fetched.stderr
    assert "RA as ra, DEC as dec" in fetched.stdout
    assert "z_phot" not in fetched.stdout, "the model takes no redshift"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("submit", "FILE", "--survey", "demo", "-o", "out.docx"), "does not tell the format"),
        (("submit", "FILE", "--survey", "demo", "-o", "nowhere/out.fits"), "no directory nowhere"),
        (("submit", "missing.csv"), "does not exist"),
        (("list", "--phase", "lost"), "is not one of"),
    ],
)
def test_mistakes_are_told_before_anything_is_sent(file, arguments, message):
    texts = [file if argument == "FILE" else argument for argument in arguments]
    result = run(f"http://127.0.0.1:{free_port()}", *texts)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize("command", ["submit", "status", "list", "fetch", "abort", "retry", "delete"])
def test_help_shows_an_example(command):
    result = CliRunner().invoke(commands, [command, "--help"], env={"COLUMNS": "140"})
    assert f"redden catalogue {command}" in result.output.split("Example")[1]
