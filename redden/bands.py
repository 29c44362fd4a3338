"""The NIRCam wide and medium bands that redden knows, and how a band is told from a header or a file name."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from redden.errors import BandError


@dataclass(frozen=True, slots=True)
class Band:
    """A NIRCam filter.

    Attributes
    ----------
    name : str
        Name of the filter as in the FITS keyword ``FILTER``.
    pivot : float
        Pivot wavelength in um (JWST user documentation, "NIRCam Filters").
    """

    name: str
    pivot: float


BANDS: dict[str, Band] = {
    band.name: band
    for band in (
        Band("F115W", 1.154),
        Band("F150W", 1.501),
        Band("F200W", 1.990),
        Band("F277W", 2.786),
        Band("F356W", 3.563),
        Band("F410M", 4.092),
        Band("F444W", 4.421),
    )
}
"""Known bands by name, from blue to red."""

_BAND_IN_TEXT = re.compile(r"(?<![a-z0-9])f(\d{3})(w2|[wmn])(?![a-z0-9])", re.IGNORECASE)


def find_bands(text: str) -> list[str]:
    """Names of NIRCam filters in a text such as a file name, an ``EXTNAME`` or a ``FILTER``, in order, each once.

    Also filters that redden does not measure (``F300M``) are returned, so that a caller can name them in an error.

    Parameters
    ----------
    text : str
        Any text; case does not matter. ``jades_f277w_drz.fits`` holds ``F277W``, ``CLEAR/F444W`` holds ``F444W``.

    Returns
    -------
    list of str
        Names in capitals.
    """
    spaced = text.replace("_", " ")
    return list(dict.fromkeys(f"F{digits}{kind.upper()}" for digits, kind in _BAND_IN_TEXT.findall(spaced)))


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Bands of these names, each once, from blue to red.

    Raises
    ------
    BandError
        If redden does not have one.
    """
    asked = {known_band(name).name for name in names}
    return tuple(band for band in BANDS if band in asked)


def known_band(name: str) -> Band:
    """The band of this name.

    Raises
    ------
    BandError
        If redden has no such band.
    """
    band = BANDS.get(name.strip().upper())
    if band is None:
        raise BandError(f"redden does not know the band {name!r}; it knows {', '.join(BANDS)}.")
    return band
