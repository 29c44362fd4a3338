"""Whether a cutout is like the galaxies that a model was trained on, told from the model's own domain score."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from redden.errors import ModelCardError
from redden.modelcard import ModelCard
from redden.signature import DOMAIN

OUT_OF_DOMAIN: Final = "out_of_domain"
"""Code of the flag of what is not like the training galaxies."""
REDSHIFT_OUTSIDE: Final = "redshift_outside"
"""Code of the flag of a redshift that is not among those of the training galaxies, see `redshift_outside`."""


def domain_scores(card: ModelCard, outputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64] | None:
    """Domain score of each galaxy of a batch: the larger, the stranger.

    Parameters
    ----------
    card : ModelCard
        Card of the model that answered.
    outputs : mapping of str to ndarray of float32
        Tensors named in ``redden.signature``.

    Returns
    -------
    ndarray of float64, shape (galaxies,), or None
        None if the model gives no score.

    Raises
    ------
    ModelCardError
        If the card promises a score and there is none, or none that is finite.
    """
    if card.domain is None:
        return None
    scores = np.asarray(outputs.get(DOMAIN, np.nan), dtype=np.float64)
    if scores.ndim != 1 or not np.isfinite(scores).all():
        raise ModelCardError(
            f"model {card.name} answered no finite {DOMAIN} score for each galaxy, as its card promises. "
            "Correct the card, or export the model again."
        )
    return scores


def in_domain(card: ModelCard, scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether galaxies of these scores are like the training galaxies, of which 1 % would be called strange.

    Parameters
    ----------
    card : ModelCard
        Has `domain`.
    scores : ndarray of float64, shape (galaxies,)
        See `domain_scores`.

    Returns
    -------
    ndarray of bool, shape (galaxies,)
    """
    if card.domain is None:
        raise ModelCardError(f"model {card.name} has no domain score.")
    return np.asarray(scores <= card.domain.threshold)


def redshift_outside(card: ModelCard, redshift: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether redshifts are outside of the range of the training galaxies by more than two standard errors.

    Parameters
    ----------
    card : ModelCard
        The model; of one that does not tell its range, none is outside.
    redshift : ndarray of float64, shape (galaxies, 2)
        Redshift and its standard error; NaN, which is not outside, where unknown.

    Returns
    -------
    ndarray of bool, shape (galaxies,)
    """
    low, high = card.redshift_range or (-np.inf, np.inf)
    value, error = redshift.T
    return np.asarray((value + 2 * error < low) | (value - 2 * error > high))


def warning(card: ModelCard, score: float) -> str | None:
    """What a user should know of a galaxy of this score; None if it is like the training galaxies."""
    if card.domain is None or score <= card.domain.threshold:
        return None
    return (
        f"The cutout is not like the galaxies that {card.name} was trained on: its domain score is {score:.3g}, and "
        f"only 1 % of them are above {card.domain.threshold:.3g}. It may be a star, a galaxy at another redshift, an "
        "artefact, or have pixels of another scale. Look at the image before using the numbers."
    )
