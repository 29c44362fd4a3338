"""Measuring at positions of a survey."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from redden.client import Client, RefusedError
from service.positions import Place
from service.settings import Settings
from service.surveys.registry import DEMO_DIR

GALAXY = (29.99903, 12.00498)
SURVEY = {"survey": "demo"}


@pytest.fixture(scope="module")
def catalogue():
    return Table.read(DEMO_DIR / "catalogue.ecsv")


@pytest.fixture
def client(gateway):
    with Client(str(gateway.base_url)) as client:
        yield client


def ask(gateway, **parameters):
    return gateway.get("/v1/predict", params=SURVEY | parameters)


# --- The words for a position ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        {"ra": "29.99903", "dec": "12.00498"},
        {"ra": 29.99903, "dec": 12.00498},
        {"ra": "01:59:59.7672", "dec": "+12:00:17.928"},
        {"ra": "1h59m59.7672s", "dec": "12d00m17.928s"},
        {"ra": "01 59 59.7672", "dec": "12 00 17.928"},
        {"ra": "29d59m56.508s", "dec": "12.00498"},
        {"pos": "29.99903,12.00498"},
        {"pos": " 29.99903 , 12.00498 "},
        {"pos": "29.99903 12.00498"},
        {"pos": "01:59:59.7672 +12:00:17.928"},
        {"pos": "01 59 59.7672 +12 00 17.928"},
        {"pos": "1h59m59.7672s,12d00m17.928s"},
    ],
)
def test_a_position_may_be_said_in_many_ways(words):
    separation = Place(**words).position.separation(SkyCoord(*GALAXY, unit=u.deg))
    assert separation < 1 * u.mas


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({}, "give ra and dec, or pos"),
        ({"ra": "1"}, "give ra and dec, or pos"),
        ({"ra": "1", "dec": "2", "pos": "1,2"}, "give ra and dec, or pos"),
        ({"ra": "1", "pos": "1,2"}, "give ra and dec, or pos"),
        ({"ra": "nan", "dec": "2"}, "not finite"),
        ({"ra": "1", "dec": "inf"}, "not finite"),
        ({"ra": "360.1", "dec": "2"}, "between 0 and 360"),
        ({"ra": "-0.1", "dec": "2"}, "between 0 and 360"),
        ({"ra": "1", "dec": "-90.1"}, "between -90 and 90"),
        ({"ra": "1", "dec": "91:00:00"}, "between -90 and 90"),
        ({"ra": "25:00:00", "dec": "2"}, "cannot be read"),
        ({"ra": "three", "dec": "2"}, "degrees .* or sexagesimal"),
        ({"ra": "1 kpc", "dec": "2"}, "cannot be read"),
        ({"pos": "1,2,3"}, "cannot be read"),
        ({"pos": "1 2 3"}, "cannot be read"),
        ({"pos": ""}, "cannot be read"),
        ({"ra": "1" * 41, "dec": "2"}, "40 characters"),
    ],
)
def test_a_position_that_is_none_is_refused_with_advice(words, message):
    with pytest.raises(ValidationError, match=message):
        Place(**words)


@given(ra=st.text(max_size=40) | st.floats().map(str), dec=st.text(max_size=40) | st.floats().map(str))
def test_wild_words_are_a_position_or_refused(ra, dec):
    try:
        position = Place(ra=ra, dec=dec).position
    except ValidationError:
        return
    assert 0 <= position.ra.deg <= 360
    assert -90 <= position.dec.deg <= 90


@given(ra=st.floats(0, 360, exclude_max=True), dec=st.floats(-90, 90))
def test_sexagesimal_and_degrees_are_the_same_place(ra, dec):
    there = SkyCoord(ra, dec, unit=u.deg)
    said = Place(pos=there.to_string("hmsdms", sep=":", precision=6)).position
    assert said.separation(there) < 1 * u.mas


# --- One position ---------------------------------------------------------------------------------------------------


def test_a_galaxy_of_the_demo_is_measured(gateway, catalogue):
    response = ask(gateway, ra=GALAXY[0], dec=GALAXY[1])
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["quantities"]["a_v"]["interval_68"] is not None
    assert answer["model"]["name"] == "gaussian-3band"
    assert len(answer["provenance"]["input_sha256"]) == 64
    places = SkyCoord(catalogue["ra"], catalogue["dec"])
    truth = catalogue[np.argmin(places.separation(SkyCoord(*GALAXY, unit=u.deg)))]
    for band, snr in answer["snr"].items():
        # That of the catalogue was measured a fraction of a pixel away.
        assert snr == pytest.approx(truth[f"snr_{band.lower()}"], rel=0.2)
    steps = answer["provenance"]["pixels"]
    assert [step[:5] for step in steps] == ["F277W", "F356W", "F444W"]
    assert all("demo" in step and "slice" in step and "MJy/sr" in step for step in steps)


def test_all_words_for_a_position_give_one_answer(gateway):
    said = [
        ask(gateway, ra="29.99903", dec="12.00498"),
        ask(gateway, ra="01:59:59.7672", dec="+12:00:17.928"),
        ask(gateway, pos="29.99903,12.00498"),
    ]
    first, *others = (response.json()["quantities"] for response in said)
    assert all(other == first for other in others)


def test_only_the_bands_of_the_model_are_read(gateway):
    answer = ask(gateway, ra=GALAXY[0], dec=GALAXY[1], model="paper-1band").json()
    assert list(answer["snr"]) == ["F277W"]


@pytest.mark.parametrize("what", ["peak", "centroid"])
def test_recentring_is_off_unless_asked_for_and_reported(gateway, what):
    beside = {"ra": GALAXY[0], "dec": GALAXY[1] + 0.15 / 3600}
    asked = ask(gateway, **beside, recentre=what, recentre_radius=0.3).json()
    unasked = ask(gateway, **beside).json()
    assert any("recentred" in step and what in step for step in asked["provenance"]["pixels"])
    assert not any("recentred" in step for step in unasked["provenance"]["pixels"])
    assert asked["snr"]["F444W"] > unasked["snr"]["F444W"]


@pytest.mark.parametrize(
    "name",
    ["nowhere", "Demo", "../demo", "/etc/passwd", "file:///etc/passwd", "http://127.0.0.1/a.fits", "demo.toml", ""],
)
def test_only_registered_surveys_are_read(gateway, name):
    for response in (
        ask(gateway, survey=name, ra=1, dec=1),
        gateway.get("/v1/cutout", params={"survey": name, "ra": 1, "dec": 1}),
        gateway.post("/v1/predict/positions", json={"survey": name, "positions": [{"ra": 1, "dec": 1}]}),
    ):
        assert response.status_code == 404
        assert response.json()["type"] == "/problems/unknown-survey"
        assert "demo" in response.json()["detail"]


@pytest.mark.parametrize(
    ("parameters", "status", "message"),
    [
        ({"ra": 1, "dec": 1}, 404, "Survey demo has no data at 1.000000 1.000000"),
        ({"ra": GALAXY[0], "dec": GALAXY[1], "model": "nobody"}, 404, "gaussian-3band"),
        ({"ra": GALAXY[0], "dec": GALAXY[1], "version": 7}, 404, "no version 7"),
        ({"ra": "here", "dec": 1}, 422, "Ra 'here' cannot be read"),
        ({"ra": 1}, 422, "Give ra and dec, or pos"),
        ({"ra": 1, "dec": 1, "recentre": "elsewhere"}, 422, "recentre: "),
        ({"ra": 1, "dec": 1, "recentre": "peak", "recentre_radius": 1}, 422, "recentre_radius: "),
        ({"ra": 1, "dec": 1, "path": "/etc/passwd"}, 422, "path: Extra inputs"),
    ],
)
def test_what_cannot_be_measured_is_said(gateway, parameters, status, message):
    response = ask(gateway, **parameters)
    assert response.status_code == status
    assert message.casefold() in response.json()["detail"].casefold()


def test_a_survey_must_be_named(gateway):
    response = gateway.get("/v1/predict", params={"ra": 1, "dec": 1})
    assert response.status_code == 422
    assert "survey" in response.json()["detail"]


# --- Surveys that a user has added ----------------------------------------------------------------------------------


def write_mosaic(file: Path, ra: float, dec: float, size: int = 128) -> None:
    """A mosaic of noise with a galaxy in the middle."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    data = 40 * np.exp(-(x**2 + y**2) / 18) + np.random.default_rng(1).normal(0, 0.3, (size, size))
    header = fits.Header({"BUNIT": "nJy", "CDELT1": -0.03 / 3600, "CDELT2": 0.03 / 3600})
    header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": dec})
    header.update({"CRPIX1": (size + 1) / 2, "CRPIX2": (size + 1) / 2})
    fits.writeto(file, data.astype(np.float32), header)


