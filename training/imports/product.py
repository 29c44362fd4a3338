"""What radiative transfer has made of a galaxy: images in bands, or a datacube, seen from some distance."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Self

import astropy.units as u
import numpy as np
from astropy.cosmology import Planck15
from astropy.io import fits
from numpy.typing import NDArray
from sedpy.observate import Filter, list_available_filters

from redden.errors import BandError, PixelGridError, UnitError, UnreadableFileError
from redden.fits import Image, Upload, read_any_band
from redden.frame import SCALE_KEYWORDS, frame_of
from redden.units import calibration

Array = NDArray[np.float64]

CURVE: Final = "jwst_{}"
"""Name of a band's transmission curve in astro-sedpy; NIRCam's are those of the built-in forward model."""
_WAVELENGTHS_AT_ONCE: Final = 128
_PLANE_NAMES: Final = ("FILTER", "BAND", "EXT", "PLANE", "CHANNEL")


@dataclass(frozen=True, slots=True)
class Place:
    """From where a galaxy is seen."""

    redshift: float
    luminosity_distance: float
    """In Mpc, as is the angular diameter distance."""
    angular_distance: float

    @classmethod
    def at(cls, redshift: float) -> Self:
        """A galaxy at a cosmological distance (Planck 2015)."""
        luminosity = Planck15.luminosity_distance(redshift).to_value(u.Mpc)
        return cls(redshift, float(luminosity), float(luminosity) / (1 + redshift) ** 2)

    @classmethod
    def rest_frame(cls, distance: float) -> Self:
        """A galaxy in its rest frame, at a distance in Mpc that means nothing but a scale."""
        return cls(0.0, distance, distance)


@dataclass(frozen=True, slots=True)
class Product:
    """Images of a galaxy at several wavelengths, without noise and not convolved with a point-spread function."""

    numbers: NDArray[np.floating]
    """The numbers of the files, shape (planes, ny, nx)."""
    nanojansky: Array
    """Factor from the numbers of each plane to nJy per pixel, as seen at `place`, shape (planes,)."""
    wavelength: Array
    """In Angstrom, as seen at `place`, ascending; those of bands are pivot wavelengths."""
    bands: tuple[str, ...] | None
    """Names of the planes; None for a datacube."""
    pixel: tuple[float, float]
    """Sides of a pixel in arcsec, along x and y, as seen at `place`."""
    place: Place
    source: str
    """File, for messages."""
    header_unit: str
    """What its header says (BUNIT), used or not; empty where it says nothing."""
    left_aside: tuple[str, ...] = ()
    """Bands that the files have but whose transmission is not known."""

    def total(self) -> Array:
        """Flux of all pixels in nJy, shape (planes,)."""
        return np.asarray(self.numbers.sum(axis=(1, 2), dtype=np.float64) * self.nanojansky)

    def weighted(self, weights: Array) -> Array:
        """Weighted sums of the planes in nJy per pixel.

        Parameters
        ----------
        weights : ndarray, shape (images, planes)

        Returns
        -------
        ndarray, shape (images, ny, nx)
        """
        factors = weights * self.nanojansky
        used = np.flatnonzero(np.any(factors != 0, axis=0))
        images = np.zeros((len(weights), *self.numbers.shape[1:]))
        for start in range(0, len(used), _WAVELENGTHS_AT_ONCE):  # a datacube may be larger than the memory
            planes = used[start : start + _WAVELENGTHS_AT_ONCE]
            images += np.tensordot(factors[:, planes], np.asarray(self.numbers[planes], dtype=np.float64), axes=1)
        return images


def read_product(
    files: Sequence[Path],
    place: Place,
    *,
    unit: str | None = None,
    pixel_scale: float | None = None,
    planes: Sequence[str] | None = None,
) -> Product:
    """Read a datacube, a cube with a plane per band, or an image per band.

    A file is a datacube if it has three axes and tells the wavelengths of its planes, in a table extension (as SKIRT
    writes it) or by ``CRVAL3`` and ``CDELT3`` in a unit of length, and names no bands.

    Parameters
    ----------
    files : sequence of Path
        FITS files.
    place : Place
        From where the galaxy is seen in them.
    unit : str, optional
        Unit of all images, in place of what their headers say.
    pixel_scale : float, optional
        Side of a pixel in arcsec, for images whose headers do not tell.
    planes : sequence of str, optional
        Bands of the planes of a cube, or of the images, in order, in place of what the headers say.

    Raises
    ------
    UnreadableFileError, BandError, UnitError, PixelGridError
        If a file is missing or not what it should be.
    """
    try:
        if len(files) == 1 and planes is None and (cube := _read_datacube(files[0], place, unit, pixel_scale)):
            return cube
        uploads = [Upload(file.name, file.read_bytes()) for file in files]
    except (OSError, TypeError, ValueError) as error:  # of what is missing, no FITS, or truncated
        raise UnreadableFileError(f"{', '.join(file.name for file in files)} cannot be read: {error}.") from error
    return _of_bands(read_any_band(uploads, planes), place, unit, pixel_scale)


def _read_datacube(file: Path, place: Place, unit: str | None, pixel_scale: float | None) -> Product | None:
    """A datacube; None if the file is none."""
    with fits.open(file) as hdus:
        header, numbers = hdus[0].header, hdus[0].data
        if numbers is None or numbers.ndim != 3 or any(f"{key}1" in header for key in _PLANE_NAMES):
            return None
        wavelength = _wavelengths(hdus)
        if wavelength is None:
            return None
        if len(wavelength) != len(numbers):
            raise UnreadableFileError(
                f"{file.name} has {len(numbers)} planes but the wavelengths of {len(wavelength)}. Write it again."
            )
    order = np.argsort(wavelength)
    if np.any(order[1:] < order[:-1]):
        wavelength, numbers = wavelength[order], numbers[order]
    pixel = _pixel(Image("", numbers[0], header, file.name), place, pixel_scale)
    factors = _nanojansky(header, pixel, wavelength, unit, file.name)
    return Product(numbers, factors, wavelength, None, pixel, place, file.name, _header_unit(header))


def _wavelengths(hdus: fits.HDUList) -> Array | None:
    """Wavelengths of the planes in Angstrom, from the table of the third axis or the linear keywords of the header."""
    for hdu in hdus[1:]:
        for column in getattr(hdu, "columns", ()):
            length = _length(column.unit)
            if length is not None:
                return np.asarray(hdu.data[column.name] * length.to(u.AA), dtype=np.float64)
    header = hdus[0].header
    length = _length(header.get("CUNIT3"))
    if length is None or "CDELT3" not in header:
        return None
    pixel = np.arange(1, header["NAXIS3"] + 1) - header.get("CRPIX3", 1)
    return np.asarray((header.get("CRVAL3", 0.0) + header["CDELT3"] * pixel) * length.to(u.AA))


def _length(text: object) -> u.UnitBase | None:
    try:
        unit = u.Unit(str(text or "").strip())
    except ValueError:
        return None
    return unit if unit.is_equivalent(u.m) else None


def _of_bands(images: list[Image], place: Place, unit: str | None, pixel_scale: float | None) -> Product:
    """Images in bands as one product; bands whose transmission is not known are left aside."""
    named = {image.band: image for image in images}
    if len(named) < len(images):
        raise BandError(f"a band is given twice among {', '.join(image.source for image in images)}.")
    known = sorted((band for band in named if CURVE.format(band.lower()) in _curves()), key=pivot)
    left_aside = tuple(band for band in named if band not in known)
    if not known:
        raise BandError(f"none of {', '.join(named)} is a filter of JWST: name the bands with their JWST names.")
    first = named[known[0]]
    pixel = _pixel(first, place, pixel_scale)
    factors = []
    for band in known:
        image = named[band]
        if image.data.shape != first.data.shape or not np.allclose(_pixel(image, place, pixel_scale), pixel, rtol=1e-3):
            raise PixelGridError(f"{image.source} and {first.source} do not have the same pixels. Make them alike.")
        factors.append(_nanojansky(image.header, pixel, np.array([pivot(band)]), unit, image.source)[0])
    return Product(
        np.stack([named[band].data for band in known]),
        np.array(factors),
        np.array([pivot(band) for band in known]),
        tuple(known),
        pixel,
        place,
        first.source,
        _header_unit(first.header),
        left_aside,
    )


def _pixel(image: Image, place: Place, stated: float | None) -> tuple[float, float]:
    """Sides of a pixel in arcsec: by the celestial WCS, by increments in an angle or a length, by keyword or as stated.

    A length, as SKIRT writes it for instruments at a finite distance, is one at the galaxy.
    """
    header = image.header
    if (frame := frame_of(image, None)) is not None:
        x, y = frame.scales
        return float(x), float(y)
    increments = header.get("CDELT1"), header.get("CDELT2")
    try:
        side = u.Unit(str(header.get("CUNIT1") or ""))
        if None not in increments and side.is_equivalent(u.arcsec):
            x, y = (abs(float(each)) * side.to(u.arcsec) for each in increments)
            return x, y
        if None not in increments and side.is_equivalent(u.pc):
            arcsec = side.to(u.Mpc) / place.angular_distance * u.rad.to(u.arcsec)
            x, y = (abs(float(each)) * arcsec for each in increments)
            return x, y
    except (ValueError, TypeError):
        pass
    told = next((header[key] for key in SCALE_KEYWORDS if key in header), stated)
    if not isinstance(told, int | float) or not 0 < told < np.inf:
        raise PixelGridError(
            f"{image.source} does not tell its pixel scale: it has neither a celestial WCS, nor CDELT1 and CUNIT1 in "
            f"an angle or a length, nor {' or '.join(SCALE_KEYWORDS)}. State it in arcsec (--pixel-scale)."
        )
    return float(told), float(told)


def _nanojansky(
    header: fits.Header, pixel: tuple[float, float], wavelength: Array, unit: str | None, source: str
) -> Array:
    """Factors to nJy per pixel at each wavelength.

    Units per frequency are those of serving; those per wavelength, or of lambda F_lambda, are SKIRT's other styles.
    """
    area = pixel[0] * pixel[1] * u.arcsec**2
    try:
        return np.full(wavelength.shape, calibration(header, area, unit).factor)
    except UnitError as error:
        text = (unit or _header_unit(header)).strip()
        other = _spectral_unit(text)
        if other is None:
            raise UnitError(
                f"{source}: {error} SKIRT's W/m2/micron/arcsec2 and W/m2/arcsec2 can be read too."
            ) from error
    one = np.ones(wavelength.shape) * other
    if (other * u.sr).is_equivalent(u.W / u.m**2) or (other * u.sr).is_equivalent(u.W / u.m**3):
        one = one * area
    return np.asarray(one.to_value(u.nJy, u.spectral_density(wavelength * u.AA)))


def _header_unit(header: fits.Header) -> str:
    return str(header.get("BUNIT") or "").strip()


def _spectral_unit(text: str) -> u.UnitBase | None:
    """A unit of flux or surface brightness per wavelength, or of lambda F_lambda; None if it is none."""
    try:
        unit: Any = u.Unit(text)
    except ValueError:
        return None
    kinds = (u.W / u.m**2, u.W / u.m**3)
    return unit if any(each.is_equivalent(kind) for each in (unit, unit * u.sr) for kind in kinds) else None


@lru_cache
def curve(name: str) -> Filter:
    """Transmission of a filter by its name in astro-sedpy, per photon."""
    return Filter(name)


@lru_cache
def _curves() -> frozenset[str]:
    return frozenset(list_available_filters())


def pivot(band: str) -> float:
    """Pivot wavelength of a band of JWST in Angstrom."""
    return float(curve(CURVE.format(band.lower())).wave_pivot)
