"""The pixels of one image on the grid of a cutout: sliced where they coincide, resampled where not, holes filled."""

from dataclasses import replace
from typing import Final

import numpy as np
from astropy.convolution import Gaussian2DKernel, interpolate_replace_nans
from numpy.typing import NDArray

from redden.errors import BadPixelsError, PixelGridError
from redden.fits import Image
from redden.frame import Frame
from redden.grid import PIXEL_SCALE, PIXEL_SCALE_TOLERANCE, SIZE
from redden.pixelgrid import CORNERS, Grid, whole_offset
from redden.resample import resample, resample_mask

MAX_BAD_FRACTION: Final = 0.1
"""Largest fraction of bad pixels, over the cutout and in its central 8x8, that is filled in and not refused."""

MARGIN: Final = 6
"""Pixels around a window that take part in interpolating it; a cubic spline forgets what is farther: 0.27^6 = 4e-4."""

_CORE: Final = slice(SIZE // 2 - 4, SIZE // 2 + 4)
_FILL_KERNEL: Final = Gaussian2DKernel(1.0)


def window_of(image: Image, frame: Frame, grid: Grid) -> tuple[NDArray[np.float64], int, str]:
    """Take the pixels of a grid out of an image.

    Parameters
    ----------
    image : Image
    frame : Frame
        Where the image is on the sky.
    grid : Grid
        The pixels to take.

    Returns
    -------
    pixels : ndarray of float64, shape (32, 32)
        Finite, in the numbers of the image; what is resampled is the flux per pixel if the image's numbers are that.
    filled : int
        Number of bad pixels that were filled.
    words : str
        What was done.

    Raises
    ------
    PixelGridError
        If the image does not hold all of the grid.
    BadPixelsError
        If too many pixels are bad, or all of them are equal.
    """
    window, filled, words = _taken(image, frame, grid)
    if np.ptp(window) == 0:
        raise BadPixelsError(f"all pixels of {image.source} in the cutout are {window.flat[0]:g}: nothing is there.")
    return window, filled, words


def _taken(image: Image, frame: Frame, grid: Grid) -> tuple[NDArray[np.float64], int, str]:
    corners = grid.corners_in(frame)
    start = whole_offset(corners)
    _check_inside(image, frame, corners if start is None else start + CORNERS)
    if start is not None:
        column, row = start
        window = image.data[row : row + SIZE, column : column + SIZE]
        bad = ~np.isfinite(window)
        count = _count_bad(bad.astype(np.float64), image)
        height, width = image.data.shape
        words = f"plain slice of {SIZE}x{SIZE} pixels from x={column}, y={row} of {width}x{height}"
        return _filled(window, bad), count, words
    part, there = _around(corners, image, frame)
    unusable = ~np.isfinite(part)
    count = _count_bad(resample_mask(unusable, there, grid), image) if unusable.any() else 0
    words = (
        f"resampled from pixels of {frame.scales.mean():.4g} to {SIZE}x{SIZE} of {PIXEL_SCALE} arcsec, flux conserved"
    )
    return resample(_filled(part, unusable), there, grid), count, words


def _around(corners: NDArray[np.float64], image: Image, frame: Frame) -> tuple[NDArray[np.float64], Frame]:
    """The part of an image that holds these pixels (x, y) and what their interpolation needs, and where it is."""
    low = np.maximum(np.floor(corners.min(axis=0)) - MARGIN, 0).astype(int)
    high = np.ceil(corners.max(axis=0)).astype(int) + MARGIN + 1
    region = slice(low[1], high[1]), slice(low[0], high[0])
    centre = frame.centre[0] - low[0], frame.centre[1] - low[1]
    return image.data[region], replace(frame, wcs=frame.wcs[region], centre=centre)


def _check_inside(image: Image, frame: Frame, corners: NDArray[np.floating]) -> None:
    """Refuse an image that does not hold all of the cutout, whose corner pixels are given."""
    height, width = image.data.shape
    needed = int(np.ceil(SIZE * PIXEL_SCALE / frame.scales.max() - PIXEL_SCALE_TOLERANCE * SIZE))
    if min(height, width) < needed:
        raise PixelGridError(
            f"{image.source} has {width}x{height} pixels of {frame.scales.mean():.4g} arcsec; a cutout needs at least "
            f"{needed}x{needed}, with the galaxy in the centre. Cut a larger window."
        )
    if not np.all((corners > -0.5) & (corners < np.array([width, height]) - 0.5)):
        x, y = corners.mean(axis=0)
        raise PixelGridError(
            f"a cutout of {SIZE * PIXEL_SCALE:g} arcsec at pixel ({x:.1f}, {y:.1f}) does not lie inside "
            f"{image.source}, which has {width}x{height} pixels. "
            "Choose a position farther from the edge, or a larger image."
        )


def _count_bad(bad: NDArray[np.float64], image: Image) -> int:
    """Number of bad pixels of a cutout, given by how much of each is bad; too many are refused."""
    count, core = (int(np.ceil(part.sum())) for part in (bad, bad[_CORE, _CORE]))
    if max(bad.mean(), bad[_CORE, _CORE].mean()) > MAX_BAD_FRACTION:
        raise BadPixelsError(
            f"{count} of {bad.size} pixels of {image.source} are NaN or masked ({core} of the central 64); "
            f"at most {MAX_BAD_FRACTION:.0%} of either can be filled. Choose another image or position."
        )
    return count


def _filled(window: NDArray[np.float64], bad: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Interpolate over bad pixels."""
    if not bad.any():
        return window
    sky = np.median(window[~bad])
    interpolated = interpolate_replace_nans(np.where(bad, np.nan, window), _FILL_KERNEL)
    return np.asarray(np.nan_to_num(interpolated, nan=sky))
