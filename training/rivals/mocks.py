"""Mock galaxies as a method sees them: pixels of the bands there are, perhaps a redshift, and the truth to compare."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from redden.bands import BANDS
from redden.posterior import PROBABILITIES, QUANTITIES
from training.batches import draw_bands, draw_redshifts
from training.dataset import DatasetError
from training.observe import LEAST_SNR, REDSHIFT_ERROR, ObservationPrior, observe
from training.scene_set import SceneSet

ALL_BANDS: Final = tuple(BANDS)
"""Bands in the order of the pixels' last axis."""

Answer = Mapping[str, NDArray[np.float64]]
"""Quantiles at `redden.posterior.PROBABILITIES` by quantity, shape (galaxies, 5); what a method cannot say is absent.

NaN where a method gives no interval, or no estimate at all.
"""


@dataclass(frozen=True, slots=True)
class BandSet:
    """What an observer has of a galaxy."""

    name: str
    bands: tuple[str, ...]
    redshift: bool
    """Whether the redshift is known."""


_LONG_WAVELENGTH: Final = ("F277W", "F356W", "F444W")

BAND_SETS: Final = (
    BandSet("1", ("F277W",), redshift=False),
    BandSet("3", _LONG_WAVELENGTH, redshift=False),
    BandSet("3+z", _LONG_WAVELENGTH, redshift=True),
    BandSet("7", ALL_BANDS, redshift=False),
    BandSet("7+z", ALL_BANDS, redshift=True),
)
"""The sets that are compared, by the number of bands and whether the redshift is known."""


ANY: Final = "any"
"""Name of the set of any bands, drawn for each galaxy, with or without a redshift, as in training batches."""


@dataclass(frozen=True, slots=True)
class Mocks:
    """Observed galaxies whose truth is known.

    Attributes
    ----------
    pixels : ndarray of float32, shape (images, 32, 32, 7)
        In nJy per pixel, bands as in `ALL_BANDS`; an absent band is NaN all over.
    redshift : ndarray of float64, shape (images, 2)
        Redshift and its standard error; NaN where unknown.
    truth : dict of str to ndarray of float64, shape (images,)
        True values of `redden.posterior.QUANTITIES`.
    galaxy : ndarray of int64, shape (images,)
        Galaxy that each image shows.
    snr : ndarray of float32, shape (images, 7)
        Signal-to-noise ratio in each band, also in those that are absent.
    """

    pixels: NDArray[np.float32]
    redshift: NDArray[np.float64]
    truth: dict[str, NDArray[np.float64]]
    galaxy: NDArray[np.int64]
    snr: NDArray[np.float32]

    @classmethod
    def observe(cls, scenes: SceneSet, prior: ObservationPrior, *, seed: int, most: int) -> Self:
        """Observe scenes in all bands, with their redshifts as of a spectrum, and keep those that are detected.

        Parameters
        ----------
        scenes : SceneSet
            In all of `ALL_BANDS`.
        prior : ObservationPrior
            How they are observed.
        seed : int
            Of the observation.
        most : int
            Most scenes to look at: the first ones.

        Raises
        ------
        DatasetError
            If there are other bands, or no scene is detected.
        """
        if scenes.bands != ALL_BANDS:
            raise DatasetError(f"scenes in {', '.join(ALL_BANDS)} are needed; these are in {', '.join(scenes.bands)}.")
        observed = observe(scenes.rows(np.arange(min(most, len(scenes)))), prior, min_snr=LEAST_SNR, seed=seed)
        if not len(observed):
            raise DatasetError("no galaxy of the data set is detected: simulate more galaxies.")
        z = observed.truth["z"]
        return cls(
            pixels=observed.pixels,
            redshift=np.stack([z, np.full_like(z, REDSHIFT_ERROR)], axis=1),
            truth={quantity: observed.truth[quantity] for quantity in QUANTITIES},
            galaxy=observed.galaxy,
            snr=observed.snr,
        )

    def __len__(self) -> int:
        return len(self.galaxy)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which bands there are, shape (images, 7)."""
        return np.isfinite(self.pixels[:, 0, 0, :])

    def rows(self, which: NDArray[np.bool_] | NDArray[np.int64] | slice) -> Self:
        """Some of the images."""
        truth = {quantity: values[which] for quantity, values in self.truth.items()}
        return type(self)(self.pixels[which], self.redshift[which], truth, self.galaxy[which], self.snr[which])

    def seen_in(self, band_set: BandSet) -> Self:
        """The same images to an observer who has less: other bands and, if so, the redshift are NaN."""
        absent = [index for index, band in enumerate(ALL_BANDS) if band not in band_set.bands]
        pixels = self.pixels.copy()
        pixels[..., absent] = np.nan
        redshift = self.redshift if band_set.redshift else np.full_like(self.redshift, np.nan)
        return type(self)(pixels, redshift, self.truth, self.galaxy, self.snr)

    def seen_at_random(self, rng: np.random.Generator) -> Self:
        """The same images to observers with any bands, and with no, an exact or an inexact redshift, as in training.

        Parameters
        ----------
        rng : numpy.random.Generator
            Draws bands and redshifts for each image, see `training.batches`.
        """
        pixels = self.pixels.copy()
        pixels.transpose(0, 3, 1, 2)[~draw_bands(ALL_BANDS, len(self), rng)] = np.nan
        return type(self)(pixels, draw_redshifts(self.redshift[:, 0], rng), self.truth, self.galaxy, self.snr)


def points(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Estimates without intervals as quantiles, shape (images, 5): only the median is there."""
    quantiles = np.full((len(values), len(PROBABILITIES)), np.nan)
    quantiles[:, PROBABILITIES.index(0.5)] = values
    return quantiles


def unanswered(answer: Answer, images: int) -> dict[str, NDArray[np.float64]]:
    """An answer with every quantity of `redden.posterior.QUANTITIES`: those that the method cannot say are NaN."""
    nothing = np.full((images, len(PROBABILITIES)), np.nan)
    return {quantity: answer.get(quantity, nothing) for quantity in QUANTITIES}
