"""Histograms of oriented gradients as images, one of the paper's augmentations.

The paper names HOG among its augmentations and says no more. A network that takes images can only take it as an image
too: each cell of pixels becomes a star of strokes, along the edges in it and as bright as they are strong.
"""

import numpy as np
from numpy.typing import NDArray
from skimage.feature import hog

from redden.normalise import each_band

ORIENTATIONS = 9
CELL = 4
"""Side of a cell in pixels; with the usual 8 a galaxy of this size would fill four cells."""


def hog_images(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The histogram of oriented gradients of each image, drawn as an image.

    Parameters
    ----------
    pixels : ndarray of float32, shape (images, side, side, bands)
        Every band is transformed by itself.

    Returns
    -------
    ndarray of float32, same shape
        Each image scaled to 0...1, as the network's input is.
    """
    drawn = np.empty_like(pixels)
    for image, target in zip(pixels, drawn, strict=True):
        for band in range(pixels.shape[-1]):
            _, target[..., band] = hog(
                image[..., band],
                orientations=ORIENTATIONS,
                pixels_per_cell=(CELL, CELL),
                cells_per_block=(1, 1),
                visualize=True,
                feature_vector=False,
            )
    return each_band(drawn)
