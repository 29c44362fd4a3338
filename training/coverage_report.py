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
    pit,
    tarp,
)
from training.freshness import check_fresh, check_not_calibrated_on
from training.observe import SELECTED_IN, ObservationPrior
from training.rivals.mocks import ALL_BANDS, ANY, Mocks
from training.rivals.network import Network
from training.scene_set import SceneSet, load_scenes

CALIBRATION_FILE: Final = "calibration.json"
"""Name of the report in a directory."""
TABLE_FILE: Final = "coverage.ecsv"
"""Name of its table there."""
PICTURES: Final = ("coverage", "coverage_in_bins", "pit")
"""Names of its pictures there."""
SHOWN: Final = (TABLE_FILE, *(f"{picture}.png" for picture in PICTURES))
"""Files of the report that people look at: they lie beside an exported model's card."""

SNR_EDGES: Final = (5.0, 8.0, 12.0, 20.0, np.inf)
"""Of the signal-to-noise ratio in F277W."""
REDSHIFT_EDGES: Final = (5.5, 6.5, 7.5, 9.01)
A_V_EDGES: Final = (-np.inf, 0.5, 1.0, 1.5, 2.0, np.inf)
"""Of the median of A_V."""

SCENES_AT_ONCE: Final = 16_384
"""Scenes that are in memory as observed images."""
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
    looks: int
    """How often each scene was looked at."""
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
        """The coverage in per cent and the widths of the intervals, a row for each quantity and bin."""
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
                "width_68": round(found.width_68, 4),
            }
            for quantity, bins in self.coverage.items()
            for label, by_bin in bins.items()
            for name, found in by_bin.items()
        ]
        return Table(rows)


@dataclass(frozen=True, slots=True)
class _Answered:
    """Outputs of a network for galaxies in sets of bands."""

    outputs: dict[str, NDArray[np.float32]]
    truth: dict[str, Array]
    galaxy: NDArray[np.int64]
    snr: Array
    redshift: Array
    """NaN where the network was not told it."""
    bands: NDArray[np.str_]


def report(directory: Path, data: Path, *, seed: int, scenes: int, looks: int = 1, fresh: bool = False) -> Calibration:
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
    looks : int
        How often each is looked at, with another depth, noise, sharpness and neighbours. Looks at one galaxy depend on
        each other, which the errors allow for.
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
    data_card, found_scenes = load_scenes(data)
    chosen = found_scenes if fresh else found_scenes.part("test", card.trained_on["split_seed"])
    found = _answered(network, chosen, most=scenes, looks=looks, seed=seed)
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
    return Calibration(
        model=card.name,
        data_set=data_card.name,
        sha256=data_card.sha256,
        seed=seed,
        looks=looks,
        images=len(found.galaxy),
        galaxies=len(np.unique(found.galaxy)),
        coverage=held,
        pit={name: _density(ranks[name]) for name in QUANTITIES},
        curves={name: coverage_curve(ranks[name], found.galaxy) for name in QUANTITIES},
        tarp=tarp(found.outputs, coordinates(card, found.truth), found.galaxy, draws=TARP_DRAWS, seed=seed + 1),
    )


def _answered(network: Network, scenes: SceneSet, *, most: int, looks: int, seed: int) -> _Answered:
    """What a network says of observed scenes; only some are in memory as images."""
    number = min(most, len(scenes))
    parts = np.array_split(np.arange(number), -(-number // SCENES_AT_ONCE))
    seeds = np.random.SeedSequence(seed).generate_state(looks * len(parts) * 2).tolist()
    answered = []
    for scene in parts * looks:
        mocks = Mocks.observe(scenes.rows(scene), ObservationPrior(), seed=seeds.pop(), most=len(scene))
        for name, seen in network.views(mocks, seed=seeds.pop()):
            answered.append(
                _Answered(
                    outputs=network.outputs(seen),
                    truth=seen.truth,
                    galaxy=seen.galaxy,
                    snr=seen.snr[:, ALL_BANDS.index(SELECTED_IN[0])].astype(np.float64),
                    redshift=seen.redshift[:, 0],
                    bands=np.repeat(name, len(seen)),
                )
            )
    return _together(answered)


def _together(parts: list[_Answered]) -> _Answered:
    return _Answered(
        outputs={name: np.concatenate([part.outputs[name] for part in parts]) for name in parts[0].outputs},
        truth={name: np.concatenate([part.truth[name] for part in parts]) for name in parts[0].truth},
        galaxy=np.concatenate([part.galaxy for part in parts]),
        snr=np.concatenate([part.snr for part in parts]),
        redshift=np.concatenate([part.redshift for part in parts]),
        bands=np.concatenate([part.bands for part in parts]),
    )


def _density(ranks: Array) -> tuple[float, ...]:
    counts, _ = np.histogram(ranks, bins=PIT_BINS, range=(0, 1))
    return tuple((counts * PIT_BINS / len(ranks)).round(4).tolist())
