"""Whether posteriors hold what they promise: coverage, PIT, and TARP of the joint posterior."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.special import log_softmax

from redden.modelcard import ModelCard, QuantityName
from redden.posterior import QUANTITIES, exceedance
from redden.signature import LOGITS, MEAN, SCALE_TRIL
from training.metrics import Figure

Array = NDArray[np.float64]
Outputs = Mapping[str, NDArray[np.float32]]

CREDIBILITIES: Final = tuple(np.linspace(0, 1, 41).round(4).tolist())
"""Where coverage curves are given."""

_DRAWN_AT_ONCE: Final = 8192
"""Images whose samples are in memory at once."""


class Coverage(BaseModel):
    """Share of truths in the 68 % and 95 % intervals; errors let the hits of one galaxy depend on each other."""

    model_config = ConfigDict(frozen=True)

    images: int
    galaxies: int
    held_68: Figure
    held_95: Figure
    width_68: float
    """Median width of the 68 % intervals, in the unit of the quantity."""


class Curve(BaseModel):
    """Share of the truths within the regions of each of `CREDIBILITIES`, and its standard error by galaxy."""

    model_config = ConfigDict(frozen=True)

    held: tuple[float, ...]
    error: tuple[float, ...]


def coverage(truth: Array, quantiles: Array, galaxy: NDArray[np.int64]) -> Coverage:
    """Coverage of the intervals of one quantity.

    Parameters
    ----------
    truth : ndarray, shape (images,)
    quantiles : ndarray, shape (images, 5)
        At `redden.posterior.PROBABILITIES`.
    galaxy : ndarray of int, shape (images,)
        Images of one galaxy are not independent: their hits are counted as one draw.
    """
    low_95, low_68, _, high_68, high_95 = quantiles.T
    return Coverage(
        images=len(truth),
        galaxies=len(np.unique(galaxy)),
        held_68=_share((low_68 <= truth) & (truth <= high_68), galaxy),
        held_95=_share((low_95 <= truth) & (truth <= high_95), galaxy),
        width_68=float(np.median(high_68 - low_68)),
    )


def coverage_in_bins(
    truth: Array, quantiles: Array, galaxy: NDArray[np.int64], values: Array, edges: Sequence[float]
) -> dict[str, Coverage]:
    """Coverage in bins of another quantity; a bin without an image is left out.

    Parameters
    ----------
    truth, quantiles, galaxy
        See `coverage`.
    values : ndarray, shape (images,)
        What is binned.
    edges : sequence of float
        Edges of the bins, low included, high excluded; may be infinite.

    Returns
    -------
    dict of str to Coverage
        By a name such as ``5-8`` or ``>= 20``.
    """
    bins = {_bin_name(low, high): (values >= low) & (values < high) for low, high in pairwise(edges)}
    return {
        name: coverage(truth[inside], quantiles[inside], galaxy[inside])
        for name, inside in bins.items()
        if inside.any()
    }


def pit(card: ModelCard, outputs: Outputs, truth: Mapping[str, Array]) -> dict[QuantityName, Array]:
    """Probability integral transform: the posterior's probability of a value below the truth, for each quantity.

    Uniform between 0 and 1 if the posteriors are calibrated. Levels that the card promises are part of the posterior.

    Parameters
    ----------
    card : ModelCard
        Card of a model with a posterior.
    outputs : mapping of str to ndarray of float32
        What the model answered, see ``redden.signature``.
    truth : mapping of str to ndarray, shape (images,)

    Returns
    -------
    dict of str to ndarray, shape (images,)
    """
    return {name: 1 - exceedance(card, outputs, name, truth[name]) for name in QUANTITIES}


def coverage_curve(values: Array, galaxy: NDArray[np.int64]) -> Curve:
    """Coverage of all central intervals of one quantity, from its PIT."""
    distance = 2 * np.abs(values - 0.5)
    return _curve(distance, galaxy)


def tarp(outputs: Outputs, truth: Array, galaxy: NDArray[np.int64], *, draws: int, seed: int) -> Curve:
    """Expected coverage of a joint posterior by TARP (Lemos et al. 2023, arXiv:2302.03026).

    A random point is drawn for each image. The samples closer to it than the truth is make a credible region with the
    truth on its edge; the share of samples in it is uniform if the posterior is right. All coordinates are divided by
    the standard deviation of the truths first.

    Parameters
    ----------
    outputs : mapping of str to ndarray of float32
        What the model answered, see ``redden.signature``.
    truth : ndarray, shape (images, coordinates)
    galaxy : ndarray of int, shape (images,)
    draws : int
        Samples of each posterior.
    seed : int
        Of the random points and the samples.

    Returns
    -------
    Curve
    """
    rng = np.random.default_rng(seed)
    scale = truth.std(axis=0)
    point = rng.uniform(truth.min(axis=0), truth.max(axis=0), truth.shape)
    to_truth = np.linalg.norm((truth - point) / scale, axis=-1)
    credibility = np.empty(len(truth))
    for start in range(0, len(truth), _DRAWN_AT_ONCE):
        part = slice(start, start + _DRAWN_AT_ONCE)
        samples = draw({name: values[part] for name, values in outputs.items()}, draws, rng)
        to_samples = np.linalg.norm((samples - point[part, None]) / scale, axis=-1)
        credibility[part] = (to_samples < to_truth[part, None]).mean(axis=1)
    return _curve(credibility, galaxy)


def draw(outputs: Outputs, draws: int, rng: np.random.Generator) -> Array:
    """Samples of a Gaussian or mixture posterior in its own coordinates, shape (images, draws, targets)."""
    log_weight, mean, scale_tril = components(outputs)
    # The greatest of logarithms with Gumbel noise is a draw by the weights.
    noise = rng.gumbel(size=(len(mean), draws, log_weight.shape[1]))
    component = np.argmax(log_weight[:, None] + noise, axis=-1)
    row = np.arange(len(mean))[:, None]
    normal = rng.normal(size=(*component.shape, mean.shape[-1], 1))
    return np.asarray(mean[row, component] + (scale_tril[row, component] @ normal)[..., 0])


def components(outputs: Outputs) -> tuple[Array, Array, Array]:
    """Logarithms of the weights, means and Cholesky factors of a posterior's Gaussians.

    Returns
    -------
    log_weight : ndarray, shape (images, components)
    mean : ndarray, shape (images, components, targets)
    scale_tril : ndarray, shape (images, components, targets, targets)
    """
    mean, scale_tril = (outputs[name].astype(np.float64) for name in (MEAN, SCALE_TRIL))
    if LOGITS not in outputs:
        mean, scale_tril = mean[:, None], scale_tril[:, None]
    logits = outputs.get(LOGITS, np.zeros(mean.shape[:2], np.float32)).astype(np.float64)
    return log_softmax(logits, axis=1), mean, scale_tril


def coordinates(card: ModelCard, truth: Mapping[str, Array]) -> Array:
    """True values in the coordinates of a model's posterior, shape (images, targets)."""
    columns = [np.log(truth[t.name]) if t.transform == "log" else truth[t.name] for t in card.targets]
    return np.stack(columns, axis=1)


def _curve(credibility: Array, galaxy: NDArray[np.int64]) -> Curve:
    """Empirical distribution function of the credibility of the truth's region."""
    shares = [_share(credibility <= level, galaxy) for level in CREDIBILITIES]
    return Curve(held=tuple(share.value for share in shares), error=tuple(share.error for share in shares))


def _share(hit: NDArray[np.bool_], galaxy: NDArray[np.int64]) -> Figure:
    """Share of hits; the error lets the hits of one galaxy depend on each other, and is binomial if each has one."""
    share = float(hit.mean())
    _, member = np.unique(galaxy, return_inverse=True)
    by_galaxy = np.bincount(member, weights=hit - share)
    return Figure(value=share, error=float(np.sqrt(np.square(by_galaxy).sum()) / len(hit)))


def _bin_name(low: float, high: float) -> str:
    if np.isinf(low):
        return f"< {high:g}"
    return f">= {low:g}" if np.isinf(high) else f"{low:g}-{high:g}"
