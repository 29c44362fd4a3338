"""Reading many small squares of a mosaic at once."""

from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from service.surveys.mosaic import Mosaic

BLOCK: Final = 512
"""Side in pixels of the blocks in which a mosaic is read that is not mapped: several tiles of a compressed one."""

Numbers = NDArray[np.int64]


def read_squares(
    mosaic: Mosaic, x: Numbers, y: Numbers, side: int
) -> tuple[NDArray[np.floating], NDArray[np.bool_], NDArray[np.bool_]]:
    """Squares of a mosaic that lie inside of it.

    Parameters
    ----------
    mosaic : Mosaic
    x, y : ndarray of int, shape (N,)
        First column and row of each square.
    side : int
        Side of the squares in pixels.

    Returns
    -------
    pixels : ndarray of float32 or float64, shape (N, side, side)
        In the numbers of the mosaic.
    whole : ndarray of bool, shape (N,)
        Whether all pixels of a square certainly have data: none is 0, not finite, or without weight.
    empty : ndarray of bool, shape (N,)
        Whether no pixel of a square has data, by the rules of `service.surveys.mosaic`.

    Raises
    ------
    MosaicError
        If the mosaic cannot be read.
    """
    if mosaic.mapped:
        return _from_rectangle(mosaic, x, y, side)
    pixels = np.empty((len(x), side, side))
    whole, empty = np.empty(len(x), dtype=bool), np.empty(len(x), dtype=bool)
    blocks, block = np.unique(np.stack([x, y]) // BLOCK, axis=1, return_inverse=True)
    for number in range(blocks.shape[1]):  # a call for few pixels takes as long as one for a block
        rows = np.flatnonzero(block == number)
        pixels[rows], whole[rows], empty[rows] = _from_rectangle(mosaic, x[rows], y[rows], side)
    return pixels, whole, empty


def _from_rectangle(
    mosaic: Mosaic, x: Numbers, y: Numbers, side: int
) -> tuple[NDArray[np.floating], NDArray[np.bool_], NDArray[np.bool_]]:
    x0, y0 = x.min(), y.min()
    image, maps = mosaic.views(slice(y0, y.max() + side), slice(x0, x.max() + side))
    pixels = _cut(image, x - x0, y - y0, side)
    bad = ~np.isfinite(pixels)
    for values in maps:
        weight = _cut(values, x - x0, y - y0, side)
        bad |= ~(np.isfinite(weight) & (weight > 0))
    zero = pixels == 0
    return pixels, ~_any(bad | zero), _all(zero) | _all(bad)


def _cut(image: NDArray[Any], x: Numbers, y: Numbers, side: int) -> NDArray[np.floating]:
    """Squares of an array in the byte order of the machine; single precision stays."""
    squares = sliding_window_view(image, (side, side))[y, x]
    return squares.astype(np.float32 if image.dtype.itemsize == 4 and image.dtype.kind == "f" else np.float64)


def _any(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(flags.reshape(len(flags), -1).any(axis=1))


def _all(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(flags.reshape(len(flags), -1).all(axis=1))
