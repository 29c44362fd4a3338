"""The 32x32 pixels on which all bands of a galaxy are measured, and where they are in each image."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS, Sip
from astropy.wcs.utils import pixel_to_skycoord
from numpy.typing import NDArray

from redden.errors import PixelGridError
from redden.fits import Image
from redden.frame import NOWHERE, Frame, assumed_frame, frame_of, grid_key, pixels_at, tangent_wcs
from redden.grid import PIXEL_SCALE, SIZE

SCALE_RANGE: Final = (0.01, 0.1)
"""Sides of a pixel in arcsec that are resampled. JWST mosaics have 0.015 to 0.065; beyond lies another instrument."""

MISALIGNMENT: Final = 0.2
"""Largest offset in pixels, at the corners, up to which two grids count as the same."""

MIDDLE: Final = (SIZE - 1) / 2
"""Pixel coordinate, from 0, of the middle of a cutout."""

CORNERS: Final = np.array([[0, 0], [0, SIZE - 1], [SIZE - 1, 0], [SIZE - 1, SIZE - 1]])
"""The corner pixels (x, y) of a cutout."""


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
        return pixels_at(frame.wcs, pixel_to_skycoord(*CORNERS.T, self.wcs))

    def pixel_in(self, frame: Frame, offset: tuple[float, float]) -> tuple[float, float]:
        """Pixel (x, y), from 0, of an image at an offset from the middle of the grid."""
        x, y = pixels_at(frame.wcs, pixel_to_skycoord(MIDDLE + offset[0], MIDDLE + offset[1], self.wcs))
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
    known: dict[object, Frame | None] = {}
    frames: list[Frame | None] = []
    for image in images:
        key = grid_key(image) or id(image)
        if key not in known:
            known[key] = frame_of(image, position)
        frames.append(known[key])
    base = reference([frame for frame in frames if frame] or [NOWHERE])
    placed = [frame or assumed_frame(image, base, pixel_scale) for image, frame in zip(images, frames, strict=True)]
    for image, frame in zip(images, placed, strict=True):
        _check_scale(frame, image.source)
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


def _check_scale(frame: Frame, source: str) -> None:
    low, high = SCALE_RANGE
    if not all(low <= scale <= high for scale in frame.scales):
        raise PixelGridError(
            f"{source} has pixels of {' x '.join(f'{scale:.4g}' for scale in frame.scales)} arcsec; the models need "
            f"{PIXEL_SCALE}, and pixels of {low} to {high} arcsec are resampled to that. Send an image that has such."
        )
