"""Galaxies of the training kind and strange cutouts, as the domain score is fitted to them and tested on them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from redden.modelinput import Inputs
from redden.photometric import photometric
from redden.signature import CONTEXT, PIXELS
from training.batches import Looks, draw_bands, draw_redshifts
from training.observe import LEAST_SNR, REDSHIFT_ERROR, SELECTED_IN, ObservationPrior, observe
from training.outliers import KINDS
from training.outliers.draw import draw
from training.scene_set import SceneSet


@dataclass(frozen=True, slots=True)
class Cutouts:
    """Observed cutouts in all bands.

    Attributes
    ----------
    pixels : ndarray of float32, shape (n, 32, 32, bands)
        In nJy.
    redshift : ndarray of float64, shape (n,)
        True ones, or those that would be claimed.
    snr : ndarray of float32, shape (n, bands)
        Signal-to-noise ratios; those of strange cutouts are not needed and 0.
    strange_in : ndarray of bool, shape (n, bands)
        In which bands they are strange; in none if they are of the training kind.
    """

    pixels: NDArray[np.float32]
    redshift: NDArray[np.float64]
    snr: NDArray[np.float32]
    strange_in: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.redshift)

    def rows(self, chosen: NDArray[np.bool_] | NDArray[np.integer]) -> "Cutouts":
        """Some of the cutouts."""
        return Cutouts(self.pixels[chosen], self.redshift[chosen], self.snr[chosen], self.strange_in[chosen])

    def shown_at_random(self, bands: tuple[str, ...], rng: np.random.Generator) -> Inputs:
        """Inputs of a network, with the bands and the knowledge of the redshift that training batches have.

        What is strange is also shown in the bands in which it is, if it would be hidden otherwise.
        """
        present = draw_bands(bands, len(self), rng)
        present |= self.strange_in & ~(present & self.strange_in).any(axis=1, keepdims=True)
        return _inputs(self.pixels, present, draw_redshifts(self.redshift, rng))

    def shown_in_every_set(self, bands: tuple[str, ...], rng: np.random.Generator) -> Inputs:
        """The same, at random and in each of `band_sets`, with and without redshift: there are enough of each."""
        shown = [self.shown_at_random(bands, rng)]
        for each in band_sets(bands).values():
            shown += [self.shown_in(bands, each), self.shown_in(bands, each, REDSHIFT_ERROR)]
        return {name: np.concatenate([each[name] for each in shown]) for name in shown[0]}

    def shown_in(self, bands: tuple[str, ...], shown: tuple[str, ...], redshift_error: float | None = None) -> Inputs:
        """Inputs of a network, with some bands, and with the redshift and this error of it if there is one.

        What is strange in other bands only is left out.
        """
        present = np.isin(bands, shown)
        left = self.rows(np.flatnonzero(self.strange_in[:, present].any(axis=1) | ~self.strange_in.any(axis=1)))
        known = None if redshift_error is None else np.column_stack([left.redshift, np.full(len(left), redshift_error)])
        return _inputs(left.pixels, np.tile(present, (len(left), 1)), known)


def draw_inliers(scenes: SceneSet, prior: ObservationPrior, *, looks: int, seed: int) -> Cutouts:
    """Galaxies of the training kind; each scene is observed `looks` times and kept where it is bright enough."""
    seen = [observe(scenes, prior, min_snr=LEAST_SNR, seed=seed + look) for look in range(looks)]
    snr = np.concatenate([each.snr for each in seen])
    return Cutouts(
        np.concatenate([each.pixels for each in seen]),
        np.concatenate([each.truth["z"] for each in seen]),
        snr,
        np.zeros(snr.shape, dtype=bool),
    )


def draw_outliers(
    scenes: SceneSet, prior: ObservationPrior, *, shares: Mapping[str, int], count: int, min_snr: float, seed: int
) -> dict[str, Cutouts]:
    """Strange cutouts by kind, `count` times its share of each; of least signal-to-noise ratios as in `draw`.

    Where a kind has no redshift of its own, that of a scene is claimed.
    """
    rng = np.random.default_rng(seed)
    drawn = {}
    for kind, share in track(shares.items(), "Drawing strange cutouts"):
        own = seed + list(KINDS).index(kind)
        pixels, redshift, where = draw(kind, scenes, prior, count=count * share, min_snr=min_snr, seed=own)
        claimed = rng.choice(scenes.truth["z"], len(redshift))
        redshift = np.where(np.isnan(redshift), claimed, redshift)
        drawn[kind] = Cutouts(pixels, redshift, np.zeros(where.shape, dtype=np.float32), where)
    return drawn


def strange_looks(
    cutouts: Mapping[str, Cutouts], bands: tuple[str, ...], *, galaxies: int, seed: int
) -> Iterator[Looks]:
    """Strange cutouts of all kinds without end, as the looks of `training.batches.looks`, but without labels."""
    every = Cutouts(
        np.concatenate([each.pixels for each in cutouts.values()]),
        np.concatenate([each.redshift for each in cutouts.values()]),
        np.concatenate([each.snr for each in cutouts.values()]),
        np.concatenate([each.strange_in for each in cutouts.values()]),
    )
    del cutouts  # which are as large again
    rng = np.random.default_rng(seed)
    while True:
        shown = every.rows(rng.integers(len(every), size=galaxies)).shown_at_random(bands, rng)
        yield Looks(shown[PIXELS].astype(np.float16), shown[CONTEXT], np.empty((galaxies, 0), dtype=np.float32))


def band_sets(bands: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The band sets of the tables, by their number of bands."""
    return {"1": SELECTED_IN[:1], "3": SELECTED_IN, str(len(bands)): bands}


def _inputs(pixels: NDArray[np.float32], present: NDArray[np.bool_], redshift: NDArray[np.float64] | None) -> Inputs:
    scaled, context = photometric(np.where(present[:, None, None, :], pixels, np.float32(np.nan)), redshift)
    return {PIXELS: scaled, CONTEXT: context}
