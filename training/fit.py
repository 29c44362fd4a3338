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

from redden.errors import ModelCardError
from redden.modelcard import CARD_FILE, ModelCard, TargetName
from redden.posterior import PROBABILITIES, QUANTITIES, quantiles
from training.dataset import DatasetCard
from training.networks import RECIPES, Network, Part, Recipe
from training.samples import Samples, load
from training.software import CODE_VERSION

NETWORK_FILE: Final = "network.keras"
HISTORY_FILE: Final = "history.json"

BATCH: Final = 512
"""Images per call where nothing is fitted."""


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
    train, validation = (samples.part(part, seed, recipe.split) for part in ("train", "validation"))
    start = perf_counter()
    network, history = fit_network(recipe, train, validation, seed=seed)
    trained_with = _trained_with(recipe, network, seed)
    trained_with["epochs"] = {part: len(epochs["loss"]) for part, epochs in history.items()}
    trained_with["seconds"] = round(perf_counter() - start)
    card = ModelCard(
        name=name,
        version=1,
        description=recipe.description,
        bands=recipe.bands,
        normalisation=recipe.normalisation,
        targets=recipe.targets,
        posterior=recipe.posterior,
        interval_scale={},
        trained_on=_trained_on(recipe, data_card, samples, seed),
        trained_with=trained_with,
        figures_of_merit={},
        intended_use=_intended_use(data_card, train),
    )
    if recipe.posterior == "gaussian":
        answer = quantiles(card, network.serving.predict(validation.pixels, batch_size=BATCH, verbose=0))
        card = card.model_copy(update={"interval_scale": _interval_scale(recipe, validation, answer)})
    out.mkdir(parents=True, exist_ok=True)
    network.serving.save(out / NETWORK_FILE)
    (out / HISTORY_FILE).write_text(json.dumps(history, indent=1) + "\n", encoding="utf-8")
    card.write(out)
    return card


def fit_network(
    recipe: Recipe, train: Samples, validation: Samples, *, seed: int
) -> tuple[Network, dict[str, dict[str, list[float]]]]:
    """Build a recipe's network and fit its parts, one after another.

    Returns
    -------
    network : Network
    history : dict of str to dict
        Of each part by its name: losses after each epoch.
    """
    keras.utils.clear_session()  # layer names, too, must not depend on what was built before
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    names = [target.name for target in recipe.targets]
    network = recipe.build(recipe.bands, names, train.labels(recipe.targets))
    return network, {part.name: _fit_part(part, recipe, train, validation, seed) for part in network.parts}


def _fit_part(part: Part, recipe: Recipe, train: Samples, validation: Samples, seed: int) -> dict[str, list[float]]:
    batches = recipe.batches(
        train.pixels, train.labels(recipe.targets)[:, part.columns], batch_size=recipe.batch_size, seed=seed
    )
    stop = keras.callbacks.EarlyStopping(patience=recipe.patience, restore_best_weights=True)
    history = part.model.fit(
        batches,
        epochs=recipe.epochs,
        shuffle=False,  # the batches shuffle themselves
        validation_data=(validation.pixels, validation.labels(recipe.targets)[:, part.columns]),
        validation_batch_size=BATCH,
        callbacks=[*part.callbacks, stop],
        verbose=2,
    )
    return {name: [float(value) for value in values] for name, values in history.history.items()}


def _interval_scale(
    recipe: Recipe, validation: Samples, answer: dict[str, NDArray[np.float64]]
) -> dict[TargetName, float]:
    scales: dict[TargetName, float] = {}
    for target in recipe.targets:
        truth, values = validation.truth[target.name], answer[target.name]
        logarithmic = target.transform == "log"
        scales[target.name] = best_scale(np.log(truth), np.log(values)) if logarithmic else best_scale(truth, values)
    return scales


def best_scale(truth: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Factor on the standard deviation with which Gaussian intervals cover 68 % and 95 % of the truths best.

    One factor cannot set both coverages: the least sum of their two absolute misses decides.

    Parameters
    ----------
    truth : ndarray of float64, shape (images,)
    values : ndarray of float64, shape (images, 5)
        Quantiles at `redden.posterior.PROBABILITIES`, symmetric around the median.

    Returns
    -------
    float
        Between 0.5 and 2, in steps of 0.005.
    """
    low_95, low_68, median, high_68, high_95 = values.T
    # The widening at which each truth enters the interval.
    enters_68 = np.abs(truth - median) / ((high_68 - low_68) / 2)
    enters_95 = np.abs(truth - median) / ((high_95 - low_95) / 2)
    candidates = np.linspace(0.5, 2.0, 301)
    miss = [
        abs(np.mean(enters_68 <= scale) - (PROBABILITIES[3] - PROBABILITIES[1]))
        + abs(np.mean(enters_95 <= scale) - (PROBABILITIES[4] - PROBABILITIES[0]))
        for scale in candidates
    ]
    return round(float(candidates[int(np.argmin(miss))]), 3)


def _intended_use(data_card: DatasetCard, train: Samples) -> str:
    """What a model is for: galaxies like those that it was fitted to, wherever these came from."""
    low, high = in_tenths(train.truth["z"])
    settings = data_card.settings
    least = settings.get("min_snr", settings.get("observation", {}).get("min_snr"))
    bright = "" if least is None else f" with a signal-to-noise ratio of {least:g} or more in every band"
    return (
        f"Galaxies at redshift {low:g} to {high:g} in NIRCam images of 0.03 arcsec per pixel{bright}, centred in "
        f"the cutout. {trained_on_mocks(data_card)} Galaxies without dust were left out: the model cannot answer "
        "A_V = 0. Not for other redshifts, pixel scales, instruments, stars or active nuclei."
    )


def in_tenths(z: NDArray[np.float64]) -> tuple[float, float]:
    """Redshifts that hold those of all galaxies, from and to, in tenths."""
    return float(np.floor(10 * z.min()) / 10), float(np.ceil(10 * z.max()) / 10)


def trained_on_mocks(data_card: DatasetCard) -> str:
    """Where the galaxies of a model come from, for its card."""
    return (
        f"Trained and tested on simulated galaxies only ({data_card.source}), whose stars and dust are those of "
        "that simulation and whose noise is simulated too; errors on real galaxies are not known."
    )


def _trained_on(recipe: Recipe, data_card: DatasetCard, samples: Samples, seed: int) -> dict[str, Any]:
    train, validation = (samples.part(part, seed, recipe.split) for part in ("train", "validation"))
    return {
        "data_set": data_card.name,
        "sha256": data_card.sha256,
        "source": data_card.source,
        "software": data_card.software,
        "settings": data_card.settings,
        "images_without_dust_left_out": data_card.images - len(samples),
        "split": recipe.split,
        "split_seed": seed,
        "train": {"images": len(train), "galaxies": train.galaxies},
        "validation": {"images": len(validation), "galaxies": validation.galaxies},
        "median": {quantity: float(np.median(train.truth[quantity])) for quantity in QUANTITIES},
    }


def _trained_with(recipe: Recipe, network: Network, seed: int) -> dict[str, Any]:
    optimizer = network.parts[0].model.optimizer
    return {
        "loss": recipe.loss,
        "optimizer": {"name": optimizer.name, "learning_rate": float(optimizer.learning_rate)},
        "batch_size": recipe.batch_size,
        "early_stopping_patience": recipe.patience,
        "augmentation": recipe.augmentation,
        "seed": seed,
        "parameters": network.serving.count_params(),
        "software": {"redden": CODE_VERSION} | {package: version(package) for package in ("keras", "tensorflow")},
    }


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
