"""Rows of a catalogue get the domain verdict and the redshift that single galaxies get."""

import asyncio
from functools import partial

import numpy as np
import pytest

from redden.answer import Answer
from redden.fits import Upload
from redden.modelcard import ModelCard
from service.bulk import measure_images
from service.inference.client import ModelServer
from tests.service.conftest import SEVEN, THREE, make_image


@pytest.mark.parametrize("model", ["any-band", "gaussian-3band"])
def test_rows_have_the_verdict_of_single_galaxies(model, models_dir, model_server, post):
    card = ModelCard.read(models_dir / model / "1")
    images = {band: make_image(seed=seed, FILTER=band) for seed, band in enumerate(SEVEN)}
    sets = (THREE, SEVEN, ("F444W",)) if model == "any-band" else (THREE, SEVEN)
    redshift = np.array([[7.0, 0.1], [np.nan, np.nan], [6.0, 0.0]])[: len(sets)]
    uploads = [[Upload(f"{band}.fits", images[band]) for band in bands] for bands in sets]

    async def measure():
        server = ModelServer(model_server, deadline=20)
        try:
            ask = partial(server.predict, card.name, card.version)
            return await measure_images(uploads, len(uploads), card, ask, redshift=redshift)
        finally:
            await server.close()

    rows = asyncio.run(measure()).to_pylist()
    for row, bands, (z, error) in zip(rows, sets, redshift.tolist(), strict=True):
        told = {} if np.isnan(z) else {"redshift": z, "redshift_error": error}
        answer = Answer.model_validate_json(post(*(images[band] for band in bands), model=model, **told).content)
        assert row["status"] == "ok"
        assert row["in_domain"] is answer.in_domain
        assert row["domain_score"] == (None if answer.domain_score is None else pytest.approx(answer.domain_score))
        assert ("out_of_domain" in row["flags"].split()) == (answer.in_domain is False)
        assert row["flags"].split() == list(dict.fromkeys(flag.code for flag in answer.flags))
        assert row["a_v"] == pytest.approx(answer.quantities.a_v.median, rel=1e-5)
        interval = [row["a_v_lower_68"], row["a_v_upper_68"]]
        assert interval == pytest.approx(answer.quantities.a_v.interval_68, rel=1e-5)
    assert [row["in_domain"] for row in rows] == ([True, False, True] if model == "any-band" else [None, None])


def test_a_redshift_of_unknown_error_or_outside_of_the_training_says_so(models_dir, model_server):
    card = ModelCard.read(models_dir / "any-band" / "1")
    uploads = [[Upload("F444W.fits", make_image(seed=3, FILTER="F444W"))]] * 4
    redshift = np.array([[7.0, 0.1], [7.0, np.nan], [np.nan, np.nan], [4.0, 0.1]])

    async def measure():
        server = ModelServer(model_server, deadline=20)
        try:
            ask = partial(server.predict, card.name, card.version)
            return await measure_images(uploads, len(uploads), card, ask, redshift=redshift)
        finally:
            await server.close()

    told, doubtful, unknown, outside = asyncio.run(measure()).to_pylist()
    assert doubtful["a_v"] == unknown["a_v"] != told["a_v"]
    assert ["redshift_ignored" in row["flags"].split() for row in (told, doubtful, unknown)] == [False, True, False]
    assert ["redshift_outside" in row["flags"].split() for row in (told, doubtful, outside)] == [False, False, True]
