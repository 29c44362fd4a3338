"""The redden network: any bands, an optional redshift; a mixture of Gaussians, and how strange a cutout is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from redden.grid import SIZE
from redden.photometric import RADII, context_columns
from redden.signature import CONTEXT, DOMAIN, LOGITS, MEAN, PIXELS, SCALE_TRIL
from training.networks.network import cholesky_places

STRANGENESS: Final = "strangeness"
"""Name of the layer that tells strange cutouts from galaxies of the training kind: the logarithm of the odds."""

NARROWEST: Final = 0.01
"""Least diagonal of a Cholesky factor, in units of the label spread; keeps the likelihood finite."""


class Shape(BaseModel):
    """Size of a network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    filters: tuple[int, ...] = (24, 48, 64)
    """Of the 3x3 convolutions, each of which halves the side of the image; all but the first are separable."""
    context: Annotated[int, Field(ge=1)] = 64
    """Units of the layer that reads the context."""
    dense: tuple[int, ...] = (96, 96)
    """Units of the layers that see image and context."""
    components: Annotated[int, Field(ge=1)] = 6
    """Gaussians in the mixture."""
    strange: tuple[int, ...] = (64, 32)
    """Units of the layers that tell strange cutouts from galaxies of the training kind."""


@dataclass(frozen=True, slots=True)
class Scales:
    """Of the training set: what the network's own units are.

    Attributes
    ----------
    context_mean, context_spread : ndarray, shape (columns,)
        Of the context where its band is there.
    label_mean, label_spread : ndarray, shape (targets,)
    """

    context_mean: NDArray[np.float64]
    context_spread: NDArray[np.float64]
    label_mean: NDArray[np.float64]
    label_spread: NDArray[np.float64]


def band_of_column(bands: int) -> NDArray[np.float32]:
    """Which band's presence each column of the context follows, shape (bands + 1, columns); the last row: none's."""
    places = np.zeros((bands + 1, context_columns(bands)), dtype=np.float32)
    places[bands] = 1.0
    start = bands  # the columns of presence themselves follow nothing
    for _ in range(len(RADII) + 1):
        for band in range(bands):
            places[band, start + band], places[bands, start + band] = 1.0, 0.0
        start += bands
    return places


def build(bands: Sequence[str], shape: Shape, scales: Scales) -> keras.Model:
    """The network, from ``pixels`` and ``context`` to ``logits``, ``mean``, ``scale_tril`` and ``domain``.

    What tells strange cutouts sees the mean and the largest of the last maps, the layer before the answer and the
    context: it costs hardly anything, since its part of the fit teaches the convolutions what a network for dust would
    not look at. Only operations that every runtime has: convolutions, products of matrices, functions of one number.

    Parameters
    ----------
    bands : sequence of str
        Bands of the input's last axis.
    shape : Shape
        How large.
    scales : Scales
        Of the training set.
    """
    width = len(scales.label_mean)
    pixels = keras.Input((SIZE, SIZE, len(bands)), name=PIXELS)
    context = keras.Input((context_columns(len(bands)),), name=CONTEXT)
    x = pixels
    for depth, filters in enumerate(shape.filters):
        convolution = layers.Conv2D if depth == 0 else layers.SeparableConv2D
        x = convolution(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.98)(x)
        x = layers.ReLU()(x)
    maps, image = x, layers.Flatten()(x)
    standard = _standardised(context, len(bands), scales)
    known = layers.Dense(shape.context, activation="relu")(standard)
    x = layers.Concatenate()([layers.Dense(shape.dense[0])(image), layers.Dense(shape.dense[0])(known)])
    x = layers.ReLU()(x)
    for units in shape.dense:
        x = layers.Dense(units, activation="relu")(x)
    seen = [layers.GlobalAveragePooling2D()(maps), layers.GlobalMaxPooling2D()(maps), x, standard]
    answer = {**_mixture(x, shape.components, width, scales), DOMAIN: _strangeness(seen, shape.strange)}
    return keras.Model([pixels, context], answer, name="redden")


def _strangeness(seen: list[keras.KerasTensor], units: Sequence[int]) -> keras.KerasTensor:
    x = layers.Concatenate()(seen)
    for each in units:
        x = layers.Dense(each, activation="relu")(x)
    return layers.Reshape((), name=STRANGENESS)(layers.Dense(1)(x))


def _standardised(context: keras.KerasTensor, bands: int, scales: Scales) -> keras.KerasTensor:
    """The context in units of its spread; 0 where its band is absent."""
    centred = layers.Rescaling(
        (1 / scales.context_spread).tolist(), (-scales.context_mean / scales.context_spread).tolist()
    )(context)
    follow = layers.Dense(context_columns(bands), trainable=False, name="presence")
    present = follow(context[:, :bands])
    places = band_of_column(bands)
    follow.set_weights([places[:bands], places[bands]])
    return layers.Multiply()([centred, present])


def _mixture(x: keras.KerasTensor, components: int, width: int, scales: Scales) -> dict[str, keras.KerasTensor]:
    logits = layers.Dense(components, name=LOGITS)(x)
    start = keras.initializers.RandomNormal(stddev=0.5, seed=0)  # components that start equal stay equal
    mean = layers.Dense(components * width, bias_initializer=start)(x)
    mean = layers.Reshape((components, width))(mean)
    mean = layers.Rescaling(scales.label_spread.tolist(), scales.label_mean.tolist(), name=MEAN)(mean)
    diagonal = layers.Dense(components * width, activation="softplus")(x)
    diagonal = layers.Rescaling(1.0, NARROWEST)(layers.Reshape((components, width))(diagonal))
    below = layers.Dense(components * width * (width - 1) // 2)(x)
    below = layers.Reshape((components, width * (width - 1) // 2))(below)
    place = layers.Dense(width * width, use_bias=False, trainable=False, name="places")
    flat = place(layers.Concatenate()([diagonal, below]))
    place.set_weights([cholesky_places(scales.label_spread)])
    return {LOGITS: logits, MEAN: mean, SCALE_TRIL: layers.Reshape((components, width, width), name=SCALE_TRIL)(flat)}


def negative_log_likelihood(
    labels: keras.KerasTensor, logits: keras.KerasTensor, mean: keras.KerasTensor, scale_tril: keras.KerasTensor
) -> keras.KerasTensor:
    """Minus the log density of the labels under the mixture, without the constant, shape (galaxies,).

    Parameters
    ----------
    labels : tensor, shape (galaxies, targets)
    logits : tensor, shape (galaxies, components)
    mean : tensor, shape (galaxies, components, targets)
    scale_tril : tensor, shape (galaxies, components, targets, targets)
    """
    residual = ops.expand_dims(labels, 1) - mean
    # Forward substitution by hand: a triangular solver for 3x3 matrices is slow.
    solved: list[keras.KerasTensor] = []
    log_density = -ops.sum(ops.log(ops.diagonal(scale_tril, axis1=2, axis2=3)), axis=-1)
    for row in range(mean.shape[-1]):
        rest = residual[..., row]
        for column in range(row):
            rest = rest - scale_tril[..., row, column] * solved[column]
        solved.append(rest / scale_tril[..., row, row])
        log_density = log_density - 0.5 * ops.square(solved[-1])
    return -ops.logsumexp(ops.log_softmax(logits, axis=-1) + log_density, axis=-1)
