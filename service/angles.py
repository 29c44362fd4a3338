"""Right ascension and declination in the words of a request: degrees or sexagesimal."""

from typing import Annotated, Final

import astropy.units as u
import numpy as np
from astropy.coordinates import Angle
from pydantic import Field

EXAMPLES: Final = "degrees (`29.99903`, `12.00498`) or sexagesimal (`01:59:59.767`, `+12:00:17.93`)"

RightAscension = Annotated[
    str | None,
    Field(
        max_length=40,
        coerce_numbers_to_str=True,
        description="Right ascension (ICRS) in degrees, or sexagesimal in hours: `01:59:59.767`, `1h59m59.767s`.",
        examples=["29.99903"],
    ),
]
"""A right ascension that a request may state."""

Declination = Annotated[
    str | None,
    Field(
        max_length=40,
        coerce_numbers_to_str=True,
        description="Declination (ICRS) in degrees, or sexagesimal: `+12:00:17.93`, `12d00m17.93s`.",
        examples=["12.00498"],
    ),
]
"""A declination that a request may state."""


def parse_position(ra: str, dec: str) -> tuple[float, float]:
    """Right ascension and declination in degrees.

    Parameters
    ----------
    ra, dec : str
        Plain numbers are degrees; otherwise right ascension is in hours unless it names its unit (``30d00m10s``).

    Raises
    ------
    ValueError
        If they cannot be read, or are not on the sky: right ascension within 0...360 degrees, declination -90...90.
    """
    longitude, latitude = _angle(ra, "ra", u.hourangle), _angle(dec, "dec", u.deg)
    if not 0 <= longitude <= 360:
        raise ValueError(f"ra {ra!r} is {longitude:g} degrees; it must be between 0 and 360")
    if not -90 <= latitude <= 90:
        raise ValueError(f"dec {dec!r} is {latitude:g} degrees; it must be between -90 and 90")
    return longitude, latitude


def _angle(text: str, name: str, sexagesimal: u.UnitBase) -> float:
    """Degrees of an angle."""
    try:
        degrees = float(text)
    except ValueError:
        try:
            degrees = float(Angle(text, unit=sexagesimal).to_value(u.deg))
        except (ValueError, u.UnitsError):
            raise ValueError(f"{name} {text!r} cannot be read; give {EXAMPLES}") from None
    if not np.isfinite(degrees):
        raise ValueError(f"{name} {text!r} is not finite; give {EXAMPLES}")
    return degrees
