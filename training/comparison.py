"""Methods against each other on the same galaxies: errors with bootstrap, and cost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from redden.posterior import PROBABILITIES, QUANTITIES
from training.metrics import BOOTSTRAPS, Estimates, Figure, figures
from training.rivals.mocks import Answer, BandSet, Mocks, unanswered

_MEDIAN: Final = PROBABILITIES.index(0.5)


class Method(Protocol):
    """A way from pixels to A_V, E(B-V), R_V and sSFR."""

    @property
    def name(self) -> str:
        """Name in tables."""

    def takes(self, band_set: BandSet) -> bool:
        """Whether it can say anything from these bands."""

    def answer(self, mocks: Mocks) -> Answer:
        """Quantiles for galaxies."""


class Row(BaseModel):
    """One method on one set of bands at one depth."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str
    bands: str
    """Name of the `BandSet`."""
    depth: float
    images: int
    galaxies: int
    milliseconds: float
    """CPU time per galaxy, from pixels to quantiles; the time to fit is not in it."""
    figures: dict[str, dict[str, Figure]]
    """By quantity, then by the names of `training.metrics.figures`; ``r_v`` also has ``ratio_mae``, the error of the
    ratio of the estimates of A_V and E(B-V)."""
    behind: dict[str, Figure]
    """By how much the R2 of each quantity is below that of the first method, on the same galaxies."""


class Assessment(BaseModel):
    """All methods on the same galaxies."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    """The model to which the others are compared."""
    data_set: str
    sha256: str
    seed: int
    train_scenes: int
    """Most scenes that the gradient boosting was fitted to."""
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """What a method has answered, and the time it took."""

    method: str
    milliseconds: float
    """CPU time per galaxy."""
    quantiles: dict[str, NDArray[np.float64]]
    """By each of `redden.posterior.QUANTITIES`, shape (images, 5)."""


def ask(method: Method, seen: Mocks, *, warm_up: int = 16) -> Answered:
    """Let a method answer galaxies, and take the time.

    Parameters
    ----------
    method : Method
    seen : Mocks
        In the bands that it is to use.
    warm_up : int
        Galaxies answered before, so that loading of tables and graphs is not timed.
    """
    if warm_up:
        method.answer(seen.rows(slice(0, warm_up)))
    start = process_time()
    answer = unanswered(method.answer(seen), len(seen))
    return Answered(method.name, 1e3 * (process_time() - start) / len(seen), answer)


def remembered(file: Path, method: str, answer: Callable[[], Answered]) -> Answered:
    """An answer from a file, or, if there is none, asked for and written there."""
    if not file.exists():
        found = answer()
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial.npz")
        np.savez_compressed(partial, allow_pickle=False, milliseconds=found.milliseconds, **found.quantiles)
        partial.rename(file)
        return found
    with np.load(file) as kept:
        return Answered(method, float(kept["milliseconds"]), {name: kept[name] for name in QUANTITIES})


def compare(
    answers: Sequence[Answered],
    band_set: BandSet,
    depth: float,
    mocks: Mocks,
    medians: Mapping[str, float],
    seed: int,
) -> list[Row]:
    """A row for each method that was asked, on the same galaxies.

    Parameters
    ----------
    answers : sequence of Answered
        That of the method to which all others are compared first.
    band_set : BandSet
        What they saw.
    depth : float
        For the rows.
    mocks : Mocks
        Galaxies in all bands.
    medians : mapping of str to float
        Median of each quantity over training galaxies.
    seed : int
        Of the bootstrap.
    """
    rows: list[Row] = []
    for answered in answers:
        first, answer = answers[0].quantiles, answered.quantiles
        found = {
            name: figures(Estimates(mocks.truth[name], answer[name], mocks.galaxy, medians[name]), seed=seed)
            for name in QUANTITIES
        }
        found["r_v"] |= _error_of_ratio(answer, mocks, seed)
        behind = {
            name: _behind(mocks.truth[name], first[name], answer[name], mocks.galaxy, seed) for name in QUANTITIES
        }
        rows.append(
            Row(
                method=answered.method,
                bands=band_set.name,
                depth=depth,
                images=len(mocks),
                galaxies=len(np.unique(mocks.galaxy)),
                milliseconds=answered.milliseconds,
                figures=found,
                behind={name: figure for name, figure in behind.items() if figure is not None},
            )
        )
    return rows


def _error_of_ratio(answer: Answer, mocks: Mocks, seed: int) -> dict[str, Figure]:
    """MAE of R_V as the ratio of two point estimates."""
    a_v, e_bv = answer["a_v"][:, _MEDIAN], answer["e_bv"][:, _MEDIAN]
    usable = np.isfinite(a_v) & (e_bv > 0)
    if not usable.any():
        return {}
    error = np.abs(a_v[usable] / e_bv[usable] - mocks.truth["r_v"][usable])
    weights = _resamplings(mocks.galaxy[usable], seed)
    means = (weights @ error) / weights.sum(axis=1)
    return {"ratio_mae": Figure(value=float(error.mean()), error=float(means.std()))}


def _behind(
    truth: NDArray[np.float64],
    one: NDArray[np.float64],
    other: NDArray[np.float64],
    galaxy: NDArray[np.int64],
    seed: int,
) -> Figure | None:
    """R2 of one method less that of another where both have an estimate; both see the same resampled galaxies."""
    usable = np.isfinite(one[:, _MEDIAN]) & np.isfinite(other[:, _MEDIAN])
    if not usable.any():
        return None
    square = np.stack([(values[usable, _MEDIAN] - truth[usable]) ** 2 for values in (one, other)], axis=1)
    labels = truth[usable]
    weights = np.concatenate([np.ones((1, len(labels))), _resamplings(galaxy[usable], seed)])
    total = weights.sum(axis=1)
    variance = (weights @ labels**2) / total - ((weights @ labels) / total) ** 2
    difference = (weights @ (square[:, 1] - square[:, 0])) / total / variance
    return Figure(value=float(difference[0]), error=float(difference[1:].std()))


def _resamplings(galaxy: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """How often each image is drawn when galaxies are, shape (resamplings, images)."""
    rng = np.random.default_rng(seed)
    _, member = np.unique(galaxy, return_inverse=True)
    galaxies = int(member.max()) + 1
    draws = [np.bincount(rng.integers(galaxies, size=galaxies), minlength=galaxies) for _ in range(BOOTSTRAPS)]
    return np.array(draws, dtype=np.float64)[:, member]
