"""The simulated survey: what is in the mosaics is what the catalogue says."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table
from astropy.wcs import WCS
from pydantic import ValidationError
from typer.testing import CliRunner

from redden.cutout import read_cutout
from redden.fits import Upload
from service.surveys.definition import Definition
from training.cli import app
from training.demo_survey import STAMP, MockSurvey, MockSurveyError, make_survey

BANDS = ("F277W", "F356W", "F444W")
# So deep that the noise does not matter to the fluxes.
SURVEY = MockSurvey(name="mock", seed=3, side=400, galaxies=6, ra=0.01, dec=-30.0, depth=36.0)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("survey") / "mock"
    make_survey(SURVEY, directory)
    return directory


@pytest.fixture(scope="module")
def catalogue(directory):
    return Table.read(directory / "catalogue.ecsv")


@pytest.fixture(scope="module")
def mosaics(directory):
    """Pixels in nJy by band, and the WCS."""
    pixels = {}
    for band in BANDS:
        with fits.open(directory / f"mock_{band.lower()}.fits") as hdus:
            header = hdus["SCI"].header
            assert (header["FILTER"], header["BUNIT"]) == (band, "MJy/sr")
            pixels[band] = (hdus["SCI"].data * u.MJy / u.sr * (0.03 * u.arcsec) ** 2).to_value(u.nJy)
            wcs = WCS(header)
    return pixels, wcs


def stamps(catalogue, mosaics, band):
    """The image of each galaxy."""
    pixels, wcs = mosaics
    x, y = wcs.world_to_pixel(SkyCoord(catalogue["ra"], catalogue["dec"]))
    half = STAMP // 2
    for row, column in zip(np.ceil(y).astype(int), np.ceil(x).astype(int), strict=True):
        yield pixels[band][max(row - half, 0) : row + half, max(column - half, 0) : column + half]


@pytest.mark.parametrize("band", BANDS)
def test_the_fluxes_are_those_of_the_catalogue(catalogue, mosaics, band):
    measured = [stamp.sum() for stamp in stamps(catalogue, mosaics, band)]
    np.testing.assert_allclose(measured, catalogue[f"flux_{band.lower()}"], rtol=0.03)


def test_the_positions_are_those_of_the_catalogue(catalogue, mosaics):
    pixels, wcs = mosaics
    x, y = wcs.world_to_pixel(SkyCoord(catalogue["ra"], catalogue["dec"]))
    for galaxy in range(len(catalogue)):
        rows = slice(max(round(float(y[galaxy])) - 40, 0), round(float(y[galaxy])) + 40)
        columns = slice(max(round(float(x[galaxy])) - 40, 0), round(float(x[galaxy])) + 40)
        light = pixels["F444W"][rows, columns]
        j, i = np.mgrid[rows, columns][:, : light.shape[0], : light.shape[1]]
        assert np.average(i, weights=light) == pytest.approx(x[galaxy], abs=1)
        assert np.average(j, weights=light) == pytest.approx(y[galaxy], abs=1)


def test_galaxies_lie_apart(catalogue):
    places = SkyCoord(catalogue["ra"], catalogue["dec"])
    _, nearest, _ = places.match_to_catalog_sky(places, nthneighbor=2)
    assert nearest.min() > (STAMP - 1) * 0.03 * u.arcsec


def test_the_catalogue_is_described(catalogue):
    assert len(catalogue) == SURVEY.galaxies
    assert catalogue.meta["seed"] == SURVEY.seed
    assert catalogue["a_v"].unit == u.mag
    assert catalogue["ra"].unit == u.deg
    for column in catalogue.itercols():
        assert check_ucd(column.meta["ucd"], check_controlled_vocabulary=True)
    np.testing.assert_allclose(catalogue["r_v"], catalogue["a_v"] / catalogue["e_bv"], rtol=0.02)
    assert (catalogue["a_v"] > 0).all()
    assert min(catalogue[f"snr_{band.lower()}"].min() for band in BANDS) >= 5


def test_its_galaxies_are_those_of_training(directory, catalogue):
    row = catalogue[0]
    uploads = [Upload(path.name, path.read_bytes()) for path in sorted(directory.glob("*.fits"))]
    cutout = read_cutout(uploads, position=SkyCoord(row["ra"], row["dec"], unit=u.deg))
    assert cutout.bands == BANDS
    assert not cutout.uncalibrated
    for band in BANDS:
        assert cutout.snr[band] == pytest.approx(row[f"snr_{band.lower()}"], rel=0.2)


def test_the_noise_is_as_deep_and_as_correlated_as_stated(tmp_path):
    make_survey(MockSurvey(side=512, galaxies=1, depth=29.0, noise_correlation=0.7), tmp_path / "deep")
    with fits.open(tmp_path / "deep" / "demo_f356w.fits") as hdus:
        sky = (hdus["SCI"].data * u.MJy / u.sr * (0.03 * u.arcsec) ** 2).to_value(u.nJy)
    middle = np.median(sky)
    sigma = 1.4826 * np.median(np.abs(sky - middle))
    offset = np.arange(-4, 5) * 0.03
    circle = np.hypot(offset[:, None], offset) <= 0.1
    windows = np.lib.stride_tricks.sliding_window_view(sky - middle, (9, 9))[::9, ::9]
    fluxes = windows[..., circle].sum(axis=-1)
    scatter = 1.4826 * np.median(np.abs(fluxes - np.median(fluxes)))
    assert (5 * scatter * u.nJy).to_value(u.ABmag) == pytest.approx(29.0, abs=0.1)
    clipped = np.where(np.abs(sky - middle) < 4 * sigma, sky - middle, np.nan)
    neighbours = np.nanmean(clipped[:, 1:] * clipped[:, :-1]) / np.nanmean(clipped**2)
    assert neighbours == pytest.approx(0.7, abs=0.04)


def test_equal_surveys_are_equal_files(tmp_path):
    survey = MockSurvey(side=STAMP, galaxies=1)
    for name in ("one", "two"):
        make_survey(survey, tmp_path / name)
    for one in (tmp_path / "one").iterdir():
        assert one.read_bytes() == (tmp_path / "two" / one.name).read_bytes()


def test_the_survey_file_is_one(directory):
    definition = Definition.read(directory / "mock.toml")
    assert definition.name == "mock"
    assert set(definition.bands) == set(BANDS)
    for mosaics in definition.bands.values():
        assert 0.1 < mosaics.psf_fwhm < 0.2
        assert mosaics.mosaics[0].path.startswith(str(directory))


@pytest.mark.parametrize(
    "wrong",
    [{"galaxies": 17, "side": 400}, {"galaxies": 0}, {"side": 32}, {"ra": 360}, {"dec": 91}, {"name": "A survey/../x"}],
)
def test_impossible_surveys_are_refused(wrong):
    with pytest.raises(ValidationError):
        MockSurvey(**wrong)


def test_nothing_is_overwritten(directory):
    with pytest.raises(MockSurveyError, match="not empty"):
        make_survey(SURVEY, directory)


def test_the_command(tmp_path):
    out = tmp_path / "survey"
    result = CliRunner().invoke(app, ["survey", str(out), "--side", "96", "--galaxies", "1", "--name", "tiny"])
    assert result.exit_code == 0, result.output
    assert "tiny.toml" in result.output
    assert {path.name for path in out.iterdir()} == {
        "catalogue.ecsv",
        "tiny.toml",
        *(f"tiny_{band.lower()}.fits" for band in BANDS),
    }
    crowded = CliRunner().invoke(app, ["survey", str(tmp_path / "other"), "--side", "96", "--galaxies", "2"])
    assert crowded.exit_code == 2
    assert "pixels a side" in crowded.output
