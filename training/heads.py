"""Heads: small parts that join a fitted network's graph, and answer quantiles of what was found of its answers."""

from collections.abc import Callable, Sequence
from typing import Final

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

FARTHEST: Final = 8.0
"""What a head sees is cut off farther from its mean, in units of its spread."""

Loss = Callable[[keras.KerasTensor, keras.KerasTensor], keras.KerasTensor]


def standardised(
    given: keras.KerasTensor, sample: NDArray[np.floating], looked_at: NDArray[np.bool_]
) -> keras.KerasTensor:
    """What a head may look at, in units of its spread, and 0 in the other columns.

    Parameters
    ----------
    given : tensor, shape (galaxies, columns)
    sample : ndarray, shape (galaxies, columns)
        What is given for the galaxies of the fit; its means and spreads are those that count.
    looked_at : ndarray of bool, shape (columns,)
    """
    scale = looked_at / np.maximum(sample.std(axis=0), 1e-3)
    scaled = layers.Rescaling(scale.tolist(), (-sample.mean(axis=0) * scale).tolist())(given)
    return ops.clip(scaled, -FARTHEST, FARTHEST)


def pinball_loss(probabilities: float | Sequence[float]) -> Loss:
    """Loss that is least where a share p of the truths lies below the quantile of each p (Koenker & Bassett 1978).

    Parameters
    ----------
    probabilities : float or sequence of float
        Of the quantiles along their last axis.

    Returns
    -------
    callable
        From truths and quantiles, whose shapes go together by broadcasting, to the loss of each quantile.
    """
    wanted = np.array(probabilities, dtype=np.float32)

    def loss(truth: keras.KerasTensor, quantiles: keras.KerasTensor) -> keras.KerasTensor:
        above = truth - quantiles
        return ops.maximum(wanted * above, (wanted - 1) * above)

    return loss


def fit_head(
    head: keras.Model,
    given: NDArray[np.floating],
    found: NDArray[np.floating],
    loss: Loss,
    *,
    learning_rate: float,
    epochs: int,
    batch: int,
) -> None:
    """Fit the weights of a head.

    Parameters
    ----------
    head : keras.Model
        Fitted in place.
    given, found : ndarray
        What it sees, and what it is to answer.
    loss : callable
        Of `pinball_loss`.
    learning_rate : float
        At the start; falls to 0 as a cosine.
    epochs : int
        How often the fit sees each galaxy.
    batch : int
        Galaxies of a step.
    """
    # What is compiled is another model of the same layers: what is saved must not know of a loss of ours.
    fitted = keras.Model(head.input, head.output)
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * (len(given) // batch + 1))
    fitted.compile(keras.optimizers.Adam(schedule), loss, jit_compile=False)
    fitted.fit(given, found, batch_size=batch, epochs=epochs, verbose=0)
