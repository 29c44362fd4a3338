"""Explanations: what is hidden, what the numbers mean, and how they look."""

from io import BytesIO

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from redden.answer import Answer
from redden.client import Client
from redden.cutout import Cutout
from redden.snr import sky_level
from service.explain import CELLS, occlude
from tests.redden.test_modelcard import card
from tests.service.conftest import THREE, make_image
from tests.service.test_client_and_cli import run

SURVEY = {"survey": "demo", "ra": 29.99903, "dec": 12.00498}
NAMES = ("a_v", "e_bv", "r_v", "log_ssfr")


def galaxy(bands=THREE, x=20.0, y=9.0):
    rows, columns = np.mgrid[:32, :32]
    light = 50 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)
    noise = np.random.default_rng(3).normal(0, 0.1, (32, 32, len(bands)))
    return (light[..., None] + noise).astype(np.float32)


def cutout_of(pixels, bands=THREE):
    snr = dict.fromkeys(bands, 50.0)
    return Cutout(bands, pixels, uncalibrated={}, snr=snr, flags=(), history=(), sha256="", wcs=None)


def files(pixels, bands=THREE):
    return [make_image(pixels[..., i], FILTER=band) for i, band in enumerate(bands)]


@pytest.fixture
def ask(post):
    def ask(*images, model, **parameters):
        response = post(*images, model=model, **parameters)
        assert response.status_code == 200, response.text
        return Answer.model_validate_json(response.content)

    return ask


# --- What is hidden --------------------------------------------------------------------------------------------------


def brightness_model(inputs):
    """A Gaussian model whose ln A_V is the sum of the first band, and whose other answers never change."""
    mean = np.full((len(inputs["pixels"]), 3), -1.0)
    mean[:, 0] = inputs["pixels"][..., 0].sum(axis=(1, 2)) / 1000
    return {
        "mean": mean.astype(np.float32),
        "scale_tril": np.tile(0.1 * np.eye(3, dtype=np.float32), (len(mean), 1, 1)),
    }


def test_light_that_raises_the_answer_is_found_where_it_is():
    model = card(normalisation="joint")
    occlusion, inputs = occlude(cutout_of(galaxy()), model, None)
    explanation = occlusion.explain(model, brightness_model(inputs))
    cells = np.array(explanation.a_v.pixels)
    assert cells.shape == (CELLS, CELLS)
    row, column = np.unravel_index(cells.argmax(), cells.shape)
    assert (row, column) == (pytest.approx(4, abs=1), pytest.approx(10, abs=1))  # cells of two pixels, y first
    assert cells.max() > 10 * np.abs(cells[10:]).max()
    assert explanation.a_v.bands["F277W"] > 5 * np.abs([explanation.a_v.bands[band] for band in THREE[1:]]).max()
    assert explanation.a_v.unit == "sigma"
    for still in (explanation.e_bv, explanation.log_ssfr):
        assert np.abs(still.pixels).max() == 0
        assert set(still.bands.values()) == {0}


def test_a_hidden_patch_is_what_one_without_it_shows(ask):
    pixels = galaxy()
    without = pixels.copy()
    without[:4, :4] = sky_level(pixels)
    whole = ask(*files(pixels), model="gaussian-3band", explain=True)
    other = ask(*files(without), model="gaussian-3band")
    assert other.explanation is None
    for name in NAMES:
        found, hidden = (getattr(answer.quantities, name) for answer in (whole, other))
        half = (found.interval_68[1] - found.interval_68[0]) / 2
        corner = getattr(whole.explanation, name).pixels[0][0]  # which one patch alone covers
        assert corner == pytest.approx((found.median - hidden.median) / half, abs=2e-4)


def test_a_band_left_out_is_what_an_answer_without_it_shows(ask):
    images = files(galaxy())
    whole = ask(*images, model="any-band", explain=True, redshift=7)
    for i, band in enumerate(THREE):
        other = ask(*images[:i], *images[i + 1 :], model="any-band", redshift=7)
        for name in NAMES:
            found, hidden = (getattr(answer.quantities, name) for answer in (whole, other))
            half = (found.interval_68[1] - found.interval_68[0]) / 2
            change = getattr(whole.explanation, name).bands[band]
            assert change == pytest.approx((found.median - hidden.median) / half, abs=2e-4)


def test_the_only_band_of_a_model_that_takes_any_is_not_left_out(ask):
    explanation = ask(files(galaxy())[0], model="any-band", explain=True).explanation
    assert explanation.a_v.bands == {}
    assert np.isfinite(explanation.a_v.pixels).all()


