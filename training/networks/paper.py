"""The network of Fu et al. (2024): one convolutional regressor per quantity, trained on percentage errors."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from redden.grid import SIZE
from redden.signature import MEAN, PIXELS
from training.networks.network import Network, Part

FILTERS = (8, 16, 32)
"""Filters of the three convolutions; the paper searched 4 to 64."""

DENSE = (64, 64, 64, 64)
"""Units of the four dense layers; the paper searched 8 to 64."""

LEARNING_RATE = 1e-3
"""Of Adam; the paper searched 1e-4 to 1e-2."""


def build(bands: Sequence[str], targets: Sequence[str], labels: NDArray[np.float32]) -> Network:
    """One network per target, merged into one model that answers all of them.

    Parameters
    ----------
    bands : sequence of str
        Bands on the input's last axis; each has convolutions of its own.
    targets : sequence of str
        Names of the columns of `labels`.
    labels : ndarray of float32, shape (galaxies, targets)
        Training labels; the output starts from their median, so that the first epochs need not find the unit.

    Returns
    -------
    Network
        A compiled part per target.
    """
    pixels = keras.Input((SIZE, SIZE, len(bands)), name=PIXELS)
    estimates = [_estimate(pixels, len(bands), start=float(median)) for median in np.median(labels, axis=0)]
    parts = []
    for column, (target, estimate) in enumerate(zip(targets, estimates, strict=True)):
        model = keras.Model(pixels, estimate, name=target)
        model.compile(keras.optimizers.Adam(LEARNING_RATE), "mean_absolute_percentage_error", jit_compile=False)
        parts.append(Part(target, model, slice(column, column + 1)))
    return Network(keras.Model(pixels, {MEAN: layers.Concatenate()(estimates)}), tuple(parts))


def _estimate(pixels: keras.KerasTensor, bands: int, *, start: float) -> keras.KerasTensor:
    """Per band three times convolution, batch normalisation, ReLU and pooling; then dense layers and dropout."""
    flat = [_features(pixels[..., band : band + 1]) for band in range(bands)]
    x = layers.Concatenate()(flat) if bands > 1 else flat[0]
    for units in DENSE:
        x = layers.Dense(units, activation="relu")(x)
    x = layers.Dropout(0.5)(x)
    return layers.Dense(1, bias_initializer=keras.initializers.Constant(start))(x)


def _features(image: keras.KerasTensor) -> keras.KerasTensor:
    x = image
    for filters in FILTERS:
        x = layers.Conv2D(filters, 3, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
        x = layers.MaxPooling2D(2)(x)
    return layers.Flatten()(x)
