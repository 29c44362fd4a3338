"""One mosaic: where it lies on the sky, and reading a window of it."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import NoOverlapError, overlap_slices
from astropy.wcs import NoConvergence
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, binary_propagation

from redden.errors import MosaicError
from service.surveys.definition import Definition, Tile
from service.surveys.files import FitsFile, Layer
from service.surveys.geometry import Geometry
from service.surveys.remote import BlockCache

MAX_OPEN: Final = 64
"""Mosaics that stay open; each has a file handle or two."""


@dataclass(frozen=True, slots=True)
class Window:
    """Pixels of a mosaic around a position."""

    data: NDArray[np.float64]
    """Shape (ny, nx), in the mosaic's unit; NaN where it has no data."""
    header: fits.Header
    """WCS of the window, and the keywords of its unit."""
    covered: float
    """Fraction of the square that was asked for that has data."""


@dataclass(frozen=True, slots=True)
class _Open:
    """The images of an open mosaic: that of the sky, and the maps that tell where it has data."""

    files: ExitStack
    science: Layer
    maps: tuple[Layer, ...]

    def prefetch(self, rows: slice, columns: slice) -> None:
        """Fetch what `read` will need of remote files."""
        for layer in (self.science, *self.maps):
            layer.prefetch(rows, columns)

    def read(self, rows: slice, columns: slice) -> NDArray[np.float64]:
        """Pixels, NaN where there is no data: areas of exactly 0, or without a positive error or weight."""
        data = self.science.read(rows, columns)
        data[_blank(data)] = np.nan
        for layer in self.maps:
            values = layer.read(rows, columns)
            data[~(np.isfinite(values) & (values > 0))] = np.nan
        return data


class OpenMosaics:
    """Closes the mosaic that was not read for longest, when there are too many open."""

    def __init__(self, limit: int = MAX_OPEN) -> None:
        self._limit = limit
        self._mosaics: dict[Mosaic, None] = {}
        self._lock = Lock()

    def used(self, mosaic: "Mosaic") -> None:
        """Take note that a mosaic was read. The caller holds no lock of a mosaic."""
        with self._lock:
            self._mosaics.pop(mosaic, None)
            self._mosaics[mosaic] = None
            excess = list(self._mosaics)[: -self._limit]
            for old in excess:
                del self._mosaics[old]
        for old in excess:
            old.close()

    def close(self) -> None:
        """Close all."""
        with self._lock:
            mosaics = list(self._mosaics)
            self._mosaics.clear()
        for mosaic in mosaics:
            mosaic.close()


