"""A data set of noiseless scenes in memory, and which of its galaxies are for what."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from redden.posterior import QUANTITIES
from training.dataset import DatasetCard, DatasetError, Part, check_part, read_shards, split
from training.simulate.scenes import APERTURE, NOISELESS


@dataclass(frozen=True, slots=True)
class SceneSet:
    """Scenes and what is true of them, one row per view of a galaxy.

    Attributes
    ----------
    bands : tuple of str
        Bands of the last axis of `images`.
    images : ndarray of float16, shape (scenes, 32, 32, bands)
        Noiseless, in nJy per pixel. Half precision is off by 0.05 % at most, far less than any noise.
    truth : dict of str to ndarray of float64, shape (scenes,)
        True values of `redden.posterior.QUANTITIES`, and ``z``.
    galaxy : ndarray of int64, shape (scenes,)
        Which galaxy a scene shows.
    """

    bands: tuple[str, ...]
    images: NDArray[np.float16]
    truth: dict[str, NDArray[np.float64]]
    galaxy: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.galaxy)

    def rows(self, chosen: NDArray[np.integer] | NDArray[np.bool_]) -> Self:
        """Some of the scenes."""
        truth = {name: values[chosen] for name, values in self.truth.items()}
        return type(self)(self.bands, self.images[chosen], truth, self.galaxy[chosen])

    def part(self, name: Part, seed: int) -> Self:
        """The scenes of one part of the split by galaxy.

        Raises
        ------
        DatasetError
            If there is none.
        """
        chosen = split(self.galaxy, seed) == name
        check_part(self.galaxy, chosen, name)
        return self.rows(chosen)

    def aperture_flux(self) -> NDArray[np.float64]:
        """Flux in nJy in a circle of 0.16 arcsec radius, shape (scenes, bands)."""
        return np.asarray(self.images[:, APERTURE].sum(axis=1, dtype=np.float64))


def load_scenes(directory: Path) -> tuple[DatasetCard, SceneSet]:
    """Read a data set of noiseless scenes, simulated by `training.simulate.scenes` or imported.

    Galaxies without dust, or with an E(B-V) below 0 as scattered light can make it, are left out: a posterior has the
    logarithms of both as coordinates.

    Raises
    ------
    DatasetError
        If it cannot be read, its images have noise already, or it has no galaxy with dust.
    """
    card = DatasetCard.read(directory)
    if not card.source.endswith(NOISELESS):
        raise DatasetError(
            f"{directory} is not of noiseless scenes: `redden-train scenes`, `import-skirt` and `import-particles` "
            "make them."
        )
    images = np.empty((card.images, 32, 32, len(card.bands)), dtype=np.float16)
    truth = {name: np.empty(card.images) for name in (*QUANTITIES, "z")}
    galaxy = np.empty(card.images, dtype=np.int64)
    start = 0
    for shard in read_shards(directory):
        stop = start + len(shard["galaxy"])
        images[start:stop], galaxy[start:stop] = shard["images"], shard["galaxy"]
        for name, values in truth.items():
            values[start:stop] = shard[name]
        start = stop
    scenes = SceneSet(card.bands, images, truth, galaxy)
    dusty = (truth["a_v"] > 0) & (truth["e_bv"] > 0)
    if not dusty.any():
        raise DatasetError(f"{directory} has no scene of a galaxy with dust: simulate or import some.")
    return card, scenes if dusty.all() else scenes.rows(dusty)
