"""Fit a network to a data set, and write down what was done."""

import json
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from redden import __version__
from redden.errors import ModelCardError
from redden.modelcard import CARD_FILE, ModelCard
from redden.posterior import PROBABILITIES, QUANTITIES, quantiles
from training.augment import TurnedBatches
from training.dataset import DatasetCard
from training.networks import RECIPES, Network, Part, Recipe
from training.samples import Samples, load

NETWORK_FILE: Final = "network.keras"
HISTORY_FILE: Final = "history.json"

BATCH: Final = 512
"""Images per call where nothing is fitted."""

INTENDED_USE: Final = (
    "Galaxies at redshift 6 to 8.5 in NIRCam images of 0.03 arcsec per pixel with a signal-to-noise ratio of 5 or more "
    "in every band, centred in the cutout. Trained and tested on simulated galaxies only, whose star formation, dust "
    "and noise follow one forward model; errors on real galaxies are not known. Galaxies without dust were left out: "
    "the model cannot answer A_V = 0. Not for other redshifts, pixel scales, instruments, stars or active nuclei."
)


def fit(name: str, data: Path, out: Path, *, seed: int) -> ModelCard:
    """Fit the model of a recipe and write ``network.keras``, ``history.json`` and ``model_card.json`` into `out`.

    The split by galaxy, the first weights, the order of the images and their flips follow from the seed; on one
    machine the same seed gives the same weights.

    Parameters
    ----------
    name : str
        One of `training.networks.RECIPES`.
    data : Path
        Data set.
    out : Path
        Directory of the run; made if it does not exist.
    seed : int
        Seed of everything that is random.

    Returns
    -------
    ModelCard
        Card of the run, without figures of merit; `training.export.export` gives it a version.

    Raises
    ------
    DatasetError
        If the data set cannot be used.
    """
    recipe = RECIPES[name]
    data_card, samples = load(data, recipe.bands, recipe.normalisation)
    train, validation = samples.part("train", seed), samples.part("validation", seed)
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    labels = train.labels(recipe.targets)
    network = recipe.build(recipe.bands, [target.name for target in recipe.targets], labels)
    start = perf_counter()
    history = {part.name: _fit_part(part, recipe, train, validation, seed) for part in network.parts}
    seconds = perf_counter() - start
    card = _card(name, recipe, network, data_card, samples, seed, history, seconds)
    card = card.model_copy(update={"interval_scale": interval_scale(card, network, validation)})
    out.mkdir(parents=True, exist_ok=True)
    network.serving.save(out / NETWORK_FILE)
    (out / HISTORY_FILE).write_text(json.dumps(history, indent=1) + "\n", encoding="utf-8")
    card.write(out)
    return card


def _fit_part(
    part: Part, recipe: Recipe, train: Samples, validation: Samples, seed: int
) -> dict[str, list[float]]:
    batches = TurnedBatches(
        train.pixels, train.labels(recipe.targets)[:, part.columns], batch_size=recipe.batch_size, seed=seed
    )
    stop = keras.callbacks.EarlyStopping(patience=recipe.patience, restore_best_weights=True)
    history = part.model.fit(
        batches,
        epochs=recipe.epochs,
        shuffle=False,  # the batches shuffle themselves
        validation_data=(validation.pixels, validation.labels(recipe.targets)[:, part.columns]),
        validation_batch_size=BATCH,
        callbacks=[stop],
        verbose=2,
    )
    return {name: [float(value) for value in values] for name, values in history.history.items()}


def interval_scale(card: ModelCard, network: Network, validation: Samples) -> dict[str, float]:
    """Factor on each target's standard deviation with which 68 % and 95 % of the validation images are covered best.

    One factor cannot set both coverages; the one with the least sum of the two absolute differences is taken.

    Returns
    -------
    dict of str to float
        By target; empty for point estimates.
    """
    if card.posterior == "point":
        return {}
    answer = quantiles(card, network.serving.predict(validation.pixels, batch_size=BATCH, verbose=0))
    scales = {}
    for target in card.targets:
        truth, values = validation.truth[target.name], answer[target.name]
        if target.transform == "log":
            truth, values = np.log(truth), np.log(values)
        scales[target.name] = _best_scale(truth, values)
    return scales


def _best_scale(truth: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    low_95, low_68, median, high_68, high_95 = values.T
    # The widening at which each image's truth enters the interval.
    enters_68 = np.abs(truth - median) / ((high_68 - low_68) / 2)
    enters_95 = np.abs(truth - median) / ((high_95 - low_95) / 2)
    candidates = np.linspace(0.5, 2.0, 301)
    miss = [
        abs(np.mean(enters_68 <= scale) - (PROBABILITIES[3] - PROBABILITIES[1]))
        + abs(np.mean(enters_95 <= scale) - (PROBABILITIES[4] - PROBABILITIES[0]))
        for scale in candidates
    ]
    return round(float(candidates[int(np.argmin(miss))]), 3)


def _card(
    name: str,
    recipe: Recipe,
    network: Network,
    data_card: DatasetCard,
    samples: Samples,
    seed: int,
    history: dict[str, dict[str, list[float]]],
    seconds: float,
) -> ModelCard:
    train, validation = samples.part("train", seed), samples.part("validation", seed)
    trained_on: dict[str, Any] = {
        "data_set": data_card.name,
        "sha256": data_card.sha256,
        "source": data_card.source,
        "settings": data_card.settings,
        "images_without_dust_left_out": data_card.images - len(samples),
        "split_seed": seed,
        "train": {"images": len(train), "galaxies": train.galaxies},
        "validation": {"images": len(validation), "galaxies": validation.galaxies},
        "median": {quantity: float(np.median(train.truth[quantity])) for quantity in QUANTITIES},
    }
    trained_with: dict[str, Any] = {
        "loss": recipe.loss,
        "optimiser": network.parts[0].model.optimizer.name,
        "learning_rate": float(network.parts[0].model.optimizer.learning_rate),
        "batch_size": recipe.batch_size,
        "early_stopping_patience": recipe.patience,
        "augmentation": "flips and quarter turns",
        "seed": seed,
        "epochs": {part: len(epochs["loss"]) for part, epochs in history.items()},
        "parameters": network.serving.count_params(),
        "seconds": round(seconds, 1),
        "software": {"redden": __version__, **{package: version(package) for package in ("keras", "tensorflow")}},
    }
    return ModelCard(
        name=name,
        version=1,
        description=recipe.description,
        bands=recipe.bands,
        normalisation=recipe.normalisation,
        targets=recipe.targets,
        posterior=recipe.posterior,
        trained_on=trained_on,
        trained_with=trained_with,
        figures_of_merit={},
        intended_use=INTENDED_USE,
    )


def read_run_card(run: Path) -> ModelCard:
    """The card that `fit` wrote into a run's directory.

    Raises
    ------
    ModelCardError
        If there is none.
    """
    path = run / CARD_FILE
    if not path.exists():
        raise ModelCardError(f"{run} is no finished run: it has no {CARD_FILE}. `redden-train fit` makes one.")
    return ModelCard.model_validate_json(path.read_text(encoding="utf-8"))
