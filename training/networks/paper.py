"""The network of Fu et al. (2024): one convolutional regressor per quantity, trained on percentage errors."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from redden.grid import SIZE
from redden.signature import MEAN, PIXELS
from training.networks.network import Network, Part

PERCENTAGE_ERROR = "mean_absolute_percentage_error"
"""The paper's loss."""

STEPS_PER_EXECUTION = 16
"""Steps that tensorflow takes by itself; on a busy machine each return to Python waits for a processor."""


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """What the paper searched for, in its Table 1.

    Attributes
    ----------
    filters : tuple of int
        Filters of each convolution, 4 to 64; 1 to 4 of them.
    dense : tuple of int
        Units of each dense layer, 8 to 64; 1 to 4 of them.
    learning_rate : float
        Of Adam, 1e-4 to 1e-2.
    batch_size : int
        Images per step, 16 to 64.
    """

    filters: tuple[int, ...] = (8, 16, 32)
    dense: tuple[int, ...] = (64, 64, 64, 64)
    learning_rate: float = 1e-3
    batch_size: int = 64


DEFAULT = Hyperparameters()
"""Three convolutions and four dense layers, as the paper ended with, in sizes of our own."""


def build(
    bands: Sequence[str],
    targets: Sequence[str],
    labels: NDArray[np.float32],
    *,
    hyperparameters: Hyperparameters = DEFAULT,
    loss: str = PERCENTAGE_ERROR,
) -> Network:
    """One network per target, merged into one model that answers all of them.

    Parameters
    ----------
    bands : sequence of str
        Bands on the input's last axis; each has convolutions of its own.
    targets : sequence of str
        Names of the columns of `labels`.
    labels : ndarray of float32, shape (galaxies, targets)
        Training labels; the output starts from their median, so that the first epochs need not find the unit.
    hyperparameters : Hyperparameters
        Sizes and learning rate, the same for all targets.
    loss : str
        Name of a loss of keras.

    Returns
    -------
    Network
        A compiled part per target.
    """
    pixels = keras.Input((SIZE, SIZE, len(bands)), name=PIXELS)
    medians = np.median(labels, axis=0)
    estimates = [_estimate(pixels, len(bands), hyperparameters, start=float(median)) for median in medians]
    parts = []
    for column, (target, estimate) in enumerate(zip(targets, estimates, strict=True)):
        model = keras.Model(pixels, estimate, name=target)
        model.compile(
            keras.optimizers.Adam(hyperparameters.learning_rate),
            loss,
            jit_compile=False,
            steps_per_execution=STEPS_PER_EXECUTION,
        )
        parts.append(Part(target, model, slice(column, column + 1)))
    mean = layers.Concatenate()(estimates) if len(estimates) > 1 else estimates[0]
    return Network(keras.Model(pixels, {MEAN: mean}), tuple(parts))


def _estimate(
    pixels: keras.KerasTensor, bands: int, hyperparameters: Hyperparameters, *, start: float
) -> keras.KerasTensor:
    """Per band convolution, batch normalisation, ReLU and pooling, repeated; then dense layers and dropout."""
    flat = [_features(pixels[..., band : band + 1], hyperparameters.filters) for band in range(bands)]
    x = layers.Concatenate()(flat) if bands > 1 else flat[0]
    for units in hyperparameters.dense:
        x = layers.Dense(units, activation="relu")(x)
    x = layers.Dropout(0.5)(x)
    return layers.Dense(1, bias_initializer=keras.initializers.Constant(start))(x)


def _features(image: keras.KerasTensor, filters: Sequence[int]) -> keras.KerasTensor:
    x = image
    for number in filters:
        x = layers.Conv2D(number, 3, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
        x = layers.MaxPooling2D(2)(x)
    return layers.Flatten()(x)
