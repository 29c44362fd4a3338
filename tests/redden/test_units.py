import astropy.units as u
import pytest
from astropy.io.fits import Header
from hypothesis import given
from hypothesis import strategies as st

from redden.errors import UnitError
from redden.grid import PIXEL_AREA_SR
from redden.units import calibration

AREA = PIXEL_AREA_SR * u.sr
MJYSR = 1e15 * PIXEL_AREA_SR
"""nJy per pixel of 1 MJy/sr."""


@pytest.mark.parametrize(
    ("header", "factor"),
    [
        ({"BUNIT": "nJy"}, 1),
        ({"BUNIT": "uJy"}, 1e3),
        ({"BUNIT": "UJY"}, 1e3),
        ({"BUNIT": "Jy"}, 1e9),
        ({"BUNIT": "Jy/pix"}, 1e9),
        ({"BUNIT": "10.0*nanoJansky"}, 10),
        ({"BUNIT": "10 nJy"}, 10),
        ({"BUNIT": "MJy/sr"}, MJYSR),
        ({"BUNIT": "MJy / sr "}, MJYSR),
        ({"BUNIT": "uJy/arcsec2"}, 0.9),
        ({"BUNIT": "DN/s", "PHOTMJSR": 0.4}, 0.4 * MJYSR),
        ({"BUNIT": "electron/s", "PHOTMJSR": 0.4}, 0.4 * MJYSR),
        ({"BUNIT": "electrons", "PHOTMJSR": 0.4, "XPOSURE": 1000.0}, 0.4 * MJYSR / 1000),
        ({"BUNIT": "e-/s", "ZEROPNT": 28.9}, 10),
        ({"BUNIT": "1000 DN/s", "PHOTMJSR": 0.4}, 400 * MJYSR),
        ({"BUNIT": "ct/min", "PHOTMJSR": 0.4}, 0.4 * MJYSR / 60),
        ({"BUNIT": "1000 DN", "PHOTMJSR": 0.4, "EXPTIME": "1000.0"}, 0.4 * MJYSR),
        ({"BUNIT": "DN/min", "ZEROPNT": 31.4}, 1 / 60),
        ({"BUNIT": None, "ZEROPNT": 31.4}, 1),
        ({"ZEROPNT": 31.4}, 1),
        ({"BUNIT": "DN", "ZEROPNT": 31.4}, 1),
    ],
)
def test_headers_of_all_conventions_become_njy(header: dict[str, object], factor: float) -> None:
    assert calibration(Header(header), AREA).factor == pytest.approx(factor, rel=1e-3)


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        ({}, "no BUNIT"),
        ({"BUNIT": None}, "no BUNIT"),
        ({"BUNIT": "DN/s", "PHOTMJSR": "abc"}, "PHOTMJSR is 'abc' where a positive number"),
        ({"BUNIT": "DN/s", "PHOTMJSR": 0.0}, "PHOTMJSR is 0.0"),
        ({"BUNIT": "DN/s", "PHOTMJSR": -0.4}, "PHOTMJSR is -0.4"),
        ({"BUNIT": "DN/s", "PHOTMJSR": None}, "PHOTMJSR is None"),
        ({"BUNIT": "DN", "PHOTMJSR": 0.4, "EXPTIME": "long"}, "EXPTIME is 'long'"),
        ({"BUNIT": "0 nJy"}, "cannot be read"),
        ({"BUNIT": "1e-320 nJy/sr"}, "cannot be read"),
        ({"BUNIT": "sqrt(-1) nJy"}, "not linear in flux"),
        ({"BUNIT": "mag(AB)"}, "not linear in flux"),
        ({"BUNIT": "furlong"}, "cannot be read"),
        ({"BUNIT": "K"}, "no unit of flux density"),
        ({"BUNIT": "DN/s"}, "PHOTMJSR"),
        ({"BUNIT": "DN", "PHOTMJSR": 0.4}, "exposure time"),
        ({"ZEROPNT": "unknown"}, "not a magnitude"),
        ({"ZEROPNT": 2890.0}, "not a magnitude"),
    ],
)
def test_what_cannot_be_flux_is_refused_with_the_remedy(header: dict[str, object], hint: str) -> None:
    with pytest.raises(UnitError, match=hint):
        calibration(Header(header), AREA)


def test_the_user_knows_better_than_the_header() -> None:
    found = calibration(Header({"BUNIT": "MJy/sr"}), AREA, unit="uJy")
    assert found.factor == pytest.approx(1000)
    assert found.source == "stated unit uJy"


@pytest.mark.parametrize("unit", ["1e999 nJy", "1e300 Jy", "-1 nJy", "-1 DN/s"])
def test_a_factor_must_be_positive_and_finite(unit: str) -> None:
    with pytest.raises(UnitError, match="must be positive and finite"):
        calibration(Header({"PHOTMJSR": 0.4}), AREA, unit=unit)


def test_what_photmjsr_is_taken_for_is_told() -> None:
    electrons = Header({"BUNIT": "electron/s", "PHOTMJSR": 0.4})
    assert calibration(electrons, AREA).source == "BUNIT electron/s with PHOTMJSR taken per electron/s"
    assert calibration(Header({"BUNIT": "DN/s", "PHOTMJSR": 0.4}), AREA).source == "BUNIT DN/s with PHOTMJSR"


@given(st.floats(20, 35))
def test_an_ab_zero_point_is_the_magnitude_of_one_count(zero_point: float) -> None:
    factor = calibration(Header(), AREA, unit=f"AB={zero_point}").factor
    assert (factor * u.nJy).to_value(u.ABmag) == pytest.approx(zero_point, abs=1e-9)
