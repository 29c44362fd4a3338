"""Calibrated cutouts of many rows, and why other rows have none."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from redden.cutout import Cutout, model_pixels
from redden.errors import ReddenError
from redden.grid import SIZE
from redden.modelcard import ModelCard
from redden.quality import BANDS_IGNORED

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cutouts:
    """Cutouts of some rows, and why others have none.

    Attributes
    ----------
    rows : ndarray of int, shape (N,)
        Numbers of the rows in the catalogue.
    pixels : ndarray of float32, shape (N, 32, 32, bands)
        In nJy per pixel (for a model that does not compare bands, in whatever the images have), bands in the order of
        the model; NaN in an absent band.
    snr : ndarray of float32, shape (N, bands)
        Signal-to-noise ratios, NaN in an absent band.
    flags : list of str, length N
        Codes, with spaces between them.
    refused : dict of int to str
        Why other rows cannot be measured, by their number.
    """

    rows: Numbers
    pixels: NDArray[np.float32]
    snr: NDArray[np.float32]
    flags: list[str]
    refused: dict[int, str] = field(default_factory=dict)

    @classmethod
    def none(cls, card: ModelCard, rows: Numbers, why: str) -> Self:
        """No cutouts, for one reason."""
        bands = len(card.bands)
        return cls(
            np.empty(0, dtype=np.int64),
            np.empty((0, SIZE, SIZE, bands), dtype=np.float32),
            np.empty((0, bands), dtype=np.float32),
            [],
            dict.fromkeys(rows.tolist(), why),
        )

    @classmethod
    def of(cls, cutouts: Iterable[tuple[int, Cutout | ReddenError]], card: ModelCard) -> Self:
        """Cutouts that were made one by one, or what stood in their way."""
        made: dict[int, Cutout] = {}
        pixels: list[NDArray[np.float32]] = []
        refused: dict[int, str] = {}
        for row, cutout in cutouts:
            try:
                if isinstance(cutout, ReddenError):
                    raise cutout
                pixels.append(model_pixels(cutout, card))
                made[row] = cutout
            except ReddenError as error:
                refused[row] = str(error)
        bands = len(card.bands)
        snr = [[cutout.snr.get(band, np.nan) for band in card.bands] for cutout in made.values()]
        return cls(
            np.array(list(made), dtype=np.int64),
            np.array(pixels, dtype=np.float32).reshape(-1, SIZE, SIZE, bands),
            np.array(snr, dtype=np.float32).reshape(-1, bands),
            [_codes(cutout, card) for cutout in made.values()],
            refused,
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several after each other."""
        return cls(
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.pixels for part in parts]),
            np.concatenate([part.snr for part in parts]),
            [flags for part in parts for flags in part.flags],
            {row: why for part in parts for row, why in part.refused.items()},
        )

    def cut(self, start: int, stop: int) -> "Cutouts":
        """Some of them; why other rows have none is left out."""
        part = slice(start, stop)
        return Cutouts(self.rows[part], self.pixels[part], self.snr[part], self.flags[part])


def _codes(cutout: Cutout, card: ModelCard) -> str:
    """The flags of a cutout, and that of bands that the model does not look at."""
    codes = [flag.code for flag in cutout.flags]
    if not set(cutout.bands) <= set(card.bands):
        codes.append(BANDS_IGNORED)
    return " ".join(dict.fromkeys(codes))
