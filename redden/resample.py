"""Resampling of an image onto another pixel grid, with its flux conserved."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from redden.frame import Frame
from redden.grid import SIZE
from redden.pixelgrid import Grid

FINER: Final = 0.8
"""Ratio of pixel areas below which the image's pixels count as finer than the grid's."""

_SHAPE: Final = (SIZE, SIZE)


def resample(pixels: NDArray[np.float64], frame: Frame, grid: Grid) -> NDArray[np.float64]:
    """Flux of an image in the pixels of another grid.

    Pixels that are finer than the grid's are shared out by overlap, exactly. Coarser ones, or such that are only
    shifted or turned, are interpolated with cubic splines: their flux is then conserved as far as the image is well
    sampled (better than 1 % for NIRCam), and what sharing out would do besides, blur the galaxy and its noise by one
    more pixel, is not done.

    Parameters
    ----------
    pixels : ndarray, shape (ny, nx)
        Flux per pixel; finite.
    frame : Frame
        Where the image is.
    grid : Grid
        Where the result is to be.

    Returns
    -------
    ndarray of float64, shape (32, 32)
        Flux per pixel of the grid; NaN where the image does not reach.
    """
    # It brings dask, which takes seconds to import: only those who resample wait for it.
    from reproject import reproject_exact, reproject_interp

    source = (pixels / frame.pixel_area, frame.wcs)
    if frame.pixel_area < FINER * grid.pixel_area:
        brightness = reproject_exact(source, grid.wcs, shape_out=_SHAPE, return_footprint=False)
    else:
        brightness = reproject_interp(
            source, grid.wcs, shape_out=_SHAPE, order="bicubic", roundtrip_coords=False, return_footprint=False
        )
    return np.asarray(brightness * grid.pixel_area)


def resample_mask(mask: NDArray[np.bool_], frame: Frame, grid: Grid) -> NDArray[np.float64]:
    """How much of every pixel of a grid is covered by masked pixels of an image.

    Parameters
    ----------
    mask : ndarray of bool, shape (ny, nx)
    frame, grid
        See `resample`.

    Returns
    -------
    ndarray of float64, shape (32, 32)
        0...1.
    """
    from reproject import reproject_exact

    source = (mask.astype(np.float64), frame.wcs)
    return np.asarray(reproject_exact(source, grid.wcs, shape_out=_SHAPE, return_footprint=False))
