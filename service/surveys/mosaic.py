"""One mosaic: where it lies on the sky, and reading a window of it."""

import math
import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final, Self

import numpy as np
from astropy import units as u
from astropy.coordinates import ICRS, BaseCoordinateFrame, SkyCoord
from astropy.io import fits
from astropy.nddata import NoOverlapError, overlap_slices
from astropy.wcs import WCS, NoConvergence
from astropy.wcs.utils import proj_plane_pixel_scales, wcs_to_celestial_frame
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, binary_propagation

from redden.errors import MosaicError, ReddenError
from redden.units import EXPOSURE_KEYWORDS, ZERO_POINT_KEYWORDS
from service.surveys.definition import Definition, Tile, is_remote
from service.surveys.remote import BlockCache, Remote

MAX_OPEN: Final = 64
"""Mosaics that stay open; each has a file handle or two."""

_MARGIN: Final = 4
"""Pixels around what is asked for, for interpolation."""

_UNIT_KEYWORDS: Final = ("BUNIT", "PHOTMJSR", *ZERO_POINT_KEYWORDS, *EXPOSURE_KEYWORDS)
_WCS_KEYWORD: Final = re.compile(
    r"WCSAXES|RADESYS|RADECSYS|EQUINOX|LONPOLE|LATPOLE|(CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CROTA)[12]|(CD|PC)[12]_[12]|PV[12]_\d+|"
    r"[AB]P?_(ORDER|DMAX|\d+_\d+)"
)


_SCALING: Final = ("BSCALE", "BZERO", "BLANK")


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the pixels of a mosaic lie on the sky."""

    shape: tuple[int, int]
    """(ny, nx)."""
    header: fits.Header
    """The keywords of the WCS and of the unit, which are all that a window needs."""
    wcs: WCS
    frame: BaseCoordinateFrame
    """Frame of the coordinates of `wcs`."""
    pixel_scale: float
    """Side of a pixel in arcsec."""
    outline: NDArray[np.float64]
    """ICRS right ascension and declination of the corners in degrees, shape (4, 2)."""

    @classmethod
    def of(cls, hdu: Any, primary: fits.Header, unit: str | None, frame: str, path: str) -> Self:
        """The geometry of an image extension.

        Raises
        ------
        MosaicError
            If it is no image with two axes and a celestial WCS.
        """
        if len(hdu.shape) != 2:
            raise MosaicError(f"{path}[{hdu.name}] has {len(hdu.shape)} axes; a mosaic has 2. Name another `hdu`.")
        header = fits.Header([card for card in hdu.header.cards if _WCS_KEYWORD.fullmatch(card.keyword)])
        for key in _UNIT_KEYWORDS:
            if key in (source := hdu.header if key in hdu.header else primary):
                header[key] = source[key]
        if unit:
            header["BUNIT"] = unit
        if not {"RADESYS", "RADECSYS", "EQUINOX"} & set(header):
            header["RADESYS"] = frame.upper()
        wcs = WCS(header, naxis=2)
        if not wcs.has_celestial:
            raise MosaicError(f"{path}[{hdu.name}] has no celestial WCS. Name another `hdu`, or add a WCS to the file.")
        ny, nx = hdu.shape
        corners = wcs.pixel_to_world([-0.5, nx - 0.5, nx - 0.5, -0.5], [-0.5, -0.5, ny - 0.5, ny - 0.5]).icrs
        outline = np.stack([corners.ra.deg, corners.dec.deg], axis=-1)
        scale = float(np.sqrt(np.prod(proj_plane_pixel_scales(wcs)))) * 3600
        return cls((int(ny), int(nx)), header, wcs, wcs_to_celestial_frame(wcs), scale, outline)

    def pixel(self, position: SkyCoord) -> tuple[float, float]:
        """The pixel coordinates (x, y), from 0, of a position, with the distortion that the WCS has."""
        if not isinstance(self.frame, ICRS):
            position = position.transform_to(self.frame)
        position = position.spherical
        x, y = self.wcs.all_world2pix(position.lon.deg, position.lat.deg, 0, ra_dec_order=True)
        return float(x), float(y)


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
    science: Any
    maps: tuple[Any, ...]
    streams: tuple[Remote | None, ...]
    """Of `science` and each of `maps`, if it is remote."""


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
        half = math.ceil(size / geometry.pixel_scale / math.sqrt(2)) + _MARGIN
        try:
            inside, placed = overlap_slices(geometry.shape, (2 * half + 1, 2 * half + 1), (y, x), mode="partial")
        except NoOverlapError:
            return None
        data = np.full((2 * half + 1, 2 * half + 1), np.nan)
        with self._lock:
            data[placed] = self._read(self._opened(), inside)
        self.others.used(self)
        header = geometry.header.copy()
        header["CRPIX1"] = header.get("CRPIX1", 0.0) - (x - half)
        header["CRPIX2"] = header.get("CRPIX2", 0.0) - (y - half)
        square = slice(half - (asked := math.ceil(size / geometry.pixel_scale / 2)), half + asked + 1)
        return Window(data, header, float(np.isfinite(data[square, square]).mean()))

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
            with ExitStack() as files:
                hdus, stream = _open_file(self.path, self.survey.storage, self.cache, files)
                science = _find_image(hdus, self.tile.hdu, self.path)
                if self._geometry is None:
                    self._geometry = Geometry.of(science, hdus[0].header, self.unit, self.survey.frame, self.path)
                maps, streams = [], [stream]
                for companion in filter(None, (self.tile.error, self.tile.weight)):
                    path = companion.path or self.path
                    beside, stream = (
                        (hdus, streams[0])
                        if path == self.path
                        else _open_file(path, self.survey.storage, self.cache, files)
                    )
                    image = _find_image(beside, companion.hdu, path)
                    if image.shape != science.shape:
                        raise MosaicError(f"{path}[{image.name}] is not of the shape of {self.path}[{science.name}].")
                    maps.append(image)
                    streams.append(stream)
                self._open = _Open(files.pop_all(), science, tuple(maps), tuple(streams))
        return self._open

    def _read(self, opened: _Open, inside: tuple[slice, slice]) -> NDArray[np.float64]:
        """Pixels, NaN where there is no data: areas of exactly 0, or without a positive error or weight."""
        try:
            images = [
                _section(hdu, stream, inside)
                for hdu, stream in zip((opened.science, *opened.maps), opened.streams, strict=True)
            ]
        except ReddenError:
            raise
        except Exception as error:  # on broken bytes astropy raises nearly any exception there is
            raise MosaicError(f"{self.path} is broken FITS: {error}. Make or download it again.") from error
        data = images[0]
        data[_blank(data)] = np.nan
        for values in images[1:]:
            data[~(np.isfinite(values) & (values > 0))] = np.nan
        return data


def unit_vectors(positions: SkyCoord) -> NDArray[np.float64]:
    """Unit vectors of ICRS positions, shape (..., 3)."""
    return np.moveaxis(positions.cartesian.xyz.value, 0, -1)


def _blank(data: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where a mosaic was never exposed: areas of 0. A lone 0 may be a measured one in a quantised image."""
    zero = np.asarray(data == 0)
    if not zero.any():
        return zero
    return np.asarray(binary_propagation(binary_erosion(zero, np.ones((3, 3), dtype=bool), border_value=1), mask=zero))


