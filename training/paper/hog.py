"""Histograms of oriented gradients as images, one of the paper's augmentations.

The paper names HOG among its augmentations and says no more. A network that takes images can only take it as an image
too: each cell of pixels becomes a star of strokes, along the edges in it and as bright as they are strong.
In cells of four pixels a stroke has a radius of one pixel, so that the nine orientations are drawn as three strokes.
"""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from skimage.draw import line
from skimage.feature import hog

from redden.grid import SIZE
from redden.normalise import each_band

ORIENTATIONS: Final = 9
CELL: Final = 4
"""Side of a cell in pixels; with the usual 8 a galaxy of this size would fill four cells."""


def hog_images(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The histogram of oriented gradients of each image, drawn as an image.

    Parameters
    ----------
    pixels : ndarray of float32, shape (images, 32, 32, bands)
        Every band is transformed by itself.

    Returns
    -------
    ndarray of float32, same shape
        Each image scaled to 0...1, as the network's input is.
    """
    flat = pixels.transpose(0, 3, 1, 2).reshape(-1, SIZE, SIZE)
    # One block of all cells, so that only a common factor is normalised away; hog's own drawing is 30 times slower.
    cells = [
        hog(
            image,
            orientations=ORIENTATIONS,
            pixels_per_cell=(CELL, CELL),
            cells_per_block=(SIZE // CELL, SIZE // CELL),
            block_norm="L2",
            feature_vector=False,
        )[0, 0]
        for image in flat
    ]
    histograms = np.array(cells).reshape(-1, SIZE // CELL, SIZE // CELL, ORIENTATIONS)
    drawn = np.einsum("nrco,ouv->nrucv", histograms, _strokes()).astype(np.float32)
    return each_band(drawn.reshape(len(pixels), pixels.shape[-1], SIZE, SIZE).transpose(0, 2, 3, 1))


@cache
def _strokes() -> NDArray[np.float64]:
    """A cell with a stroke across its centre, for each orientation: shape (orientations, side, side)."""
    strokes = np.zeros((ORIENTATIONS, CELL, CELL))
    middle, radius = CELL // 2, CELL // 2 - 1
    for stroke, angle in zip(strokes, np.pi * (np.arange(ORIENTATIONS) + 0.5) / ORIENTATIONS, strict=True):
        down, right = radius * np.cos(angle), radius * np.sin(angle)
        ends = [int(middle - down), int(middle + right), int(middle + down), int(middle - right)]
        stroke[line(*ends)] = 1  # type: ignore[no-untyped-call]  # scikit-image has no types
    return strokes
