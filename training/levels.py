"""The levels at which quantiles are taken so that they hold what they promise, answered by a network's own graph.

A posterior that is a little too bold or too wide is mended by taking, say, its 84 % quantile at another level: the one
below which 84 % of the truths were found (conformal adjustment; Kuleshov et al. 2018, arXiv:1807.00263). How bold a
network is depends on what it was shown and on what it answers, so the levels do too: they follow from which bands there
are, their light and noise, whether the redshift is known, and the means and widths of the answer.
"""

from typing import Final

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from redden.modelcard import ModelCard
from redden.modelinput import Inputs
from redden.photometric import context_places
from redden.posterior import PROBABILITIES, combinations
from redden.signature import CONTEXT, LEVELS, MEAN, OUTPUTS
from training.heads import fit_head, pinball_loss, standardised

POSTERIOR: Final = OUTPUTS["mixture"]
"""Outputs that the levels follow from, beside the context."""
STRONGEST: Final = 2.0
"""Logarithm of the largest factor on the gap between two levels, before all gaps add up to one."""
NARROWEST: Final = 1e-4
"""Least gap to start from, for few galaxies of equal ranks."""
LEARNING_RATE: Final = 3e-3
BATCH: Final = 1024


def fit_levels(card: ModelCard, inputs: Inputs, ranks: NDArray[np.float64], *, epochs: int, seed: int) -> keras.Model:
    """Learn the levels by quantile regression of the PIT (Koenker & Bassett 1978), from those of all galaxies together.

    Parameters
    ----------
    card : ModelCard
        Of a mixture; says the order of the targets.
    inputs : mapping of str to ndarray of float32
        ``context``, see `redden.photometric`, and the outputs of the network, of galaxies that it was not fitted to.
    ranks : ndarray of float, shape (galaxies, 4)
        Probability that the posterior gives to values below the truth, of each of `QUANTITIES`.
    epochs : int
        How often the fit sees each galaxy.
    seed : int
        Decides the order.

    Returns
    -------
    keras.Model
        From ``context``, ``logits``, ``mean`` and ``scale_tril`` to levels, shape (galaxies, 4, 5).
    """
    keras.utils.set_random_seed(seed)
    given = [keras.Input(inputs[name].shape[1:], name=name) for name in (CONTEXT, *POSTERIOR)]
    known = keras.Model(given, what_is_known(card, inputs[MEAN].mean(axis=(0, 1), dtype=np.float64), *given))
    seen = known.predict([inputs[tensor.name] for tensor in given], batch_size=BATCH, verbose=0)
    context = inputs[CONTEXT].shape[1]
    looked_at = np.arange(seen.shape[1]) >= context  # of the answer all, of the context some
    for place in context_places(context).values():
        looked_at[place] = True
    head = _head(seen, looked_at, _gaps(ranks))
    loss = pinball_loss(PROBABILITIES)
    fit_head(head, seen, ranks[..., None], loss, learning_rate=LEARNING_RATE, epochs=epochs, batch=BATCH)
    return keras.Model(given, head(known(given)), name="levels_of")


def with_levels(network: keras.Model, levels: keras.Model | None = None) -> keras.Model:
    """A network that answers levels, or that does not; all else stays.

    Parameters
    ----------
    network : keras.Model
        Of `training.networks.redden.build`, with or without levels, which are replaced.
    levels : keras.Model, optional
        Of `fit_levels`.

    Returns
    -------
    keras.Model
        With the same inputs and weights; it answers ``levels`` if there are some.
    """
    answer = {name: tensor for name, tensor in network.output.items() if name != LEVELS}
    context = next(tensor for tensor in network.inputs if tensor.name == CONTEXT)
    if levels is not None:
        answer[LEVELS] = levels([context, *(answer[name] for name in POSTERIOR)])
    return keras.Model(network.inputs, answer, name=network.name)


def what_is_known(
    card: ModelCard,
    usual: NDArray[np.float64],
    context: keras.KerasTensor,
    logits: keras.KerasTensor,
    mean: keras.KerasTensor,
    scale_tril: keras.KerasTensor,
) -> keras.KerasTensor:
    """What levels follow from: the context, and the mean and the log width of each quantity's marginal.

    Parameters
    ----------
    card : ModelCard
        Says the order of the targets.
    usual : ndarray of float, shape (targets,)
        Taken off the means.
    context, logits, mean, scale_tril : tensor
        See ``redden.signature``.

    Returns
    -------
    tensor, shape (galaxies, columns of the context + 8)
        Means and log widths are those of `redden.posterior.QUANTITIES`, in the coordinates of the posterior.
    """
    components, width = mean.shape[1:]
    combine = combinations(card).T
    quantities = combine.shape[1]
    # Products of flat matrices, which every runtime has and is fast at; columns are components, and in each quantities.
    # Some round what goes into a product to three digits, so means must be small beside the widths.
    each, every = np.eye(components), np.ones((components, 1))
    centre = _product(layers.Flatten()(mean - usual.astype(np.float32)), np.kron(each, combine))
    factor = np.einsum("iq,jk->ijkq", combine, np.eye(width)).reshape(width * width, width * quantities)
    square = ops.square(_product(layers.Flatten()(scale_tril), np.kron(each, factor)))
    within = _product(square, np.kron(each, np.kron(np.ones((width, 1)), np.eye(quantities))))
    weight = _product(ops.softmax(logits, axis=-1), np.kron(each, np.ones((1, quantities))))
    total = np.kron(every, np.eye(quantities))
    average = _product(weight * centre, total)
    variance = _product(weight * (within + ops.square(centre - _product(average, total.T))), total)
    return ops.concatenate([context, average, 0.5 * ops.log(variance)], axis=1)


def _product(tensor: keras.KerasTensor, matrix: NDArray[np.floating]) -> keras.KerasTensor:
    return ops.matmul(tensor, matrix.astype(np.float32))


def _gaps(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaps between the levels that are right for all galaxies together, from 0 to 1, shape (quantities, 6)."""
    levels = np.quantile(ranks, (0, *PROBABILITIES, 1), axis=0)
    levels[0], levels[-1] = 0, 1
    gaps = np.maximum(np.diff(levels, axis=0), NARROWEST)
    return np.asarray((gaps / gaps.sum(axis=0)).T)


def _head(seen: NDArray[np.float32], looked_at: NDArray[np.bool_], gaps: NDArray[np.float64]) -> keras.Model:
    """From what is known to levels; with these gaps before it is fitted."""
    known = keras.Input(looked_at.shape)
    x = layers.Dense(gaps.size, kernel_initializer="zeros")(standardised(known, seen, looked_at))
    x = layers.Reshape(gaps.shape)(STRONGEST * ops.tanh(x / STRONGEST))
    shares = ops.softmax(x + np.log(gaps).astype(np.float32), axis=-1)
    return keras.Model(known, ops.cumsum(shares, axis=-1)[..., :-1])
