"""From FITS files to A_V with intervals through everything that ``redden serve`` starts."""

import math
from io import BytesIO

import pytest
from astropy.io import fits

from redden.answer import Answer
from redden.client import Client

BANDS = ("F277W", "F356W", "F444W")


def assert_measured(answer):
    for name in ("a_v", "e_bv", "r_v", "log_ssfr"):
        quantity = getattr(answer.quantities, name)
        values = (
            quantity.interval_95[0],
            quantity.interval_68[0],
            quantity.median,
            quantity.interval_68[1],
            quantity.interval_95[1],
        )
        assert all(math.isfinite(value) for value in values)
        assert list(values) == sorted(values)
    assert set(answer.snr) == set(BANDS)
    assert all(math.isfinite(value) for value in answer.snr.values())


def test_the_demo_galaxy(gateway):
    galaxy = gateway.get("/demo/galaxy.fits").content
    response = gateway.post("/v1/predict", content=galaxy, headers={"Content-Type": "application/fits"})
    assert response.status_code == 200, response.text
    assert_measured(Answer.model_validate_json(response.content))


@pytest.mark.parametrize("name", ["JOF_36", "JOF_370", "JOF_531"])
def test_real_galaxies_one_file_per_band_and_one_file_of_all(shared_serve, gateway, real_galaxies, name):
    with Client(shared_serve.url) as client:
        answer = client.predict(real_galaxies[name])
    assert_measured(answer)

    stream = BytesIO()
    hdus = [fits.PrimaryHDU()]
    for band, path in zip(BANDS, real_galaxies[name], strict=True):
        data, header = fits.getdata(path, "SCI", header=True)
        hdus.append(fits.ImageHDU(data, header, name=band))
    fits.HDUList(hdus).writeto(stream)
    together = gateway.post("/v1/predict", content=stream.getvalue(), headers={"Content-Type": "application/fits"})
    assert together.status_code == 200, together.text
    assert Answer.model_validate_json(together.content).quantities == answer.quantities


@pytest.mark.parametrize("bands", [BANDS, BANDS[:1]])
@pytest.mark.parametrize("redshift", [None, 0.485])
def test_a_real_galaxy_at_low_redshift_is_flagged(shared_serve, real_galaxies, bands, redshift):
    with Client(shared_serve.url) as client:
        answer = client.predict(real_galaxies["NGDEEP2_645"][: len(bands)], redshift=redshift)
    assert answer.bands == list(bands)
    assert answer.in_domain is False
    assert answer.flags[0].code == "out_of_domain"


@pytest.mark.parametrize("model", ["paper-1band", "paper-3band"])
def test_the_paper_s_models_answer_points(shared_serve, real_galaxies, model):
    with Client(shared_serve.url) as client:
        answer = client.predict(real_galaxies["JOF_531"], model=model)
    assert answer.model.name == model
    assert math.isfinite(answer.quantities.a_v.median)
    assert answer.quantities.a_v.interval_68 is None


def test_the_command_line_prints_a_table(shared_serve, run, gateway, tmp_path):
    path = tmp_path / "galaxy.fits"
    path.write_bytes(gateway.get("/demo/galaxy.fits").content)
    result = run("predict", path, "--server", shared_serve.url)
    assert result.returncode == 0, result.stderr
    assert "A_V" in result.stdout
    assert "68 % interval" in result.stdout


def test_all_models_of_the_project_are_served(shared_serve):
    with Client(shared_serve.url) as client:
        listed = client.models()
    assert listed.refused == []
    assert all(model.available for model in listed.models)
    assert {model.name for model in listed.models} >= {"gaussian-3band", "paper-1band", "paper-3band"}
