"""From a finished run to a SavedModel directory that TensorFlow Serving, OpenVINO and the gateway read."""

from pathlib import Path

import keras
import tensorflow as tf

from redden.errors import ModelCardError
from redden.grid import SIZE
from redden.signature import PIXELS, SIGNATURE
from training.evaluate import EVALUATION_FILE, Evaluation
from training.fit import NETWORK_FILE, read_run_card


def export(run: Path, models: Path, *, version: int | None = None) -> Path:
    """Write ``models/NAME/VERSION/`` with the SavedModel and its card.

    Only the serving graph and its weights are written, under one signature with a dynamic number of galaxies: nothing
    of the optimiser, the loss or the dropout. A model server that watches `models` never sees a half-written version.

    Parameters
    ----------
    run : Path
        Directory that `training.fit.fit` wrote and `training.evaluate.evaluate` has evaluated.
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
    evaluation_file = run / EVALUATION_FILE
    if not evaluation_file.exists():
        raise ModelCardError(f"{run} has no {EVALUATION_FILE}: run `redden-train evaluate {run} --data DIR` first.")
    evaluation = Evaluation.model_validate_json(evaluation_file.read_text(encoding="utf-8"))
    home = models / card.name
    version = version or _latest(home) + 1
    target = home / str(version)
    if target.exists():
        raise ModelCardError(f"{target} exists already: leave the version out to get the next one, or remove it first.")
    partial = home / f".{version}.partial"
    partial.mkdir(parents=True)
    _write_saved_model(keras.models.load_model(run / NETWORK_FILE), len(card.bands), partial)
    figures = evaluation.model_dump(mode="json")
    card.model_copy(update={"version": version, "figures_of_merit": figures}).write(partial)
    return partial.rename(target)


def _write_saved_model(network: keras.Model, bands: int, directory: Path) -> None:
    pixels = tf.TensorSpec((None, SIZE, SIZE, bands), tf.float32, name=PIXELS)

    def answer(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(network(pixels, training=False))

    # keras' own export writes every weight twice.
    module = tf.Module()
    module.weights = [variable.value for variable in network.weights]
    tf.saved_model.save(module, str(directory), signatures={SIGNATURE: tf.function(answer, input_signature=[pixels])})


def _latest(home: Path) -> int:
    return max((int(path.name) for path in home.glob("[0-9]*") if path.name.isdigit()), default=0)
