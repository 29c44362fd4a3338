"""Where the pixels of images are on the sky, and the 32x32 pixels on which all bands of a galaxy are measured."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io.fits import Header
from astropy.wcs import WCS, NoConvergence, Sip
from astropy.wcs.utils import pixel_to_skycoord, skycoord_to_pixel
from numpy.typing import NDArray

from redden.errors import PixelGridError
from redden.fits import Image
from redden.grid import PIXEL_SCALE, PIXEL_SCALE_TOLERANCE, SIZE

SCALE_KEYWORDS: Final = ("PIXSCALE", "PIXELSCL", "PIXSCAL1")
"""Header keywords for the pixel scale in arcsec, for images without a WCS."""

SCALE_RANGE: Final = (0.01, 0.1)
"""Sides of a pixel in arcsec that are resampled. JWST mosaics have 0.015 to 0.065; beyond lies another instrument."""

MISALIGNMENT: Final = 0.2
"""Largest offset in pixels, at the corners, up to which two grids count as the same."""

MARGIN: Final = 6
"""Pixels around a window that take part in interpolating it; a cubic spline forgets what is farther: 0.27^6 = 4e-4."""

MIDDLE: Final = (SIZE - 1) / 2
"""Pixel coordinate, from 0, of the middle of a cutout."""

_LINEAR_KEYWORDS: Final = tuple(
    [f"{key}{axis}" for key in ("CTYPE", "CRVAL", "CRPIX", "CDELT", "CUNIT", "CROTA") for axis in (1, 2)]
    + [f"{key}{i}_{j}" for key in ("CD", "PC") for i in (1, 2) for j in (1, 2)]
    + ["LONPOLE", "LATPOLE", "RADESYS", "RADECSYS", "EQUINOX"]
)
_FURTHER_KEYWORDS: Final = ("A_ORDER", "B_ORDER", "CPDIS1", "CPDIS2", "D2IMDIS1", "D2IMDIS2", "PV1_1", "PV2_1")
"""Any of them says that a WCS is more than its `_LINEAR_KEYWORDS`."""
CORNERS: Final = np.array([[0, 0], [0, SIZE - 1], [SIZE - 1, 0], [SIZE - 1, SIZE - 1]])
"""The corner pixels (x, y) of a cutout."""


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

    def around(self, corners: NDArray[np.float64], data: NDArray[np.float64]) -> tuple[NDArray[np.float64], "Frame"]:
        """The part of an image that holds some pixels (x, y) and what their interpolation needs, and where it is."""
        low = np.maximum(np.floor(corners.min(axis=0)) - MARGIN, 0).astype(int)
        high = np.ceil(corners.max(axis=0)).astype(int) + MARGIN + 1
        (column, row), (end_column, end_row) = low, high
        region = slice(row, end_row), slice(column, end_column)
        return data[region], replace(self, wcs=self.wcs[region], centre=tuple(np.subtract(self.centre, low)))


@dataclass(frozen=True, slots=True)
class Grid:
    """The pixels on which all bands are measured.

    Attributes
    ----------
    wcs : WCS
        WCS of the 32x32 pixels.
    pixel_area : float
        Solid angle of a pixel in arcsec2.
    parent : WCS or None
        The image whose own pixels these are; None for a grid of its own.
    start : (int, int)
        First column and row in that image.
    """

    wcs: WCS
    pixel_area: float
    parent: WCS | None = None
    start: tuple[int, int] = (0, 0)

    def corners_in(self, frame: Frame) -> NDArray[np.float64]:
        """Pixels (x, y), from 0, of an image at the middles of `CORNERS`, shape (4, 2)."""
        if frame.wcs is self.parent:
            return CORNERS + np.array(self.start, dtype=np.float64)
        return _pixels_at(frame.wcs, pixel_to_skycoord(*CORNERS.T, self.wcs))

    def pixel_in(self, frame: Frame, offset: tuple[float, float]) -> tuple[float, float]:
        """Pixel (x, y), from 0, of an image at an offset from the middle of the grid."""
        x, y = _pixels_at(frame.wcs, pixel_to_skycoord(MIDDLE + offset[0], MIDDLE + offset[1], self.wcs))
        return float(x), float(y)


def whole_offset(corners: NDArray[np.float64]) -> tuple[int, int] | None:
    """First column and row of a grid in an image, of `Grid.corners_in`; None where their pixels do not coincide."""
    offsets = corners - CORNERS
    column, row = np.round(offsets.mean(axis=0))
    # Also what is not finite does not coincide.
    if not np.abs(offsets - (column, row)).max() <= MISALIGNMENT:
        return None
    return int(column), int(row)


def place(images: Sequence[Image], pixel_scale: float | None, position: SkyCoord | None) -> list[Frame]:
    """Find every image on the sky.

    Parameters
    ----------
    images : sequence of Image
        The bands of one galaxy.
    pixel_scale : float, optional
        Pixel scale in arcsec as the user states it, asked only where a header does not tell.
    position : SkyCoord, optional
        Position of the galaxy; by default it is in the centre of each image.

    Returns
    -------
    list of Frame
        In the order of the images. An image without a celestial WCS is taken to show the same sky about its centre,
        turned in the same way, as the others.

    Raises
    ------
    PixelGridError
        If a WCS is broken, a pixel scale is not known or not one that can be resampled, or the position cannot be
        found in an image.
    """
    frames: list[Frame | None] = []
    known: dict[tuple[object, ...], Frame] = {}
    for image in images:
        key = (*_linear_keywords(image.header).items(), image.data.shape)
        if not (frame := known.get(key)) and (frame := _own_frame(image, position)) and _is_linear(image.header):
            known[key] = frame
        frames.append(frame)
    base = reference([frame for frame in frames if frame] or [_NOWHERE])
    placed = []
    for image, frame in zip(images, frames, strict=True):
        if frame is None:
            scale = _told_scale(image, pixel_scale)
            frame = _framed(tangent_wcs(base, scale, _centre(image)), _centre(image), image.source, on_sky=False)
        _check_scale(frame, image.source)
        placed.append(frame)
    return placed


def reference(frames: Sequence[Frame]) -> Frame:
    """The image that decides on the grid: the first with the models' pixels and a WCS, or else the first with a WCS."""
    return min(frames, key=lambda frame: (not frame.on_sky, not frame.fits))