def test_point_estimates_change_in_their_own_unit(ask):
    pixels = galaxy()
    without = pixels.copy()
    without[:4, :4] = sky_level(pixels)
    whole = ask(*files(pixels), model="paper-3band", explain=True)
    other = ask(*files(without), model="paper-3band")
    assert [getattr(whole.explanation, name).unit for name in NAMES] == ["mag", "mag", "1", "log10(1/yr)"]
    change = whole.quantities.a_v.median - other.quantities.a_v.median
    assert whole.explanation.a_v.pixels[0][0] == pytest.approx(change, abs=2e-4)
    assert set(whole.explanation.a_v.bands) == set(THREE)


# --- How it is asked for and looks -----------------------------------------------------------------------------------


def picture(response):
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/png"
    return Image.open(BytesIO(response.content))


@pytest.mark.parametrize("model", ["any-band", "paper-1band"])
def test_the_picture_shows_image_maps_and_bars(post, model):
    drawn = picture(post(*files(galaxy(x=15.5, y=15.5)), model=model, explain=True, format="png"))
    assert drawn.size[0] > 5 * 256
    colours = np.asarray(drawn.convert("RGB"), dtype=int)[64:320, 304:560]  # the map of A_V
    coloured = np.abs(colours[..., 0] - colours[..., 2]).max()
    assert coloured > 100


def test_a_picture_may_be_asked_for_by_its_media_type(gateway):
    asked = {**SURVEY, "explain": True}
    picture(gateway.get("/v1/predict", params=asked, headers={"Accept": "image/png"}))
    stated = gateway.get("/v1/predict", params={**asked, "format": "json"}, headers={"Accept": "image/png"})
    assert Answer.model_validate_json(stated.content).explanation is not None
    plain = gateway.get("/v1/predict", params=SURVEY, headers={"Accept": "text/html,image/png,*/*"})
    assert Answer.model_validate_json(plain.content).explanation is None


def test_a_picture_without_an_explanation_is_refused(gateway):
    response = gateway.get("/v1/predict", params={**SURVEY, "format": "png"})
    assert response.status_code == 422
    assert "add explain=true" in response.json()["detail"]


def test_the_client_explains(gateway, tmp_path):
    path = tmp_path / "galaxy.fits"
    path.write_bytes(files(galaxy())[0])
    place = SURVEY["survey"], SURVEY["ra"], SURVEY["dec"]
    with Client(str(gateway.base_url)) as client:
        answer = client.predict(str(path), model="paper-1band", explain=True)
        pictures = [client.explanation([path], model="paper-1band"), client.explanation_at(*place, model="any-band")]
    assert answer.explanation is not None
    assert all(drawn.startswith(b"\x89PNG") for drawn in pictures)


@pytest.mark.parametrize("source", ["files", "survey"])
def test_the_command_line_draws_what_moved_the_answer(gateway, tmp_path, source):
    path, drawn = tmp_path / "galaxy.fits", tmp_path / "why.png"
    path.write_bytes(files(galaxy())[0])
    where = [path] if source == "files" else ["--survey", "demo", "--ra", "29.99903", "--dec", "12.00498"]
    told = ["--redshift", "7.1", "--redshift-error", "0.2", "--a-v-above", "1", "--explain", drawn]
    result = run("predict", *where, *told, "--model", "any-band", "--server", gateway.base_url)
    assert result.exit_code == 0, result.output
    for text in ("any-band version 1", "Redshift 7.1 +- 0.2", "P(A_V > 1) = ", "Domain score", ": like the galaxies"):
        assert text in result.output
    assert "why.png" in result.output.replace("\n", "")
    assert drawn.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("drawn", "words"), [("why.doc", "end in .png"), ("nowhere/why.png", "Make it first")])
def test_where_a_picture_cannot_go_is_told_before_anything_is_measured(tmp_path, drawn, words):
    (tmp_path / "galaxy.fits").touch()
    result = run("predict", tmp_path / "galaxy.fits", "--explain", tmp_path / drawn, "--server", "http://127.0.0.1:9")
    assert result.exit_code == 2
    assert words in " ".join(result.output.replace("│", " ").split())


def test_a_survey_is_explained_as_its_cutout_is(gateway):
    from_survey = Answer.model_validate_json(gateway.get("/v1/predict", params={**SURVEY, "explain": True}).content)
    file = gateway.get("/v1/cutout", params=SURVEY).content
    with fits.open(BytesIO(file)) as hdus:
        assert [hdu.name for hdu in hdus[1:]] == list(THREE)
    from_file = Answer.model_validate_json(
        gateway.post(
            "/v1/predict", content=file, headers={"Content-Type": "application/fits"}, params={"explain": True}
        ).content
    )
    for name in NAMES:
        found, expected = (np.array(getattr(answer.explanation, name).pixels) for answer in (from_file, from_survey))
        assert found == pytest.approx(expected, abs=1e-3)
