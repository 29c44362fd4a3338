"""From the outputs of a SavedModel to quantiles of A_V, E(B-V), R_V and log sSFR, vectorised over galaxies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from redden.errors import ModelCardError
from redden.mixture import mixture_cdf, mixture_quantiles
from redden.modelcard import PROBABILITIES, ModelCard, QuantityName
from redden.signature import LEVELS, LOGITS, MEAN, SCALE_TRIL

__all__ = ["PROBABILITIES", "QUANTITIES", "UNITS", "combinations", "exceedance", "quantiles"]

QUANTITIES: Final[tuple[QuantityName, ...]] = ("a_v", "e_bv", "r_v", "log_ssfr")
"""What is answered; R_V is derived."""

UNITS: Final[dict[str, str]] = {"a_v": "mag", "e_bv": "mag", "r_v": "1", "log_ssfr": "log10(1/yr)"}

_MEDIAN: Final = PROBABILITIES.index(0.5)
_LEAST_DEVIATION: Final = 1e-9


def quantiles(card: ModelCard, outputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float64]]:
    """Quantiles of every quantity for a batch of galaxies.

    A posterior has ln A_V and ln E(B-V) as coordinates, so ln R_V = ln A_V - ln E(B-V) is linear in them, and each
    quantity's own distribution is exactly a Gaussian, or a mixture of Gaussians, in its coordinate. A point estimate
    has only a median.

    Parameters
    ----------
    card : ModelCard
        Card of the model that answered. Its `interval_scale`, and the levels that the model answers if its card says
        so, are what calibration found.
    outputs : mapping of str to ndarray of float32
        Tensors named in ``redden.signature``.

    Returns
    -------
    dict of str to ndarray of float64, shape (galaxies, 5)
        For each of `QUANTITIES` the values at `PROBABILITIES`, in `UNITS`; NaN where the model gives no interval.

    Raises
    ------
    ModelCardError
        If the outputs are not those that the card promises: missing, of another shape, not finite, or levels that do
        not rise between 0 and 1.
    """
    if card.posterior == "point":
        return _points(card, outputs)
    mixture = _marginals(card, outputs, QUANTITIES)
    galaxies, components = mixture.weights.shape
    weights = np.repeat(mixture.weights, len(QUANTITIES), axis=0)
    levels = _levels(card, outputs, galaxies).reshape(-1, len(PROBABILITIES))
    centres, deviations = (part.reshape(-1, components) for part in (mixture.centres, mixture.deviations))
    values = mixture_quantiles(weights, centres, deviations, levels).reshape(galaxies, len(QUANTITIES), -1)
    return {
        name: np.exp(values[:, i]) if _is_logarithmic(card, name) else values[:, i] for i, name in enumerate(QUANTITIES)
    }


def exceedance(
    card: ModelCard,
    outputs: Mapping[str, NDArray[np.float32]],
    quantity: QuantityName,
    x: float | NDArray[np.float64],
) -> NDArray[np.float64]:
    """Probability that a quantity is above a value, with the same calibration as the quantiles.

    Between the calibrated levels the probability is interpolated, so that the value at the 84 % quantile is exceeded
    with a probability of 16 %.

    Parameters
    ----------
    card, outputs
        See `quantiles`, also for the errors.
    quantity : "a_v", "e_bv", "r_v" or "log_ssfr"
    x : float or ndarray, shape (galaxies,)
        The value, in `UNITS`.

    Returns
    -------
    ndarray of float64, shape (galaxies,)
        NaN from a model that gives point estimates only.
    """
    if card.posterior == "point":
        return np.full(len(_mean(card, outputs, axes=2)), np.nan)
    mixture = _marginals(card, outputs, (quantity,))
    value = np.broadcast_to(np.asarray(x, dtype=np.float64), len(mixture.weights))
    if _is_logarithmic(card, quantity):
        with np.errstate(divide="ignore"):
            value = np.log(np.maximum(value, 0))
    below = mixture_cdf(mixture.weights, mixture.centres[:, 0], mixture.deviations[:, 0], value)
    edges = _bounded(_levels(card, outputs, len(below))[:, QUANTITIES.index(quantity)])
    passed = np.clip((below[:, None] - edges[:, :-1]) / np.diff(edges), 0, 1)
    return np.asarray(1 - passed @ np.diff((0, *PROBABILITIES, 1)))


def combinations(card: ModelCard, names: tuple[QuantityName, ...] = QUANTITIES) -> NDArray[np.float64]:
    """The coordinates of quantities as combinations of those of a posterior.

    Parameters
    ----------
    card : ModelCard
        Of a model with a posterior, in which ln R_V is ln A_V - ln E(B-V).
    names : tuple of QuantityName
        Which quantities.

    Returns
    -------
    ndarray, shape (quantities, targets)
        In the order of `names` and of the card's targets.
    """
    axes = np.eye(len(card.targets))
    along: dict[QuantityName, NDArray[np.float64]] = {target.name: axes[i] for i, target in enumerate(card.targets)}
    along["r_v"] = along["a_v"] - along["e_bv"]
    return np.stack([along[name] for name in names])


@dataclass(frozen=True, slots=True)
class _Marginals:
    """Mixtures of Gaussians of several quantities; a Gaussian is a mixture of one."""

    weights: NDArray[np.float64]
    """Shape (galaxies, components)."""
    centres: NDArray[np.float64]
    """Shape (galaxies, quantities, components), as are `deviations`."""
    deviations: NDArray[np.float64]


def _marginals(
    card: ModelCard, outputs: Mapping[str, NDArray[np.float32]], names: tuple[QuantityName, ...]
) -> _Marginals:
    width = len(card.targets)
    if card.posterior == "gaussian":
        mean = _mean(card, outputs, axes=2)[:, None]
        scale_tril = _output(card, outputs, SCALE_TRIL, (len(mean), width, width))[:, None]
        weights = np.ones((len(mean), 1))
    else:
        mean = _mean(card, outputs, axes=3)
        scale_tril = _output(card, outputs, SCALE_TRIL, (*mean.shape, width))
        logits = _output(card, outputs, LOGITS, mean.shape[:2])
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
    along = combinations(card, names)
    widening = np.array([card.interval_scale.get(target.name, 1.0) for target in card.targets])
    # The combination c of a Gaussian with covariance L L^T has variance |c^T L|^2.
    factors = np.matmul(along * widening, scale_tril)
    deviations = np.maximum(np.sqrt(np.square(factors).sum(axis=-1)), _LEAST_DEVIATION)
    return _Marginals(weights, along @ mean.swapaxes(1, 2), deviations.swapaxes(1, 2))


def _levels(card: ModelCard, outputs: Mapping[str, NDArray[np.float32]], galaxies: int) -> NDArray[np.float64]:
    """At which probabilities of the posterior quantiles are taken, shape (galaxies, quantities, 5)."""
    shape = (galaxies, len(QUANTITIES), len(PROBABILITIES))
    if not card.levels:
        return np.broadcast_to(PROBABILITIES, shape)
    if LEVELS in outputs and outputs[LEVELS].shape != shape:
        raise ModelCardError(
            f"model {card.name} answered levels of shape {outputs[LEVELS].shape}, not {shape}. Export it again."
        )
    levels = _output(card, outputs, LEVELS, shape)
    if not (np.diff(_bounded(levels)) > 0).all():
        raise ModelCardError(f"model {card.name} answered levels that do not rise between 0 and 1. Export it again.")
    return levels


def _bounded(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Levels with 0 before and 1 after them, shape (..., 7)."""
    return np.concatenate([np.zeros_like(levels[..., :1]), levels, np.ones_like(levels[..., :1])], axis=-1)


