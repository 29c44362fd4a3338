"""Training batches of the redden model: scenes observed anew, with some bands, sometimes with a redshift."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from redden.modelcard import Target
from redden.photometric import photometric
from redden.snr import aperture_snr
from training.dataset import DatasetError
from training.observe import SELECTED_IN, ObservationPrior, surveys
from training.scene_set import SceneSet
from training.symmetry import turn

Single = NDArray[np.float32]
Batch = tuple[Single, Single, Single]
"""Pixels, context, and labels under the targets' transforms."""

BAND_SHARES: Final = {"all": 0.35, "paper": 0.2, "one": 0.1, "any": 0.35}
"""Shares of the galaxies that are seen in all bands, in the paper's three, in one of these, or in any bands."""

FAINTEST_SNR: Final = 4.0
"""Least signal-to-noise ratio in each of `SELECTED_IN`, shown or not, of what is learned from. A little below
`LEAST_SNR`, so that the galaxies that the model is for are not at the edge of what it knows."""

KNOWN_REDSHIFT: Final = 0.5
"""Share of the galaxies whose redshift is given."""
SPECTROSCOPIC: Final = 0.5
"""Share of these whose redshift is exact; the others have photometric ones."""
PHOTOMETRIC_ERROR: Final = (0.03, 0.8)
"""Range of the standard errors of photometric redshifts, uniform in the logarithm."""


def draw_bands(bands: tuple[str, ...], galaxies: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which bands galaxies are seen in, shape (galaxies, bands); at least one each."""
    kind = rng.choice(len(BAND_SHARES), size=galaxies, p=list(BAND_SHARES.values()))
    paper = np.isin(bands, SELECTED_IN)
    one = np.arange(len(bands)) == rng.choice(np.flatnonzero(paper), size=(galaxies, 1))
    some = rng.random((galaxies, len(bands))) < rng.uniform(0.2, 0.9, size=(galaxies, 1))
    some[np.arange(galaxies), rng.integers(len(bands), size=galaxies)] = True
    return np.asarray(np.select([(kind == number)[:, None] for number in range(3)], [True, paper, one], some))


def draw_redshifts(z: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """What is known of true redshifts: value and standard error, or NaN, shape (galaxies, 2)."""
    error = np.exp(rng.uniform(np.log(PHOTOMETRIC_ERROR[0]), np.log(PHOTOMETRIC_ERROR[1]), size=len(z)))
    error[rng.random(len(z)) < SPECTROSCOPIC] = 0.0
    known = np.column_stack([z + error * rng.normal(size=len(z)), error])
    known[rng.random(len(z)) >= KNOWN_REDSHIFT] = np.nan
    return known


def labels(truth: dict[str, NDArray[np.float64]], targets: tuple[Target, ...]) -> Single:
    """What a network is to answer, shape (galaxies, targets): each quantity under its target's transform."""
    columns = [np.log(truth[each.name]) if each.transform == "log" else truth[each.name] for each in targets]
    return np.stack(columns, axis=1).astype(np.float32)


def groups(
    scenes: SceneSet, prior: ObservationPrior, targets: tuple[Target, ...], rng: np.random.Generator
) -> Iterator[Batch]:
    """All scenes, observed once, those of a survey together; the ones that are bright enough."""
    truth = labels(scenes.truth, targets)
    selected = [scenes.bands.index(band) for band in SELECTED_IN]
    for observed, images, _ in surveys(scenes, prior, rng):
        bright = aperture_snr(images)[:, selected].min(axis=1) >= FAINTEST_SNR
        if not bright.any():
            continue
        rows, pixels = observed[bright], images[bright]
        pixels.transpose(0, 3, 1, 2)[~draw_bands(scenes.bands, len(rows), rng)] = np.nan
        scaled, context = photometric(pixels, draw_redshifts(scenes.truth["z"][rows], rng))
        yield scaled, context, truth[rows]


@dataclass(frozen=True, slots=True)
class Looks:
    """Observed scenes as a network sees them.

    Attributes
    ----------
    pixels : ndarray of float16, shape (galaxies, 32, 32, bands)
    context : ndarray of float32, shape (galaxies, columns)
    labels : ndarray of float32, shape (galaxies, targets)
    """

    pixels: NDArray[np.float16]
    context: Single
    labels: Single

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of(cls, parts: list[Batch], most: int) -> Self:
        """Groups in one, of `most` galaxies at most."""
        pixels, context, labels = zip(*parts, strict=True)
        return cls(
            np.concatenate([part.astype(np.float16) for part in pixels])[:most],
            np.concatenate(context)[:most],
            np.concatenate(labels)[:most],
        )

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Shuffled batches of equal size, turned and mirrored at random; what is left over is left out."""
        order = rng.permutation(len(self))
        for start in range(0, len(order) - size + 1, size):
            rows = order[start : start + size]
            pixels = turn(self.pixels[rows].astype(np.float32), rng.integers(8, size=size))
            yield pixels, self.context[rows], self.labels[rows]


def looks(
    scenes: SceneSet, prior: ObservationPrior, targets: tuple[Target, ...], *, galaxies: int, seed: int
) -> Iterator[Looks]:
    """Scenes without end, observed anew each time they come round, some thousands at once.

    Parameters
    ----------
    galaxies : int
        How many at once.
    seed : int
        The same seed gives the same looks.

    Raises
    ------
    DatasetError
        If no scene is bright enough.
    """
    rng = np.random.default_rng(seed)
    pending: list[Batch] = []
    while True:
        found = 0
        for group in groups(scenes, prior, targets, rng):
            found += 1
            pending.append(group)
            if sum(len(each[0]) for each in pending) >= galaxies:
                yield Looks.of(pending, galaxies)
                pending = []
        if not found:
            selected = ", ".join(SELECTED_IN)
            raise DatasetError(
                f"none of {len(scenes)} scenes has a signal-to-noise ratio of {FAINTEST_SNR:g} in {selected}."
            )