@pytest.fixture
def surveyed(running_gateway, models_dir, model_server, tmp_path):
    """Run a gateway whose surveys have these texts."""

    def run(**texts):
        for name, text in texts.items():
            (tmp_path / f"{name}.toml").write_text(f'name = "{name}"\ntitle = "Test"\n{text}', encoding="utf-8")
        return running_gateway(Settings(models_dir=models_dir, model_server=model_server, surveys_dir=tmp_path))

    return run


def test_off_the_footprint_the_survey_that_covers_is_named(surveyed, tmp_path):
    write_mosaic(tmp_path / "here.fits", 150.0, 2.0)
    with surveyed(here='[bands.F277W]\nmosaics = ["here.fits"]') as gateway:
        gateway.get("/v1/surveys/here/footprint").raise_for_status()
        response = ask(gateway, ra=150.0, dec=2.0, model="paper-1band")
        assert response.status_code == 404
        assert response.json()["type"] == "/problems/off-footprint"
        assert "Survey here covers it." in response.json()["detail"]
        assert ask(gateway, survey="here", ra=150.0, dec=2.0, model="paper-1band").status_code == 200


def test_a_survey_without_the_model_s_bands_names_a_model_that_fits(surveyed, tmp_path):
    write_mosaic(tmp_path / "here.fits", 150.0, 2.0)
    with surveyed(here='[bands.F277W]\nmosaics = ["here.fits"]') as gateway:
        response = ask(gateway, survey="here", ra=150.0, dec=2.0)
        assert (response.status_code, response.json()["type"]) == (422, "/problems/band")
        assert "model=paper-1band" in response.json()["detail"]


