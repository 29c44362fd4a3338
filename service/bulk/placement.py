"""Where the rows of a catalogue are in the mosaics of a survey, worked out for all rows at once.

Most rows lie inside of a mosaic with the models' pixels, in every band, on one common grid: their cutouts are slices.
The others are told apart here, to be cut alone, by the path of a single position.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

from redden.errors import MosaicError
from redden.frame import Frame, steps_at
from redden.grid import SIZE
from service.bulk.windows import BLOCK
from service.surveys.definition import is_remote
from service.surveys.geometry import Geometry
from service.surveys.mosaic import Mosaic, unit_vectors
from service.surveys.survey import CUTOUT_SIZE, Survey

_ABSENT: Final = -1
"""In place of the number of a mosaic: the band has no data there."""
_ALONE: Final = -2
"""In place of the number of a mosaic: the row has to be cut alone."""
_PARTLY: Final = -3
"""In place of the number of a mosaic: as long as none is found that holds all of the cutout, it has to be cut alone."""

_SAME: Final = 1e-3
"""Offset in pixels up to which two grids are the same."""

Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Place:
    """Rows whose cutouts are slices of the same mosaics.

    Attributes
    ----------
    rows : ndarray of int, shape (N,)
        Their numbers, in the order in which they are best read.
    mosaics : dict of str to Mosaic
        The mosaics, by band; a band without data is not among them.
    shifts : dict of str to ndarray of int, shape (2,)
        From the pixels (x, y) of the first of the mosaics to those of each.
    pixels : ndarray, shape (N, 2)
        Pixels (x, y) of the positions in the first of the mosaics.
    """

    rows: Numbers
    mosaics: dict[str, Mosaic]
    shifts: dict[str, Numbers]
    pixels: Floats

    @property
    def geometry(self) -> Geometry:
        """That of the first of the mosaics."""
        return next(iter(self.mosaics.values())).geometry

    @property
    def areas(self) -> Floats:
        """Solid angle of a pixel at each position, arcsec2."""
        return np.asarray(np.abs(np.linalg.det(steps_at(self.geometry.wcs, *self.pixels.T))))

    @property
    def starts(self) -> Numbers:
        """First column and row of the cutouts in the first of the mosaics, by the rule of `grid_around`."""
        return np.ceil(np.round(self.pixels - SIZE / 2, 6)).astype(np.int64)

    def part(self, rows: slice) -> "Place":
        """The same for some of the rows."""
        return Place(self.rows[rows], self.mosaics, self.shifts, self.pixels[rows])


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the rows of a catalogue are.

    Attributes
    ----------
    places : list of Place
        Rows that are sliced.
    alone : ndarray of int
        Rows that have to be cut alone.
    outside : ndarray of int
        Rows where the survey has no mosaic.
    """

    places: list[Place]
    alone: Numbers
    outside: Numbers


@dataclass(slots=True)
class _Placer:
    """Finds the pixels of the same positions in many mosaics; those that share a projection are computed once."""

    positions: SkyCoord
    directions: Floats
    _pixels: dict[object, tuple[Floats, Floats]] = field(default_factory=dict)
    _sliceable: dict[Mosaic, bool] = field(default_factory=dict)

    def pixels(self, geometry: Geometry) -> Floats:
        """Pixels (x, y) of all positions, shape (N, 2)."""
        crpix = np.array(geometry.wcs.wcs.crpix)
        if geometry.projection not in self._pixels:
            self._pixels[geometry.projection] = geometry.undistorted_pixels(self.positions), crpix
        pixels, of = self._pixels[geometry.projection]
        return pixels + (crpix - of)

    def tiles(self, mosaics: Sequence[Mosaic]) -> Numbers:
        """Number of the mosaic of a band that each row is cut from, or `_ABSENT`, or `_ALONE`.

        As in `Survey.windows` it is the nearest mosaic that holds all of the cutout. Where there is none, but a part of
        one, what pixels have data decides.
        """
        tiles = np.full(len(self.directions), _ABSENT)
        try:
            circles = [mosaic.circle for mosaic in mosaics]
        except MosaicError:
            return np.full_like(tiles, _ALONE)
        offsets = np.stack(
            [np.linalg.norm(self.directions - centre, axis=1) / radius for centre, radius in circles], axis=1
        )
        nearest = np.argsort(offsets, axis=1, kind="stable")
        open_rows = np.flatnonzero((offsets <= 1).any(axis=1))
        for rank in range(len(mosaics)):
            numbers = nearest[open_rows, rank]
            open_rows = open_rows[offsets[open_rows, numbers] <= 1]
            for number in np.unique(nearest[open_rows, rank]):
                rows = open_rows[nearest[open_rows, rank] == number]
                tiles[rows] = self._within(mosaics[number], rows, number, tiles[rows])
            open_rows = open_rows[np.isin(tiles[open_rows], (_ABSENT, _PARTLY))]
        return np.where(tiles == _PARTLY, _ALONE, tiles)

    def _within(self, mosaic: Mosaic, rows: Numbers, number: int, otherwise: Numbers) -> Numbers:
        """What becomes of rows that are near a mosaic of this number."""
        if mosaic not in self._sliceable:
            self._sliceable[mosaic] = _is_sliceable(mosaic)
        if not self._sliceable[mosaic]:
            return np.full_like(otherwise, _ALONE)
        geometry = mosaic.geometry
        middle = np.rint(self.pixels(geometry)[rows])
        asked, half = geometry.half_sides(CUTOUT_SIZE)
        ends = np.array(geometry.shape[::-1]) - 1
        inside = np.all((middle >= asked) & (middle <= ends - asked), axis=1)
        touched = np.all((middle >= -half) & (middle <= ends + half), axis=1)
        return np.select([inside, touched], [number, _PARTLY], otherwise)


