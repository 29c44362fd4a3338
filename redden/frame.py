"""Where an image is on the sky, by its WCS or by what else its header tells."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io.fits import Header
from astropy.wcs import WCS, NoConvergence
from astropy.wcs.utils import pixel_to_skycoord, skycoord_to_pixel
from numpy.typing import NDArray

from redden.errors import PixelGridError
from redden.fits import Image
from redden.grid import PIXEL_SCALE, PIXEL_SCALE_TOLERANCE

SCALE_KEYWORDS: Final = ("PIXSCALE", "PIXELSCL", "PIXSCAL1")
"""Header keywords for the pixel scale in arcsec, for images without a WCS."""

_LINEAR_KEYWORDS: Final = tuple(
    [f"{key}{axis}" for key in ("CTYPE", "CRVAL", "CRPIX", "CDELT", "CUNIT", "CROTA") for axis in (1, 2)]
    + [f"{key}{i}_{j}" for key in ("CD", "PC") for i in (1, 2) for j in (1, 2)]
    + ["LONPOLE", "LATPOLE", "RADESYS", "RADECSYS", "EQUINOX"]
)
_FURTHER_KEYWORDS: Final = ("A_ORDER", "B_ORDER", "CPDIS1", "CPDIS2", "D2IMDIS1", "D2IMDIS2", "PV1_1", "PV2_1")
"""Any of them says that a WCS is more than its `_LINEAR_KEYWORDS`."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Where an image is on the sky.

    Attributes
    ----------
    wcs : WCS
        Celestial WCS of the image. Images of one call that share a grid share this object.
    centre : (float, float)
        Pixel (x, y), from 0, of the galaxy.
    steps : ndarray, shape (2, 2)
        Arcsec to the east (row 0) and to the north (row 1) for one pixel along x (column 0) and y (column 1), there.
    on_sky : bool
        Whether the WCS is the image's own; otherwise it is made up of the pixel scale, and the sky is a guess.
    """

    wcs: WCS
    centre: tuple[float, float]
    steps: NDArray[np.float64]
    on_sky: bool

    @property
    def scales(self) -> NDArray[np.float64]:
        """Sides of a pixel in arcsec, along x and y."""
        return np.asarray(np.linalg.norm(self.steps, axis=0))

    @property
    def pixel_area(self) -> float:
        """Solid angle of a pixel in arcsec2."""
        return float(abs(np.linalg.det(self.steps)))

    @property
    def fits(self) -> bool:
        """Whether the pixels have the size and shape of those that models are trained on, however they are turned."""
        skew = self.steps[:, 0] @ self.steps[:, 1] / self.scales.prod()
        off = np.append(self.scales / PIXEL_SCALE - 1, skew)
        return bool(np.all(np.abs(off) <= PIXEL_SCALE_TOLERANCE))


def frame_of(image: Image, position: SkyCoord | None) -> Frame | None:
    """The frame of an image by its own WCS.

    Parameters
    ----------
    image : Image
    position : SkyCoord, optional
        Position of the galaxy; by default it is in the centre of the image.

    Returns
    -------
    Frame or None
        None if the image has no WCS.

    Raises
    ------
    PixelGridError
        If the WCS is broken, or the position cannot be found in the image.
    """
    wcs = _celestial_wcs(image)
    if wcs is not None:
        centre = _centre(image) if position is None else _pixel_at(wcs, position, image.source)
        return _framed(wcs, centre, image.source, on_sky=True)
    if position is not None:
        raise PixelGridError(f"{image.source} has no celestial WCS, so that no sky position can be found in it.")
    return None


def assumed_frame(image: Image, base: Frame, pixel_scale: float | None) -> Frame:
    """The frame of an image without a WCS, taken to show the same sky about its centre as another, turned alike.

    Parameters
    ----------
    image : Image
    base : Frame
        The other image; `NOWHERE` if there is none.
    pixel_scale : float, optional
        Pixel scale in arcsec as the user states it, asked only where the header does not tell.

    Raises
    ------
    PixelGridError
        If the pixel scale is not known.
    """
    wcs = tangent_wcs(base, _told_scale(image, pixel_scale), _centre(image))
    return _framed(wcs, _centre(image), image.source, on_sky=False)


def grid_key(image: Image) -> tuple[object, ...] | None:
    """What images with the same WCS and size have in common; None where more than a few keywords tell the WCS."""
    if not _is_linear(image.header):
        return None
    return (*_linear_keywords(image.header).items(), image.data.shape)


def _framed(wcs: WCS, centre: tuple[float, float], source: str, *, on_sky: bool) -> Frame:
    steps = steps_at(wcs, *centre)
    if not np.isfinite(steps).all() or not np.linalg.det(steps):
        raise PixelGridError(f"the WCS of {source} does not map its pixels to the sky. Correct the header.")
    return Frame(wcs, centre, steps, on_sky)


def tangent_wcs(frame: Frame, scale: float, pixel: tuple[float, float]) -> WCS:
    """A TAN grid of square pixels, turned and mirrored as an image is at its galaxy.

    Parameters
    ----------
    frame : Frame
        The image.
    scale : float
        Side of a pixel in arcsec.
    pixel : (float, float)
        Pixel (x, y), from 0, of the new grid at the galaxy.

    Returns
    -------
    WCS
    """
    source = frame.wcs.wcs
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"{source.ctype[axis][:5]}TAN" for axis in (source.lng, source.lat)]
    wcs.wcs.crval = _lonlat(frame.wcs, *frame.centre)
    wcs.wcs.crpix = np.add(pixel, 1)
    # The nearest matrix without a change of scale or shape.
    left, _, right = np.linalg.svd(frame.steps)
    wcs.wcs.cd = left @ right * scale / 3600
    wcs.wcs.lonpole = 180.0
    wcs.wcs.radesys = source.radesys
    wcs.wcs.equinox = source.equinox
    wcs.wcs.set()
    return wcs


def _linear_keywords(header: Header) -> dict[str, object]:
    return {key: header[key] for key in _LINEAR_KEYWORDS if key in header}


def _is_linear(header: Header) -> bool:
    return not any(key in header for key in _FURTHER_KEYWORDS)


def _celestial_wcs(image: Image) -> WCS | None:
    header = image.header
    # The linear part of a WCS alone is read several times as fast as a whole header.
    cards = _linear_keywords(header) if _is_linear(header) else header
    try:
        wcs = WCS(Header(cards), naxis=2)
        wcs.wcs.set()
    except Exception as error:  # astropy raises nearly any exception on keywords that contradict each other
        raise PixelGridError(f"the WCS of {image.source} cannot be used: {error}. Correct the header.") from error
    return wcs if wcs.has_celestial else None


def steps_at(wcs: WCS, x: NDArray[np.float64] | float, y: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Steps on the sky per pixel (see `Frame`), by differences of unit vectors, which know of no pole and no wrap.

    Parameters
    ----------
    wcs : WCS
    x, y : float or ndarray, shape (...)
        Pixels, from 0.

    Returns
    -------
    ndarray of float64, shape (..., 2, 2)
    """
    x, y = np.asarray(x)[..., None], np.asarray(y)[..., None]
    lon, lat = _lonlat(wcs, x + np.array([0, -0.5, 0.5, 0, 0]), y + np.array([0, 0, 0, -0.5, 0.5]))
    lon, lat = np.radians(lon), np.radians(lat)
    _, left, right, below, above = np.moveaxis(_unit_vectors(lon, lat), -2, 0)
    lon, lat = lon[..., 0], lat[..., 0]
    east = np.stack([-np.sin(lon), np.cos(lon), np.zeros_like(lon)], axis=-1)
    north = np.stack([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)], axis=-1)
    steps = np.stack([east, north], axis=-2) @ np.stack([right - left, above - below], axis=-1)
    return np.asarray(np.degrees(steps) * 3600)


