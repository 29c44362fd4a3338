"""Rows of a catalogue get the answers that single positions get, whatever other rows they are measured with."""

import asyncio
import json
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from astropy.table import Table

from redden.errors import ModelServerError
from redden.fits import Upload
from redden.modelcard import ModelCard
from service.bulk import measure_images, measure_positions
from service.bulk.columns import QUANTILES, result_columns, schema
from service.inference.client import ModelServer
from service.processes import free_port
from service.settings import Settings
from service.surveys.registry import DEMO_DIR, Surveys


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    surveys = Surveys.read(Settings(surveys_dir=tmp_path_factory.mktemp("surveys")))
    yield surveys.get("demo")
    surveys.close()


@pytest.fixture(scope="module")
def positions():
    """Galaxies of the demo, places at its border and outside of it, and what is no place."""
    catalogue = Table.read(DEMO_DIR / "catalogue.ecsv")[:40]
    border = 30 + np.linspace(-0.0135, 0.0135, 6)
    ra = np.concatenate([catalogue["ra"], border, [200.0, np.nan, 30.0]])
    dec = np.concatenate([catalogue["dec"], np.full(6, 11.98725), [0.0, 12.0, np.nan]])
    return ra, dec


@pytest.fixture(scope="module")
def card(models_dir):
    return ModelCard.read(models_dir / "gaussian-3band" / "1")


@pytest.fixture
def measure(survey, card, model_server):
    """Measure positions with the local model server."""

    def measure(ra, dec, address=model_server):
        async def run():
            server = ModelServer(address, deadline=20)
            try:
                return await measure_positions(survey, ra, dec, card, partial(server.predict, card.name, card.version))
            finally:
                await server.close()

        return asyncio.run(run())

    return measure


def test_rows_are_the_answers_of_single_positions(measure, positions, gateway):
    ra, dec = positions
    table = measure(ra, dec)
    somewhere = np.flatnonzero(np.isfinite(ra + dec)).tolist()
    asked = [{"ra": ra[row], "dec": dec[row], "id": str(row)} for row in somewhere]
    response = gateway.post(
        "/v1/predict/positions", json={"survey": "demo", "model": "gaussian-3band", "positions": asked}, timeout=120
    )
    answers = {int(line["id"]): line for line in map(json.loads, response.text.splitlines())}
    measured = 0
    for row, result in enumerate(table.to_pylist()):
        line = answers.get(row)
        if line is None or line["problem"]:
            assert result["status"] not in ("ok", None)
            assert {value for name, value in result.items() if name != "status"} == {None}
            continue
        answer, measured = line["answer"], measured + 1
        assert result["status"] == "ok"
        assert result["flags"].split() == list(dict.fromkeys(flag["code"] for flag in answer["flags"]))
        for band, snr in answer["snr"].items():
            assert result[f"snr_{band}"] == pytest.approx(snr, rel=1e-5)
        for name, quantity in answer["quantities"].items():
            low_68, high_68, low_95, high_95 = *quantity["interval_68"], *quantity["interval_95"]
            expected = (low_95, low_68, quantity["median"], high_68, high_95)
            assert [result[f"{name}{end}"] for end in QUANTILES] == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert measured >= 40


def test_the_columns_are_those_that_are_promised(measure, positions, card):
    table = measure(*positions)
    assert table.schema == schema(result_columns(card))
    assert table.num_rows == len(positions[0])
    assert measure(np.empty(0), np.empty(0)).num_rows == 0


def test_a_row_gets_the_same_bits_whatever_it_is_measured_with(measure, positions):
    ra, dec = positions
    together = measure(ra, dec)
    order = np.random.default_rng(1).permutation(len(ra))
    parts = [measure(ra[some], dec[some]) for some in np.array_split(order, 3)]
    assert pa.concat_tables(parts).equals(together.take(order))


def test_without_a_model_server_no_row_is_given_up(measure, positions):
    with pytest.raises(ModelServerError, match="away"):
        measure(*positions, address=f"127.0.0.1:{free_port()}")


def test_files_get_the_answers_that_each_gets_alone(three_bands, image, post, card, model_server):
    broken = [b"no FITS"], [image(BUNIT="parsec"), *three_bands[1:]]
    galaxies = [three_bands, *broken, [image(seed=seed + 7, FILTER=band) for seed, band in enumerate(card.bands)]]
    uploads = ([Upload(None, data) for data in images] for images in galaxies)

    async def run():
        server = ModelServer(model_server, deadline=20)
        try:
            return await measure_images(uploads, len(galaxies), card, partial(server.predict, card.name, card.version))
        finally:
            await server.close()

    rows = asyncio.run(run()).to_pylist()
    for row, images in zip(rows, galaxies, strict=True):
        response = post(*images, model=card.name)
        assert (row["status"] == "ok") == (response.status_code == 200)
        if row["status"] == "ok":
            median = response.json()["quantities"]["a_v"]["median"]
            assert row["a_v"] == pytest.approx(median, rel=1e-4)
    assert [row["status"] == "ok" for row in rows] == [True, False, False, True]
    assert "not FITS" in rows[1]["status"]
