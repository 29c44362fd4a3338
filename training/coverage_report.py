"""Report what the posteriors of a model hold on galaxies that it was not fitted to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from redden.errors import ModelCardError
from redden.posterior import PROBABILITIES, QUANTITIES, quantiles
from training.calibration import (
    Array,
    Coverage,
    Curve,
    coordinates,
    coverage,
    coverage_curve,
    coverage_in_bins,
    draw,
    pit,
    tarp,
)
from training.dataset import Part
from training.freshness import check_fresh, check_not_calibrated_on
from training.observe import SELECTED_IN, ObservationPrior
from training.rivals.mocks import ALL_BANDS, ANY, Mocks
from training.rivals.network import Network
from training.scene_set import load_scenes

CALIBRATION_FILE: Final = "calibration.json"
"""Name of the report in a directory."""

SNR_EDGES: Final = (5.0, 8.0, 12.0, 20.0, np.inf)
"""Of the signal-to-noise ratio in F277W."""
REDSHIFT_EDGES: Final = (5.5, 6.5, 7.5, 9.01)
A_V_EDGES: Final = (-np.inf, 0.5, 1.0, 1.5, 2.0, np.inf)
"""Of the median of A_V."""

PIT_BINS: Final = 20
TARP_DRAWS: Final = 200

_MEDIAN: Final = PROBABILITIES.index(0.5)


class Calibration(BaseModel):
    """What the posteriors of a model hold on test galaxies, seen in each set of bands at the depths of the training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    data_set: str
    sha256: str
    seed: int
    images: int
    """Answers: images, each counted once for every band set."""
    galaxies: int
    coverage: dict[str, dict[str, dict[str, Coverage]]]
    """By quantity, by what is binned (``all``, ``bands``, ``S/N``, ``redshift``, ``median A_V``), by bin.

    Any bands are a bin of ``bands``, and not in the others, where redshifts with large errors would blur the edges.
    Bins of redshift have the answers to those who know it: the intervals of a right posterior hold what they promise on
    galaxies that look alike, not on those that share what nobody was told.
    """
    pit: dict[str, tuple[float, ...]]
    """Density of the PIT in equal bins from 0 to 1, by quantity; 1 everywhere if calibrated."""
    curves: dict[str, Curve]
    """Coverage of all central intervals, by quantity."""
    tarp: Curve
    """Expected coverage of the joint posterior of A_V, E(B-V) and log sSFR, before the levels."""

    def table(self) -> Table:
        """The coverage, a row for each quantity and bin, in per cent."""
        rows = [
            {
                "quantity": quantity,
                "binned": label,
                "bin": name,
                "galaxies": found.galaxies,
                "answers": found.images,
                "held_68": round(100 * found.held_68.value, 2),
                "error_68": round(100 * found.held_68.error, 2),
                "held_95": round(100 * found.held_95.value, 2),
                "error_95": round(100 * found.held_95.error, 2),
            }
            for quantity, bins in self.coverage.items()
            for label, by_bin in bins.items()
            for name, found in by_bin.items()
        ]
        return Table(rows)


@dataclass(frozen=True, slots=True)
class _Answered:
    """Outputs of a network for galaxies in every band set, one band set after the other."""

    outputs: dict[str, NDArray[np.float32]]
    truth: dict[str, Array]
    galaxy: NDArray[np.int64]
    snr: Array
    redshift: Array
    """NaN where the network was not told it."""
    bands: NDArray[np.str_]


def report(directory: Path, data: Path, *, seed: int, scenes: int, fresh: bool = False) -> Calibration:
    """What the posteriors of a run or exported model hold on galaxies that it was not fitted to.

    Parameters
    ----------
    directory : Path
        Run, or exported model.
    data : Path
        Data set of scenes.
    seed : int
        Of the observation.
    scenes : int
        Most scenes to look at.
    fresh : bool
        Whether no galaxy of the data set was used in the fit; otherwise only the test galaxies of its split are.

    Raises
    ------
    ModelCardError
        If this is no run or model, or one that gives point estimates.
    DatasetError
        If the data set cannot be used, or the levels come from all its galaxies, or it is called fresh and has the seed
        of the one that was fitted to.
    """
    network = Network(directory)
    card = network.card
    if card.posterior == "point":
        raise ModelCardError(f"model {card.name} gives point estimates: it has no intervals.")
    if fresh:
        check_fresh(data, card.trained_on, f"{card.name} was fitted to")
    check_not_calibrated_on(card, data)
    found = _answered(network, data, None if fresh else "test", seed, scenes)
    answer = quantiles(card, found.outputs)
    bins: dict[str, tuple[Array, tuple[float, ...]]] = {
        "S/N": (found.snr, SNR_EDGES),
        "redshift": (found.redshift, REDSHIFT_EDGES),
        "median A_V": (answer["a_v"][:, _MEDIAN], A_V_EDGES),
    }
    held: dict[str, dict[str, dict[str, Coverage]]] = {}
    fixed = found.bands != ANY
    for name in QUANTITIES:
        values = found.truth[name], answer[name], found.galaxy
        held[name] = {"all": {"": coverage(*values)}, "bands": {}}
        for bands in dict.fromkeys(found.bands.tolist()):
            inside = found.bands == bands
            held[name]["bands"][bands] = coverage(*(value[inside] for value in values))
        of_fixed = found.truth[name][fixed], answer[name][fixed], found.galaxy[fixed]
        held[name] |= {label: coverage_in_bins(*of_fixed, by[fixed], edges) for label, (by, edges) in bins.items()}
    ranks = pit(card, found.outputs, found.truth)
    data_card, _ = load_scenes(data)
    return Calibration(
        model=card.name,
        data_set=data_card.name,
        sha256=data_card.sha256,
        seed=seed,
        images=len(found.galaxy),
        galaxies=len(np.unique(found.galaxy)),
        coverage=held,
        pit={name: _density(ranks[name]) for name in QUANTITIES},
        curves={name: coverage_curve(ranks[name], found.galaxy) for name in QUANTITIES},
        tarp=tarp(
            draw(found.outputs, TARP_DRAWS, seed=seed), coordinates(card, found.truth), found.galaxy, seed=seed + 1
        ),
    )


def _answered(network: Network, data: Path, part: Part | None, seed: int, most: int) -> _Answered:
    """What a network says of observed scenes of one part of the split, or of all."""
    _, scenes = load_scenes(data)
    inside = scenes if part is None else scenes.part(part, network.card.trained_on["split_seed"])
    mocks = Mocks.observe(inside, ObservationPrior(), seed=seed, most=most)
    names, outputs, redshift = [], [], []
    for name, seen in network.views(mocks, seed=seed + 1):
        names.append(name)
        outputs.append(network.outputs(seen))
        redshift.append(seen.redshift[:, 0])
    return _Answered(
        outputs={name: np.concatenate([output[name] for output in outputs]) for name in outputs[0]},
        truth={name: np.tile(values, len(names)) for name, values in mocks.truth.items()},
        galaxy=np.tile(mocks.galaxy, len(names)),
        snr=np.tile(mocks.snr[:, ALL_BANDS.index(SELECTED_IN[0])].astype(np.float64), len(names)),
        redshift=np.concatenate(redshift),
        bands=np.repeat(names, len(mocks)),
    )


def _density(ranks: Array) -> tuple[float, ...]:
    counts, _ = np.histogram(ranks, bins=PIT_BINS, range=(0, 1))
    return tuple((counts * PIT_BINS / len(ranks)).round(4).tolist())
