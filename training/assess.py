"""One table of all methods on the same held-out galaxies, by bands and depth: accuracy, honesty and cost."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from redden.posterior import QUANTITIES
from training.comparison import Answered, Assessment, Method, Row, ask, compare, remembered
from training.dataset import DatasetCard
from training.freshness import check_not_calibrated_on
from training.metrics import Figure
from training.observe import ObservationPrior
from training.rivals.boosting import Boosting
from training.rivals.meurer import Meurer
from training.rivals.mocks import BAND_SETS, BandSet, Mocks
from training.rivals.network import Network, PosteriorMean
from training.rivals.sed_grid import SedGrid
from training.scene_set import SceneSet, load_scenes

ACCURACY_FILE: Final = "accuracy.json"
"""Name of the result in a directory."""

DEPTHS: Final = (28.6, 29.8)
"""5 sigma AB magnitudes in circles of 0.1 arcsec radius: CEERS, and three times deeper."""
SLOW_TEST_SCENES: Final = 2000
"""Test scenes among which a few galaxies for a slow method are looked for."""


def assess(
    models: Sequence[Path],
    data: Path,
    memory: Path,
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
    memory : Path
        Directory in which the answers of the rivals are kept: another model is compared to them without asking again.
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
        If a model or the data set cannot be used; or if levels of a model come from all galaxies of the data set.
    """
    networks = _networks(models, data)
    means = [PosteriorMean(network) for network in networks if network.card.posterior != "point"]
    contenders: list[Method] = [*networks, *means]
    card, scenes = load_scenes(data)
    split_seed = networks[0].card.trained_on["split_seed"]
    asked = f"{card.sha256[:12]}-{split_seed}-{seed}-{test_scenes}-{train_scenes}"
    rows: list[Row] = []
    for depth in depths:
        prior = ObservationPrior(depth=(depth, depth))
        test = Mocks.observe(scenes.part("test", split_seed), prior, seed=seed, most=test_scenes)
        training = _training(scenes, split_seed, prior, seed=seed, most=train_scenes)
        for band_set in BAND_SETS:
            seen = test.seen_in(band_set)
            answers = [ask(network, seen) for network in contenders if network.takes(band_set)]
            place = memory / asked / f"{depth:g}" / band_set.name
            answers += _ask_rivals(seen, band_set, training, seed, place)
            rows += compare(answers, band_set, depth, test, networks[0].card.trained_on["median"], seed)
    return _assessment(networks[0], card, seed, train_scenes, rows)


def assess_slow(
    models: Sequence[Path],
    data: Path,
    slow: Method,
    memory: Path,
    *,
    seed: int,
    galaxies: int,
    train_scenes: int,
    depth: float = DEPTHS[0],
) -> Assessment:
    """Compare models and all rivals with a method that takes seconds or minutes per galaxy.

    Parameters, errors
        As for `assess`. Of the test galaxies the first that are detected are taken, one image of each, in three and in
        seven bands. What `slow` answers is kept in `memory`, galaxy by galaxy: a run that was stopped goes on there.
    """
    networks = _networks(models, data)
    card, scenes = load_scenes(data)
    split_seed = networks[0].card.trained_on["split_seed"]
    prior = ObservationPrior(depth=(depth, depth))
    mocks = Mocks.observe(scenes.part("test", split_seed), prior, seed=seed, most=SLOW_TEST_SCENES)
    _, first = np.unique(mocks.galaxy, return_index=True)
    few = mocks.rows(first[:galaxies])
    training = _training(scenes, split_seed, prior, seed=seed, most=train_scenes)
    asked = f"{card.sha256[:12]}-{split_seed}-{seed}"
    rows: list[Row] = []
    for band_set in (one for one in BAND_SETS if len(one.bands) >= 3):
        seen = few.seen_in(band_set)
        answers = [ask(network, seen) for network in networks if network.takes(band_set)]
        place = memory / f"{asked}-few-{galaxies}-{train_scenes}" / f"{depth:g}" / band_set.name
        answers += _ask_rivals(seen, band_set, training, seed, place)
        if slow.takes(band_set):
            answers.append(_one_by_one(slow, seen, memory / asked / f"{depth:g}" / band_set.name))
        rows += compare(answers, band_set, depth, few, networks[0].card.trained_on["median"], seed)
    return _assessment(networks[0], card, seed, train_scenes, rows)


def _training(
    scenes: SceneSet, split_seed: int, prior: ObservationPrior, *, seed: int, most: int
) -> Callable[[], tuple[Mocks, Mocks]]:
    """What makes the training and validation galaxies of the trees, when it is first called."""

    @cache
    def observed() -> tuple[Mocks, Mocks]:
        return (
            Mocks.observe(scenes.part("train", split_seed), prior, seed=seed + 1, most=most),
            Mocks.observe(scenes.part("validation", split_seed), prior, seed=seed + 2, most=most // 8),
        )

    return observed


def _networks(models: Sequence[Path], data: Path) -> list[Network]:
    """Models that may be tested on a data set."""
    networks = [Network(directory) for directory in models]
    for network in networks:
        check_not_calibrated_on(network.card, data)
    return networks


def _one_by_one(method: Method, seen: Mocks, place: Path) -> Answered:
    """The answers of a method, each kept in a file."""
    found = [
        remembered(
            place / f"{method.name}-{galaxy}.npz",
            method.name,
            partial(ask, method, seen.rows(slice(row, row + 1)), warm_up=0),
        )
        for row, galaxy in enumerate(seen.galaxy)
    ]
    quantiles: dict[str, NDArray[np.float64]] = {
        name: np.concatenate([one.quantiles[name] for one in found]) for name in QUANTITIES
    }
    return Answered(method.name, float(np.mean([one.milliseconds for one in found])), quantiles)


def _ask_rivals(
    seen: Mocks, band_set: BandSet, training: Callable[[], tuple[Mocks, Mocks]], seed: int, place: Path
) -> list[Answered]:
    """What the rivals say of galaxies, kept in a directory."""
    rivals = _rivals(band_set, training, seed)
    return [
        remembered(place / f"{name}.npz", name, partial(_make_and_ask, make, seen)) for name, make in rivals.items()
    ]


def _rivals(
    band_set: BandSet, training: Callable[[], tuple[Mocks, Mocks]], seed: int
) -> dict[str, Callable[[], Method]]:
    """How to make the rivals that can say anything from these bands, by name."""
    makers: dict[str, Callable[[], Method]] = {Boosting.name: lambda: Boosting(band_set, *training(), seed=seed)}
    return makers | {rival.name: rival for rival in (SedGrid, Meurer) if rival().takes(band_set)}


def _make_and_ask(make: Callable[[], Method], seen: Mocks) -> Answered:
    return ask(make(), seen)


def _assessment(first: Network, card: DatasetCard, seed: int, train_scenes: int, rows: Sequence[Row]) -> Assessment:
    return Assessment(
        model=first.name,
        data_set=card.name,
        sha256=card.sha256,
        seed=seed,
        train_scenes=train_scenes,
        rows=tuple(rows),
    )


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
            f"; trees fitted to {assessment.train_scenes} scenes at most"
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
