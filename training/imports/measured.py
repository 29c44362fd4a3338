"""How well a model measures galaxies that somebody else has simulated: what it was not trained on, with the truth."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from redden.domain import domain_scores, in_domain
from redden.errors import BandError
from redden.posterior import PROBABILITIES, QUANTITIES, UNITS, quantiles
from training.dataset import DatasetError
from training.imports.observed import check_selectable
from training.metrics import Estimates, Figure, figures
from training.observe import LEAST_SNR, REDSHIFT_ERROR, ObservationPrior, observe
from training.rivals.mocks import ALL_BANDS, BAND_SETS, Answer, BandSet, Mocks
from training.rivals.network import Network
from training.scene_set import SceneSet, load_scenes

Array = NDArray[np.float64]

_MEDIAN: Final = PROBABILITIES.index(0.5)
_SHOWN: Final = ("mae", "median_mae", "bias", "sigma", "r2", "coverage_68", "coverage_95")
_HEADINGS: Final = ("MAE", "MAE of the median", "bias", "sigma", "R2", "68 % hold", "95 % hold", "MAE in domain")


class Row(BaseModel):
    """One quantity in one set of bands."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bands: str
    """Name of the `BandSet`."""
    quantity: str
    figures: dict[str, Figure]
    """By the names of `training.metrics.figures`; ``median_mae`` is the error of always saying the training median."""
    mae_in_domain: Figure | None
    """MAE of those images that the domain score does not flag; None where there are none, or no score."""


