"""From the rows of a catalogue to calibrated cutouts of a survey."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

from redden.cutout import Cutout, cut
from redden.errors import BandError, MosaicAwayError, MosaicError, OffFootprintError, ReddenError, UnitError
from redden.fits import Upload
from redden.modelcard import ModelCard
from redden.recentre import RECENTRE_RADIUS, Recentre
from service.bulk.cutouts import Cutouts, Numbers
from service.bulk.placement import Place, place
from service.bulk.slicing import Opened, cut_slices, no_data
from service.surveys.survey import CUTOUT_SIZE, Survey

BATCH: Final = 256
"""Rows that are read, normalised and measured together."""

_READERS: Final = 8
"""Rows that are cut alone at the same time; most of them wait for remote mosaics."""


def cut_uploads(
    uploads: Iterable[Sequence[Upload]], card: ModelCard, read: Callable[[Sequence[Upload]], Cutout]
) -> Iterator[Cutouts]:
    """Cutouts in files, one row for the files of each galaxy, some hundred at a time.

    Parameters
    ----------
    uploads : iterable of sequence of Upload
        The files, which are read only when it is their turn.
    card : ModelCard
        The model that the cutouts are for.
    read : callable
        `redden.cutout.read_cutout`, with what is said about all files.
    """

    def cutout(files: Sequence[Upload]) -> Cutout | ReddenError:
        try:
            return read(files)
        except ReddenError as error:
            return error

    numbered = enumerate(uploads)
    while some := list(islice(numbered, BATCH)):
        yield Cutouts.of(((row, cutout(files)) for row, files in some), card)


def bands_to_read(survey: Survey, card: ModelCard) -> tuple[str, ...]:
    """The bands of a survey that a model looks at, in its order.

    Raises
    ------
    BandError
        If the survey lacks a band that the model needs, or has none that it knows.
    """
    bands = tuple(band for band in card.bands if band in survey.mosaics)
    if len(bands) == len(card.bands) or (card.takes_any_bands and bands):
        return bands
    words = "takes any of" if card.takes_any_bands else "needs"
    raise BandError(
        f"model {card.name} {words} {', '.join(card.bands)}; survey {survey.name} has {', '.join(survey.mosaics)}. "
        "Choose another model or survey."
    )


@dataclass(frozen=True, slots=True)
class Cutter:
    """Cuts rows of a catalogue out of a survey, with the pixels that the path of a single position gives.

    Attributes
    ----------
    survey : Survey
    card : ModelCard
        The model that the cutouts are for.
    ra, dec : ndarray, shape (N,)
        ICRS degrees; NaN where there is no position.
    recentre : "peak" or "centroid", optional
        Move cutouts onto their source; each row is then cut alone.
    recentre_radius : float
        How far, in arcsec.
    """

    survey: Survey
    card: ModelCard
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    recentre: Recentre | None = None
    recentre_radius: float = RECENTRE_RADIUS

    def cutouts(self) -> Iterator[Cutouts]:
        """All rows, each once, in an order in which mosaics are read well, up to `BATCH` at a time.

        Raises
        ------
        BandError
            As `bands_to_read`.
        MosaicAwayError
            If a mosaic cannot be read now.
        """
        bands = bands_to_read(self.survey, self.card)
        on_sky = (np.abs(self.dec) <= 90) & (self.ra >= 0) & (self.ra <= 360)
        yield Cutouts.none(self.card, np.flatnonzero(~on_sky), "this row has no position on the sky.")
        rows = np.flatnonzero(on_sky)
        if self.recentre is not None:
            yield from self._alone(rows)
            return
        placement = place(self.survey, bands, self.ra[rows], self.dec[rows])
        yield Cutouts.none(self.card, rows[placement.outside], no_data(self.survey, self.card))
        for found in placement.places:
            if len(found.mosaics) < len(bands) and not self.card.takes_any_bands:
                yield Cutouts.none(self.card, rows[found.rows], no_data(self.survey, self.card))
                continue
            yield from self._sliced(found, rows[found.rows])
        yield from self._alone(rows[placement.alone])

    def _sliced(self, found: Place, rows: Numbers) -> Iterator[Cutouts]:
        """Rows whose cutouts are slices of the same mosaics."""
        try:
            opened = Opened.of(self.card, found)
        except UnitError as error:
            yield Cutouts.none(self.card, rows, str(error))
            return
        except MosaicError:  # which the rows will then tell, or not meet
            yield from self._alone(rows)
            return
        for start in range(0, len(rows), BATCH):
            part = slice(start, start + BATCH)
            try:
                cutouts, alone = cut_slices(self.survey, self.card, opened.part(part), rows[part])
            except MosaicError:
                yield from self._alone(rows[part])
            else:
                yield cutouts
                yield from self._alone(alone)

    def _alone(self, rows: Numbers) -> Iterator[Cutouts]:
        """Rows that are cut one by one."""
        if not len(rows):
            return
        with ThreadPoolExecutor(_READERS, "row-reader") as readers:
            for start in range(0, len(rows), BATCH):
                some = rows[start : start + BATCH].tolist()
                yield Cutouts.of(zip(some, readers.map(self._cutout, some), strict=True), self.card)

    def _cutout(self, row: int) -> Cutout | ReddenError:
        """What the path of a single position cuts, or what stands in its way."""
        position = SkyCoord(self.ra[row] * u.deg, self.dec[row] * u.deg)
        bands = bands_to_read(self.survey, self.card)
        size = CUTOUT_SIZE if self.recentre is None else CUTOUT_SIZE + 2 * self.recentre_radius
        move = partial(cut, recentre=self.recentre, recentre_radius=self.recentre_radius)
        try:
            return move(self.survey.windows(position, size, bands), "", position=position)
        except MosaicAwayError:
            raise
        except OffFootprintError:
            return OffFootprintError(no_data(self.survey, self.card))
        except ReddenError as error:
            return error
