"""The telescope: from the fluxes of star particles to an image with point-spread function and correlated noise."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fft2, ifft2, irfft2, next_fast_len, rfft2
from scipy.sparse import csc_array
from sedpy.observate import Filter

from redden.grid import PIXEL_SCALE, SIZE
from training.simulate.settings import Observation

Array = NDArray[np.float64]

OVERSAMPLING: Final = 2
FINE_SCALE: Final = PIXEL_SCALE / OVERSAMPLING
"""Side in arcsec of the fine pixels in which star particles are deposited."""
PSF_SIZE: Final = 121
"""Side of the point-spread function in fine pixels; the few per cent of the light beyond are not modelled."""
_REACH: Final = PSF_SIZE // 2

SEGMENT_WIDTH: Final = 1.32
"""Width of a mirror segment in m, flat to flat."""
SEGMENT_PITCH: Final = 1.3275
"""Distance between the centres of neighbouring segments in m."""
SEGMENT_ERROR: Final = 80e-9
"""Root mean square wavefront error between segments in m."""
DETECTOR_PIXEL: Final = {"F115W": 0.031, "F150W": 0.031, "F200W": 0.031}
"""Side in arcsec of the detector pixels of the short-wavelength channel; 0.063 in the other bands."""
BROADENING: Final = {"F277W": 0.034, "F356W": 0.035, "F444W": 0.024}
"""Dispersion in arcsec of the Gaussian that pointing jitter, charge diffusion and drizzling add.

Chosen so that the encircled energy agrees with star stacks in mosaics of 0.03 arcsec to 0.02; 0.03 in other bands.
"""
_WAVELENGTHS: Final = 13
_PUPIL_SIDE: Final = 256
_PUPIL_WIDTH: Final = 6.7  # m
_ARCSEC: Final = np.pi / 180 / 3600

NOISE_RADIUS: Final = 0.1
"""Radius in arcsec of the circle in which depths are stated."""
AB_NANOJANSKY: Final = 31.4
"""AB magnitude of 1 nJy."""


@dataclass(frozen=True, slots=True)
class Sky:
    """The noise of an observation."""

    aperture_rms: float
    """Standard deviation in nJy of the flux in a circle of 0.1 arcsec radius."""
    correlation: float
    """Correlation rho of direct neighbours; pixels at distance d have rho^(d^2), as drizzled mosaics about do."""


def deposit(x: Array, y: Array, flux: Array, width: int) -> Array:
    """Spread the flux of point sources over the four nearest fine pixels (cloud in cell).

    Parameters
    ----------
    x, y : ndarray, shape (sources,)
        Positions in arcsec from the field's centre, which is the corner that the four central pixels share.
    flux : ndarray, shape (sources, bands)
    width : int
        Side of the field in fine pixels; what falls outside is lost.

    Returns
    -------
    ndarray, shape (width, width, bands)
        Rows are y.
    """
    column, right = np.divmod(x / FINE_SCALE + (width - 1) / 2, 1.0)
    row, up = np.divmod(y / FINE_SCALE + (width - 1) / 2, 1.0)
    inside = (column >= 0) & (column < width - 1) & (row >= 0) & (row < width - 1)
    corner = (row[inside] * width + column[inside]).astype(np.int64)
    right, up = right[inside], up[inside]
    pixel = corner[:, None] + np.array([0, 1, width, width + 1])
    weight = np.column_stack([(1 - right) * (1 - up), right * (1 - up), (1 - right) * up, right * up])
    spread = csc_array(
        (weight.ravel(), pixel.ravel(), np.arange(0, pixel.size + 1, 4)), shape=(width * width, corner.size)
    )
    return np.asarray(spread @ flux[inside]).reshape(width, width, -1)


def image(x: Array, y: Array, flux: Array, bands: tuple[str, ...], size: int = SIZE) -> Array:
    """Image of point sources through the telescope, without noise.

    Parameters
    ----------
    x, y : ndarray, shape (sources,)
        Positions in arcsec from the image's centre.
    flux : ndarray, shape (sources, bands)
        In nJy.
    bands : tuple of str
        NIRCam bands.
    size : int
        Side of the image in pixels of 0.03 arcsec.

    Returns
    -------
    ndarray, shape (size, size, bands)
        In nJy per pixel; rows are y.
    """
    fine = size * OVERSAMPLING
    # Light also comes in from outside; what wraps around the wider field does not reach the image.
    width = 2 * next_fast_len(fine // 2 + _REACH + 1, real=True)
    field = rfft2(deposit(x, y, flux, width).astype(np.float32), axes=(0, 1))
    blurred = irfft2(field * _transfer(bands, width), s=(width, width), axes=(0, 1))
    start = (width - fine) // 2
    cropped = blurred[start : start + fine, start : start + fine]
    return np.asarray(cropped.reshape(size, OVERSAMPLING, size, OVERSAMPLING, -1).sum(axis=(1, 3)))


def draw_sky(prior: Observation, rng: np.random.Generator) -> Sky:
    """Draw how deep a galaxy is observed, and how correlated the noise is."""
    aperture_rms = 10 ** ((AB_NANOJANSKY - rng.uniform(*prior.depth)) / 2.5) / 5
    return Sky(aperture_rms, rng.uniform(*prior.noise_correlation))


def noise(sky: Sky, bands: int, rng: np.random.Generator, size: int = SIZE) -> Array:
    """Sky noise, Gaussian and correlated, independent between bands.

    Parameters
    ----------
    sky : Sky
        Depth and correlation, the same in all bands.
    bands : int
        Number of bands.
    size : int
        Side of the image in pixels.

    Returns
    -------
    ndarray, shape (size, size, bands)
        In nJy per pixel.
    """
    side = size + 16
    lag = np.minimum(np.arange(side), side - np.arange(side))
    spectrum = np.maximum(np.fft.fft(sky.correlation ** (lag**2.0)).real, 0.0)
    power = np.outer(spectrum, spectrum)
    white = fft2(rng.normal(size=(side, side, bands)), axes=(0, 1))
    field = ifft2(white * np.sqrt(power)[:, :, None], axes=(0, 1)).real[:size, :size]
    offset = (np.arange(side) - (side - 1) / 2) * PIXEL_SCALE
    circle = np.hypot(offset[:, None], offset) <= NOISE_RADIUS
    variance_in_circle = (np.abs(fft2(circle.astype(np.float64))) ** 2 * power).sum() / side**2
    return np.asarray(field * (sky.aperture_rms / np.sqrt(variance_in_circle)))


@lru_cache
def psf(band: str) -> Array:
    """Point-spread function of a band on fine pixels, from the segmented pupil and the measured broadening.

    Returns
    -------
    ndarray, shape (121, 121)
        Sums to 1.
    """
    side = 2 * PSF_SIZE - 1
    position, amplitude, error = _pupil()
    angle = (np.arange(side) - side // 2) * FINE_SCALE * _ARCSEC
    light = np.zeros((side, side))
    for wavelength in _photon_quantiles(band):
        # The Fourier transform of a pupil that is sampled on a grid is a product of matrices.
        fourier = np.exp(-2j * np.pi / wavelength * np.outer(angle, position))
        field = amplitude * np.exp(2j * np.pi / wavelength * error)
        light += np.abs(fourier @ field @ fourier.T) ** 2
    frequency = np.fft.fftfreq(side, FINE_SCALE)
    smear = np.sinc(frequency * DETECTOR_PIXEL.get(band, 0.063))
    smear *= np.exp(-2 * (np.pi * frequency * BROADENING.get(band, 0.03)) ** 2)
    broad = ifft2(fft2(light) * np.outer(smear, smear)).real
    cut = slice((side - PSF_SIZE) // 2, (side + PSF_SIZE) // 2)
    return np.asarray(broad[cut, cut] / broad[cut, cut].sum())


@lru_cache
def _transfer(bands: tuple[str, ...], side: int) -> NDArray[np.complex64]:
    """Fourier transforms of the bands' point-spread functions about the origin, shape (side, side // 2 + 1, bands)."""
    stack = np.zeros((side, side, len(bands)))
    stack[:PSF_SIZE, :PSF_SIZE] = np.stack([psf(band) for band in bands], axis=-1)
    centred = np.roll(stack, (-_REACH, -_REACH), axis=(0, 1)).astype(np.float32)
    return np.asarray(rfft2(centred, axes=(0, 1)))


