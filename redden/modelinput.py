"""From pixels to the tensors of a model: the one way, for training, single cutouts and bulk rows."""

import numpy as np
from numpy.typing import NDArray

from redden.errors import BandError
from redden.modelcard import ModelCard
from redden.normalise import normalisation
from redden.photometric import PHOTOMETRIC, photometric
from redden.signature import CONTEXT, PIXELS

Inputs = dict[str, NDArray[np.float32]]
"""Tensors by the name of the input; the first axis is galaxies."""


def model_inputs(pixels: NDArray[np.floating], card: ModelCard, redshift: NDArray[np.floating] | None = None) -> Inputs:
    """Tensors of a batch of galaxies.

    Parameters
    ----------
    pixels : ndarray of float, shape (galaxies, 32, 32, bands)
        In nJy (in any unit if the model does not compare bands); bands in the order of the card. For a model that
        takes any bands, an absent band is NaN all over.
    card : ModelCard
        The model.
    redshift : ndarray of float, shape (galaxies, 2), optional
        Redshift and its standard error, NaN where unknown; left aside by a model that takes none.

    Returns
    -------
    dict of str to ndarray of float32
        By input name, see `redden.signature`.

    Raises
    ------
    BandError
        If a band is absent that the model needs.
    BadPixelsError
        If an image is constant.
    """
    if card.normalisation == PHOTOMETRIC:
        scaled, context = photometric(pixels, redshift)
        return {PIXELS: scaled, CONTEXT: context}
    if not np.isfinite(pixels).all():
        raise BandError(f"model {card.name} needs {', '.join(card.bands)}, each with finite pixels.")
    return {PIXELS: normalisation(card.normalisation)(np.asarray(pixels, dtype=np.float32))}
