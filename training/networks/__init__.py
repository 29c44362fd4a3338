"""The models that redden trains, each by its name with everything that defines it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from redden.modelcard import Target
from training.augment import TurnedBatches
from training.dataset import Split
from training.networks import gaussian, paper
from training.networks.network import Network, Part
from training.paper.augment import Augmentation

__all__ = ["RECIPES", "Build", "Network", "Part", "Recipe"]


class Build(Protocol):
    """From bands, target names and training labels to a compiled `Network`."""

    def __call__(self, bands: Sequence[str], targets: Sequence[str], labels: NDArray[np.float32]) -> Network: ...


class Batches(Protocol):
    """From training images and labels to shuffled batches."""

    def __call__(
        self, pixels: NDArray[np.float32], labels: NDArray[np.float32], *, batch_size: int, seed: int
    ) -> keras.utils.PyDataset | tf.data.Dataset: ...


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
    build : Build
        Makes the network.
    loss, augmentation : str
        Name of the loss, and what `batches` does, for the card.
    batch_size, patience, epochs : int
        Images per step; epochs without a better validation loss before the fit stops; most epochs.
    batches : Batches
        Augments the training images.
    split : Split
        How images are shared out between training, validation and test.
    """

    description: str
    bands: tuple[str, ...]
    normalisation: str
    targets: tuple[Target, ...]
    posterior: Literal["point", "gaussian"]
    build: Build
    loss: str
    batch_size: int
    patience: int
    epochs: int
    batches: Batches = TurnedBatches
    augmentation: str = "flips and quarter turns"
    split: Split = "galaxies"


_POINTS: Final = (Target(name="a_v"), Target(name="e_bv"), Target(name="log_ssfr"))
_LOGARITHMS: Final = (
    Target(name="a_v", transform="log"),
    Target(name="e_bv", transform="log"),
    Target(name="log_ssfr"),
)


def _paper(description: str, bands: tuple[str, ...]) -> Recipe:
    """The paper's procedure for a set of bands."""
    return Recipe(
        description=description,
        bands=bands,
        normalisation="each-band",
        targets=_POINTS,
        posterior="point",
        build=paper.build,
        loss="mean absolute percentage error",
        batch_size=paper.DEFAULT.batch_size,
        patience=5,
        epochs=60,
        batches=Augmentation().batches,
        augmentation="turned, mirrored, noisier and HOG copies, up to 3.8 times as many images, "
        "labels as even as copies make them",
        split="galaxies-85-15",
    )


RECIPES: Final[dict[str, Recipe]] = {
    "paper-1band": _paper(
        "The one-band network of Fu et al. (2024): point estimates from the shape in F277W, kept for comparison.",
        ("F277W",),
    ),
    "paper-3band": _paper(
        "The three-band network of Fu et al. (2024): point estimates from the shapes in three bands, kept for "
        "comparison.",
        ("F277W", "F356W", "F444W"),
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