class Measured(BaseModel):
    """A model on a data set of scenes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    data_set: str
    source: str
    sha256: str
    seed: int
    depth: tuple[float, float]
    looks: int
    """How often each scene was observed."""
    scenes: int
    images: int
    """Images that are bright enough."""
    galaxies: int
    label_percentiles: dict[str, tuple[float, ...]]
    rows: tuple[Row, ...]
    flagged: dict[str, float]
    """Share of the images that the domain score flags, by bands; 1 % of those of the training kind are."""

    def markdown(self) -> str:
        """The tables for people."""
        lines = [
            f"{self.model} on {self.images} images of {self.galaxies} galaxies of {self.data_set} ({self.source}), "
            f"depth {self.depth[0]:g} to {self.depth[1]:g} AB; {self.scenes} scenes, looked at {self.looks} times each",
            "",
            "| quantity | bands | " + " | ".join(_HEADINGS) + " |",
            "| --- " * (len(_HEADINGS) + 2) + "|",
        ]
        for row in self.rows:
            cells = [row.figures.get(name) for name in _SHOWN] + [row.mae_in_domain]
            lines.append(f"| {row.quantity} | {row.bands} | " + " | ".join(_cell(cell) for cell in cells) + " |")
        if self.flagged:
            shares = ", ".join(f"{share:.1%} in {bands}" for bands, share in self.flagged.items())
            lines += ["", f"Flagged as not like the training galaxies: {shares}."]
        return "\n".join(lines) + "\n"


def measure_scenes(
    model: Path, data: Path, *, depth: tuple[float, float], looks: int, seed: int
) -> tuple[Measured, Table]:
    """Observe all scenes of a data set, and measure them with a model.

    No part of the data set is left out: it is taken to be one that the model was not fitted to.

    Parameters
    ----------
    model : Path
        A run's directory, or an exported model ``NAME/VERSION/``.
    data : Path
        Data set of noiseless scenes.
    depth : (float, float)
        Range of depths: 5 sigma AB magnitude in a circle of 0.1 arcsec radius.
    looks : int
        How often each scene is observed.
    seed : int
        Of the observations.

    Returns
    -------
    Measured
        The figures of merit.
    Table
        A row per image and set of bands: galaxy, truth, quantiles, domain score.

    Raises
    ------
    DatasetError, ModelCardError, BandError
        If data set or model cannot be used, no scene is bright enough, or there is no set of bands that both have.
    """
    network = Network(model)
    data_card, scenes = load_scenes(data)
    mocks = observe_mocks(scenes, ObservationPrior(depth=depth), looks=looks, seed=seed)
    sets = _different([each for each in _band_sets(scenes.bands) if network.takes(each)], network)
    if not sets:
        raise BandError(f"{network.name} needs other bands than {', '.join(scenes.bands)}, which {data_card.name} has.")
    medians = network.card.trained_on["median"]
    rows: list[Row] = []
    tables: list[Table] = []
    flagged: dict[str, float] = {}
    for each in sets:
        outputs = network.outputs(mocks.seen_in(each))
        answer = quantiles(network.card, outputs)
        scores = domain_scores(network.card, outputs)
        usual = None if scores is None else in_domain(network.card, scores)
        if usual is not None:
            flagged[each.name] = float(1 - usual.mean())
        for name in QUANTITIES:
            found = _figures(mocks, name, answer[name], medians[name], seed)
            inside = None
            if usual is not None and usual.any():
                inside = _figures(mocks.rows(usual), name, answer[name][usual], medians[name], seed).get("mae")
            rows.append(Row(bands=each.name, quantity=name, figures=found, mae_in_domain=inside))
        tables.append(_table(mocks, each, answer, scores))
    measured = Measured(
        model=network.name,
        data_set=data_card.name,
        source=data_card.source,
        sha256=data_card.sha256,
        seed=seed,
        depth=depth,
        looks=looks,
        scenes=len(scenes),
        images=len(mocks),
        galaxies=len(np.unique(mocks.galaxy)),
        label_percentiles=data_card.label_percentiles,
        rows=tuple(sorted(rows, key=lambda row: QUANTITIES.index(row.quantity))),
        flagged=flagged,
    )
    return measured, _stacked(tables)


def observe_mocks(scenes: SceneSet, prior: ObservationPrior, *, looks: int, seed: int) -> Mocks:
    """Observe all scenes several times; bands that they do not have are absent.

    Raises
    ------
    DatasetError
        If a band of the selection is missing, or no image is bright enough.
    """
    check_selectable(scenes.bands)
    seen = [observe(scenes, prior, min_snr=LEAST_SNR, seed=seed + look) for look in range(looks)]
    images = sum(len(each) for each in seen)
    if not images:
        raise DatasetError(f"no scene has S/N {LEAST_SNR:g} at the depths {prior.depth}: observe deeper.")
    columns = [ALL_BANDS.index(band) for band in scenes.bands]
    pixels = np.full((images, 32, 32, len(ALL_BANDS)), np.nan, dtype=np.float32)
    snr = np.full((images, len(ALL_BANDS)), np.nan, dtype=np.float32)
    pixels[..., columns] = np.concatenate([each.pixels for each in seen])
    snr[:, columns] = np.concatenate([each.snr for each in seen])
    truth = {name: np.concatenate([each.truth[name] for each in seen]) for name in (*QUANTITIES, "z")}
    z = truth.pop("z")
    redshift = np.stack([z, np.full_like(z, REDSHIFT_ERROR)], axis=1)
    return Mocks(pixels, redshift, truth, np.concatenate([each.galaxy for each in seen]), snr)


def _band_sets(bands: Sequence[str]) -> list[BandSet]:
    """The sets that are compared elsewhere, as far as there are the bands, and all bands that there are."""
    known = [each for each in BAND_SETS if set(each.bands) <= set(bands)]
    if any(set(each.bands) == set(bands) for each in known):
        return known
    return [*known, BandSet(str(len(bands)), tuple(bands), False), BandSet(f"{len(bands)}+z", tuple(bands), True)]


def _different(sets: Sequence[BandSet], network: Network) -> list[BandSet]:
    """The sets that differ to a network, which may leave bands aside."""
    seen: dict[object, BandSet] = {}
    for each in sets:
        seen.setdefault((frozenset(each.bands) & frozenset(network.card.bands), each.redshift), each)
    return list(seen.values())


def _figures(mocks: Mocks, name: str, answer: Array, baseline: float, seed: int) -> dict[str, Figure]:
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        # Labels that do not differ have no R2, a single image has no variance: they are left out below.
        found = figures(Estimates(mocks.truth[name], answer, mocks.galaxy, baseline), seed=seed)
    return {key: figure for key, figure in found.items() if np.isfinite([figure.value, figure.error]).all()}


def _table(mocks: Mocks, band_set: BandSet, answer: Answer, scores: Array | None) -> Table:
    table = Table({"galaxy": mocks.galaxy, "z": mocks.redshift[:, 0]})
    table["bands"] = band_set.name
    for name in QUANTITIES:
        table[f"true_{name}"] = mocks.truth[name]
        for probability, column in zip(PROBABILITIES, answer[name].T, strict=True):
            table[f"{name}_{100 * probability:g}"] = column
        for column in table.colnames[-len(PROBABILITIES) - 1 :]:
            table[column].description = f"{name} in {UNITS[name]}"
    if scores is not None:
        table["domain"] = scores
    return table


def _stacked(tables: list[Table]) -> Table:
    return Table({name: np.concatenate([table[name] for table in tables]) for name in tables[0].colnames})


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return ""
    # One galaxy cannot be resampled.
    return f"{figure.value:.3f} ± {figure.error:.3f}" if figure.error else f"{figure.value:.3f}"