@dataclass(slots=True, eq=False)
class Mosaic:
    """A mosaic that is opened when it is read, and can be closed at any time; safe to use from several threads.

    Attributes
    ----------
    band : str
        Its band.
    tile : Tile
        Its files, with absolute paths.
    unit : str, optional
        Unit in place of that of the header.
    survey : Definition
        The survey that it belongs to.
    cache : BlockCache
        Keeps blocks of remote files.
    others : OpenMosaics
        Closes other mosaics for this one.
    """

    band: str
    tile: Tile
    unit: str | None
    survey: Definition
    cache: BlockCache
    others: OpenMosaics
    _outline: NDArray[np.float64] | None = None
    _circle: tuple[NDArray[np.float64], float] | None = None
    _geometry: Geometry | None = None
    _open: _Open | None = None
    _lock: Any = field(default_factory=Lock)

    @property
    def path(self) -> str:
        """Its path or URL."""
        return self.tile.path

    @property
    def paths(self) -> list[str]:
        """Paths or URLs of its files, that of the image first."""
        return [self.path, *(each.path for each in (self.tile.error, self.tile.weight) if each and each.path)]

    @property
    def geometry(self) -> Geometry:
        """Where its pixels lie on the sky.

        Raises
        ------
        MosaicError
            If it cannot be read, or its WCS not be used.
        """
        if self._geometry is None:
            with self._lock:
                self._opened()
            self.others.used(self)
        assert self._geometry is not None
        return self._geometry

    @property
    def outline(self) -> NDArray[np.float64]:
        """ICRS right ascension and declination of its corners in degrees, shape (4, 2).

        Raises
        ------
        MosaicError
            If it has to be opened for that and cannot be.
        """
        if self._outline is None:
            self._outline = self.geometry.outline
        return self._outline

    @outline.setter
    def outline(self, outline: NDArray[np.float64]) -> None:
        self._outline = outline

    @property
    def circle(self) -> tuple[NDArray[np.float64], float]:
        """Centre, as a vector, and radius of a circle around the mosaic on the unit sphere."""
        if self._circle is None:
            corners = unit_vectors(SkyCoord(self.outline, unit=u.deg))
            centre = corners.mean(axis=0)
            self._circle = centre, float(np.linalg.norm(corners - centre, axis=1).max())
        return self._circle

    @property
    def outline_known(self) -> bool:
        """Whether its outline is known without opening it."""
        return self._outline is not None

    @property
    def is_open(self) -> bool:
        """Whether its files are open."""
        return self._open is not None

    def offset(self, direction: NDArray[np.float64]) -> float:
        """Distance of a position (a unit vector) from the centre, relative to the corners; beyond 1 it is outside."""
        centre, radius = self.circle
        return float(np.linalg.norm(direction - centre)) / radius

    def window(self, position: SkyCoord, size: float) -> Window | None:
        """Pixels around a position, enough for a square in any orientation and for interpolation.

        Parameters
        ----------
        position : SkyCoord
            Centre, ICRS.
        size : float
            Side of the square in arcsec.

        Returns
        -------
        Window or None
            None if no pixel of the mosaic is in the window.

        Raises
        ------
        MosaicError
            If the mosaic cannot be read.
        """
        geometry = self.geometry
        pixel = self._pixel(geometry, position)
        if pixel is None:
            return None
        x, y = pixel
        asked, half = geometry.half_sides(size)
        try:
            inside, placed = overlap_slices(geometry.shape, (2 * half + 1, 2 * half + 1), (y, x), mode="partial")
        except NoOverlapError:
            return None
        data = np.full((2 * half + 1, 2 * half + 1), np.nan)
        with self._lock:
            opened = self._opened()
        opened.prefetch(*inside)  # without the lock, so that others can wait for the server at the same time
        with self._lock:
            data[placed] = self._opened().read(*inside)
        self.others.used(self)
        header = geometry.header.copy()
        header["CRPIX1"] = header.get("CRPIX1", 0.0) - (x - half)
        header["CRPIX2"] = header.get("CRPIX2", 0.0) - (y - half)
        square = slice(half - asked, half + asked + 1)
        return Window(data, header, float(np.isfinite(data[square, square]).mean()))

    def mapped_views(self) -> tuple[NDArray[Any], tuple[NDArray[Any], ...]] | None:
        """All of it as `views` gives it, if that costs nothing, see `Layer.mapped`; None otherwise.

        Raises
        ------
        MosaicError
            If the mosaic cannot be read.
        """
        with self._lock:
            opened = self._opened()
            mapped = all(layer.mapped for layer in (opened.science, *opened.maps))
        return self.views(slice(None), slice(None)) if mapped else None

    def views(self, rows: slice, columns: slice) -> tuple[NDArray[Any], tuple[NDArray[Any], ...]]:
        """A rectangle inside of it in the numbers of the file: the image, and the maps that tell where it has data.

        Raises
        ------
        MosaicError
            If the mosaic cannot be read.
        """
        with self._lock:
            opened = self._opened()
            views = opened.science.view(rows, columns), tuple(layer.view(rows, columns) for layer in opened.maps)
        self.others.used(self)
        return views

    def close(self) -> None:
        """Close its files; they are opened again when it is read again."""
        with self._lock:
            if self._open:
                self._open.files.close()
                self._open = None

    def _pixel(self, geometry: Geometry, position: SkyCoord) -> tuple[int, int] | None:
        """The pixel (x, y) that is nearest to a position; None on the far side of the sky."""
        try:
            with self._lock:
                x, y = geometry.pixel(position)
        except NoConvergence:  # a distortion is only good for the mosaic and its surroundings
            return None
        return (round(float(x)), round(float(y))) if np.isfinite([x, y]).all() else None

    def _opened(self) -> _Open:
        if self._open is None:
            with ExitStack() as stack:
                files: dict[str, FitsFile] = {}

                def image(path: str, hdu: int | str | None) -> Layer:
                    if path not in files:
                        files[path] = FitsFile.open(path, self.survey.storage, self.cache)
                        stack.callback(files[path].close)
                    return files[path].layer(hdu)

                science = image(self.path, self.tile.hdu)
                if self._geometry is None:
                    self._geometry = Geometry.of(
                        science.hdu, science.file.hdus[0].header, science.name, self.unit, self.survey.frame
                    )
                maps = tuple(
                    image(each.path or self.path, each.hdu) for each in (self.tile.error, self.tile.weight) if each
                )
                for layer in maps:
                    if layer.hdu.shape != science.hdu.shape:
                        raise MosaicError(f"{layer.name} is not of the shape of {science.name}.")
                self._open = _Open(stack.pop_all(), science, maps)
        return self._open


def unit_vectors(positions: SkyCoord) -> NDArray[np.float64]:
    """Unit vectors of ICRS positions, shape (..., 3)."""
    return np.moveaxis(positions.cartesian.xyz.value, 0, -1)


def _blank(data: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where a mosaic was never exposed: areas of 0. A lone 0 may be a measured one in a quantised image."""
    zero = np.asarray(data == 0)
    if not zero.any():
        return zero
    return np.asarray(binary_propagation(binary_erosion(zero, np.ones((3, 3), dtype=bool), border_value=1), mask=zero))
