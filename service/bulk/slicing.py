"""Cutouts that are slices of mosaics, hundreds at a time: read, checked, calibrated, and their flags."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import astropy.units as u
import numpy as np
from astropy.io.fits import Header
from numpy.typing import NDArray

from redden.errors import UnitError
from redden.grid import SIZE
from redden.modelcard import ModelCard
from redden.quality import DEPTH_APERTURE, LOW_SNR, is_implausible, limiting_magnitude
from redden.snr import Sky, aperture_snr
from redden.units import calibration
from service.bulk.cutouts import Cutouts, Numbers
from service.bulk.placement import Place
from service.bulk.windows import Source, read_squares
from service.surveys.survey import CUTOUT_SIZE, Survey

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Opened:
    """A place whose mosaics are open.

    Attributes
    ----------
    place : Place
        The place.
    sources : dict of str to Source
        Its mosaics, by band.
    factors : ndarray of float64, shape (N, bands)
        What turns the numbers of mosaics into nJy per pixel, for each row; 1 where there is no usable unit.
    known : ndarray of bool, shape (bands,)
        Whether there is one.
    """

    place: Place
    sources: dict[str, Source]
    factors: Floats
    known: Bools

    @classmethod
    def of(cls, card: ModelCard, place: Place) -> Self:
        """Open a place.

        Raises
        ------
        UnitError
            If the model compares bands and one has no usable unit.
        MosaicError
            If a mosaic cannot be read.
        """
        factors, known = np.ones((len(place.pixels), len(card.bands))), np.zeros(len(card.bands), dtype=bool)
        per_area = np.zeros_like(known)
        for band, mosaic in place.mosaics.items():
            number = card.bands.index(band)
            try:
                factors[:, number], per_area[number] = _factor(mosaic.geometry.unit)
                known[number] = True
            except UnitError as error:
                if card.needs_flux_unit:
                    message = f"model {card.name} compares bands, and each needs a flux unit. {band}: {error}"
                    raise UnitError(message) from error
        if per_area.any():  # all mosaics of a place have the same pixels
            factors[:, per_area] *= place.areas[:, None]
        return cls(place, {band: Source.of(mosaic) for band, mosaic in place.mosaics.items()}, factors, known)

    def part(self, rows: slice) -> "Opened":
        """The same for some of the rows."""
        return Opened(self.place.part(rows), self.sources, self.factors[rows], self.known)


def cut_slices(survey: Survey, card: ModelCard, opened: Opened, rows: Numbers) -> tuple[Cutouts, Numbers]:
    """Cut some rows out of the mosaics in whose pixels they lie.

    Parameters
    ----------
    survey : Survey
    card : ModelCard
        The model that the cutouts are for.
    opened : Opened
        Where they are.
    rows : ndarray of int, shape (N,)
        Their numbers in the catalogue.

    Returns
    -------
    cutouts : Cutouts
        Those of which all pixels have data, in every band that has any.
    alone : ndarray of int
        Rows that have to be cut alone, because pixels have to be looked at one by one.

    Raises
    ------
    MosaicError
        If a mosaic cannot be read.
    """
    pixels, absent, alone = cut_pixels(survey, card, opened)
    outside = (absent.all(axis=1) if card.takes_any_bands else absent.any(axis=1)) & ~alone
    good = ~alone & ~outside
    if not good.all():
        pixels = pixels[good]
    images = np.moveaxis(pixels, 1, -1)
    snr, flags = _looked_at(images, opened.known)
    refused = dict.fromkeys(rows[outside].tolist(), no_data(survey, card))
    return Cutouts(rows[good], images, snr, flags, refused), rows[alone]


def no_data(survey: Survey, card: ModelCard) -> str:
    """Why a row cannot be measured where the survey has no data."""
    some, bands = "all", card.bands
    if card.takes_any_bands:
        some, bands = "any", tuple(band for band in card.bands if band in survey.mosaics)
    return f"survey {survey.name} does not have data here in {some} of {', '.join(bands)}."


def cut_pixels(survey: Survey, card: ModelCard, opened: Opened) -> tuple[NDArray[np.float32], Bools, Bools]:
    """The pixels of some rows in nJy.

    Parameters
    ----------
    survey, card, opened
        See `cut_slices`, also for the error.

    Returns
    -------
    pixels : ndarray of float32, shape (N, bands, 32, 32)
        NaN in absent bands.
    absent : ndarray of bool, shape (N, bands)
        Which bands have no data.
    alone : ndarray of bool, shape (N,)
        Rows that have to be cut alone, whose pixels are of no use.
    """
    place = opened.place
    count, bands = len(place.pixels), len(card.bands)
    pixels = np.empty((count, bands, SIZE, SIZE), dtype=np.float32)
    absent, alone = np.ones((count, bands), dtype=bool), np.zeros(count, dtype=bool)
    for band, source in opened.sources.items():
        number = card.bands.index(band)
        factor = opened.factors[:, number]
        asked, _ = source.mosaic.geometry.half_sides(CUTOUT_SIZE)
        corners = np.rint(place.pixels + place.shifts[band]).astype(np.int64) - asked
        squares = read_squares(source, corners[:, 0], corners[:, 1], 2 * asked + 1)
        inner = _inner(squares.pixels, place.starts + place.shifts[band] - corners)
        flat = inner.reshape(count, -1)
        # Another mosaic may have the data that this one lacks.
        empty = squares.empty & (len(survey.mosaics[band]) == 1)
        fits = squares.brightest * factor < np.finfo(np.float32).max
        alone |= ~empty & ~(squares.whole & fits & (flat.min(axis=1) < flat.max(axis=1)))
        absent[:, number] = empty
        with np.errstate(over="ignore"):  # of rows that are cut alone
            np.multiply(inner, factor[:, None, None], out=pixels[:, number], casting="same_kind")
    pixels[absent] = np.nan
    return pixels, absent, alone


def _inner(squares: NDArray[np.floating], corners: Numbers) -> NDArray[np.floating]:
    """The cutouts inside of squares, by their first column and row."""
    windows = np.lib.stride_tricks.sliding_window_view(squares, (SIZE, SIZE), axis=(1, 2))
    return np.asarray(windows[np.arange(len(squares)), corners[:, 1], corners[:, 0]])


@lru_cache
def _factor(unit: tuple[tuple[str, object], ...]) -> tuple[float, bool]:
    """Factor to nJy per pixel by the keywords of a unit, and whether it is one per arcsec2 of a pixel."""
    small, large = (calibration(Header(unit), area * u.arcsec**2).factor for area in (1.0, 2.0))
    return small, large == 2 * small


def _looked_at(pixels: NDArray[np.float32], known: Bools) -> tuple[NDArray[np.float32], list[str]]:
    """Signal-to-noise ratios, NaN in absent bands, and flags, as `redden.quality` gives them to a single cutout."""
    sky = Sky.of(pixels)
    snr = np.where(np.isnan(sky.level), np.nan, aperture_snr(pixels, sky))
    low = (snr < LOW_SNR).any(axis=1)
    doubtful = (is_implausible(limiting_magnitude(sky.noise(DEPTH_APERTURE))) & known).any(axis=1)
    codes = np.array([["", "unit_doubtful"], ["low_snr", "low_snr unit_doubtful"]])
    return snr.astype(np.float32), codes[low.astype(int), doubtful.astype(int)].tolist()
