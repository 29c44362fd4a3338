"""How good estimates are: the columns of Fu et al. (2024), Table 2, and what tells skill from a narrow label range."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from redden.posterior import PROBABILITIES

BOOTSTRAPS: Final = 200
"""Resamplings of the galaxies from which the errors of the figures come."""


class Figure(BaseModel):
    """A figure of merit with its bootstrap error."""

    model_config = ConfigDict(frozen=True)

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class Estimates:
    """Truth and answer of one quantity, one row per image.

    Attributes
    ----------
    truth : ndarray of float64, shape (images,)
    quantiles : ndarray of float64, shape (images, 5)
        At `redden.posterior.PROBABILITIES`; NaN where the model gives no interval.
    galaxy : ndarray of int64, shape (images,)
        Images of one galaxy are not independent: they are resampled together.
    baseline : float
        The training median, which an estimate must beat.
    """

    truth: NDArray[np.float64]
    quantiles: NDArray[np.float64]
    galaxy: NDArray[np.int64]
    baseline: float


def figures(estimates: Estimates, *, seed: int) -> dict[str, Figure]:
    """Figures of merit of one quantity; the error is the standard deviation over resamplings of the galaxies.

    Images without an estimate (R_V where E(B-V) <= 0) are left out and counted in ``undefined``.

    Parameters
    ----------
    estimates : Estimates
    seed : int
        Of the resampling.

    Returns
    -------
    dict of str to Figure
        ``mae``, ``mse``, ``sigma`` (standard deviation of the error) and ``s2`` (unbiased sample variance of the
        error), after the paper's Table 2; ``bias``; ``spread`` (standard deviation of the labels); ``median_mae``
        (MAE of always saying the training median); ``r2``; ``skill`` (1 - mae / median_mae); ``undefined`` (fraction);
        and, if the model gives intervals, ``coverage_68`` and ``coverage_95``.
    """
    median = estimates.quantiles[:, PROBABILITIES.index(0.5)]
    defined = np.isfinite(median)
    undefined = {"undefined": Figure(value=float(1 - defined.mean()), error=0.0)}
    if not defined.any():
        return undefined
    truth, median, quantiles = estimates.truth[defined], median[defined], estimates.quantiles[defined]
    columns = _columns(truth, median, quantiles, estimates.baseline)
    value = _from_columns(columns)
    rng = np.random.default_rng(seed)
    _, member = np.unique(estimates.galaxy[defined], return_inverse=True)
    galaxies = int(member.max()) + 1
    draws = []
    for _ in range(BOOTSTRAPS):
        weight = np.bincount(rng.integers(galaxies, size=galaxies), minlength=galaxies)[member]
        draws.append(_from_columns({name: np.repeat(column, weight) for name, column in columns.items()}))
    result = {name: Figure(value=value[name], error=float(np.std([draw[name] for draw in draws]))) for name in value}
    return result | undefined


def _columns(
    truth: NDArray[np.float64], median: NDArray[np.float64], quantiles: NDArray[np.float64], baseline: float
) -> dict[str, NDArray[np.float64]]:
    columns = {"truth": truth, "error": median - truth, "baseline": np.abs(baseline - truth)}
    if np.isfinite(quantiles).all():
        low_95, low_68, _, high_68, high_95 = quantiles.T
        columns["in_68"] = ((low_68 <= truth) & (truth <= high_68)).astype(np.float64)
        columns["in_95"] = ((low_95 <= truth) & (truth <= high_95)).astype(np.float64)
    return columns


def _from_columns(columns: dict[str, NDArray[np.float64]]) -> dict[str, float]:
    error, truth = columns["error"], columns["truth"]
    mae, mse, median_mae = np.abs(error).mean(), np.square(error).mean(), columns["baseline"].mean()
    values = {
        "mae": mae,
        "mse": mse,
        "sigma": error.std(),
        "s2": error.var(ddof=1),
        "bias": error.mean(),
        "spread": truth.std(),
        "median_mae": median_mae,
        "r2": 1 - mse / truth.var(),
        "skill": 1 - mae / median_mae,
    }
    if "in_68" in columns:
        values |= {"coverage_68": columns["in_68"].mean(), "coverage_95": columns["in_95"].mean()}
    return {name: float(figure) for name, figure in values.items()}
