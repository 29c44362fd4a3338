"""The eight symmetries of a square: on the sky, no orientation is preferred."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Real = TypeVar("Real", bound=np.floating)


def turn(pixels: NDArray[Real], symmetry: NDArray[np.integer]) -> NDArray[Real]:
    """Flip and transpose images.

    Parameters
    ----------
    pixels : ndarray of float, shape (images, side, side, bands)
    symmetry : ndarray of int, shape (images,)
        0 to 7; bit 0 flips the rows, bit 1 the columns, bit 2 exchanges the two axes.

    Returns
    -------
    ndarray of float32, same shape
        A copy.
    """
    turned = pixels.copy()
    flip_y, flip_x, transpose = ((symmetry & bit) > 0 for bit in (1, 2, 4))
    turned[flip_y] = turned[flip_y, ::-1]
    turned[flip_x] = turned[flip_x, :, ::-1]
    turned[transpose] = turned[transpose].swapaxes(1, 2)
    return turned
