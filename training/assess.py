"""One table of all methods on the same held-out galaxies, by bands and depth: accuracy, honesty and cost."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from time import process_time
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from redden.posterior import PROBABILITIES, QUANTITIES
from training.dataset import Part
from training.metrics import BOOTSTRAPS, Estimates, Figure, figures
from training.observe import ObservationPrior
from training.rivals.boosting import Boosting
from training.rivals.meurer import Meurer
from training.rivals.mocks import BAND_SETS, Answer, BandSet, Mocks, unanswered
from training.rivals.network import Network
from training.rivals.sed_grid import SedGrid
from training.scene_set import load_scenes

ACCURACY_FILE: Final = "accuracy.json"
"""Name of the result in a directory."""

DEPTHS: Final = (28.6, 29.8)
"""5 sigma AB magnitudes in circles of 0.1 arcsec radius: CEERS, and three times deeper."""

_MEDIAN: Final = PROBABILITIES.index(0.5)
_WARM_UP: Final = 16


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
    trained: dict[float, int]
    """Images that the gradient boosting was fitted to, by depth."""
    rows: tuple[Row, ...]


def assess(
    models: Sequence[Path],
    data: Path,
    *,
    seed: int,
    test_scenes: int,
    train_scenes: int,
    depths: Iterable[float] = DEPTHS,
) -> Assessment:
    """Compare models with each other and with all rivals.

    Parameters
    ----------
    models : sequence of Path
        Runs or exported models, the one to which all others are compared first; all with the split of the first.
    data : Path
        Data set of scenes. Test galaxies are answered; the gradient boosting is fitted to training galaxies and
        stopped by validation galaxies, at the very depth and in the very bands of each comparison.
    seed : int
        Of the observations, the trees and the bootstrap.
    test_scenes, train_scenes : int
        Most scenes to look at; validation takes an eighth of those of training.
    depths : iterable of float
        5 sigma AB magnitudes.

    Returns
    -------
    Assessment

    Raises
    ------
    ModelCardError, DatasetError
        If a model or the data set cannot be used.
    """
    networks = [Network(directory) for directory in models]
    card, scenes = load_scenes(data)
    split_seed = networks[0].card.trained_on["split_seed"]
    most: dict[Part, int] = {"train": train_scenes, "validation": train_scenes // 8, "test": test_scenes}
    parts = {part: scenes.part(part, split_seed) for part in most}
    rows: list[Row] = []
    trained = {}
    for depth in depths:
        prior = ObservationPrior(depth=(depth, depth))
        train, validation, test = (
            Mocks.observe(parts[part], prior, seed=seed + place, most=number)
            for place, (part, number) in enumerate(most.items())
        )
        trained[depth] = len(train)
        medians = {quantity: float(np.median(values)) for quantity, values in train.truth.items()}
        for band_set in BAND_SETS:
            boosting = Boosting(band_set, train, validation, seed=seed)
            methods: list[Method] = [*networks, boosting, SedGrid(), Meurer()]
            methods = [method for method in methods if method.takes(band_set)]
            rows += compare(methods, band_set, depth, test, medians, seed)
    return Assessment(
        model=networks[0].name, data_set=card.name, sha256=card.sha256, seed=seed, trained=trained, rows=tuple(rows)
    )


def compare(
    methods: Sequence[Method],
    band_set: BandSet,
    depth: float,
    mocks: Mocks,
    medians: Mapping[str, float],
    seed: int,
) -> list[Row]:
    """A row for each method on the same galaxies.

    Parameters
    ----------
    methods : sequence of Method
        The one to which all others are compared first.
    band_set : BandSet
        What they see.
    depth : float
        For the rows.
    mocks : Mocks
        Galaxies in all bands.
    medians : mapping of str to float
        Median of each quantity over training galaxies.
    seed : int
        Of the bootstrap.
    """
    seen = mocks.seen_in(band_set)
    rows: list[Row] = []
    first: dict[str, NDArray[np.float64]] = {}
    for method in methods:
        method.answer(seen.rows(slice(0, _WARM_UP)))
        start = process_time()
        answer = unanswered(method.answer(seen), len(seen))
        milliseconds = 1e3 * (process_time() - start) / len(seen)
        first = first or answer
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
                method=method.name,
                bands=band_set.name,
                depth=depth,
                images=len(seen),
                galaxies=len(np.unique(mocks.galaxy)),
                milliseconds=milliseconds,
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


_COLUMNS: Final = (
    "method",
    "bands",
    "R2 of A_V",
    "R2 of E(B-V)",
    "R2 of log sSFR",
    "behind in R2 of A_V",
    "MAE of A_V",
    "MAE of R_V",
    "of the ratio",
    "68 / 95 % of A_V",
    "no estimate",
    "CPU ms per galaxy",
)


def markdown(assessment: Assessment) -> str:
    """The assessment as tables in Markdown, one for each depth."""
    parts = []
    for depth in dict.fromkeys(row.depth for row in assessment.rows):
        rows = [row for row in assessment.rows if row.depth == depth]
        parts.append(
            f"Depth {depth:g} AB, {rows[0].images} images of {rows[0].galaxies} galaxies"
            + (f"; trees fitted to {assessment.trained[depth]} images" if depth in assessment.trained else "")
        )
        lines = [_COLUMNS, ["---"] * len(_COLUMNS), *(_cells(row) for row in rows)]
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join(parts) + "\n"


def _cells(row: Row) -> list[str]:
    a_v, e_bv, r_v, log_ssfr = (row.figures[name] for name in QUANTITIES)
    held = [f"{a_v[name].value:.2f}" for name in ("coverage_68", "coverage_95") if name in a_v]
    return [
        row.method,
        row.bands,
        *(_number(figures.get("r2"), 2) for figures in (a_v, e_bv, log_ssfr)),
        _number(row.behind.get("a_v"), 3),
        _number(a_v.get("mae"), 3),
        _number(r_v.get("mae"), 2),
        _number(r_v.get("ratio_mae"), 2),
        " / ".join(held),
        f"{a_v['undefined'].value:.0%}",
        f"{row.milliseconds:.2g}",
    ]


def _number(figure: Figure | None, digits: int) -> str:
    return "" if figure is None else f"{figure.value:.{digits}f} ± {figure.error:.{digits}f}"
