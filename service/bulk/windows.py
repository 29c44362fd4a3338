"""Reading many small squares of a mosaic at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from redden.errors import MosaicError
from service.surveys.mosaic import Mosaic
from service.surveys.remote import short_name

BLOCK: Final = 512
"""Side in pixels of the blocks in which a mosaic is read that is not mapped: several tiles of a compressed one."""

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Source:
    """A mosaic to read squares of. It stays mapped for as long as this is there: mapping takes longer than reading.

    Attributes
    ----------
    mosaic : Mosaic
        The mosaic.
    mapped : tuple of ndarray and tuple of ndarray, or None
        All of it, see `Mosaic.mapped_views`.
    sizes : list of int
        Bytes of its files, if it is mapped.
    """

    mosaic: Mosaic
    mapped: tuple[NDArray[Any], tuple[NDArray[Any], ...]] | None
    sizes: list[int]

    @classmethod
    def of(cls, mosaic: Mosaic) -> Self:
        """A mosaic as a source. Raises MosaicError if it cannot be read."""
        mapped = mosaic.mapped_views()
        return cls(mosaic, mapped, [] if mapped is None else _sizes(mosaic))

    def views(self, rows: slice, columns: slice) -> tuple[NDArray[Any], tuple[NDArray[Any], ...]]:
        """As `Mosaic.views`."""
        if self.mapped is None:
            return self.mosaic.views(rows, columns)
        if _sizes(self.mosaic) != self.sizes:  # to read past the end of a file would end the process
            raise MosaicError(f"{short_name(self.mosaic.path)} was changed while it was read. Start again.")
        image, maps = self.mapped
        return image[rows, columns], tuple(each[rows, columns] for each in maps)


def _sizes(mosaic: Mosaic) -> list[int]:
    try:
        return [Path(path).stat().st_size for path in mosaic.paths]
    except OSError:  # removed, which is a change too
        return []


@dataclass(frozen=True, slots=True)
class Squares:
    """Squares of a mosaic; arrays of length N.

    Attributes
    ----------
    pixels : ndarray of float32 or float64, shape (N, side, side)
        In the numbers of the mosaic.
    whole : ndarray of bool
        Whether all pixels of a square certainly have data: none is 0, not finite, or without weight.
    empty : ndarray of bool
        Whether no pixel of a square has data, by the rules of `service.surveys.mosaic`.
    brightest : ndarray
        Largest absolute value of a pixel; of no meaning if the square is not whole.
    """

    pixels: NDArray[np.floating]
    whole: NDArray[np.bool_]
    empty: NDArray[np.bool_]
    brightest: NDArray[np.floating]


def read_squares(source: Source, x: Numbers, y: Numbers, side: int) -> Squares:
    """Squares of a mosaic that lie inside of it.

    Parameters
    ----------
    source : Source
        The mosaic.
    x, y : ndarray of int, shape (N,)
        First column and row of each square.
    side : int
        Side of the squares in pixels.

    Returns
    -------
    Squares

    Raises
    ------
    MosaicError
        If the mosaic cannot be read.
    """
    if source.mapped is not None:
        return _from_rectangle(source, x, y, side)
    pixels, brightest = np.empty((len(x), side, side)), np.empty(len(x))
    whole, empty = np.empty(len(x), dtype=bool), np.empty(len(x), dtype=bool)
    blocks, block = np.unique(np.stack([x, y]) // BLOCK, axis=1, return_inverse=True)
    for number in range(blocks.shape[1]):  # a call for few pixels takes as long as one for a block
        rows = np.flatnonzero(block == number)
        found = _from_rectangle(source, x[rows], y[rows], side)
        pixels[rows], brightest[rows] = found.pixels, found.brightest
        whole[rows], empty[rows] = found.whole, found.empty
    return Squares(pixels, whole, empty, brightest)


def _from_rectangle(source: Source, x: Numbers, y: Numbers, side: int) -> Squares:
    x0, y0 = x.min(), y.min()
    image, maps = source.views(slice(y0, y.max() + side), slice(x0, x.max() + side))
    pixels = _cut(image, x - x0, y - y0, side)
    weights = [_cut(values, x - x0, y - y0, side) for values in maps]
    smallest, brightest = _extremes(np.abs(pixels))
    whole = (smallest > 0) & (brightest < np.inf)  # NaN is neither
    for weight in weights:
        least, most = _extremes(weight)
        whole &= (least > 0) & (most < np.inf)
    empty = np.zeros_like(whole)
    doubtful = np.flatnonzero(~whole)
    if len(doubtful):
        some = pixels[doubtful]
        bad = ~np.isfinite(some)
        for weight in weights:
            bad |= ~(np.isfinite(weight[doubtful]) & (weight[doubtful] > 0))
        empty[doubtful] = _all(some == 0) | _all(bad)
    return Squares(pixels, whole, empty, brightest)


def _cut(image: NDArray[Any], x: Numbers, y: Numbers, side: int) -> NDArray[np.floating]:
    """Squares of an array in the byte order of the machine; single precision stays."""
    squares = sliding_window_view(image, (side, side))[y, x]
    if not squares.dtype.isnative:  # five times as fast as to convert them
        squares = squares.byteswap(inplace=True).view(squares.dtype.newbyteorder())
    return squares.astype(np.float32 if squares.dtype == np.float32 else np.float64, copy=False)


def _extremes(squares: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    flat = squares.reshape(len(squares), -1)
    return flat.min(axis=1), flat.max(axis=1)


def _all(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(flags.reshape(len(flags), -1).all(axis=1))
