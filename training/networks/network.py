"""What a recipe's network consists of: the model that is served, and the parts of it that are fitted."""

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Part:
    """A model that is fitted by itself.

    Attributes
    ----------
    name : str
        Name of the part in the history of the fit.
    model : keras.Model
        Compiled model from pixels to what its loss compares with the labels.
    columns : slice
        Columns of the labels that it learns.
    callbacks : tuple of keras.callbacks.Callback
        What happens between its epochs, beside early stopping.
    """

    name: str
    model: keras.Model
    columns: slice
    callbacks: tuple[keras.callbacks.Callback, ...] = ()


@dataclass(frozen=True, slots=True)
class Network:
    """A network before or after the fit.

    Attributes
    ----------
    serving : keras.Model
        From ``pixels`` to the outputs named in ``redden.signature``; shares its weights with the parts.
    parts : tuple of Part
        Fitted one after another.
    """

    serving: keras.Model
    parts: tuple[Part, ...]


def cholesky_places(spread: NDArray[np.floating]) -> NDArray[np.float32]:
    """Matrix that puts the entries of a Cholesky factor in their places and gives each row the unit of its target.

    Parameters
    ----------
    spread : ndarray, shape (targets,)
        Unit of each target.

    Returns
    -------
    ndarray of float32, shape (targets * (targets + 1) / 2, targets * targets)
        Rows are the diagonal, then the entries below it as in ``numpy.tril_indices``.
    """
    width = len(spread)
    rows, columns = np.concatenate([np.diag_indices(width), np.tril_indices(width, -1)], axis=1)
    places = np.zeros((len(rows), width, width), dtype=np.float32)
    places[np.arange(len(rows)), rows, columns] = spread[rows]
    return places.reshape(len(rows), -1)
