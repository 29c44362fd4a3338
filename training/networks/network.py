"""What a recipe's network consists of: the model that is served, and the parts of it that are fitted."""

from dataclasses import dataclass

import keras


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
