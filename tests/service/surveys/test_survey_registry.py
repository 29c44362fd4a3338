"""Which surveys are registered, what covers a position, and what a check finds and keeps."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from redden.errors import UnknownSurveyError
from service.settings import Settings
from service.surveys.check import check
from service.surveys.footprint import outlines_file
from service.surveys.registry import Surveys

BANDS = '[bands.F277W]\nmosaics = ["{0}.fits"]\n[bands.F444W]\nmosaics = ["{1}.fits"]\n'


@pytest.fixture
def pointings(tmp_path, write_mosaic, make_wcs, noise):
    """Mosaics ``0``, ``10``, ``20`` ... arcsec to the north; each is 12 arcsec wide."""
    for north in (0, 4, 10, 40):
        write_mosaic(tmp_path / f"{north}.fits", noise(north, 400), make_wcs(dec=-27.8 + north / 3600, side=400))
    return BANDS


def arcsec_north(north):
    return SkyCoord(53.1, -27.8 + north / 3600, unit="deg")


def test_a_survey_that_cannot_be_used_is_refused_alone(make_surveys, pointings, tmp_path, caplog):
    surveys = make_surveys(good=pointings.format(0, 0), bad="[bands]")
    assert surveys.names == ["demo", "good"]
    assert list(surveys.refused) == [str(tmp_path / "bad.toml")]
    assert "bad.toml is refused" in caplog.text
    with pytest.raises(UnknownSurveyError, match="there is no survey 'bad'; there are demo, good"):
        surveys.get("bad")


@pytest.mark.parametrize("name", ["../good", "/etc/passwd", "http://127.0.0.1/a.fits", "good.toml", "", "GOOD"])
def test_a_name_never_opens_a_path_or_url(name, make_surveys, pointings):
    surveys = make_surveys(good=pointings.format(0, 0))
    with pytest.raises(UnknownSurveyError):
        surveys.get(name)


def test_a_registered_survey_takes_the_place_of_the_demo(make_surveys, pointings, tmp_path):
    assert make_surveys(demo=pointings.format(0, 0)).get("demo").file == tmp_path / "demo.toml"


def test_a_check_finds_areas_and_keeps_outlines(make_surveys, pointings, tmp_path, write_mosaic):
    surveys = make_surveys(test=pointings.format(0, 4), other=pointings.format(40, 40))
    survey = surveys.get("test")
    assert not survey.footprint_known
    assert surveys.covering(arcsec_north(0)) is None
    report = check(survey)
    assert report.problems == []
    assert [(each.band, each.unit) for each in report.inspections] == [("F277W", "BUNIT nJy"), ("F444W", "BUNIT nJy")]
    area = (400 * 0.03 / 60) ** 2
    for found, expected in (
        (report.areas["F277W"], area),
        (report.areas["F444W"], area),
        (report.shared, area * 8 / 12),
    ):
        assert expected < found < 3 * expected  # cells of 3.2 arcsec lie partly outside
    assert surveys.covering(arcsec_north(0)).name == "test"

    # Another process knows them without opening a mosaic, until the survey file is another one.
    for north in (0, 4):
        (tmp_path / f"{north}.fits").rename(tmp_path / f"{north}.moved")
    again = Surveys.read(Settings(surveys_dir=tmp_path))
    assert again.get("test").footprint_known
    assert again.covering(arcsec_north(9)).name == "test"
    assert again.get("test").footprint == survey.footprint
    for kept, found in zip(again.get("test").outlines["F277W"], survey.outlines["F277W"], strict=True):
        np.testing.assert_allclose(kept, found)
    again.close()
    assert not make_surveys(test=pointings.format(0, 10)).get("test").footprint_known
    outlines_file(tmp_path / "test.toml").write_text("{}", encoding="utf-8")
    assert not make_surveys(test=pointings.format(0, 4)).get("test").footprint_known


def test_of_several_that_cover_a_position_the_nearest_is_named(make_surveys, pointings):
    surveys = make_surveys(south=pointings.format(0, 0), north=pointings.format(10, 10), far=pointings.format(40, 40))
    for name in ("south", "north", "far"):
        check(surveys.get(name))
    assert [surveys.covering(arcsec_north(north)).name for north in (1, 9, 40)] == ["south", "north", "far"]
    assert surveys.covering(arcsec_north(4), besides=surveys.get("south")).name == "north"
    assert surveys.covering(arcsec_north(-4), besides=surveys.get("south")) is None
    assert surveys.covering(arcsec_north(120)) is None
    assert surveys.covering(SkyCoord(233.1, 27.8, unit="deg")) is None


def test_a_check_tells_every_problem_and_keeps_nothing(
    make_surveys, pointings, tmp_path, write_mosaic, make_wcs, noise
):
    header = make_wcs(side=400)
    del header["BUNIT"]
    write_mosaic(tmp_path / "unitless.fits", noise(1, 400), header)
    write_mosaic(tmp_path / "coarse.fits", noise(1, 400), make_wcs(side=400, scale=0.5))
    surveys = make_surveys(
        unitless=pointings.format(0, "unitless"),
        coarse=pointings.format("coarse", "nosuch"),
        apart=pointings.format(0, 40),
    )
    (unit,) = check(surveys.get("unitless")).problems
    assert "no BUNIT and no zero point" in unit
    assert "`unit` for the band" in unit
    scale, missing = check(surveys.get("coarse")).problems
    assert "pixels of 0.5 arcsec" in scale
    assert "there is no " in missing
    assert not outlines_file(tmp_path / "coarse.toml").exists()
    assert check(surveys.get("apart")).problems == ["there is no place that all bands cover."]
