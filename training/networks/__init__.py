"""The models that redden trains, each by its name with everything that defines it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from redden.modelcard import Target
from training.networks import gaussian, paper
from training.networks.network import Network, Part

__all__ = ["RECIPES", "Network", "Part", "Recipe"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is made. Layer sizes and learning rate stand in the module of its network.

    Attributes
    ----------
    description : str
        What the model is, for its card.
    bands : tuple of str
        Bands in the order of the input's last axis.
    normalisation : str
        Name of a function in ``redden.normalise``.
    targets : tuple of Target
        Label columns and their transforms.
    posterior : str
        Kind of the outputs, see ``redden.signature``.
    build : callable
        From bands, target names and training labels to a compiled `Network`.
    loss : str
        Name of the loss, for the card.
    batch_size, patience, epochs : int
        Images per step; epochs without a better validation loss before the fit stops; most epochs.
    """

    description: str
    bands: tuple[str, ...]
    normalisation: str
    targets: tuple[Target, ...]
    posterior: Literal["point", "gaussian"]
    build: Callable[[Sequence[str], Sequence[str], NDArray[np.float32]], Network]
    loss: str
    batch_size: int
    patience: int
    epochs: int


_POINTS: Final = (Target(name="a_v"), Target(name="e_bv"), Target(name="log_ssfr"))
_LOGARITHMS: Final = (
    Target(name="a_v", transform="log"),
    Target(name="e_bv", transform="log"),
    Target(name="log_ssfr"),
)

RECIPES: Final[dict[str, Recipe]] = {
    "paper-1band": Recipe(
        description="The one-band network of Fu et al. (2024): point estimates from the shape in F277W, kept for "
        "comparison. On mock galaxies it is worse than always saying the median; use gaussian-3band.",
        bands=("F277W",),
        normalisation="each-band",
        targets=_POINTS,
        posterior="point",
        build=paper.build,
        loss="mean absolute percentage error",
        batch_size=64,
        patience=5,
        epochs=60,
    ),
    "paper-3band": Recipe(
        description="The three-band network of Fu et al. (2024): point estimates from the shapes in three bands, "
        "kept for comparison. On mock galaxies it is worse than always saying the median; use gaussian-3band.",
        bands=("F277W", "F356W", "F444W"),
        normalisation="each-band",
        targets=_POINTS,
        posterior="point",
        build=paper.build,
        loss="mean absolute percentage error",
        batch_size=64,
        patience=5,
        epochs=60,
    ),
    "gaussian-3band": Recipe(
        description="The paper's layout with colours kept: a Gaussian posterior over ln A_V, ln E(B-V) and log sSFR.",
        bands=("F277W", "F356W", "F444W"),
        normalisation="joint",
        targets=_LOGARITHMS,
        posterior="gaussian",
        build=gaussian.build,
        loss="Gaussian negative log likelihood, full covariance",
        batch_size=64,
        patience=8,
        epochs=100,
    ),
}
"""Recipes by the name of the model."""