def _lonlat(wcs: WCS, x: NDArray[np.float64] | float, y: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Longitude and latitude in degrees in the WCS's own frame."""
    world = np.asarray(wcs.pixel_to_world_values(x, y))
    return world[[wcs.wcs.lng, wcs.wcs.lat]]


def _unit_vectors(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def _centre(image: Image) -> tuple[float, float]:
    height, width = image.data.shape
    return (width - 1) / 2, (height - 1) / 2


def _pixel_at(wcs: WCS, position: SkyCoord, source: str) -> tuple[float, float]:
    """Pixel (x, y), from 0, of a sky position."""
    x, y = pixels_at(wcs, position)
    if not np.isfinite([x, y]).all():
        raise PixelGridError(f"{position.to_string('decimal')} is not on the sky that {source} shows.")
    return float(x), float(y)


def pixels_at(wcs: WCS, sky: SkyCoord) -> NDArray[np.float64]:
    """Pixels (x, y), from 0, of sky positions, with all distortions that the WCS has; NaN where there are none."""
    pixels = np.stack(skycoord_to_pixel(sky, wcs, mode="wcs"), axis=-1)
    if not wcs.has_distortion or not np.isfinite(pixels).all():
        return pixels
    nowhere = np.full_like(pixels, np.nan)
    try:
        pixels = np.stack(skycoord_to_pixel(sky, wcs, mode="all"), axis=-1)
    except NoConvergence:
        return nowhere
    # A distortion polynomial may map positions far outside of the image back into it.
    astray = pixel_to_skycoord(*pixels.T, wcs, mode="all").separation(sky).arcsec > PIXEL_SCALE / 2
    return nowhere if np.any(astray) else pixels


def _told_scale(image: Image, stated: float | None) -> float:
    """Pixel scale in arcsec of an image without a WCS."""
    told = next((image.header[key] for key in SCALE_KEYWORDS if key in image.header), stated)
    try:
        scale = float(told)  # type: ignore[arg-type]  # None is caught, as is a keyword that is no number
        if not 0 < scale < np.inf:
            raise ValueError(scale)
    except (TypeError, ValueError):
        raise PixelGridError(
            f"{image.source} does not tell its pixel scale: it has neither a celestial WCS nor a positive number in "
            f"{' or '.join(SCALE_KEYWORDS)}. Add one, or state it in arcsec with `pixel_scale`."
        ) from None
    return scale


NOWHERE: Final = Frame(
    WCS(Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"})), (0.0, 0.0), np.diag([-1.0, 1.0]), False
)
"""Where images are said to be that do not tell: north is up and east to the left."""