def _is_logarithmic(card: ModelCard, name: QuantityName) -> bool:
    """Whether the coordinate of a quantity is its logarithm; that of R_V is, where it has a distribution."""
    return name == "r_v" or any(target.name == name and target.transform == "log" for target in card.targets)


def _mean(card: ModelCard, outputs: Mapping[str, NDArray[np.float32]], axes: int) -> NDArray[np.float64]:
    """The output ``mean``, whose first axis is galaxies and whose last is targets."""
    found = outputs[MEAN].shape if MEAN in outputs else ()
    free = found[: axes - 1] if len(found) == axes else (0,) * (axes - 1)
    return _output(card, outputs, MEAN, (*free, len(card.targets)))


def _output(
    card: ModelCard, outputs: Mapping[str, NDArray[np.float32]], name: str, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    if name not in outputs:
        raise ModelCardError(
            f"model {card.name} answered {', '.join(outputs) or 'nothing'}; its card, with a {card.posterior} "
            f"posterior, promises {name}. Correct the card, or export the model again."
        )
    values = np.asarray(outputs[name], dtype=np.float64)
    if values.shape != shape:
        raise ModelCardError(
            f"model {card.name} answered {name} of shape {values.shape}; that is no {card.posterior} posterior of the "
            f"{len(card.targets)} targets of its card. Correct the card, or export the model again."
        )
    if not np.isfinite(values).all():
        raise ModelCardError(f"model {card.name} answered {name} with numbers that are not finite. Export it again.")
    return values


def _points(card: ModelCard, outputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float64]]:
    mean = _mean(card, outputs, axes=2)
    points = {
        target.name: np.exp(mean[:, i]) if target.transform == "log" else mean[:, i]
        for i, target in enumerate(card.targets)
    }
    answer: dict[str, NDArray[np.float64]] = {
        name: np.full((len(mean), len(PROBABILITIES)), np.nan) for name in QUANTITIES
    }
    for name, values in points.items():
        answer[name][:, _MEDIAN] = values
    # As in the paper; undefined where E(B-V) is not positive.
    np.divide(points["a_v"], points["e_bv"], out=answer["r_v"][:, _MEDIAN], where=points["e_bv"] > 0)
    return answer