def _section(hdu: Any, stream: Remote | None, inside: tuple[slice, slice]) -> NDArray[np.float64]:
    if stream is not None and not isinstance(hdu, fits.CompImageHDU):
        pixel = abs(hdu.header["BITPIX"]) // 8
        start = hdu.fileinfo()["datLoc"]
        rows, columns = inside
        row_starts = [start + row * hdu.shape[1] * pixel for row in range(rows.start, rows.stop)]
        stream.prefetch([(row + columns.start * pixel, row + columns.stop * pixel) for row in row_starts])
    elif stream is None and not isinstance(hdu, fits.CompImageHDU) and not any(key in hdu.header for key in _SCALING):
        return np.array(hdu.data[inside], dtype=np.float64)  # mapped into memory, and far faster than a section
    return np.array(hdu.section[inside], dtype=np.float64)


def _open_file(
    path: str, storage: dict[str, Any], cache: BlockCache, files: ExitStack
) -> tuple[fits.HDUList, Remote | None]:
    """Open a FITS file without reading its pixels; local files are mapped into memory."""
    if path.endswith(".gz"):
        raise MosaicError(
            f"{path} is gzipped, and cannot be read in parts. Unzip it with `redden survey convert`, "
            "which downloads it first if need be."
        )
    try:
        if is_remote(path):
            stream = Remote(path, storage, cache)
            return files.enter_context(fits.open(stream)), stream
        return files.enter_context(fits.open(path, memmap=True)), None
    except ReddenError:
        raise
    except FileNotFoundError:
        raise MosaicError(f"there is no {path}. Correct the survey file, or give another location.") from None
    except Exception as error:  # as above
        raise MosaicError(f"{path} is not FITS that can be read: {error}.") from error


def _find_image(hdus: fits.HDUList, hdu: int | str | None, path: str) -> Any:
    try:
        found = hdus[hdu] if hdu is not None else next(image for image in hdus if image.is_image and image.shape)
        if found.is_image and found.shape:
            return found
    except (KeyError, IndexError, StopIteration):
        pass
    listed = ", ".join(f"{index} {image.name}".strip() for index, image in enumerate(hdus))
    raise MosaicError(f"{path} has no image{'' if hdu is None else f' {hdu!r}'}; its extensions are {listed}.")
