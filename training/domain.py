"""The domain score: how little a galaxy is like those that a network was trained on, answered by its own graph.

A small head looks at what the network makes of a galaxy: its features, the mean and the largest activation of each map
of its convolutions, and the context; and, since a network that measures dust has no eye for edges and textures, at
plain statistics of the image. It learns to tell galaxies of the training kind from strange cutouts (outlier
exposure; Hendrycks, Mazeika & Dietterich 2019, ICLR). A second, smaller one learns which score 1 % of the galaxies of
the training kind exceed, given their bands, signal-to-noise ratio and redshift, and is subtracted, so that one
threshold holds for all of them.
"""

from collections.abc import Mapping
from typing import Final

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from redden.grid import SIZE
from redden.modelinput import Inputs
from redden.signature import CONTEXT, DOMAIN, PIXELS
from training.networks.redden import FEATURES

Single = NDArray[np.float32]

FALSE_ALARMS: Final = 0.01
"""Share of the galaxies of the training kind that are called strange."""
DENSE: Final = (64, 32)
"""Units of the head that tells strange from known."""
USUAL: Final = 16
"""Units of the layer that knows which score is usual."""
RINGS: Final = (0.0, 2.0, 4.0, 5.5, 7.5, 9.5, 12.0, 14.5, 18.0, 23.0)
"""Radii in pixels between which the image is averaged."""
_SMALLEST: Final = 1e-4
"""Added before a logarithm; less than the noise of any normalised image."""
FARTHEST: Final = 8.0
"""Evidence farther from its mean is cut off, in units of its spread."""
BATCH: Final = 512


def evidence(network: keras.Model) -> keras.Model:
    """From the inputs of a network to what its domain score is made of, the context last, shape (galaxies, numbers).

    Parameters
    ----------
    network : keras.Model
        With inputs ``pixels`` and ``context`` and a layer ``features``.
    """
    maps = [layer for layer in network.layers if isinstance(layer, layers.ReLU) and len(layer.output.shape) == 4]
    # Names of their own: those that keras gives may be taken in a network that was read from a file.
    means = [layers.GlobalAveragePooling2D(name=f"{each.name}_mean")(each.output) for each in maps]
    peaks = [layers.GlobalMaxPooling2D(name=f"{each.name}_peak")(each.output) for each in maps]
    features = network.get_layer(FEATURES).output
    context = next(tensor for tensor in network.inputs if tensor.name == CONTEXT)
    pixels = next(tensor for tensor in network.inputs if tensor.name == PIXELS)
    joined = layers.Concatenate(name="evidence")(
        [statistics(pixels.shape[-1])(pixels), *means, *peaks, features, context]
    )
    return keras.Model(network.inputs, joined)


def statistics(bands: int) -> keras.Model:
    """From normalised pixels to plain statistics, of 2x2 pixels each: so little is read that it costs hardly anything.

    By band: means over rings of the brightness, of its square, and of the contrast (largest less mean of four pixels);
    least and largest contrast of a row and of a column; least and largest brightness.
    """
    pixels = keras.Input((SIZE, SIZE, bands))
    mean = layers.AveragePooling2D(2)(pixels)
    contrast = layers.MaxPooling2D(2)(pixels) - mean
    side = SIZE // 2
    flat = layers.Permute((3, 1, 2))(layers.Concatenate()([mean, ops.square(mean), contrast]))
    average = layers.Dense(len(RINGS) - 1, use_bias=False, trainable=False)
    rings = average(layers.Reshape((3 * bands, side * side))(flat))
    average.set_weights([_ring_weights(side)])
    lines = [ops.mean(contrast, axis=axis) for axis in (1, 2)]
    extremes = [extreme(each, axis=1) for each in lines for extreme in (ops.min, ops.max)]
    brightness = [extreme(mean, axis=(1, 2)) for extreme in (ops.min, ops.max)]
    positive = layers.Concatenate()([layers.Flatten()(rings[:, bands:]), *extremes])
    level = layers.Concatenate()([layers.Flatten()(rings[:, :bands]), *brightness])
    return keras.Model(pixels, layers.Concatenate()([level, ops.log(positive + _SMALLEST)]), name="statistics")


