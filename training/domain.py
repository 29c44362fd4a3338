"""The domain score: how little a galaxy is like those that a network was trained on, answered by its own graph.

A small head looks at what the network makes of a galaxy: the maps of its first convolution, on which the head has two
convolutions of its own, the features before the answer, and the context. It learns to tell galaxies of the training
kind from strange cutouts (outlier exposure; Hendrycks, Mazeika & Dietterich 2019, ICLR). A second, smaller one learns
which score 1 % of the galaxies of the training kind exceed, given their bands, signal-to-noise ratio and redshift, and
is subtracted, so that one threshold holds for all of them.

The head begins where the first convolution ends because only that sees every pixel: reading the pixels a second time
would cost more than the whole network (`benchmarks/models.py`).
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from redden.modelinput import Inputs
from redden.signature import CONTEXT, DOMAIN
from training.networks.redden import FEATURES

Single = NDArray[np.float32]

FALSE_ALARMS: Final = 0.01
"""Share of the galaxies of the training kind that are called strange."""
FILTERS: Final = (48, 64)
"""Of the head's own convolutions, each of which halves the side of the maps."""
DENSE: Final = (64, 32)
"""Units of the head that tells strange from known."""
USUAL: Final = 16
"""Units of the layer that knows which score is usual."""
FARTHEST: Final = 8.0
"""Features and context farther from their mean are cut off, in units of their spread."""
BATCH: Final = 512
DROPPED: Final = 0.3
"""Share of what the head's convolutions see that is hidden from each step of its fit."""


class Evidence(NamedTuple):
    """What a domain score is made of.

    Attributes
    ----------
    maps : ndarray of float32, shape (galaxies, 16, 16, filters)
        The network's first convolution.
    numbers : ndarray of float32, shape (galaxies, numbers)
        Its features, and the context last.
    """

    maps: Single
    numbers: Single


def evidence(network: keras.Model) -> keras.Model:
    """From the inputs of a network to its `Evidence`.

    Parameters
    ----------
    network : keras.Model
        With inputs ``pixels`` and ``context``, convolutions that end in a ReLU, and a layer ``features``.
    """
    first = next(layer for layer in network.layers if isinstance(layer, layers.ReLU) and len(layer.output.shape) == 4)
    context = next(tensor for tensor in network.inputs if tensor.name == CONTEXT)
    numbers = layers.Concatenate(name="evidence")([network.get_layer(FEATURES).output, context])
    return keras.Model(network.inputs, [first.output, numbers])


def build_domain_head(known: Evidence, context_columns: int) -> tuple[keras.Model, keras.Model]:
    """A head that tells strange from known, from maps and numbers, and one that tells what is usual, from numbers.

    Parameters
    ----------
    known : Evidence
        Of galaxies of the training kind; the mean and spread of its numbers are their unit.
    context_columns : int
        How many of the last numbers are context.
    """
    maps = keras.Input(known.maps.shape[1:], name="maps")
    width = known.numbers.shape[1]
    numbers = keras.Input((width,), name="numbers")
    spread = np.maximum(known.numbers.std(axis=0), 1e-3)
    standard = layers.Rescaling((1 / spread).tolist(), (-known.numbers.mean(axis=0) / spread).tolist())(numbers)
    standard = ops.clip(standard, -FARTHEST, FARTHEST)
    x = maps
    for filters in FILTERS:
        x = layers.SeparableConv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.98)(x))
    strange = layers.Concatenate()([layers.Dropout(DROPPED)(layers.Flatten()(x)), standard])
    for units in DENSE:
        strange = layers.Dense(units, activation="relu")(strange)
    usual = layers.Dense(USUAL, activation="relu")(standard[:, width - context_columns :])
    return keras.Model([maps, numbers], layers.Dense(1)(strange)), keras.Model(numbers, layers.Dense(1)(usual))


def with_domain(network: keras.Model, head: keras.Model) -> keras.Model:
    """A network with an output ``domain`` more, shape (galaxies,); its own weights stay as they are.

    Parameters
    ----------
    network : keras.Model
        With inputs ``pixels`` and ``context``, a layer ``features`` and a dictionary of outputs.
    head : keras.Model
        Of `fit_head`, fitted to this network's evidence.
    """
    seen = evidence(network).output
    return keras.Model(network.inputs, {**network.output, DOMAIN: head(seen)}, name=network.name)


def fit_head(
    known: Evidence,
    strange: Mapping[str, Evidence],
    calibration: Evidence,
    context_columns: int,
    *,
    epochs: int,
    seed: int,
) -> keras.Model:
    """Fit a domain score: from evidence to a score, shape (galaxies,), above 0 for 1 % of the known kind.

    Parameters
    ----------
    known : Evidence
        Of galaxies of the training kind.
    strange : mapping of str to Evidence
        Of strange cutouts by kind; each kind weighs the same.
    calibration : Evidence
        Of other galaxies of the training kind, for the scores that are usual.
    context_columns : int
        How many of the last numbers are context.
    epochs : int
        How often the fit sees each.
    seed : int
        Decides weights and order.
    """
    keras.utils.set_random_seed(seed)
    odd, usual = build_domain_head(known, context_columns)
    each = Evidence(*(np.concatenate(parts) for parts in zip(known, *strange.values(), strict=True)))
    usual_ones, strange_ones = len(known.numbers), [len(part.numbers) for part in strange.values()]
    is_strange = np.repeat([0.0, 1.0], [usual_ones, sum(strange_ones)])
    shares = [np.full(count, 0.5 / len(strange) / count) for count in strange_ones]
    weight = np.concatenate([np.full(usual_ones, 0.5 / usual_ones), *shares]) * len(is_strange)
    # The models that are fitted are others with the same layers: what is saved must not know of a loss.
    odd_fit, usual_fit = keras.Model(odd.inputs, odd.output), keras.Model(usual.inputs, usual.output)
    odd_fit.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(2e-3, epochs * (len(is_strange) // BATCH + 1))),
        keras.losses.BinaryCrossentropy(from_logits=True),
        jit_compile=False,
    )
    odd_fit.fit(list(each), is_strange, sample_weight=weight, batch_size=BATCH, epochs=epochs, verbose=0)

    steps = epochs * (len(calibration.numbers) // BATCH + 1)
    usual_fit.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, steps)), exceeded_by_few, jit_compile=False
    )
    scores = odd_fit.predict(list(calibration), batch_size=BATCH, verbose=0)
    usual_fit.fit(calibration.numbers, scores, batch_size=BATCH, epochs=epochs, verbose=0)
    odd, usual = _without_losses(odd), _without_losses(usual)
    maps, numbers = odd.inputs
    return keras.Model([maps, numbers], (odd.output - usual(numbers))[:, 0], name=DOMAIN)


def _without_losses(model: keras.Model) -> keras.Model:
    """The same model as it was before it was compiled: a loss of our own could not be read from a file."""
    bare = keras.models.clone_model(model)
    bare.set_weights(model.get_weights())
    return bare


def exceeded_by_few(scores: keras.KerasTensor, level: keras.KerasTensor) -> keras.KerasTensor:
    """Loss that is least where 1 % of the scores exceed the level: the pinball loss (Koenker & Bassett 1978)."""
    above = scores - level
    return ops.maximum((1 - FALSE_ALARMS) * above, -FALSE_ALARMS * above)


def look(sees: keras.Model, inputs: Inputs) -> Evidence:
    """Evidence of a batch of galaxies, see `evidence`."""
    arranged = [inputs[tensor.name] for tensor in sees.inputs]
    return Evidence(*sees.predict(arranged, batch_size=BATCH, verbose=0))
