"""A data set as a network sees it: normalised pixels, true quantities, and which galaxy each image shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from redden.modelcard import Target
from redden.normalise import normalisation
from redden.posterior import QUANTITIES
from training.dataset import DatasetCard, DatasetError, Part, Split, check_part, read, split_images
from training.simulate.scenes import NOISELESS


@dataclass(frozen=True, slots=True)
class Samples:
    """Images with their labels.

    Attributes
    ----------
    pixels : ndarray of float32, shape (images, 32, 32, bands)
        Normalised.
    truth : dict of str to ndarray of float64, shape (images,)
        True values of `redden.posterior.QUANTITIES`, and ``z``.
    galaxy : ndarray of int64, shape (images,)
        Galaxy that each image shows.
    """

    pixels: NDArray[np.float32]
    truth: dict[str, NDArray[np.float64]]
    galaxy: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.galaxy)

    @property
    def galaxies(self) -> int:
        """Number of different galaxies."""
        return len(np.unique(self.galaxy))

    def part(self, name: Part, seed: int, how: Split = "galaxies") -> Self:
        """The images of one part of the split.

        Raises
        ------
        DatasetError
            If there is none.
        """
        chosen = split_images(self.galaxy, seed, how) == name
        check_part(self.galaxy, chosen, name)
        return self.select(chosen)

    def select(self, images: NDArray[np.bool_] | NDArray[np.int64]) -> Self:
        """Some of the images, chosen by a mask or by their numbers."""
        truth = {quantity: values[images] for quantity, values in self.truth.items()}
        return type(self)(self.pixels[images], truth, self.galaxy[images])

    def labels(self, targets: Sequence[Target]) -> NDArray[np.float32]:
        """What a network is to answer, shape (images, targets): each quantity under its target's transform."""
        columns = [
            np.log(self.truth[target.name]) if target.transform == "log" else self.truth[target.name]
            for target in targets
        ]
        return np.stack(columns, axis=1).astype(np.float32)


def load(
    directory: Path, bands: Sequence[str], normalisation_name: str, *, with_dust_free: bool = False
) -> tuple[DatasetCard, Samples]:
    """Read a data set for a network.

    Images without dust (A_V or E(B-V) not positive) are left out, unless they are asked for: neither a percentage
    error nor a logarithm is defined there.

    Parameters
    ----------
    directory : Path
        Data set as `training.dataset.write` makes it.
    bands : sequence of str
        Bands in the order of the network's input.
    normalisation_name : str
        Name of a function in ``redden.normalise``.
    with_dust_free : bool
        Whether images without dust are read too; their R_V is NaN.

    Returns
    -------
    card : DatasetCard
        Its ``images`` count the images without dust too.
    samples : Samples

    Raises
    ------
    DatasetError
        If the data set cannot be read, has no noise yet, lacks a band, or has no image with dust.
    """
    if DatasetCard.read(directory).source.endswith(NOISELESS):
        raise DatasetError(f"{directory} is of noiseless scenes: run `redden-train observe-scenes` first.")
    card, rows = read(directory)
    missing = [band for band in bands if band not in card.bands]
    if missing:
        raise DatasetError(f"{directory} has no {', '.join(missing)}; it has {', '.join(card.bands)}.")
    dusty = (rows["a_v"] > 0) & (rows["e_bv"] > 0)
    if not dusty.any():
        raise DatasetError(f"{directory} has no image of a galaxy with dust: simulate more galaxies.")
    chosen = np.ones_like(dusty) if with_dust_free else dusty
    images = rows["images"][chosen][..., [card.bands.index(band) for band in bands]]
    truth: dict[str, NDArray[np.float64]] = {name: rows[name][chosen].astype(np.float64) for name in (*QUANTITIES, "z")}
    return card, Samples(normalisation(normalisation_name)(images), truth, rows["galaxy"][chosen])
