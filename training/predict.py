"""Ask a fitted network, or an exported model, for its outputs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from redden.errors import ModelCardError
from redden.modelcard import ModelCard
from redden.signature import SIGNATURE
from training.fit import NETWORK_FILE, read_run_card

Tensors = Mapping[str, NDArray[np.float32]]
Predict = Callable[[Tensors], dict[str, NDArray[np.float32]]]

BATCH: Final = 512
"""Galaxies per call."""


def open_model(directory: Path) -> tuple[ModelCard, Predict]:
    """The card of a run or model, and a function from inputs to outputs, both by name (see ``redden.signature``).

    Parameters
    ----------
    directory : Path
        A run's directory, or an exported model ``NAME/VERSION/``, which is then used through its SavedModel.

    Raises
    ------
    ModelCardError
        If the directory is neither.
    """
    if (directory / NETWORK_FILE).exists():
        return read_run_card(directory), _network(directory)
    if (directory / "saved_model.pb").exists():
        return ModelCard.read(directory), _saved_model(directory)
    raise ModelCardError(
        f"{directory} is neither the directory of a run ({NETWORK_FILE}) nor of a model (saved_model.pb)."
    )


def _network(directory: Path) -> Predict:
    network = keras.models.load_model(directory / NETWORK_FILE)

    def predict(inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        arranged = keras.tree.map_structure(lambda tensor: inputs[tensor.name], network.input)
        return dict(network.predict(arranged, batch_size=BATCH, verbose=0))

    return predict


def _saved_model(directory: Path) -> Predict:
    loaded = tf.saved_model.load(str(directory))
    signature = loaded.signatures[SIGNATURE]

    def predict(inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        galaxies = len(next(iter(inputs.values())))
        starts = range(0, galaxies, BATCH)
        answers = [
            signature(**{name: tf.constant(values[start : start + BATCH]) for name, values in inputs.items()})
            for start in starts
        ]
        return {name: np.concatenate([answer[name].numpy() for answer in answers]) for name in answers[0]}

    return predict
