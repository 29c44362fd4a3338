"""Where the pixels of an image are on the sky: pixel scale, position of a cutout, and whether bands share a grid."""

from typing import Final

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io.fits import Header
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from redden.errors import PixelGridError
from redden.grid import PIXEL_SCALE, PIXEL_SCALE_TOLERANCE, SIZE

SCALE_KEYWORDS: Final = ("PIXSCALE", "PIXELSCL", "PIXSCAL1")
"""Header keywords for the pixel scale in arcsec, for images without a WCS."""

_LINEAR_KEYWORDS: Final = tuple(
    [f"{key}{axis}" for key in ("CTYPE", "CRVAL", "CRPIX", "CDELT", "CUNIT") for axis in (1, 2)]
    + [f"{key}{i}_{j}" for key in ("CD", "PC") for i in (1, 2) for j in (1, 2)]
    + ["LONPOLE", "LATPOLE", "RADESYS", "EQUINOX"]
)
_MISALIGNMENT: Final = 0.5
"""Largest offset in pixels between the same pixel of two bands."""


def check_pixel_scale(header: Header, source: str, stated: float | None) -> None:
    """Refuse an image whose pixel scale is not that of the model inputs.

    Parameters
    ----------
    header : Header
        Header of the image.
    source : str
        What to call it in a message.
    stated : float, optional
        Pixel scale in arcsec as the user states it, asked only where the header does not tell.

    Raises
    ------
    PixelGridError
        If the scale is another one, or not known.
    """
    scales = _pixel_scales(header) or ([stated] if stated else [])
    if not scales:
        raise PixelGridError(
            f"{source} does not tell its pixel scale: it has neither a celestial WCS nor "
            f"{' or '.join(SCALE_KEYWORDS)}. Add one, or state it with `pixel_scale` (it must be {PIXEL_SCALE} arcsec)."
        )
    if any(abs(scale / PIXEL_SCALE - 1) > PIXEL_SCALE_TOLERANCE for scale in scales):
        raise PixelGridError(
            f"{source} has pixels of {' x '.join(f'{scale:.4g}' for scale in scales)} arcsec; the models need "
            f"{PIXEL_SCALE}. Resample the image, conserving flux (e.g. with reproject or drizzle), and send it again."
        )


def check_aligned(first: Header, second: Header, sources: tuple[str, str]) -> None:
    """Refuse two bands that show different sky in the same pixels of their cutouts.

    Parameters
    ----------
    first, second : Header
        Headers of the two cutouts; where one has no celestial WCS there is nothing to compare.
    sources : (str, str)
        What to call them in a message.

    Raises
    ------
    PixelGridError
        If a corner of the cutouts differs by more than half a pixel.
    """
    one, other = _linear_header(first), _linear_header(second)
    if one == other:
        return
    wcs = [WCS(header).celestial for header in (one, other) if WCS(header).has_celestial]
    if len(wcs) < 2:
        return
    corners = np.array([[0, 0], [0, SIZE - 1], [SIZE - 1, 0], [SIZE - 1, SIZE - 1]])
    sky = [each.pixel_to_world(*corners.T) for each in wcs]
    offset = float(sky[0].separation(sky[1]).to_value(u.arcsec).max()) / PIXEL_SCALE
    if not offset <= _MISALIGNMENT:
        raise PixelGridError(
            f"the same pixels of {sources[0]} and {sources[1]} lie {offset:.1f} pixels apart on the sky. Cut all bands "
            "at one position on one grid, or state the position with `ra` and `dec`."
        )


def pixel_position(header: Header, position: SkyCoord, source: str) -> tuple[float, float]:
    """Pixel (x, y), from 0, of a sky position, with all distortions that the WCS has.

    Raises
    ------
    PixelGridError
        If the image has no celestial WCS, or the position is on the far side of the sky.
    """
    wcs = WCS(header, naxis=2)
    if not wcs.has_celestial:
        raise PixelGridError(f"{source} has no celestial WCS, so that `ra` and `dec` cannot be found in it.")
    x, y = wcs.celestial.world_to_pixel(position)
    if not np.isfinite([x, y]).all():
        raise PixelGridError(f"{position.to_string('decimal')} is not on the sky that {source} shows.")
    return float(x), float(y)


def _pixel_scales(header: Header) -> list[float]:
    """Sides of a pixel in arcsec; one number if only a keyword tells it, none if nothing does."""
    wcs = WCS(_linear_header(header))
    if wcs.has_celestial:
        return [float(side * 3600) for side in proj_plane_pixel_scales(wcs.celestial)]
    return [float(header[key]) for key in SCALE_KEYWORDS if key in header][:1]


def _linear_header(header: Header) -> Header:
    """The linear part of the WCS alone, which astropy reads three times as fast as the whole."""
    linear = Header([(key, header[key]) for key in _LINEAR_KEYWORDS if key in header])
    for axis in (1, 2):
        # SIP distortion is left out with its coefficients.
        if str(linear.get(f"CTYPE{axis}", "")).endswith("-SIP"):
            linear[f"CTYPE{axis}"] = linear[f"CTYPE{axis}"].removesuffix("-SIP")
    return linear
