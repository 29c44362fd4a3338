"""From the outputs of a SavedModel to quantiles of A_V, E(B-V), R_V and log sSFR, vectorised over galaxies."""

from collections.abc import Mapping
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from redden.errors import ModelCardError
from redden.modelcard import ModelCard
from redden.signature import MEAN, SCALE_TRIL

PROBABILITIES: Final = (0.025, 0.16, 0.5, 0.84, 0.975)
"""The 95 % interval, the 68 % interval and the median."""

QUANTITIES: Final = ("a_v", "e_bv", "r_v", "log_ssfr")
"""What is answered; R_V is derived."""

UNITS: Final = {"a_v": "mag", "e_bv": "mag", "r_v": "1", "log_ssfr": "log10(1/yr)"}

_DEVIATIONS: Final = np.array([NormalDist().inv_cdf(p) for p in PROBABILITIES])


def quantiles(card: ModelCard, outputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float64]]:
    """Quantiles of every quantity for a batch of galaxies.

    A Gaussian posterior has ln A_V and ln E(B-V) as coordinates, so ln R_V = ln A_V - ln E(B-V) is Gaussian too and
    its quantiles follow exactly from the joint covariance. A point estimate has only a median.

    Parameters
    ----------
    card : ModelCard
        Card of the model that answered.
    outputs : mapping of str to ndarray of float32
        Tensors named in ``redden.signature``: ``mean`` (galaxies, targets) and, for a Gaussian posterior,
        ``scale_tril`` (galaxies, targets, targets).

    Returns
    -------
    dict of str to ndarray of float64, shape (galaxies, 5)
        For each of `QUANTITIES` the values at `PROBABILITIES`, in `UNITS`; NaN where the model gives no interval.

    Raises
    ------
    ModelCardError
        If the outputs are not those that the card promises: missing, of another shape, or not finite.
    """
    width = len(card.targets)
    mean = _output(card, outputs, MEAN)
    if mean.ndim != 2 or mean.shape[1] != width:
        raise ModelCardError(f"model {card.name} answered {MEAN} of shape {mean.shape}; its card has {width} targets.")
    scale_tril = _scale_tril(card, outputs, len(mean))
    combination: dict[str, NDArray[np.float64]] = {t.name: np.eye(width)[i] for i, t in enumerate(card.targets)}
    logarithmic: dict[str, bool] = {target.name: target.transform == "log" for target in card.targets}
    answer = {
        name: _marginal(mean, scale_tril, combination[name], exponential=logarithmic[name]) for name in combination
    }
    if logarithmic["a_v"] and logarithmic["e_bv"]:
        answer["r_v"] = _marginal(mean, scale_tril, combination["a_v"] - combination["e_bv"], exponential=True)
    else:
        answer["r_v"] = _ratio_of_points(answer["a_v"], answer["e_bv"])
    return {name: answer[name] for name in QUANTITIES}


def _output(card: ModelCard, outputs: Mapping[str, NDArray[np.float32]], name: str) -> NDArray[np.float64]:
    if name not in outputs:
        raise ModelCardError(
            f"model {card.name} answered {', '.join(outputs) or 'nothing'}; its card, with a {card.posterior} "
            f"posterior, promises {name}. Correct the card, or export the model again."
        )
    values = np.asarray(outputs[name], dtype=np.float64)
    if not np.isfinite(values).all():
        raise ModelCardError(f"model {card.name} answered {name} with numbers that are not finite. Export it again.")
    return values


def _scale_tril(
    card: ModelCard, outputs: Mapping[str, NDArray[np.float32]], galaxies: int
) -> NDArray[np.float64] | None:
    if card.posterior == "point":
        return None
    width = len(card.targets)
    scale_tril = _output(card, outputs, SCALE_TRIL)
    if scale_tril.shape != (galaxies, width, width):
        raise ModelCardError(
            f"model {card.name} answered {SCALE_TRIL} of shape {scale_tril.shape}; its card has {width} targets."
        )
    widening = np.array([card.interval_scale.get(target.name, 1.0) for target in card.targets])
    return widening[:, None] * scale_tril


def _marginal(
    mean: NDArray[np.float64],
    scale_tril: NDArray[np.float64] | None,
    combination: NDArray[np.float64],
    *,
    exponential: bool,
) -> NDArray[np.float64]:
    """Quantiles of a linear combination of the coordinates, shape (galaxies, 5)."""
    centre = mean @ combination
    if scale_tril is None:
        values = np.full((len(mean), len(PROBABILITIES)), np.nan)
        values[:, PROBABILITIES.index(0.5)] = centre
    else:
        # The combination c of a Gaussian with covariance L L^T has variance |c^T L|^2.
        deviation = np.linalg.norm(combination @ scale_tril, axis=-1)
        values = centre[:, None] + deviation[:, None] * _DEVIATIONS
    return np.exp(values) if exponential else values


def _ratio_of_points(a_v: NDArray[np.float64], e_bv: NDArray[np.float64]) -> NDArray[np.float64]:
    """R_V of two point estimates, as in the paper; NaN where E(B-V) is not positive."""
    return np.divide(a_v, e_bv, out=np.full_like(a_v, np.nan), where=e_bv > 0)
