"""Pictures of what the redden model has not been made for, to teach and to test its domain score."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from redden.bands import BANDS
from redden.grid import PIXEL_SCALE, SIZE
from training.outliers.artefacts import edge, rescaled, saturate, swap_bands
from training.outliers.mocks import HAS_OTHER_STARS, OTHER_STARS, SMOOTH, galaxies_of
from training.outliers.scenes import low_redshift, stars
from training.simulate.settings import Scenes

__all__ = ["FITTED", "KINDS", "Kind", "Observe"]

Array = NDArray[np.float64]

Observe = Callable[[Array, np.random.Generator], NDArray[np.floating]]
"""From noiseless pictures, shape (n, 32, 32, 7) in nJy per pixel, to what a telescope sees of them."""

Drawn = tuple[NDArray[np.floating], Array, NDArray[np.bool_]]
"""Observed pictures, shape (n, 32, 32, 7); the redshift of each, shape (n,), NaN where that of a galaxy of the training
kind would be claimed; and in which bands it is strange, shape (n, 7): a cutout in the others only is not."""

Kind = Callable[[np.random.Generator, Array, Observe], Drawn]
"""A maker of strange cutouts.

It takes a generator, noiseless galaxies of the training kind, shape (n, 32, 32, 7) in nJy per pixel, which it spoils
or only counts, and the telescope. It returns as many strange cutouts.
"""


def _stars(rng: np.random.Generator, galaxies: Array, observe: Observe) -> Drawn:
    return _seen(rng, stars(rng, len(galaxies)), observe)


def _noise(rng: np.random.Generator, galaxies: Array, observe: Observe) -> Drawn:
    return _seen(rng, np.zeros((len(galaxies), SIZE, SIZE, len(BANDS))), observe)


def _low_redshift(*magnitude: float) -> Kind:
    """Galaxies at redshift 0.1 to 3, of these brightest, most frequent and faintest magnitudes."""
    brightest, usual, faintest = magnitude

    def make(rng: np.random.Generator, galaxies: Array, observe: Observe) -> Drawn:
        pictures, redshift = low_redshift(rng, len(galaxies), (brightest, usual, faintest))
        return _everywhere(observe(pictures, rng), redshift)

    return make


def _pixels(scale: float) -> Kind:
    """Galaxies on a mosaic whose pixels have this size in arcsec, taken for 0.03."""

    def coarse(rng: np.random.Generator, galaxies: Array, observe: Observe) -> Drawn:
        reach = int(np.ceil(SIZE * (scale / PIXEL_SCALE - 1) / 2))
        wider = np.pad(galaxies, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="linear_ramp")
        return _seen(rng, rescaled(wider, scale), observe)

    def fine(rng: np.random.Generator, galaxies: Array, observe: Observe) -> Drawn:
        return _everywhere(rescaled(observe(galaxies, rng), scale))

    return coarse if scale > PIXEL_SCALE else fine


def _saturated(rng: np.random.Generator, galaxies: Array, observe: Observe) -> Drawn:
    return _seen(rng, saturate(rng, galaxies), observe)


def _edge(rng: np.random.Generator, galaxies: Array, observe: Observe) -> Drawn:
    return _somewhere(*edge(rng, np.asarray(observe(galaxies, rng), dtype=np.float64)))


def _mocks(model: Scenes) -> Kind:
    """Galaxies at the redshifts of the training kind, of another forward model."""

    def make(rng: np.random.Generator, galaxies: Array, observe: Observe) -> Drawn:
        pictures, redshift = galaxies_of(model, rng, len(galaxies))
        return _everywhere(observe(pictures, rng), redshift)

    return make


def _swapped(rng: np.random.Generator, galaxies: Array, observe: Observe) -> Drawn:
    return _somewhere(*swap_bands(rng, np.asarray(observe(galaxies, rng), dtype=np.float64)))


def _seen(rng: np.random.Generator, pictures: Array, observe: Observe) -> Drawn:
    return _everywhere(observe(pictures, rng))


def _everywhere(pixels: NDArray[np.floating], redshift: Array | None = None) -> Drawn:
    """Cutouts that are strange in all bands."""
    _, unknown, where = _somewhere(pixels, np.ones((len(pixels), pixels.shape[-1]), dtype=bool))
    return pixels, unknown if redshift is None else redshift, where


def _somewhere(pixels: NDArray[np.floating], where: NDArray[np.bool_]) -> Drawn:
    """Cutouts that are strange in these bands, of no redshift of their own."""
    return pixels, np.full(len(pixels), np.nan), where


FITTED: Final = {
    "star": 1,
    "noise": 1,
    "low redshift": 4,
    "pixels of 0.063": 3,
    "pixels of 0.015": 1,
    "saturated": 2,
    "edge": 4,
}
"""Kinds that the domain score is fitted to, and how many are drawn of each in relation to the others: more of what is
harder to tell. The other kinds only test it."""

KINDS: Final[dict[str, Kind]] = {
    "star": _stars,
    "noise": _noise,
    "low redshift": _low_redshift(20.0, 27.5, 28.5),
    "pixels of 0.063": _pixels(0.063),
    "pixels of 0.015": _pixels(0.015),
    "saturated": _saturated,
    "edge": _edge,
    "pixels of 0.04": _pixels(0.04),
    "pixels of 0.02": _pixels(0.02),
    "low redshift, bright": _low_redshift(20.0, 24.5, 26.0),
    "two bands swapped": _swapped,
    "smooth geometry": _mocks(SMOOTH),
    **({"stars of BPASS": _mocks(OTHER_STARS)} if HAS_OTHER_STARS else {}),
}
"""Makers by the name of the kind; those of BPASS only where the extra `bpass` is installed."""
