"""Which pixels and bands moved an answer: occlusion in one batch, which works with any model.

Patches of the image are replaced by sky, and bands left out, one after the other; what the median does then is told in
units of half the 68 % interval (Zeiler & Fergus 2014, section 4.2).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from redden.answer import Explanation, Influence
from redden.cutout import Cutout, model_pixels, used_bands
from redden.grid import SIZE
from redden.modelcard import PROBABILITIES, ModelCard
from redden.modelinput import Inputs, model_inputs
from redden.posterior import UNITS, quantiles
from redden.snr import sky_level

CELL: Final = 2
"""Side of a cell of the map in pixels; a patch has twice that, so that patches overlap by half."""

CELLS: Final = SIZE // CELL
"""Cells along a side of the map."""

_LOW, _MEDIAN, _HIGH = (PROBABILITIES.index(p) for p in (0.16, 0.5, 0.84))
_middle: Final = np.arange(SIZE) - (SIZE - 1) / 2
_GALAXY: Final = np.hypot(_middle[:, None], _middle) <= 12
"""Pixels that are not the outskirts of `redden.snr`."""


@dataclass(frozen=True, slots=True)
class Occlusion:
    """What was hidden in a batch: nothing, then every patch, row by row, then these bands."""

    bands: tuple[str, ...]

    def explain(self, card: ModelCard, outputs: Mapping[str, NDArray[np.float32]]) -> Explanation:
        """The explanation, from what the model answered to the batch.

        Raises
        ------
        ModelCardError
            If the outputs are not those that the card promises.
        """
        return Explanation.model_validate(
            {name: self._influence(values, UNITS[name]) for name, values in quantiles(card, outputs).items()}
        )

    def _influence(self, values: NDArray[np.float64], unit: str) -> Influence:
        """The influence on a quantity, of whose quantiles `values` are, shape (batch, 5)."""
        change = values[0, _MEDIAN] - values[1:, _MEDIAN]
        half = (values[0, _HIGH] - values[0, _LOW]) / 2
        if np.isfinite(half):
            change, unit = change / half, "sigma"
        patches = (CELLS - 1) ** 2
        cells = _mean_over_cells(change[:patches].reshape(CELLS - 1, CELLS - 1))
        return Influence(
            unit=unit,
            pixels=[[_number(value) for value in row] for row in cells],
            bands={band: _number(value) for band, value in zip(self.bands, change[patches:], strict=True)},
        )


def occlude(cutout: Cutout, card: ModelCard, redshift: tuple[float, float] | None) -> tuple[Occlusion, Inputs]:
    """The tensors of a galaxy with one thing hidden after the other.

    Parameters
    ----------
    cutout : Cutout
        The galaxy.
    card : ModelCard
        The model.
    redshift : (float, float), optional
        Redshift and its standard error.

    Returns
    -------
    Occlusion
        What was hidden.
    dict of str to ndarray of float32, shape (batch, ...)
        Input tensors by name.
    """
    pixels = model_pixels(cutout, card)
    present = [card.bands.index(band) for band in used_bands(cutout, card)]
    sky = np.full(pixels.shape[-1], np.nan, dtype=np.float32)
    sky[present] = sky_level(pixels[..., present])
    without = _without_bands(pixels, present, sky, card)
    batch = np.concatenate([pixels[None], _without_patches(pixels, sky), without])
    told = None if redshift is None else np.tile(redshift, (len(batch), 1))
    names = tuple(card.bands[i] for i in present[: len(without)])
    return Occlusion(names), model_inputs(batch, card, told)


def _without_patches(pixels: NDArray[np.float32], sky: NDArray[np.float32]) -> NDArray[np.float32]:
    """The image with each patch replaced by sky, shape (patches, 32, 32, bands)."""
    starts = [(row, column) for row in range(CELLS - 1) for column in range(CELLS - 1)]
    images = np.repeat(pixels[None], len(starts), axis=0)
    for image, (row, column) in zip(images, starts, strict=True):
        y, x = CELL * row, CELL * column
        image[y : y + 2 * CELL, x : x + 2 * CELL] = sky
    return images


def _without_bands(
    pixels: NDArray[np.float32], present: list[int], sky: NDArray[np.float32], card: ModelCard
) -> NDArray[np.float32]:
    """The image without each band that is there, shape (bands there, 32, 32, bands).

    A model that needs all of its bands sees sky in the place of the galaxy; the outskirts stay, since no normalisation
    takes a constant image. A model that takes any cannot do without the only one.
    """
    if card.takes_any_bands and len(present) == 1:
        return pixels[None][:0]
    images = np.repeat(pixels[None], len(present), axis=0)
    for image, band in zip(images, present, strict=True):
        if card.takes_any_bands:
            image[..., band] = np.nan
        else:
            image[_GALAXY, band] = sky[band]
    return images


def _mean_over_cells(patches: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the patches that cover each cell, shape (16, 16)."""
    total, count = np.zeros((CELLS, CELLS)), np.zeros((CELLS, CELLS))
    for dy in (0, 1):
        for dx in (0, 1):
            part = slice(dy, dy + CELLS - 1), slice(dx, dx + CELLS - 1)
            total[part] += patches
            count[part] += 1
    return np.asarray(total / count)


def _number(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
