"""The domain score: how little a galaxy is like those that a network was trained on, answered by its own graph.

The network has learned, with all else, to tell galaxies of the training kind from strange cutouts (outlier exposure;
Hendrycks, Mazeika & Dietterich 2019, ICLR). A small layer of its own learns afterwards which strangeness 1 % of the
galaxies of the training kind exceed, given their bands, their noise and whether their redshift is known, and is
subtracted, so that one threshold holds for all of them.
"""

from typing import Final

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from redden.modelinput import Inputs
from redden.photometric import RADII, context_columns
from redden.signature import CONTEXT, DOMAIN
from training.networks.redden import STRANGENESS

FALSE_ALARMS: Final = 0.01
"""Share of the galaxies of the training kind that are called strange."""
USUAL: Final = 16
"""Units of the layer that knows which strangeness is usual."""
FARTHEST: Final = 8.0
"""Context farther from its mean is cut off, in units of its spread."""
BATCH: Final = 512


def fit_usual(context: NDArray[np.float32], strangeness: NDArray[np.float64], *, epochs: int, seed: int) -> keras.Model:
    """Learn from context which strangeness 1 % of the galaxies of the training kind exceed, shape (galaxies,).

    It may depend on which bands there are, on their noise, and on whether the redshift is known; not on magnitudes and
    redshifts, or the level would rise where colours are strange, and excuse them.

    Parameters
    ----------
    context : ndarray of float32, shape (galaxies, columns)
        Of galaxies of the training kind, see `redden.photometric`.
    strangeness : ndarray of float, shape (galaxies,)
        Theirs.
    epochs : int
        How often the fit sees each.
    seed : int
        Decides weights and order.
    """
    keras.utils.set_random_seed(seed)
    given = keras.Input((context.shape[1],), name=CONTEXT)
    scale = _looked_at(context.shape[1]) / np.maximum(context.std(axis=0), 1e-3)
    standard = layers.Rescaling(scale.tolist(), (-context.mean(axis=0) * scale).tolist())(given)
    x = layers.Dense(USUAL, activation="relu")(ops.clip(standard, -FARTHEST, FARTHEST))
    usual = keras.Model(given, layers.Reshape(())(layers.Dense(1)(x)), name="usual")
    # What is compiled is another model of the same layers: what is saved must not know of a loss of ours.
    fitted = keras.Model(usual.input, usual.output)
    schedule = keras.optimizers.schedules.CosineDecay(1e-2, epochs * (len(context) // BATCH + 1))
    fitted.compile(keras.optimizers.Adam(schedule), exceeded_by_few, jit_compile=False)
    fitted.fit(context, strangeness, batch_size=BATCH, epochs=epochs, verbose=0)
    return usual


def _looked_at(columns: int) -> NDArray[np.bool_]:
    """Which columns of a context of `redden.photometric` the usual level may depend on."""
    bands = (columns - context_columns(0)) // (context_columns(1) - context_columns(0))
    noise = bands * (1 + len(RADII))
    column = np.arange(columns)
    known = column == columns - 2
    return np.asarray((column < bands) | ((column >= noise) & (column < noise + bands)) | known)


def exceeded_by_few(scores: keras.KerasTensor, level: keras.KerasTensor) -> keras.KerasTensor:
    """Loss that is least where 1 % of the scores exceed the level: the pinball loss (Koenker & Bassett 1978)."""
    above = scores - level
    return ops.maximum((1 - FALSE_ALARMS) * above, -FALSE_ALARMS * above)


def with_domain(network: keras.Model, usual: keras.Model | None = None) -> keras.Model:
    """A network whose output ``domain`` is its strangeness, less what is usual if that is known; all else stays.

    Parameters
    ----------
    network : keras.Model
        Of `training.networks.redden.build`, with or without a usual level.
    usual : keras.Model, optional
        Of `fit_usual`.
    """
    strangeness = network.get_layer(STRANGENESS).output
    context = next(tensor for tensor in network.inputs if tensor.name == CONTEXT)
    answered = strangeness if usual is None else strangeness - usual(context)
    return keras.Model(network.inputs, {**network.output, DOMAIN: answered}, name=network.name)


def score(network: keras.Model, inputs: Inputs) -> NDArray[np.float64]:
    """Domain scores of a network, shape (galaxies,)."""
    arranged = [inputs[tensor.name] for tensor in network.inputs]
    return np.asarray(network.predict(arranged, batch_size=BATCH, verbose=0)[DOMAIN], dtype=np.float64)
