"""From calibrated pixels to the numbers a network sees. One function each, shared by training and serving.

A normalisation is known by its name in the model card; a card that asks for one that is not here is refused.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from redden.arrays import asinh, images, planes
from redden.errors import BadPixelsError, ModelCardError
from redden.snr import sky_level

Pixels = NDArray[np.float32]

_FLAT: Final = "the image is constant: there is nothing to measure in it. Send a cutout with a galaxy in its centre."


def each_band(pixels: Pixels) -> Pixels:
    """Scale every image by itself to 0...1, as the paper does; colour and flux are lost (Fu et al. 2024, section 2).

    Parameters
    ----------
    pixels : ndarray of float32, shape (..., 32, 32, bands)
        Finite pixels, in any linear unit of flux.

    Returns
    -------
    ndarray of float32, same shape

    Raises
    ------
    BadPixelsError
        If an image is constant.
    """
    rows = planes(pixels, np.float32)
    low = rows.min(axis=-1, keepdims=True)
    spread = rows.max(axis=-1, keepdims=True) - low
    if not np.all(spread > 0):
        raise BadPixelsError(_FLAT)
    scaled = np.empty(pixels.shape, dtype=np.float32)
    np.divide(
        rows - low, spread, out=np.moveaxis(scaled.reshape(*rows.shape[:-2], rows.shape[-1], rows.shape[-2]), -1, -2)
    )
    return scaled


def joint(pixels: Pixels) -> Pixels:
    """Subtract the sky, divide all bands by their common root mean square, and compress with asinh: colour is kept.

    The arithmetic is asinh(y / rms(y)) with y = x - sky, where the sky is each image's own (`redden.snr.sky_level`) and
    the root mean square runs over all pixels of all bands of one galaxy. Bands must share a unit of flux density per
    pixel; which one does not matter, and neither does a constant background.

    Parameters
    ----------
    pixels : ndarray of float32, shape (..., 32, 32, bands)
        Finite pixels, all bands in the same linear unit of flux.

    Returns
    -------
    ndarray of float32, same shape

    Raises
    ------
    BadPixelsError
        If all images of a galaxy are constant.
    """
    rows = planes(pixels, np.float64) - sky_level(pixels)[..., None]
    rms = np.sqrt(np.mean(np.square(rows), axis=(-2, -1), keepdims=True))
    if not np.all(rms > 0):
        raise BadPixelsError(_FLAT)
    rows /= rms
    return images(asinh(rows.astype(np.float32)), pixels.shape[-2])


NORMALISATIONS: Final[dict[str, Callable[[Pixels], Pixels]]] = {"each-band": each_band, "joint": joint}
"""Normalisations by the name that a model card uses."""

NEEDS_FLUX_UNIT: Final = frozenset({"joint"})
"""Normalisations that compare bands, so that every band needs a usable unit."""


def normalisation(name: str) -> Callable[[Pixels], Pixels]:
    """The normalisation of this name.

    Raises
    ------
    ModelCardError
        If there is none.
    """
    try:
        return NORMALISATIONS[name]
    except KeyError:
        raise ModelCardError(
            f"this version of redden has no normalisation {name!r}; it has {', '.join(NORMALISATIONS)}."
        ) from None
