"""Galaxies of other forward models than that of the training set: other stars, or dust without clouds."""

from importlib.util import find_spec
from itertools import count as numbers
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.simulate.scenes import scenes_of_galaxy
from training.simulate.settings import Geometry, Scenes, Variety

Array = NDArray[np.float64]

OTHER_STARS: Final = Scenes(variety=Variety(library=("bpass",)))
"""The training set's galaxies with the stars of BPASS, which are in none of them."""
SMOOTH: Final = Scenes(
    geometry=Geometry(discs=(1, 1), stars_in_clouds=(0.0, 0.0), gas_in_clouds_scatter=0.0),
    variety=Variety(gas_in_clouds=(0.0, 0.0), cleared=(0.0, 0.0)),
)
"""One disc of stars in one disc of gas, without any clouds: the dust is hardly grey."""

HAS_OTHER_STARS: Final = find_spec("hoki") is not None
"""Whether the package that holds BPASS is installed (extra `bpass`)."""


def galaxies_of(scenes: Scenes, rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Noiseless galaxies of a forward model.

    Parameters
    ----------
    scenes : Scenes
        The forward model; its seed and its number of galaxies are left aside.
    rng : Generator
    count : int
        How many pictures.

    Returns
    -------
    pictures : ndarray, shape (count, 32, 32, bands)
        In nJy per pixel.
    redshift : ndarray, shape (count,)

    Raises
    ------
    MissingLibraryError
        If the package with the model's stars is not installed.
    """
    seed = int(rng.integers(2**62))
    pictures, redshift = [], []
    for number in numbers():
        stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
        for scene in scenes_of_galaxy(scenes, stream):
            pictures.append(scene["images"])
            redshift.append(scene["z"])
        if len(pictures) >= count:
            return np.array(pictures[:count]), np.array(redshift[:count])
    raise AssertionError("numbers do not end")