def _ring_weights(side: int) -> Single:
    """Weights that average an image of 32/side pixels over `RINGS`, shape (side * side, rings)."""
    offset = (np.arange(side) - (side - 1) / 2) * SIZE / side
    distance = np.hypot(offset[:, None], offset).ravel()
    inside = (distance[:, None] >= RINGS[:-1]) & (distance[:, None] < RINGS[1:])
    return np.asarray(inside / inside.sum(axis=0), dtype=np.float32)


def build_domain_head(known: Single, context_columns: int) -> tuple[keras.Model, keras.Model]:
    """Two networks from evidence to a number each: how strange it is, and how strange is usual for its context.

    Parameters
    ----------
    known : ndarray of float32, shape (galaxies, numbers)
        Evidence of galaxies of the training kind, whose mean and spread are the unit.
    context_columns : int
        How many of the last numbers are context.
    """
    numbers = known.shape[1]
    given = keras.Input((numbers,), name="evidence")
    spread = np.maximum(known.std(axis=0), 1e-3)
    standard = layers.Rescaling((1 / spread).tolist(), (-known.mean(axis=0) / spread).tolist())(given)
    standard = ops.clip(standard, -FARTHEST, FARTHEST)
    strange = standard
    for units in DENSE:
        strange = layers.Dense(units, activation="relu")(strange)
    usual = layers.Dense(USUAL, activation="relu")(standard[:, numbers - context_columns :])
    return keras.Model(given, layers.Dense(1)(strange)), keras.Model(given, layers.Dense(1)(usual))


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
    known: Single,
    strange: Mapping[str, Single],
    calibration: Single,
    context_columns: int,
    *,
    epochs: int,
    seed: int,
) -> keras.Model:
    """Fit a domain score: from evidence to a score, shape (galaxies,), above 0 for 1 % of the known kind.

    Parameters
    ----------
    known : ndarray of float32, shape (galaxies, numbers)
        Evidence of galaxies of the training kind.
    strange : mapping of str to ndarray
        Of strange cutouts by kind; each kind weighs the same.
    calibration : ndarray
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
    each = np.concatenate([known, *strange.values()])
    is_strange = np.concatenate([np.zeros(len(known)), np.ones(len(each) - len(known))])
    shares = [np.full(len(part), 0.5 / len(strange) / len(part)) for part in strange.values()]
    weight = np.concatenate([np.full(len(known), 0.5 / len(known)), *shares]) * len(each)
    # The models that are fitted are others with the same layers: what is saved must not know of a loss.
    odd_fit, usual_fit = keras.Model(odd.input, odd.output), keras.Model(usual.input, usual.output)
    odd_fit.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(2e-3, epochs * (len(each) // BATCH + 1))),
        keras.losses.BinaryCrossentropy(from_logits=True),
        jit_compile=False,
    )
    odd_fit.fit(each, is_strange, sample_weight=weight, batch_size=BATCH, epochs=epochs, verbose=0)

    usual_fit.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, epochs * (len(calibration) // BATCH + 1))),
        exceeded_by_few,
        jit_compile=False,
    )
    scores = odd_fit.predict(calibration, batch_size=BATCH, verbose=0)
    usual_fit.fit(calibration, scores, batch_size=BATCH, epochs=epochs, verbose=0)
    odd, usual = _without_losses(odd), _without_losses(usual)
    return keras.Model(odd.input, (odd.output - usual(odd.input))[:, 0], name=DOMAIN)


def _without_losses(model: keras.Model) -> keras.Model:
    """The same model as it was before it was compiled: a loss of our own could not be read from a file."""
    bare = keras.models.clone_model(model)
    bare.set_weights(model.get_weights())
    return bare


def exceeded_by_few(scores: keras.KerasTensor, level: keras.KerasTensor) -> keras.KerasTensor:
    """Loss that is least where 1 % of the scores exceed the level: the pinball loss (Koenker & Bassett 1978)."""
    above = scores - level
    return ops.maximum((1 - FALSE_ALARMS) * above, -FALSE_ALARMS * above)


def look(sees: keras.Model, inputs: Inputs) -> Single:
    """Evidence of a batch of galaxies, see `evidence`."""
    arranged = [inputs[tensor.name] for tensor in sees.inputs]
    return np.asarray(sees.predict(arranged, batch_size=BATCH, verbose=0), dtype=np.float32)
