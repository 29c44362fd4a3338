"""Positions of the demo survey through everything that ``redden serve`` starts, as on a fresh machine."""

import re
from io import BytesIO

import httpx
import numpy as np
from astropy.io import fits
from astropy.table import Table

from redden.client import Client
from service.surveys.registry import DEMO_DIR

BANDS = {"F277W", "F356W", "F444W"}


def test_the_greeting_s_request_is_answered(shared_serve):
    (url,) = re.findall(r"curl '(http[^']+survey=demo[^']+)'", shared_serve.greeting)
    answer = httpx.get(url, timeout=30).raise_for_status().json()
    assert set(answer["snr"]) == BANDS
    assert answer["quantities"]["a_v"]["interval_68"] is not None


def test_the_command_line_measures_a_position(shared_serve, run):
    where = ("--survey", "demo", "--ra", "01:59:59.767", "--dec", "+12:00:17.93", "--server", shared_serve.url)
    result = run("predict", *where)
    assert result.returncode == 0, result.stderr
    assert "68 % interval" in result.stdout
    elsewhere = run("predict", "--survey", "nowhere", "--ra", "1", "--dec", "1", "--server", shared_serve.url)
    assert elsewhere.returncode == 1
    assert "there is demo" in elsewhere.stderr


def test_files_and_a_survey_do_not_go_together(shared_serve, run):
    both = run("predict", "README.md", "--survey", "demo", "--ra", "1", "--dec", "1", "--server", shared_serve.url)
    neither = run("predict", "--server", shared_serve.url)
    assert (both.returncode, neither.returncode) == (2, 2)
    assert "no files" in both.stderr
    assert "--survey" in neither.stderr


def test_galaxies_of_the_catalogue_are_measured(shared_serve):
    catalogue = Table.read(DEMO_DIR / "catalogue.ecsv")[::6]
    with Client(shared_serve.url) as client:
        positions = list(zip(catalogue["ra"], catalogue["dec"], strict=True))
        lines = {line.index: line for line in client.predict_positions("demo", positions)}
    assert set(lines) == set(range(len(catalogue)))
    assert all(line.problem is None for line in lines.values())
    for band in BANDS:
        measured = [lines[i].answer.snr[band] for i in range(len(catalogue))]
        ratio = np.array(measured) / catalogue[f"snr_{band.lower()}"]
        assert 0.95 < np.median(ratio) < 1.05


def test_the_cutout_can_be_sent_back(shared_serve, gateway):
    with Client(shared_serve.url) as client:
        file = client.cutout("demo", 29.99903, 12.00498)
        answer = client.predict_position("demo", 29.99903, 12.00498)
    assert [hdu.name for hdu in fits.open(BytesIO(file))[1:]] == sorted(BANDS)
    again = gateway.post("/v1/predict", content=file, headers={"Content-Type": "application/fits"}).json()
    assert again["quantities"]["a_v"]["median"] == np.float64(answer.quantities.a_v.median)