def grid_around(frame: Frame, centre: tuple[float, float]) -> Grid:
    """The grid around a pixel (x, y) of the reference image.

    Where the image has the models' pixels, the grid is made of them: those from ceil(x - 16) and ceil(y - 16) on, as
    ``astropy.nddata.Cutout2D`` has it, so that the galaxy is up to half a pixel off the middle, as in training.
    Otherwise it is a tangential grid, turned as the image is, with the galaxy exactly in the middle.
    """
    if not frame.fits:
        return Grid(tangent_wcs(replace(frame, centre=centre), PIXEL_SCALE, (MIDDLE, MIDDLE)), PIXEL_SCALE**2)
    # The last digits of a coordinate must not decide on the pixel.
    column, row = (int(np.ceil(np.round(pixel - SIZE / 2, 6))) for pixel in centre)
    wcs = frame.wcs.deepcopy()
    wcs.wcs.crpix -= (column, row)
    if wcs.sip is not None:
        wcs.sip = Sip(wcs.sip.a, wcs.sip.b, wcs.sip.ap, wcs.sip.bp, wcs.wcs.crpix)
    return Grid(wcs, frame.pixel_area, frame.wcs, (column, row))


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


def _own_frame(image: Image, position: SkyCoord | None) -> Frame | None:
    """The frame of an image by its own WCS; None if it has none, which only a stated position does not allow."""
    wcs = _celestial_wcs(image)
    if wcs is not None:
        centre = _centre(image) if position is None else _pixel_at(wcs, position, image.source)
        return _framed(wcs, centre, image.source, on_sky=True)
    if position is not None:
        raise PixelGridError(f"{image.source} has no celestial WCS, so that no sky position can be found in it.")
    return None


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


def _linear_keywords(header: Header) -> dict[str, object]:
    return {key: header[key] for key in _LINEAR_KEYWORDS if key in header}


def _is_linear(header: Header) -> bool:
    return not any(key in header for key in _FURTHER_KEYWORDS)


def _framed(wcs: WCS, centre: tuple[float, float], source: str, *, on_sky: bool) -> Frame:
    steps = _steps(wcs, *centre)
    if not np.isfinite(steps).all() or not np.linalg.det(steps):
        raise PixelGridError(f"the WCS of {source} does not map its pixels to the sky. Correct the header.")
    return Frame(wcs, centre, steps, on_sky)


def _steps(wcs: WCS, x: float, y: float) -> NDArray[np.float64]:
    """Steps on the sky per pixel (see `Frame`), by differences of unit vectors, which know of no pole and no wrap."""
    lon, lat = _lonlat(wcs, x + np.array([-0.5, 0.5, 0, 0]), y + np.array([0, 0, -0.5, 0.5]))
    left, right, below, above = _unit_vectors(np.radians(lon), np.radians(lat))
    lon0, lat0 = np.radians(_lonlat(wcs, x, y))
    east = np.array([-np.sin(lon0), np.cos(lon0), 0])
    north = np.array([-np.sin(lat0) * np.cos(lon0), -np.sin(lat0) * np.sin(lon0), np.cos(lat0)])
    steps = np.stack([east, north]) @ np.stack([right - left, above - below], axis=-1)
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
    x, y = _pixels_at(wcs, position)
    if not np.isfinite([x, y]).all():
        raise PixelGridError(f"{position.to_string('decimal')} is not on the sky that {source} shows.")
    return float(x), float(y)


def _pixels_at(wcs: WCS, sky: SkyCoord) -> NDArray[np.float64]:
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
    except (TypeError, ValueError):
        raise PixelGridError(
            f"{image.source} does not tell its pixel scale: it has neither a celestial WCS nor a number in "
            f"{' or '.join(SCALE_KEYWORDS)}. Add one, or state it in arcsec with `pixel_scale`."
        ) from None
    return scale


def _check_scale(frame: Frame, source: str) -> None:
    low, high = SCALE_RANGE
    if not all(low <= scale <= high for scale in frame.scales):
        raise PixelGridError(
            f"{source} has pixels of {' x '.join(f'{scale:.4g}' for scale in frame.scales)} arcsec; the models need "
            f"{PIXEL_SCALE}, and pixels of {low} to {high} arcsec are resampled to that. Send an image that has such."
        )


_NOWHERE: Final = Frame(
    WCS(Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"})), (0.0, 0.0), np.diag([-1.0, 1.0]), False
)
"""Where images are said to be that do not tell: north is up and east to the left."""
