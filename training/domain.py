"""The domain score: how little a galaxy is like those that a network was trained on, answered by its own graph.

The network has learned, with all else, to tell galaxies of the training kind from strange cutouts (outlier exposure;
Hendrycks, Mazeika & Dietterich 2019, ICLR). A small layer of its own learns afterwards which strangeness 1 % of the
galaxies of the training kind exceed, given their bands, their noise and whether their redshift is known, and is
subtracted, so that one threshold holds for all of them.
"""

from typing import Final

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from redden.modelinput import Inputs
from redden.photometric import context_places
from redden.signature import CONTEXT, DOMAIN
from training.heads import fit_head, pinball_loss, standardised
from training.networks.redden import STRANGENESS

FALSE_ALARMS: Final = 0.01
"""Share of the galaxies of the training kind that are called strange."""
USUAL: Final = 16
"""Units of the layer that knows which strangeness is usual."""
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
    looked_at = np.zeros(context.shape[1], dtype=bool)
    places = context_places(context.shape[1])
    for name in ("present", "noise", "known"):
        looked_at[places[name]] = True
    x = layers.Dense(USUAL, activation="relu")(standardised(given, context, looked_at))
    usual = keras.Model(given, layers.Reshape(())(layers.Dense(1)(x)), name="usual")
    loss = pinball_loss(1 - FALSE_ALARMS)
    fit_head(usual, context, strangeness, loss, learning_rate=1e-2, epochs=epochs, batch=BATCH)
    return usual


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