def test_a_cutout_that_no_tile_holds_wholly_is_flagged(surveyed, tmp_path):
    write_mosaic(tmp_path / "here.fits", 150.0, 2.0)
    with surveyed(here='[bands.F277W]\nmosaics = ["here.fits"]') as gateway:
        inside = ask(gateway, survey="here", ra=150.0, dec=2.0, model="paper-1band").json()
        border = ask(gateway, survey="here", ra=150.0, dec=2.0 + 50 * 0.03 / 3600, model="paper-1band").json()
    assert "incomplete_tile" not in [flag["code"] for flag in inside["flags"]]
    assert "incomplete_tile" in [flag["code"] for flag in border["flags"]]


def test_a_mosaic_that_is_not_there_is_a_problem_and_not_a_fault(surveyed):
    with surveyed(here='[bands.F277W]\nmosaics = ["nowhere.fits"]') as gateway:
        response = ask(gateway, survey="here", ra=150.0, dec=2.0, model="paper-1band")
        assert (response.status_code, response.json()["type"]) == (502, "/problems/mosaic")


# --- Many positions -------------------------------------------------------------------------------------------------


def post(gateway, **asked):
    response = gateway.post("/v1/predict/positions", json=SURVEY | asked)
    return response, [json.loads(line) for line in response.text.splitlines()]


def test_every_position_has_its_line(gateway, catalogue):
    rows = catalogue[:40]
    positions = [{"id": f"galaxy {row['id']}", "ra": float(row["ra"]), "dec": float(row["dec"])} for row in rows]
    positions.insert(7, {"pos": "1,1"})
    response, lines = post(gateway, positions=positions)
    assert response.headers["content-type"] == "application/jsonl"
    assert sorted(line["index"] for line in lines) == list(range(41))
    for line in lines:
        asked = positions[line["index"]]
        assert line["id"] == asked.get("id")
        if line["index"] == 7:
            assert line["answer"] is None
            assert (line["problem"]["status"], line["problem"]["type"]) == (404, "/problems/off-footprint")
        else:
            assert line["problem"] is None
            assert (line["ra"], line["dec"]) == (asked["ra"], asked["dec"])
            assert line["answer"]["quantities"]["a_v"]["median"] > 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ra": 1, "dec": 99}, "dec '99'"),
        ({"ra": "nan", "dec": 1}, "ra 'nan'"),
        ({"ra": 1}, "give ra and dec"),
        ({"pos": "here"}, "pos 'here'"),
        ({"ra": 1, "dec": 1, "url": "http://127.0.0.1"}, "url: Extra inputs"),
        ("1,1", "dictionary"),
    ],
)
def test_a_position_that_cannot_be_read_does_not_touch_the_others(gateway, wrong, message):
    good = {"ra": GALAXY[0], "dec": GALAXY[1]}
    named = wrong | {"id": "wrong one"} if isinstance(wrong, dict) else wrong
    _, lines = post(gateway, positions=[good, named, good])
    first, second, third = sorted(lines, key=lambda line: line["index"])
    assert first["answer"]["quantities"] == third["answer"]["quantities"]
    assert second["id"] == ("wrong one" if isinstance(wrong, dict) else None)
    assert second["problem"]["status"] == 422
    assert message in second["problem"]["detail"]


