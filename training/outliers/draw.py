"""Strange cutouts as a user would send them: observed like the training images, and as bright."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from redden.bands import BANDS
from redden.snr import aperture_snr
from training.observe import GROUP, SELECTED_IN, ObservationPrior, expose_survey
from training.outliers import KINDS, Observe
from training.scene_set import SceneSet

_BANDS: Final = tuple(BANDS)
_SELECTED: Final = [_BANDS.index(band) for band in SELECTED_IN]
_TRIES: Final = 200


def telescope(prior: ObservationPrior) -> Observe:
    """What observes pictures as `training.observe` observes scenes, a survey after the other."""

    def observe(pictures: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.float32]:
        base = rng.uniform(*prior.depth, size=(len(pictures), 1))
        depth = base + prior.depth_scatter * rng.normal(size=(len(pictures), len(_BANDS)))
        surveys = np.split(np.arange(len(pictures)), range(GROUP, len(pictures), GROUP))
        single = pictures.astype(np.float32)
        return np.concatenate([expose_survey(single[rows], _BANDS, depth[rows], prior, rng) for rows in surveys])

    return observe


def draw(
    kind: str, scenes: SceneSet, prior: ObservationPrior, *, count: int, min_snr: float, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_]]:
    """Draw strange cutouts of one kind.

    Parameters
    ----------
    kind : str
        One of ``training.outliers.KINDS``.
    scenes : SceneSet
        Noiseless galaxies in all seven bands, to be spoilt.
    prior : ObservationPrior
        How they are observed.
    count : int
        How many.
    min_snr : float
        Least signal-to-noise ratio, in absolute value (a saturated core may be empty), in each of the bands in which
        training images are selected. Pure noise has none.
    seed : int
        Decides everything.

    Returns
    -------
    pixels : ndarray of float32, shape (count, 32, 32, 7)
        In nJy.
    redshift : ndarray of float64, shape (count,)
        NaN where that of a galaxy of the training kind would be claimed.
    where : ndarray of bool, shape (count, 7)
        In which bands a cutout is strange.
    """
    rng = np.random.default_rng(seed)
    observe = telescope(prior)
    least = 0.0 if kind == "noise" else min_snr
    pixels: list[NDArray[np.float32]] = []
    redshift: list[NDArray[np.float64]] = []
    where: list[NDArray[np.bool_]] = []
    for _ in range(_TRIES):
        galaxies = scenes.images[rng.choice(len(scenes), min(4 * GROUP, 3 * count))].astype(np.float64)
        seen, z, strange = KINDS[kind](rng, galaxies, observe)
        bright = np.abs(aperture_snr(seen)[:, _SELECTED]).min(axis=1) >= least
        pixels.append(seen[bright].astype(np.float32))
        redshift.append(z[bright])
        where.append(strange[bright])
        if sum(map(len, redshift)) >= count:
            break
    return np.concatenate(pixels)[:count], np.concatenate(redshift)[:count], np.concatenate(where)[:count]
