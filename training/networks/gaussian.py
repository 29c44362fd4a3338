"""A network that answers a Gaussian with full covariance instead of a point, trained by its likelihood."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from redden.grid import SIZE
from redden.signature import MEAN, PIXELS, SCALE_TRIL
from training.networks.network import Network, Part, cholesky_places

FILTERS = (32, 48, 64)
DENSE = (64, 64)
LEARNING_RATE = 1e-3

NARROWEST = 0.01
"""Least diagonal of the Cholesky factor, in units of the label spread; keeps the likelihood finite."""


def build(bands: Sequence[str], targets: Sequence[str], labels: NDArray[np.float32]) -> Network:
    """The paper's layout with the bands mixed from the first convolution on, and a Gaussian at its end.

    Parameters
    ----------
    bands : sequence of str
        Bands on the input's last axis.
    targets : sequence of str
        Names of the columns of `labels`.
    labels : ndarray of float32, shape (galaxies, targets)
        Training labels; the network works in units of their spread, and the graph turns its answer back.

    Returns
    -------
    Network
        One compiled part, whose loss is `negative_log_likelihood`.
    """
    width = len(targets)
    pixels = keras.Input((SIZE, SIZE, len(bands)), name=PIXELS)
    x = pixels
    for filters in FILTERS:
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)  # settles within an epoch of a small data set too
        x = layers.ReLU()(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    for units in DENSE:
        x = layers.Dense(units, activation="relu")(x)
    spread = labels.std(axis=0)
    mean = layers.Rescaling(spread.tolist(), labels.mean(axis=0).tolist(), name=MEAN)(layers.Dense(width)(x))
    scale_tril = _scale_tril(x, spread)
    joined = layers.Concatenate()([mean, layers.Flatten()(scale_tril)])
    likelihood = keras.Model(pixels, joined, name="likelihood")
    likelihood.compile(keras.optimizers.Adam(LEARNING_RATE, clipnorm=1.0), negative_log_likelihood, jit_compile=False)
    slower = keras.callbacks.ReduceLROnPlateau(factor=0.3, patience=3)
    serving = keras.Model(pixels, {MEAN: mean, SCALE_TRIL: scale_tril})
    return Network(serving, (Part("likelihood", likelihood, slice(0, width), (slower,)),))


def _scale_tril(x: keras.KerasTensor, spread: NDArray[np.float32]) -> keras.KerasTensor:
    """Lower Cholesky factor (galaxies, targets, targets) with a positive diagonal, of layers that every runtime has."""
    width = len(spread)
    diagonal = layers.Rescaling(1.0, NARROWEST)(layers.Dense(width, activation="softplus")(x))
    below = layers.Dense(width * (width - 1) // 2, kernel_initializer="zeros")(x)
    place = layers.Dense(width * width, use_bias=False, trainable=False)
    flat = place(layers.Concatenate()([diagonal, below]))
    place.set_weights([cholesky_places(spread)])
    return layers.Reshape((width, width), name=SCALE_TRIL)(flat)


def negative_log_likelihood(labels: keras.KerasTensor, answer: keras.KerasTensor) -> keras.KerasTensor:
    """Minus the log density of the labels under a Gaussian, without the constant, shape (galaxies,).

    Parameters
    ----------
    labels : tensor, shape (galaxies, targets)
    answer : tensor, shape (galaxies, targets + targets^2)
        The mean, then the rows of the lower Cholesky factor of the covariance.
    """
    width = labels.shape[1]
    mean, scale_tril = answer[:, :width], ops.reshape(answer[:, width:], (-1, width, width))
    deviation = ops.solve_triangular(scale_tril, ops.expand_dims(labels - mean, -1), lower=True)
    log_determinant = ops.sum(ops.log(ops.diagonal(scale_tril, axis1=1, axis2=2)), axis=-1)
    return 0.5 * ops.sum(ops.square(deviation), axis=(1, 2)) + log_determinant
