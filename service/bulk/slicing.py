"""Cutouts that are slices of mosaics, hundreds at a time: read, checked, calibrated, and their flags."""

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
from service.bulk.windows import read_squares
from service.surveys.survey import CUTOUT_SIZE, Survey

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def cut_slices(survey: Survey, card: ModelCard, place: Place, rows: Numbers) -> tuple[Cutouts, Numbers]:
    """Cut some rows out of the mosaics in whose pixels they lie.

    Parameters
    ----------
    survey : Survey
    card : ModelCard
        The model that the cutouts are for.
    place : Place
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
    UnitError
        If the model compares bands and one has no usable unit.
    """
    pixels, absent, alone = _read(survey, card, place)
    nothing = absent.all(axis=1) if card.takes_any_bands else absent.any(axis=1)
    factors, known = _factors(card, place)
    pixels *= factors[:, None, None, :]
    with np.errstate(over="ignore"):
        single = pixels.astype(np.float32)
    alone |= np.isinf(single).any(axis=(1, 2, 3))
    outside = nothing & ~alone
    good = ~alone & ~outside
    snr, flags = _looked_at(pixels[good], known)
    refused = dict.fromkeys(rows[outside].tolist(), no_data(survey, card))
    return Cutouts(rows[good], single[good], snr, flags, refused), rows[alone]


def no_data(survey: Survey, card: ModelCard) -> str:
    """Why a row cannot be measured where the survey has no data."""
    some = "any" if card.takes_any_bands else "all"
    return f"survey {survey.name} does not have data here in {some} of {', '.join(card.bands)}."


def _read(survey: Survey, card: ModelCard, place: Place) -> tuple[Floats, Bools, Bools]:
    """Pixels in the numbers of the mosaics, NaN in absent bands; which are absent; which rows have to be cut alone."""
    count, bands = len(place.pixels), len(card.bands)
    pixels = np.full((count, SIZE, SIZE, bands), np.nan)
    absent, alone = np.ones((count, bands), dtype=bool), np.zeros(count, dtype=bool)
    for band, mosaic in place.mosaics.items():
        number = card.bands.index(band)
        asked, _ = mosaic.geometry.half_sides(CUTOUT_SIZE)
        corners = np.rint(place.pixels + place.shifts[band]).astype(np.int64) - asked
        squares, whole, empty = read_squares(mosaic, corners[:, 0], corners[:, 1], 2 * asked + 1)
        inner = _inner(squares, place.starts + place.shifts[band] - corners)
        constant = np.ptp(inner.reshape(count, -1), axis=1) == 0
        # Another mosaic may have the data that this one lacks.
        empty &= len(survey.mosaics[band]) == 1
        alone |= ~empty & (~whole | constant)
        inner[empty] = np.nan
        pixels[..., number] = inner
        absent[:, number] = empty
    return pixels, absent, alone


def _inner(squares: NDArray[np.floating], corners: Numbers) -> NDArray[np.floating]:
    """The cutouts inside of squares, by their first column and row."""
    windows = np.lib.stride_tricks.sliding_window_view(squares, (SIZE, SIZE), axis=(1, 2))
    return np.asarray(windows[np.arange(len(squares)), corners[:, 1], corners[:, 0]])


def _factors(card: ModelCard, place: Place) -> tuple[Floats, Bools]:
    """Factors to nJy per pixel, shape (N, bands), and in which bands they are known; 1 where they are not."""
    factors, known = np.ones((len(place.pixels), len(card.bands))), np.zeros(len(card.bands), dtype=bool)
    areas = place.areas
    for band, mosaic in place.mosaics.items():
        number = card.bands.index(band)
        try:
            factors[:, number] = _factor(mosaic.geometry.header, areas)
            known[number] = True
        except UnitError as error:
            if card.needs_flux_unit:
                raise UnitError(
                    f"model {card.name} compares bands, and each needs a flux unit. {band}: {error}"
                ) from error
    return factors, known


def _factor(header: Header, areas: Floats) -> Floats:
    """Factor to nJy per pixel, for pixels of these areas in arcsec2: the same for all, or in proportion to the area."""
    small, large = (calibration(header, area * u.arcsec**2).factor for area in (1.0, 2.0))
    return small * areas if large == 2 * small else np.full_like(areas, small)


def _looked_at(pixels: Floats, known: Bools) -> tuple[NDArray[np.float32], list[str]]:
    """Signal-to-noise ratios, NaN in absent bands, and flags, as `redden.quality` gives them to a single cutout."""
    sky = Sky.of(pixels)
    snr = np.where(np.isnan(sky.level), np.nan, aperture_snr(pixels, sky))
    low = (snr < LOW_SNR).any(axis=1)
    doubtful = (is_implausible(limiting_magnitude(sky.noise(DEPTH_APERTURE))) & known).any(axis=1)
    codes = np.array([["", "unit_doubtful"], ["low_snr", "low_snr unit_doubtful"]])
    return snr.astype(np.float32), codes[low.astype(int), doubtful.astype(int)].tolist()
