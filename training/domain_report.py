"""How well the domain score tells strange cutouts from galaxies, kind by kind, and how often it cries wolf."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

import keras
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from sklearn.metrics import roc_auc_score

from training.domain import score
from training.domain_data import Cutouts, band_sets
from training.observe import REDSHIFT_ERROR, SELECTED_IN
from training.rivals.mocks import ANY

SNR_EDGES: Final = (5.0, 7.0, 10.0, 20.0, np.inf)
"""Bins of the signal-to-noise ratio in the reddest of the paper's bands."""


ANY_SEED: Final = 0
"""Seed of the draw of any bands."""


class Detection(BaseModel):
    """How well one kind of strange cutouts is told from galaxies in one set of bands."""

    model_config = ConfigDict(frozen=True)

    auroc: float
    """Probability that a strange cutout scores higher than a galaxy."""
    flagged: float
    """Share of the strange cutouts that are flagged."""


class DomainReport(BaseModel):
    """What the domain score is worth, on galaxies that no fit has seen."""

    model_config = ConfigDict(frozen=True)

    threshold: float
    galaxies: int
    """Images of galaxies of the training kind in the test."""
    false_alarms: dict[str, dict[str, float]]
    """Share of them that are flagged: by number of bands, with ``+z`` where the redshift is given, then ``all`` or the
    bin of the signal-to-noise ratio."""
    kinds: dict[str, dict[str, Detection]]
    """By kind, then by number of bands, without redshifts; and in any bands, half of them with a redshift."""

    def markdown(self) -> str:
        """The tables for people."""
        sets = list(next(iter(self.kinds.values())))
        columns = [f"AUROC {name} | flagged" for name in sets]
        lines = ["| kind | " + " | ".join(columns) + " |", "| --- |" + " --- | --- |" * len(sets)]
        for kind, by_bands in self.kinds.items():
            cells = [f"{each.auroc:.3f} | {each.flagged:.2f}" for each in by_bands.values()]
            lines.append(f"| {kind} | " + " | ".join(cells) + " |")
        bins = list(next(iter(self.false_alarms.values())))
        lines += ["", "| bands | " + " | ".join(bins) + " |", "| --- |" + " --- |" * len(bins)]
        lines += [
            f"| {name} | " + " | ".join(f"{100 * share:.2f} %" for share in shares.values()) + " |"
            for name, shares in self.false_alarms.items()
        ]
        return "\n".join(lines) + "\n"


def domain_report(
    network: keras.Model,
    bands: tuple[str, ...],
    threshold: float,
    inliers: Cutouts,
    outliers: Mapping[str, Cutouts],
) -> DomainReport:
    """Test a network's domain score.

    Parameters
    ----------
    network : keras.Model
        With an output ``domain``.
    bands : tuple of str
        Its bands.
    threshold : float
        Score above which a cutout is flagged.
    inliers : Cutouts
        Galaxies of the training kind that no fit has seen.
    outliers : mapping of str to Cutouts
        Strange cutouts by kind.
    """
    false_alarms: dict[str, dict[str, float]] = {}
    kinds: dict[str, dict[str, Detection]] = {kind: {} for kind in outliers}
    for name, shown in band_sets(bands).items():
        usual = score(network, inliers.shown_in(bands, shown))
        given = score(network, inliers.shown_in(bands, shown, REDSHIFT_ERROR))
        for row, scores in ((name, usual), (f"{name}+z", given)):
            false_alarms[row] = _false_alarms(scores > threshold, inliers.snr[:, bands.index(SELECTED_IN[-1])])
        for kind, cutouts in outliers.items():
            kinds[kind][name] = _detection(usual, score(network, cutouts.shown_in(bands, shown)), threshold)
    rng = np.random.default_rng(ANY_SEED)
    usual = score(network, inliers.shown_at_random(bands, rng))
    false_alarms[ANY] = _false_alarms(usual > threshold, inliers.snr[:, bands.index(SELECTED_IN[-1])])
    for kind, cutouts in outliers.items():
        kinds[kind][ANY] = _detection(usual, score(network, cutouts.shown_at_random(bands, rng)), threshold)
    return DomainReport(threshold=threshold, galaxies=len(inliers), false_alarms=false_alarms, kinds=kinds)


def _detection(usual: NDArray[np.floating], strange: NDArray[np.floating], threshold: float) -> Detection:
    return Detection(auroc=auroc(usual, strange), flagged=float((strange > threshold).mean()))


def auroc(usual: NDArray[np.floating], strange: NDArray[np.floating]) -> float:
    """Area under the curve of detections over false alarms: 1 if every strange score is above every usual one."""
    truth = np.concatenate([np.zeros(len(usual)), np.ones(len(strange))])
    return float(roc_auc_score(truth, np.concatenate([usual, strange])))


def _false_alarms(flagged: NDArray[np.bool_], snr: NDArray[np.float32]) -> dict[str, float]:
    shares = {"all": float(flagged.mean())}
    for low, high in pairwise(SNR_EDGES):
        inside = (snr >= low) & (snr < high)
        if inside.any():
            shares[f"S/N {low:g}-{high:g}"] = float(flagged[inside].mean())
    return shares
