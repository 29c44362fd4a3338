"""From the numbers in a FITS image to nJy per pixel, whatever of the field's unit conventions the file follows."""

import math
from dataclasses import dataclass
from typing import Final

import astropy.units as u
import numpy as np
from astropy.io.fits import Header

from redden.errors import UnitError

ZERO_POINT_KEYWORDS: Final = ("ZEROPOINT", "ZEROPOIN", "ZEROPNT", "MAGZERO", "MAGZPT", "ABMAGZP", "ABZP", "ZP")
"""Header keywords for an AB zero point: the magnitude of one count (per second) in a pixel."""

EXPOSURE_KEYWORDS: Final = ("XPOSURE", "EFFEXPTM", "EXPTIME")
"""Header keywords for the exposure time in s."""

_COUNTS: Final = (u.electron, u.count, u.adu, u.dn)
_RATES: Final = tuple(counts / u.s for counts in _COUNTS)
_SPELLINGS: Final = {
    "MJY/SR": "MJy/sr",
    "UJY": "uJy",
    "NJY": "nJy",
    "JY": "Jy",
    "CPS": "count/s",
    "COUNTS": "count",
    "COUNTS/S": "count/s",
    "COUNTS/SEC": "count/s",
    "E-": "electron",
    "E-/S": "electron/s",
    "E/S": "electron/s",
    "ELECTRONS": "electron",
    "ELECTRONS/S": "electron/s",
    "ELECTRONS/SEC": "electron/s",
}
"""Common spellings that astropy does not read, by their text in capitals without spaces."""
_ACCEPTED: Final = "MJy/sr, Jy, uJy, nJy, `10 nJy`, uJy/arcsec2, or `AB=28.9` for an AB zero point of 28.9"


@dataclass(frozen=True, slots=True)
class Calibration:
    """Factor from the file's numbers to nJy per pixel, with a phrase that says where it came from."""

    factor: float
    source: str

    def __post_init__(self) -> None:
        if not (math.isfinite(self.factor) and self.factor > 0):
            raise UnitError(
                f"{self.source}: means {self.factor:g} nJy per pixel for 1 in the file; that must be positive and "
                f"finite. Say the unit: {_ACCEPTED}."
            )


def calibration(header: Header, pixel_area: u.Quantity, unit: str | None = None) -> Calibration:
    """Find the factor from the numbers of an image to nJy per pixel.

    Parameters
    ----------
    header : Header
        Header of the image. Read are ``BUNIT``; for counts per second ``PHOTMJSR`` (JWST: MJy/sr for 1 DN/s), for
        counts also the exposure time; and the zero-point keywords `ZERO_POINT_KEYWORDS`.
    pixel_area : Quantity
        Solid angle of a pixel.
    unit : str, optional
        The unit as the user states it, which then replaces ``BUNIT``: a unit that astropy reads, or ``AB=28.9``.

    Returns
    -------
    Calibration

    Raises
    ------
    UnitError
        If there is no unit, it is not one of flux density or surface brightness, or what turns it into nJy is not
        positive and finite.
    """
    text = (unit or str(header.get("BUNIT") or "")).strip()
    if text.upper().startswith("AB="):
        return _from_zero_point(text[3:], f"stated AB zero point {text[3:]}")
    zero_point = next((key for key in ZERO_POINT_KEYWORDS if key in header), None)
    if not text:
        if zero_point is None:
            raise UnitError(f"the header has no BUNIT and no zero point. Say the unit: {_ACCEPTED}.")
        return _from_zero_point(header[zero_point], f"AB zero point {zero_point}={header[zero_point]}")
    origin = "stated unit" if unit else "BUNIT"
    parsed = _parse(text)
    if parsed.is_equivalent(u.Jy / u.pix):
        parsed = parsed * u.pix
    if parsed.is_equivalent(u.Jy):
        return Calibration(float(parsed.to(u.nJy)), f"{origin} {text}")
    if parsed.is_equivalent(u.Jy / u.sr):
        return Calibration(float((1 * parsed * pixel_area).to_value(u.nJy)), f"{origin} {text}")
    counts = next((counts for counts in _COUNTS + _RATES if parsed.is_equivalent(counts)), None)
    if counts is None:
        raise UnitError(f"{origin} {text!r} is no unit of flux density. Say the unit: {_ACCEPTED}.")
    if zero_point is None:
        one = _from_photmjsr(header, f"{origin} {text}", counts, pixel_area)
    else:
        one = _from_zero_point(header[zero_point], f"AB zero point {zero_point}={header[zero_point]}")
    return Calibration(one.factor * float(parsed.to(counts)), one.source)


def _parse(text: str) -> u.UnitBase:
    try:
        parsed = u.Unit(text)
        linear = isinstance(parsed, u.UnitBase) and np.isreal(parsed.decompose().scale)
    except (ValueError, ArithmeticError):
        spelled = _SPELLINGS.get(text.upper().replace(" ", ""))
        if spelled is None:
            raise UnitError(f"the unit {text!r} cannot be read. Say the unit: {_ACCEPTED}.") from None
        return u.Unit(spelled)
    if not linear:
        raise UnitError(f"the unit {text!r} is not linear in flux, as pixels must be. Say the unit: {_ACCEPTED}.")
    return parsed


def _from_zero_point(value: object, source: str) -> Calibration:
    try:
        magnitude = float(str(value))
        if not 0 < magnitude < 50:
            raise ValueError(value)
    except ValueError:
        raise UnitError(f"the AB zero point {value!r} is not a magnitude between 0 and 50, such as 28.9.") from None
    return Calibration(float((magnitude * u.ABmag).to_value(u.nJy)), source)


def _from_photmjsr(header: Header, told: str, counts: u.UnitBase, pixel_area: u.Quantity) -> Calibration:
    """Counts of a JWST image: PHOTMJSR is the surface brightness in MJy/sr of one count per second in a pixel."""
    if "PHOTMJSR" not in header:
        raise UnitError(
            f"{told} is counts, and the header has neither PHOTMJSR nor a zero point "
            f"({', '.join(ZERO_POINT_KEYWORDS)}) to turn them into flux. Add one, or say the unit: {_ACCEPTED}."
        )
    factor = float((_positive(header, "PHOTMJSR") * u.MJy / u.sr * pixel_area).to_value(u.nJy))
    # The JWST pipeline means DN, for which files in electrons have been rescaled or not; they do not tell.
    electrons = counts in (u.electron, u.electron / u.s)
    source = f"{told} with PHOTMJSR{' taken per electron/s' if electrons else ''}"
    if counts in _RATES:
        return Calibration(factor, source)
    exposure = next((key for key in EXPOSURE_KEYWORDS if key in header), None)
    if exposure is None:
        raise UnitError(
            f"{told} is counts, and PHOTMJSR needs counts per second, but there is no exposure time "
            f"({', '.join(EXPOSURE_KEYWORDS)}). Add it, or say the unit: {_ACCEPTED}."
        )
    return Calibration(factor / _positive(header, exposure), f"{source} and {exposure}")


def _positive(header: Header, key: str) -> float:
    """The number that a keyword has, also in quotes."""
    try:
        number = float(str(header[key]))
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise UnitError(
            f"{key} is {header[key]!r} where a positive number belongs. Correct it, or say the unit: {_ACCEPTED}."
        )
    return number
