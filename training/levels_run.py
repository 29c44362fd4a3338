"""Calibrate the network of a finished run: fit the levels of its quantiles on galaxies that it was not fitted to."""

from pathlib import Path
from typing import Final

import keras
import numpy as np
from numpy.typing import NDArray

from redden.modelcard import ModelCard
from redden.posterior import QUANTITIES
from redden.signature import CONTEXT
from training.assess import ACCURACY_FILE
from training.calibration import pit
from training.coverage_report import CALIBRATION_FILE, SHOWN
from training.domain_run import read_network
from training.fit import NETWORK_FILE, read_run_card
from training.freshness import EVERYONE, check_fresh
from training.levels import BATCH, POSTERIOR, fit_levels, with_levels
from training.observe import ObservationPrior
from training.rivals.mocks import Mocks
from training.rivals.network import Network
from training.scene_set import load_scenes
from training.software import CODE_VERSION

EPOCHS: Final = 15
"""How often the fit sees each galaxy in each set of bands."""


def calibrate(run: Path, data: Path, *, seed: int, scenes: int, fresh: bool = False) -> ModelCard:
    """Fit the levels of a run of the redden model; network and card are replaced, reports on earlier levels removed.

    Parameters
    ----------
    run : Path
        Directory of a run of the redden model.
    data : Path
        Data set of scenes.
    seed : int
        Of the observation and the fit.
    scenes : int
        Most scenes to look at.
    fresh : bool
        Whether no galaxy of the data set was used in the fit; otherwise only the validation galaxies of its split are.

    Returns
    -------
    ModelCard
        ``trained_with["levels"]`` has what they were fitted to, and their mean.

    Raises
    ------
    ModelCardError
        If this is no run of the redden model.
    DatasetError
        If the data set cannot be used, or is called fresh and has the seed of the one that was fitted to.
    """
    graph = read_network(run, read_run_card(run))
    network = Network(run)
    card = network.card
    if fresh:
        check_fresh(data, card.trained_on, f"{card.name} was fitted to")
    of_data, found = load_scenes(data)
    inside = found if fresh else found.part("validation", card.trained_on["split_seed"])
    mocks = Mocks.observe(inside, ObservationPrior(), seed=seed, most=scenes)
    parts = [_known(network, seen) for _, seen in network.views(mocks, seed=seed + 1)]
    known = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    truth = {name: np.tile(values, len(parts)) for name, values in mocks.truth.items()}
    card = card.model_copy(update={"levels": False})
    ranks = pit(card, known, truth)
    levels = fit_levels(card, known, np.stack([ranks[name] for name in QUANTITIES], axis=1), epochs=EPOCHS, seed=seed)
    facts = {
        "data_set": of_data.name,
        "sha256": of_data.sha256,
        "settings": of_data.settings,
        "part": EVERYONE if fresh else "validation",
        "images": len(mocks),
        "galaxies": len(np.unique(mocks.galaxy)),
        "mean": _mean(levels, known),
        "software": CODE_VERSION,
    }
    with_levels(graph, levels).save(run / NETWORK_FILE)
    for stale in (CALIBRATION_FILE, *SHOWN, ACCURACY_FILE):
        (run / stale).unlink(missing_ok=True)
    card = card.model_copy(update={"levels": True, "trained_with": card.trained_with | {"levels": facts}})
    card.write(run)
    return card


def _known(network: Network, mocks: Mocks) -> dict[str, NDArray[np.float32]]:
    """What levels follow from: the context, and what the network answers."""
    outputs = network.outputs(mocks)
    return {CONTEXT: network.inputs(mocks)[CONTEXT], **{name: outputs[name] for name in POSTERIOR}}


def _mean(levels: keras.Model, known: dict[str, NDArray[np.float32]]) -> dict[str, list[float]]:
    """Mean levels over all galaxies, by quantity."""
    found = levels.predict([known[tensor.name] for tensor in levels.inputs], batch_size=BATCH, verbose=0)
    return dict(zip(QUANTITIES, found.mean(axis=0, dtype=np.float64).round(4).tolist(), strict=True))
