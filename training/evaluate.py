"""Errors of a fitted network or of an exported model on galaxies that it has not seen."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from rich.box import SIMPLE_HEAD
from rich.table import Table

from redden.errors import ModelCardError
from redden.modelcard import ModelCard
from redden.posterior import QUANTITIES, UNITS, quantiles
from redden.signature import PIXELS, SIGNATURE
from training.fit import BATCH, NETWORK_FILE, read_run_card
from training.metrics import Estimates, Figure, figures
from training.samples import load

EVALUATION_FILE: Final = "evaluation.json"
"""Name of the result in a run's directory."""

Predict = Callable[[NDArray[np.float32]], Mapping[str, NDArray[np.float32]]]


class Evaluation(BaseModel):
    """Errors on test galaxies."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    data_set: str
    """Name of the data set."""
    sha256: str
    """Hash of the data set."""
    images: int
    galaxies: int
    figures: dict[str, dict[str, Figure]]
    """By quantity, then by the names of `training.metrics.figures`."""


def evaluate(directory: Path, data: Path) -> Evaluation:
    """Errors on the test galaxies of a data set, through the same posterior code that serving uses.

    The test galaxies are those of the split that the model was trained with, also in another data set: a galaxy that
    two data sets share is never both trained and tested on.

    Parameters
    ----------
    directory : Path
        A run's directory, or an exported model ``NAME/VERSION/``, which is then used through its SavedModel.
    data : Path
        Data set.

    Returns
    -------
    Evaluation

    Raises
    ------
    ModelCardError
        If the directory is neither.
    DatasetError
        If the data set cannot be used.
    """
    card, predict = _open(directory)
    data_card, samples = load(data, card.bands, card.normalisation)
    seed = card.trained_on["split_seed"]
    test = samples.part("test", seed)
    answer = quantiles(card, predict(test.pixels))
    return Evaluation(
        model=card.name,
        data_set=data_card.name,
        sha256=data_card.sha256,
        images=len(test),
        galaxies=test.galaxies,
        figures={
            name: figures(
                Estimates(test.truth[name], answer[name], test.galaxy, card.trained_on["median"][name]), seed=seed
            )
            for name in QUANTITIES
        },
    )


def _open(directory: Path) -> tuple[ModelCard, Predict]:
    if (directory / NETWORK_FILE).exists():
        network = keras.models.load_model(directory / NETWORK_FILE)
        return read_run_card(directory), lambda pixels: network.predict(pixels, batch_size=BATCH, verbose=0)
    if (directory / "saved_model.pb").exists():
        return ModelCard.read(directory), _saved_model(directory)
    raise ModelCardError(
        f"{directory} is neither the directory of a run ({NETWORK_FILE}) nor of a model (saved_model.pb)."
    )


def _saved_model(directory: Path) -> Predict:
    loaded = tf.saved_model.load(str(directory))
    signature = loaded.signatures[SIGNATURE]

    def predict(pixels: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        batches = [pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH)]
        answers = [signature(**{PIXELS: tf.constant(batch)}) for batch in batches]
        return {name: np.concatenate([answer[name].numpy() for answer in answers]) for name in answers[0]}

    return predict


def table(evaluation: Evaluation) -> Table:
    """The evaluation as a table of figures by quantity."""
    title = f"{evaluation.model} on {evaluation.images} images of {evaluation.galaxies} test galaxies"
    result = Table(title=f"{title} ({evaluation.data_set})", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    result.add_column("figure", no_wrap=True)
    for name in QUANTITIES:
        result.add_column(f"{name}\n\\[{UNITS[name]}]", justify="right", no_wrap=True)
    names = dict.fromkeys(figure for by_quantity in evaluation.figures.values() for figure in by_quantity)
    for figure in names:
        result.add_row(figure, *(_cell(evaluation.figures[name].get(figure)) for name in QUANTITIES))
    return result


def _cell(figure: Figure | None) -> str:
    return "" if figure is None else f"{figure.value:.4f}±{figure.error:.4f}"