def test_one_and_many_agree(gateway):
    _, (line,) = post(gateway, positions=[{"ra": GALAXY[0], "dec": GALAXY[1]}])
    assert line["answer"] == ask(gateway, ra=GALAXY[0], dec=GALAXY[1]).json()


@pytest.mark.parametrize(
    ("asked", "status", "message"),
    [
        ({"positions": []}, 422, "positions: "),
        ({"positions": [{"ra": 1, "dec": 1}] * 1001}, 422, "1000"),
        ({"positions": [{"ra": 1, "dec": 1}], "model": "nobody"}, 404, "gaussian-3band"),
        ({"survey": "nowhere", "positions": [{"ra": 1, "dec": 1}]}, 404, "demo"),
    ],
)
def test_a_wrong_list_is_refused_before_anything_is_measured(gateway, asked, status, message):
    response, (problem,) = post(gateway, **asked)
    assert response.status_code == status
    assert message in problem["detail"]


class Slow(BaseHTTPRequestHandler):
    """Files with ranges, of which ``slow.fits`` waits until it is let go."""

    def do_GET(self):
        if "slow" in self.path and "Range" in self.headers and self.headers["Range"] != "bytes=1-1":
            self.server.reached.set()
            self.server.go.wait(30)
        content = self.server.files[self.path]
        status, start, stop = 200, 0, len(content)
        if asked := self.headers.get("Range"):
            status = 206
            first, last = asked.removeprefix("bytes=").split("-")
            start, stop = int(first), min(int(last) + 1, len(content))
        self.send_response(status)
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Accept-Ranges", "bytes")
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[start:stop])

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def slow_server(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    server.reached, server.go, server.files = Event(), Event(), {}
    for name, dec in (("quick", 2.0), ("slow", 3.0)):
        write_mosaic(tmp_path / f"{name}.fits", 150.0, dec)
        server.files[f"/{name}.fits"] = (tmp_path / f"{name}.fits").read_bytes()
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.go.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_lines_come_as_they_are_ready(surveyed, slow_server):
    location = f"http://127.0.0.1:{slow_server.server_port}"
    both = f'location = "{location}"\n[bands.F277W]\nmosaics = ["quick.fits", "slow.fits"]'
    asked = {
        "survey": "both",
        "model": "paper-1band",
        "positions": [{"ra": 150, "dec": 3, "id": "slow"}, {"ra": 150, "dec": 2, "id": "quick"}],
    }
    slow_server.go.set()
    with surveyed(both=both) as gateway:
        gateway.get("/v1/surveys/both/footprint").raise_for_status()  # opens both mosaics
        slow_server.go.clear()
        slow_server.reached.clear()
        with gateway.stream("POST", "/v1/predict/positions", json=asked) as response:
            lines = response.iter_lines()
            first = json.loads(next(lines))
            assert slow_server.reached.wait(30)
            slow_server.go.set()
            second = json.loads(next(lines))
    assert [first["id"], second["id"]] == ["quick", "slow"]


def test_the_gateway_goes_on_when_a_client_leaves(gateway, catalogue):
    positions = [{"ra": float(row["ra"]), "dec": float(row["dec"])} for row in catalogue]
    with gateway.stream("POST", "/v1/predict/positions", json=SURVEY | {"positions": positions}) as response:
        next(response.iter_lines())
    assert ask(gateway, ra=GALAXY[0], dec=GALAXY[1]).status_code == 200


# --- The client -----------------------------------------------------------------------------------------------------


def test_the_client_measures_one_and_many(client, catalogue):
    answer = client.predict_position("demo", "01:59:59.7672", "+12:00:17.928", recentre="centroid")
    assert answer.quantities.a_v.median is not None
    positions = list(zip(catalogue["ra"][:5], catalogue["dec"][:5], strict=True))
    lines = list(client.predict_positions("demo", positions, model="paper-3band"))
    assert sorted(line.index for line in lines) == list(range(5))
    assert {line.answer.model.name for line in lines} == {"paper-3band"}
    assert [survey.name for survey in client.surveys().surveys] == ["demo"]


def test_the_client_raises_the_service_s_words(client):
    with pytest.raises(RefusedError, match="there is demo|no data at"):
        client.predict_position("demo", 1.0, 1.0)
    with pytest.raises(RefusedError, match="There is no survey 'nowhere'"):
        list(client.predict_positions("nowhere", [(1.0, 1.0)]))
