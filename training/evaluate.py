"""Errors of a fitted network or of an exported model on galaxies that it has not seen."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from rich.box import SIMPLE_HEAD
from rich.table import Table

from redden.errors import ModelCardError
from redden.modelcard import ModelCard
from redden.posterior import PROBABILITIES, QUANTITIES, UNITS, quantiles
from redden.signature import PIXELS
from training.dataset import DatasetCard
from training.metrics import Estimates, Figure, figures
from training.predict import open_model
from training.samples import Samples, load

EVALUATION_FILE: Final = "evaluation.json"
"""Name of the result in a run's directory."""


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


@dataclass(frozen=True, slots=True)
class Measured:
    """The test galaxies of a data set as a model sees them.

    Attributes
    ----------
    card : ModelCard
    data_card : DatasetCard
    test : Samples
        Pixels as the model takes them, and the truth.
    answer : dict of str to ndarray of float64, shape (images, 5)
        Quantiles of each quantity at `redden.posterior.PROBABILITIES`.
    """

    card: ModelCard
    data_card: DatasetCard
    test: Samples
    answer: dict[str, NDArray[np.float64]]

    def median(self, name: str) -> NDArray[np.float64]:
        """Estimates of a quantity, shape (images,)."""
        return self.answer[name][:, PROBABILITIES.index(0.5)]

    def evaluation(self) -> Evaluation:
        """Errors, with those of the errors."""
        baseline, seed = self.card.trained_on["median"], self.card.trained_on["split_seed"]
        estimates = {
            name: Estimates(self.test.truth[name], self.answer[name], self.test.galaxy, baseline[name])
            for name in QUANTITIES
        }
        return Evaluation(
            model=self.card.name,
            data_set=self.data_card.name,
            sha256=self.data_card.sha256,
            images=len(self.test),
            galaxies=self.test.galaxies,
            figures={name: figures(one, seed=seed) for name, one in estimates.items()},
        )


def measure(directory: Path, data: Path) -> Measured:
    """Measure the test galaxies of a data set, through the same posterior code that serving uses.

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
    Measured

    Raises
    ------
    ModelCardError
        If the directory is neither, or the model takes any bands, and is judged on scenes instead.
    DatasetError
        If the data set cannot be used, or has no test galaxies.
    """
    card, predict = open_model(directory)
    if card.takes_any_bands:
        raise ModelCardError(
            f"{card.name} takes any bands, and is judged on scenes: use `redden-train coverage` or `compare-rivals`."
        )
    data_card, samples = load(data, card.bands, card.normalisation)
    test = samples.part("test", card.trained_on["split_seed"], card.trained_on.get("split", "galaxies"))
    return Measured(card, data_card, test, quantiles(card, predict({PIXELS: test.pixels})))


def evaluate(directory: Path, data: Path) -> Evaluation:
    """Errors on the test galaxies of a data set; parameters and errors as of `measure`."""
    return measure(directory, data).evaluation()


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
