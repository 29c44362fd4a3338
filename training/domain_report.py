"""How well the domain score tells strange cutouts from galaxies, kind by kind, and how often it cries wolf."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

import keras
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from sklearn.metrics import roc_auc_score

from redden.modelinput import Inputs
from redden.signature import DOMAIN
from training.domain import BATCH, evidence, fit_head, look
from training.domain_data import Cutouts, band_sets
from training.observe import SELECTED_IN

Scores = NDArray[np.float64]

SNR_EDGES: Final = (5.0, 7.0, 10.0, 20.0, np.inf)
"""Bins of the signal-to-noise ratio in the reddest of the paper's bands."""


class Detection(BaseModel):
    """How well one kind of strange cutouts is told from galaxies in one set of bands."""

    model_config = ConfigDict(frozen=True)

    auroc: float
    """Probability that a strange cutout scores higher than a galaxy."""
    flagged: float
    """Share of the strange cutouts that are flagged."""
    auroc_unseen: float | None
    """The same with a head that was fitted without this kind; None where no head is fitted to it."""


class DomainReport(BaseModel):
    """What the domain score is worth, on galaxies that no fit has seen, without redshifts."""

    model_config = ConfigDict(frozen=True)

    threshold: float
    galaxies: int
    """Images of galaxies of the training kind in the test."""
    false_alarms: dict[str, dict[str, float]]
    """Share of them that are flagged: by number of bands, then ``all`` or the bin of the signal-to-noise ratio."""
    kinds: dict[str, dict[str, Detection]]
    """By kind, then by number of bands."""

    def markdown(self) -> str:
        """The tables for people."""
        sets = list(self.false_alarms)
        columns = [f"AUROC {name} | flagged | unseen" for name in sets]
        lines = ["| kind | " + " | ".join(columns) + " |", "| --- |" + " --- | --- | --- |" * len(sets)]
        for kind, by_bands in self.kinds.items():
            cells = [
                f"{each.auroc:.3f} | {each.flagged:.2f} | "
                + ("" if each.auroc_unseen is None else f"{each.auroc_unseen:.3f}")
                for each in by_bands.values()
            ]
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
    unseen: Mapping[str, keras.Model],
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
    unseen : mapping of str to keras.Model
        By kind, a head that was fitted without it, see `heads_without`.
    """
    sees = evidence(network)
    false_alarms: dict[str, dict[str, float]] = {}
    kinds: dict[str, dict[str, Detection]] = {kind: {} for kind in outliers}
    for name, shown in band_sets(bands).items():
        usual = inliers.shown_in(bands, shown)
        scores, usual_evidence = score(network, usual), look(sees, usual)
        false_alarms[name] = _false_alarms(scores > threshold, inliers.snr[:, bands.index(SELECTED_IN[-1])])
        for kind, cutouts in outliers.items():
            strange = cutouts.shown_in(bands, shown)
            strange_scores = score(network, strange)
            kinds[kind][name] = Detection(
                auroc=auroc(scores, strange_scores),
                flagged=float((strange_scores > threshold).mean()),
                auroc_unseen=_auroc_of(unseen.get(kind), usual_evidence, look(sees, strange)),
            )
    return DomainReport(threshold=threshold, galaxies=len(inliers), false_alarms=false_alarms, kinds=kinds)


def heads_without(
    known: NDArray[np.float32],
    strange: Mapping[str, NDArray[np.float32]],
    calibration: NDArray[np.float32],
    context_columns: int,
    *,
    epochs: int,
    seed: int,
) -> dict[str, keras.Model]:
    """For each kind of strange cutouts, a head that was fitted to all others; see `training.domain.fit_head`."""
    heads = {}
    for kind in strange:
        others = {each: strange[each] for each in strange if each != kind}
        heads[kind] = fit_head(known, others, calibration, context_columns, epochs=epochs, seed=seed)
    return heads


def score(network: keras.Model, inputs: Inputs) -> Scores:
    """Domain scores of a network, shape (galaxies,)."""
    arranged = [inputs[tensor.name] for tensor in network.inputs]
    return np.asarray(network.predict(arranged, batch_size=BATCH, verbose=0)[DOMAIN], dtype=np.float64)


def auroc(usual: NDArray[np.floating], strange: NDArray[np.floating]) -> float:
    """Area under the curve of detections over false alarms: 1 if every strange score is above every usual one."""
    truth = np.concatenate([np.zeros(len(usual)), np.ones(len(strange))])
    return float(roc_auc_score(truth, np.concatenate([usual, strange])))


def _auroc_of(head: keras.Model | None, usual: NDArray[np.float32], strange: NDArray[np.float32]) -> float | None:
    if head is None:
        return None
    return auroc(*(head.predict(each, batch_size=BATCH, verbose=0) for each in (usual, strange)))


def _false_alarms(flagged: NDArray[np.bool_], snr: NDArray[np.float32]) -> dict[str, float]:
    shares = {"all": float(flagged.mean())}
    for low, high in pairwise(SNR_EDGES):
        inside = (snr >= low) & (snr < high)
        if inside.any():
            shares[f"S/N {low:g}-{high:g}"] = float(flagged[inside].mean())
    return shares
