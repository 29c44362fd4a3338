"""From a finished run to a SavedModel directory that TensorFlow Serving, OpenVINO and the gateway read."""

import shutil
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from redden.errors import ModelCardError
from redden.modelcard import ModelCard
from redden.signature import SIGNATURE
from training.assess import ACCURACY_FILE
from training.comparison import Assessment
from training.coverage_report import CALIBRATION_FILE, SHOWN, Calibration
from training.domain_report import DomainReport
from training.domain_run import REPORT_FILE
from training.evaluate import EVALUATION_FILE, Evaluation
from training.fit import NETWORK_FILE, read_run_card
from training.predict import open_model
from training.reproduce import small_sample


def export(run: Path, models: Path, *, version: int | None = None) -> Path:
    """Write ``models/NAME/VERSION/`` with the SavedModel and its card, and beside a mixture's how it is calibrated.

    Only the serving graph and its weights are written, under one signature with a dynamic number of galaxies: nothing
    of the optimiser, the loss or the dropout. A model server that watches `models` never sees a half-written version.

    Parameters
    ----------
    run : Path
        Directory that a fit wrote, and in which its evaluation lies.
    models : Path
        Directory of all models.
    version : int, optional
        By default the one after the latest.

    Returns
    -------
    Path
        The new directory.

    Raises
    ------
    ModelCardError
        If the run has no card or was not evaluated, or the version exists already.
    """
    card = read_run_card(run)
    is_mixture = card.posterior == "mixture"
    figures = _of_posterior(run, card) if is_mixture else _of_estimates(run)
    beside = [_existing(run / file, "coverage") for file in SHOWN] if is_mixture else []
    home = models / card.name
    version = version or _latest(home) + 1
    target = home / str(version)
    if target.exists():
        raise ModelCardError(f"{target} exists already: leave the version out to get the next one, or remove it first.")
    partial = home / f".{version}.partial"
    partial.mkdir(parents=True)
    write_saved_model(keras.models.load_model(run / NETWORK_FILE), partial)
    for file in beside:
        shutil.copy(file, partial)
    card.model_copy(update={"version": version, "figures_of_merit": figures}).write(partial)
    return partial.rename(target)


def _of_estimates(run: Path) -> dict[str, Any]:
    """Figures of merit that `redden-train evaluate` has written."""
    return Evaluation.model_validate_json(_text(run, EVALUATION_FILE, "evaluate")).model_dump(mode="json")


def _of_posterior(run: Path, card: ModelCard) -> dict[str, Any]:
    """The gist of what `redden-train coverage`, `compare-rivals` and `domain` have written, and a sample to repeat."""
    calibration = Calibration.model_validate_json(_text(run, CALIBRATION_FILE, "coverage"))
    assessment = Assessment.model_validate_json(_text(run, ACCURACY_FILE, "compare-rivals"))
    domain = DomainReport.model_validate_json(_text(run, REPORT_FILE, "domain"))
    return {
        "coverage": {quantity: bins["all"][""].model_dump() for quantity, bins in calibration.coverage.items()},
        "calibration": list(SHOWN),
        "accuracy": [row.model_dump(exclude={"behind"}) for row in assessment.rows if row.method == card.name],
        "domain": domain.model_dump(mode="json"),
        "sample": small_sample(card, open_model(run)[1]),
    }


def _text(run: Path, file: str, command: str) -> str:
    return _existing(run / file, command).read_text(encoding="utf-8")


def _existing(file: Path, command: str) -> Path:
    if not file.exists():
        raise ModelCardError(f"{file.parent} has no {file.name}: `redden-train {command}` writes it there.")
    return file


def write_saved_model(network: keras.Model, directory: Path) -> None:
    """Write the serving graph of a network, its inputs by their names, into a directory that exists."""
    specs = [tf.TensorSpec((None, *tensor.shape[1:]), tf.float32, name=tensor.name) for tensor in network.inputs]

    def answer(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        named = dict(zip((spec.name for spec in specs), tensors, strict=True))
        arranged = keras.tree.map_structure(lambda tensor: named[tensor.name], network.input)
        return dict(network(arranged, training=False))

    # keras' own export writes every weight twice.
    module = tf.Module()
    module.weights = [variable.value for variable in network.weights]
    tf.saved_model.save(module, str(directory), signatures={SIGNATURE: tf.function(answer, input_signature=specs)})


def _latest(home: Path) -> int:
    return max((int(path.name) for path in home.glob("[0-9]*") if path.name.isdigit()), default=0)
