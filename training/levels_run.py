"""Calibrate the network of a finished run: fit the levels of its quantiles on galaxies that it was not fitted to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import keras
import numpy as np
from numpy.typing import NDArray

from redden.modelcard import ModelCard
from redden.modelinput import model_inputs
from redden.posterior import QUANTITIES
from redden.signature import CONTEXT
from training.calibration import pit
from training.coverage_report import check_fresh
from training.dataset import DatasetCard
from training.domain_run import read_network
from training.fit import NETWORK_FILE, read_run_card
from training.levels import BATCH, POSTERIOR, fit_levels, with_levels
from training.observe import ObservationPrior
from training.rivals.mocks import BAND_SETS, Mocks
from training.scene_set import load_scenes

EPOCHS: Final = 15
"""How often the fit sees each galaxy in each set of bands."""


def calibrate(run: Path, data: Path, *, seed: int, scenes: int, fresh: bool = False) -> ModelCard:
    """Fit the levels of a run of the redden model; network and card are replaced.

    Each galaxy is seen in the band sets of the comparison, and once with bands and knowledge of the redshift as in
    training batches.

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
    card = read_run_card(run)
    network = read_network(run, card)
    if fresh:
        check_fresh(data, card.trained_on, f"{card.name} was fitted to")
    _, found = load_scenes(data)
    inside = found if fresh else found.part("validation", card.trained_on["split_seed"])
    mocks = Mocks.observe(inside, ObservationPrior(), seed=seed, most=scenes)
    card = card.model_copy(update={"levels": False})
    known = _concatenated([_known(card, network, shown) for shown in _shown(mocks, seed)])
    truth = {name: np.tile(values, len(BAND_SETS) + 1) for name, values in mocks.truth.items()}
    ranks = pit(card, known, truth)
    levels = fit_levels(card, known, np.stack([ranks[name] for name in QUANTITIES], axis=1), epochs=EPOCHS, seed=seed)
    mean = levels.predict([known[tensor.name] for tensor in levels.inputs], batch_size=BATCH, verbose=0).mean(axis=0)
    of_data = DatasetCard.read(data)
    facts = {
        "data_set": of_data.name,
        "sha256": of_data.sha256,
        "settings": of_data.settings,
        "part": "all" if fresh else "validation",
        "images": len(mocks),
        "galaxies": len(np.unique(mocks.galaxy)),
        "mean": {name: mean[row].astype(np.float64).round(4).tolist() for row, name in enumerate(QUANTITIES)},
    }
    card = card.model_copy(update={"levels": True, "trained_with": card.trained_with | {"levels": facts}})
    with_levels(network, levels).save(run / NETWORK_FILE)
    card.write(run)
    return card


def _shown(mocks: Mocks, seed: int) -> Iterator[Mocks]:
    yield from (mocks.seen_in(each) for each in BAND_SETS)
    yield mocks.seen_at_random(np.random.default_rng(seed))


def _known(card: ModelCard, network: keras.Model, mocks: Mocks) -> dict[str, NDArray[np.float32]]:
    """What levels follow from: the context, and what the network answers."""
    inputs = model_inputs(mocks.pixels, card, mocks.redshift)
    answer = network.predict([inputs[tensor.name] for tensor in network.inputs], batch_size=BATCH, verbose=0)
    return {CONTEXT: inputs[CONTEXT], **{name: answer[name] for name in POSTERIOR}}


def _concatenated(parts: list[dict[str, NDArray[np.float32]]]) -> dict[str, NDArray[np.float32]]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