@lru_cache
def _pupil() -> tuple[Array, Array, Array]:
    """Coordinates in m, transmission, and wavefront error in m of the 18 segments; the same in every image."""
    position = (np.arange(_PUPIL_SIDE) - (_PUPIL_SIDE - 1) / 2) * _PUPIL_WIDTH / _PUPIL_SIDE
    x, y = position, position[:, None]
    rings = range(-2, 3)
    segments = [(q, r) for q in rings for r in rings if abs(q + r) <= 2 and (q, r) != (0, 0)]
    piston = np.random.default_rng(18).normal(size=len(segments))
    piston = (piston - piston.mean()) / piston.std() * SEGMENT_ERROR
    amplitude, error = np.zeros((2, _PUPIL_SIDE, _PUPIL_SIDE))
    for (q, r), height in zip(segments, piston, strict=True):
        u = x - SEGMENT_PITCH * (q + r / 2)
        v = (y - SEGMENT_PITCH * r * np.sqrt(3) / 2) * np.sqrt(3) / 2
        widest = np.maximum(np.abs(u), np.maximum(np.abs(u / 2 + v), np.abs(u / 2 - v)))
        segment = widest <= SEGMENT_WIDTH / 2
        amplitude[segment], error[segment] = 1.0, height
    return position, amplitude, error


def _photon_quantiles(band: str) -> Array:
    """Wavelengths in m that stand for equal shares of a band's response to a flat f_nu."""
    transmission = Filter(f"jwst_{band.lower()}")
    response = np.cumsum(transmission.transmission / transmission.wavelength)
    share = (np.arange(_WAVELENGTHS) + 0.5) / _WAVELENGTHS
    return np.asarray(np.interp(share * response[-1], response, transmission.wavelength) * 1e-10)
