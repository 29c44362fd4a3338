"""One-dimensional mixtures of Gaussians, vectorised: their distribution function and its inverse."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Array = NDArray[np.float64]

_TOLERANCE: Final = 1e-6
"""Step of the bisection, in standard deviations of the mixture, at which a quantile has been found."""
_LAST_NEWTON_STEP: Final = 1e-3
"""The same for Newton's method, in deviations of the narrowest component: what is left is about its square."""
_MAX_STEPS: Final = 200
_CHUNK: Final = 8192
"""Quantiles solved at once, so that they stay in the processor's cache."""


def mixture_cdf(weights: Array, centres: Array, deviations: Array, x: Array) -> Array:
    """Probability that a draw is at most `x`.

    Parameters
    ----------
    weights, centres, deviations : ndarray, shape (..., components)
        The mixtures; weights add up to one, deviations are positive.
    x : ndarray, shape (...)
        A value for each mixture.

    Returns
    -------
    ndarray, shape (...)
    """
    return np.asarray((weights * ndtr((x[..., None] - centres) / deviations)).sum(axis=-1))


def mixture_quantiles(weights: Array, centres: Array, deviations: Array, probabilities: Array) -> Array:
    """Values that a draw stays below with these probabilities.

    Newton's method on the normal score of the distribution function, which is a straight line for one component, and
    bisection wherever that does not at least halve its steps (Press et al., Numerical Recipes, section 9.4).

    Parameters
    ----------
    weights, centres, deviations : ndarray, shape (mixtures, components)
        The mixtures; weights add up to one, deviations are positive.
    probabilities : ndarray, shape (mixtures, quantiles)
        Between 0 and 1, both excluded.

    Returns
    -------
    ndarray, shape (mixtures, quantiles)
        Exact to about 1e-6 standard deviations.
    """
    scores = ndtri(probabilities)
    if centres.shape[-1] == 1:
        return np.asarray(centres + deviations * scores)
    count = probabilities.shape[-1]
    # Components first, so that sums over them run through whole rows.
    rows = [np.ascontiguousarray(part.T) for part in (weights, centres, deviations)]
    found = np.empty(probabilities.shape)
    size = max(1, _CHUNK // count)
    for start in range(0, len(found), size):
        part = slice(start, start + size)
        w, c, d = (np.repeat(row[:, part], count, axis=1) for row in rows)
        found[part] = _solve(w, c, d, scores[part].ravel()).reshape(-1, count)
    return found


@np.errstate(divide="ignore", invalid="ignore", over="ignore")  # where the density vanishes, bisection goes on
def _solve(weights: Array, centres: Array, deviations: Array, scores: Array) -> Array:
    """Values of these normal scores; mixtures have the shape (components, problems)."""
    mean = (weights * centres).sum(axis=0)
    spread = np.sqrt((weights * (deviations**2 + (centres - mean) ** 2)).sum(axis=0))
    narrowest = deviations.min(axis=0)
    # A quantile of the mixture lies between those of its components.
    ends = centres + deviations * scores
    low, high = ends.min(axis=0), ends.max(axis=0)
    x = np.clip(mean + spread * scores, low, high)
    last = high - low
    found: Array = np.empty_like(x)
    left = np.arange(len(x))
    for _ in range(_MAX_STEPS):
        newton, above = _newton_step(weights, centres, deviations, scores, x)
        low, high = np.where(above, low, x), np.where(above, x, high)
        good = (x + newton > low) & (x + newton < high) & (2 * np.abs(newton) < last)
        step = np.where(good, newton, (low + high) / 2 - x)
        x = x + step
        open_ = np.abs(step) > np.where(good, _LAST_NEWTON_STEP * narrowest, _TOLERANCE * spread)
        found[left[~open_]] = x[~open_]
        if not open_.any():
            return found
        left, x, low, high, last = left[open_], x[open_], low[open_], high[open_], np.abs(step)[open_]
        scores, spread, narrowest = scores[open_], spread[open_], narrowest[open_]
        weights, centres, deviations = weights[:, open_], centres[:, open_], deviations[:, open_]
    found[left] = x
    return found


def _newton_step(
    weights: Array, centres: Array, deviations: Array, scores: Array, x: Array
) -> tuple[Array, NDArray[np.bool_]]:
    """Step toward the wanted score, and whether x is already above it."""
    z = (x - centres) / deviations
    # With phi(z) = exp(-z^2 / 2) the factors sqrt(2 pi) of density and score cancel.
    score = ndtri((weights * ndtr(z)).sum(axis=0))
    density = (weights / deviations * np.exp(-0.5 * z * z)).sum(axis=0)
    return (scores - score) * np.exp(-0.5 * score * score) / density, score > scores