def place(survey: Survey, bands: Sequence[str], ra: Floats, dec: Floats) -> Placement:
    """Find where the cutouts around positions are in the mosaics of a survey.

    Parameters
    ----------
    survey : Survey
    bands : sequence of str
        Bands that are read, all of the survey.
    ra, dec : ndarray, shape (N,)
        ICRS degrees, finite and on the sky.

    Returns
    -------
    Placement
    """
    positions = SkyCoord(ra, dec, unit=u.deg)
    placer = _Placer(positions, unit_vectors(positions))
    tiles = np.stack([placer.tiles(survey.mosaics[band]) for band in bands], axis=1)
    alone = (tiles == _ALONE).any(axis=1)
    outside = (tiles == _ABSENT).all(axis=1)
    sliced = np.flatnonzero(~alone & ~outside)
    places = []
    for combination in np.unique(tiles[sliced], axis=0):
        rows = sliced[(tiles[sliced] == combination).all(axis=1)]
        mosaics = {
            band: survey.mosaics[band][number]
            for band, number in zip(bands, combination, strict=True)
            if number != _ABSENT
        }
        shifts = _shifts(mosaics)
        if shifts is None:
            alone[rows] = True
        else:
            pixels = placer.pixels(next(iter(mosaics.values())).geometry)[rows]
            order = _reading_order(pixels)
            places.append(Place(rows[order], mosaics, shifts, pixels[order]))
    return Placement(places, np.flatnonzero(alone), np.flatnonzero(outside))


def _reading_order(pixels: Floats) -> Numbers:
    """Block by block, and by lines in each."""
    x, y = pixels.T
    return np.lexsort((x, y, x // BLOCK, y // BLOCK))


def _is_sliceable(mosaic: Mosaic) -> bool:
    """Whether cutouts are slices of a mosaic: a local one with the models' pixels all over and an undistorted WCS."""
    if is_remote(mosaic.path):
        return False
    try:
        geometry = mosaic.geometry
    except MosaicError:
        return False
    if geometry.wcs.has_distortion:
        return False
    ny, nx = geometry.shape
    x, y = np.array([0, nx / 2, nx, 0, nx]), np.array([0, ny / 2, 0, ny, ny])
    steps = steps_at(geometry.wcs, x, y)
    return all(Frame(geometry.wcs, (0.0, 0.0), each, on_sky=True).fits for each in steps)


def _shifts(mosaics: dict[str, Mosaic]) -> dict[str, Numbers] | None:
    """Whole pixels from the first of some mosaics to each; None if they do not share a grid."""
    geometries = {band: mosaic.geometry for band, mosaic in mosaics.items()}
    first = next(iter(geometries.values()))
    shifts = {}
    for band, geometry in geometries.items():
        shift = np.subtract(geometry.wcs.wcs.crpix, first.wcs.wcs.crpix)
        if geometry.projection != first.projection or np.abs(shift - np.rint(shift)).max() > _SAME:
            return None
        shifts[band] = np.rint(shift).astype(np.int64)
    return shifts
