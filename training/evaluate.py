"""Errors of a fitted network or of an exported model on galaxies that it has not seen."""

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict
from rich.box import SIMPLE_HEAD
from rich.table import Table

from redden.posterior import QUANTITIES, UNITS, quantiles
from redden.signature import PIXELS
from training.metrics import Estimates, Figure, figures
from training.predict import open_model
from training.samples import load

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
    card, predict = open_model(directory)
    data_card, samples = load(data, card.bands, card.normalisation)
    seed = card.trained_on["split_seed"]
    test = samples.part("test", seed, card.trained_on.get("split", "galaxies"))
    answer = quantiles(card, predict({PIXELS: test.pixels}))
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
