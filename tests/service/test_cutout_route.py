"""The cutout at a position, as FITS and as a picture."""

from io import BytesIO

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales
from PIL import Image

from redden.answer import Answer, Flag
from redden.client import Client
from redden.cutout import Cutout
from service.pictures import fits_file, png_file
from service.surveys.registry import DEMO_DIR

GALAXY = SkyCoord(29.99903, 12.00498, unit=u.deg)
BANDS = ["F277W", "F356W", "F444W"]


def get(gateway, **parameters):
    return gateway.get(
        "/v1/cutout", params={"survey": "demo", "ra": GALAXY.ra.deg, "dec": GALAXY.dec.deg, **parameters}
    )


@pytest.fixture
def hdus(gateway):
    response = get(gateway)
    assert response.headers["content-type"] == "application/fits"
    assert 'filename="demo_29.99903_12.00498.fits"' in response.headers["content-disposition"]
    with fits.open(BytesIO(response.content), checksum=True) as hdus:
        hdus.verify("exception")
        yield hdus


def test_the_file_tells_everything(gateway, hdus):
    assert [hdu.name for hdu in hdus[1:]] == BANDS
    answer = gateway.get("/v1/predict", params={"survey": "demo", "ra": GALAXY.ra.deg, "dec": GALAXY.dec.deg}).json()
    primary = hdus[0].header
    assert primary["SURVEY"] == "demo"
    assert primary["SHA256"] == answer["provenance"]["input_sha256"]
    history = "".join(primary["HISTORY"])
    assert all(step.replace(" ", "") in history.replace(" ", "") for step in answer["provenance"]["pixels"])
    for hdu in hdus[1:]:
        assert (hdu.shape, hdu.header["BUNIT"], hdu.header["FILTER"]) == ((32, 32), "nJy", hdu.name)
        assert hdu.header["SNR"] == pytest.approx(answer["snr"][hdu.name], abs=0.01)
        wcs = WCS(hdu.header)
        np.testing.assert_allclose(proj_plane_pixel_scales(wcs) * 3600, 0.03, rtol=1e-6)
        assert wcs.pixel_to_world(15.5, 15.5).separation(GALAXY) < 0.022 * u.arcsec


def test_its_pixels_are_those_of_the_mosaic(hdus):
    for hdu in hdus[1:]:
        with fits.open(DEMO_DIR / f"demo_{hdu.name.lower()}.fits") as mosaic:
            x, y = WCS(mosaic["SCI"].header).world_to_pixel(WCS(hdu.header).pixel_to_world(0, 0))
            column, row = round(float(x)), round(float(y))
            assert (float(x), float(y)) == pytest.approx((column, row), abs=1e-3)
            window = mosaic["SCI"].section[row : row + 32, column : column + 32].astype(np.float64)
        nanojansky = (window * u.MJy / u.sr * (0.03 * u.arcsec) ** 2).to_value(u.nJy)
        np.testing.assert_allclose(hdu.data, nanojansky, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "parameters", [{}, {"model": "paper-1band"}, {"recentre": "centroid", "recentre_radius": 0.4}], ids=str
)
def test_sent_back_it_is_measured_alike(gateway, parameters):
    there = {"survey": "demo", "ra": GALAXY.ra.deg, "dec": GALAXY.dec.deg, **parameters}
    from_survey = Answer.model_validate_json(gateway.get("/v1/predict", params=there).content)
    file = get(gateway, **parameters).content
    model = {"model": parameters["model"]} if "model" in parameters else {}
    from_file = Answer.model_validate_json(
        gateway.post("/v1/predict", content=file, headers={"Content-Type": "application/fits"}, params=model).content
    )
    assert from_file.snr == pytest.approx(from_survey.snr, rel=1e-5)
    for name, quantity in from_survey.quantities:
        assert getattr(from_file.quantities, name).median == pytest.approx(quantity.median, rel=1e-5)


def test_the_picture_is_one_of_a_galaxy(gateway):
    response = get(gateway, format="png")
    assert response.headers["content-type"] == "image/png"
    picture = Image.open(BytesIO(response.content))
    assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (256, 256))
    brightness = np.asarray(picture, dtype=float).mean(axis=-1)
    assert brightness[96:160, 96:160].mean() > 2 * brightness[:32].mean()


def test_only_fits_and_png(gateway):
    response = get(gateway, format="jpg")
    assert response.status_code == 422
    assert "format" in response.json()["detail"]


def test_the_client_gets_both(gateway):
    with Client(str(gateway.base_url)) as client:
        file = client.cutout("demo", GALAXY.ra.deg, GALAXY.dec.deg, model="paper-1band")
        picture = client.cutout("demo", GALAXY.ra.deg, GALAXY.dec.deg, format="png")
    assert [hdu.name for hdu in fits.open(BytesIO(file))[1:]] == ["F277W"]
    assert picture.startswith(b"\x89PNG")


# --- Cutouts that the demo does not have ----------------------------------------------------------------------------


def make_cutout(bands, pixels, **facts):
    return Cutout(
        bands=bands,
        pixels=np.asarray(pixels, dtype=np.float32),
        uncalibrated=facts.get("uncalibrated", {}),
        snr=dict.fromkeys(bands, 7.0),
        flags=facts.get("flags", ()),
        history=facts.get("history", ()),
        sha256="0" * 64,
        wcs=None,
    )


def spots(bands):
    """In every band a spot of its own: the first in the upper left, the next farther right and down."""
    pixels = np.random.default_rng(0).normal(0, 1, (32, 32, bands))
    for band in range(bands):
        pixels[24 - 8 * band, 8 + 8 * band, band] += 1000
    return pixels


def test_red_is_the_reddest_band_and_up_is_up():
    picture = np.asarray(Image.open(BytesIO(png_file(make_cutout(("F444W", "F277W", "F356W"), spots(3))))))
    # 8 pixels a pixel, and rows of the picture from the top.
    for colour, band in ((0, 0), (2, 1), (1, 2)):
        row, column = 8 * (31 - (24 - 8 * band)) + 4, 8 * (8 + 8 * band) + 4
        assert picture[row, column, colour] > 200
        assert np.delete(picture[row, column], colour).max() < 60


@pytest.mark.parametrize("bands", [("F277W",), ("F277W", "F444W"), ("F115W", "F150W", "F200W", "F277W", "F444W")])
def test_any_number_of_bands_makes_a_picture(bands):
    picture = np.asarray(Image.open(BytesIO(png_file(make_cutout(bands, spots(3)[..., np.arange(len(bands)) % 3])))))
    assert picture.shape == (256, 256, 3)
    if len(bands) == 1:
        assert (picture == picture[..., :1]).all()


def test_a_picture_without_noise():
    pixels = np.zeros((32, 32, 3))
    pixels[16, 16] = 1.0
    assert Image.open(BytesIO(png_file(make_cutout(tuple(BANDS), pixels)))).size == (256, 256)


def test_a_file_says_what_is_not_calibrated_and_what_to_know():
    cutout = make_cutout(
        ("F277W", "F444W"),
        spots(2),
        uncalibrated={"F444W": "no unit"},
        flags=(Flag(code="odd", message="An odd thing."),),
        history=("F277W: мозаика.fits; " + "a long step; " * 20,),
    )
    with fits.open(BytesIO(fits_file(cutout, "demo"))) as hdus:
        assert hdus["F277W"].header["BUNIT"] == "nJy"
        assert "BUNIT" not in hdus["F444W"].header
        assert "odd: An odd thing." in str(hdus[0].header["COMMENT"])
        assert "".join(hdus[0].header["HISTORY"]).count("a long step") == 20
