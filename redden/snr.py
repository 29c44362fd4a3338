"""Signal-to-noise ratio of the galaxy in the centre of a cutout; the same measurement selects training images.

The noise comes from the image itself, since error maps of mosaics know nothing of the correlation between pixels.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from redden.arrays import median, median_size, planes
from redden.grid import PIXEL_SCALE, SIZE

APERTURE_RADIUS: Final = 0.16
"""Radius in arcsec of the circle in which the signal is measured (Fu et al. 2024, section 2)."""

_CENTRE: Final = (SIZE - 1) / 2
_y, _x = np.mgrid[:SIZE, :SIZE]
_radius: Final = np.hypot(_y - _CENTRE, _x - _CENTRE)
_far: Final = _radius > 12
_OUTSKIRTS: Final = np.flatnonzero(_far)
"""Numbers of the pixels farther than 0.36 arcsec from the centre: sky for most galaxies at z > 6."""
_PAIRS: Final = {
    1: np.flatnonzero(np.pad(_far[:, :-1] & _far[:, 1:], ((0, 0), (0, 1)))),
    SIZE: np.flatnonzero(_far[:-1] & _far[1:]),
}
"""Direct neighbours that are both in the outskirts: by the step between their numbers, the numbers of the first."""
_MAD_TO_SIGMA: Final = 1.4826

_TOGETHER: Final = 96
"""Images that are looked at together: what is needed for that fits into a processor's cache."""


@dataclass(frozen=True, slots=True)
class Sky:
    """The empty sky of images, told from their outskirts; arrays of shape (..., bands).

    Attributes
    ----------
    level : ndarray of float64
        Its brightness, see `sky_level`.
    sigma : ndarray of float64
        Scatter of its pixels.
    correlation : ndarray of float64
        Correlation of direct neighbours, 0...0.95.
    """

    level: NDArray[np.float64]
    sigma: NDArray[np.float64]
    correlation: NDArray[np.float64]

    @classmethod
    def of(cls, images: NDArray[np.floating]) -> Self:
        """The sky of images of shape (..., 32, 32, bands), finite and in any linear unit of flux.

        The arithmetic has the precision of the images; where a band is NaN, so is its sky.
        """
        rows = _planes(images)
        flat = rows.reshape(-1, rows.shape[-1])
        found = np.empty((3, len(flat)))
        for start in range(0, len(flat), _TOGETHER):
            part = slice(start, start + _TOGETHER)
            found[:, part] = _level_scatter_step(flat[part])
        level, sigma, step = found.reshape(3, *rows.shape[:-1])
        ratio = np.divide(step, sigma, out=np.full_like(step, np.sqrt(2)), where=sigma > 0)
        return cls(level, sigma, np.clip(1 - ratio**2 / 2, 0.0, 0.95))

    def noise(self, radius: float) -> NDArray[np.float64]:
        """Standard deviation of the flux in an empty circle with this radius in arcsec, see `aperture_noise`."""
        return np.asarray(self.sigma * np.sqrt(correlated_pixels(self.correlation, radius)))


def sky_level(images: NDArray[np.floating]) -> NDArray[np.float64]:
    """Median of the outskirts: what a mosaic's background subtraction has left, or all of the sky if there was none.

    Parameters
    ----------
    images : ndarray, shape (..., 32, 32, bands)
        Finite pixels in any linear unit of flux.

    Returns
    -------
    ndarray of float64, shape (..., bands)
        In the unit of the images.
    """
    return median(_planes(images).take(_OUTSKIRTS, axis=-1, mode="clip")).astype(np.float64)


def aperture_snr(images: NDArray[np.floating], sky: Sky | None = None) -> NDArray[np.float64]:
    """Signal-to-noise ratio in a circle of 0.16 arcsec radius at the centre.

    Parameters
    ----------
    images : ndarray, shape (..., 32, 32, bands)
        Finite pixels in any linear unit of flux.
    sky : Sky, optional
        Their sky, where it is known already.

    Returns
    -------
    ndarray of float64, shape (..., bands)
        Sky-subtracted flux over its noise; 0 where the outskirts show no noise at all.
    """
    sky = sky or Sky.of(images)
    inside = np.flatnonzero(_circle(APERTURE_RADIUS))
    light = _planes(images).take(inside, axis=-1, mode="clip").sum(axis=-1, dtype=np.float64)
    signal = light - sky.level * inside.size
    noise = sky.noise(APERTURE_RADIUS)
    return np.asarray(np.divide(signal, noise, out=np.zeros_like(signal), where=noise > 0))


def aperture_noise(images: NDArray[np.floating], radius: float) -> NDArray[np.float64]:
    """Standard deviation of the flux in an empty circle, from the scatter and correlation of the outskirts.

    Neighbouring pixels of a drizzled mosaic are correlated. With a Gaussian autocorrelation rho^(d^2) of pixels at
    distance d, rho being what direct neighbours have, the variance of a sum over an aperture is
    sigma^2 sum_ij rho^(|i - j|^2).

    Parameters
    ----------
    images : ndarray, shape (..., 32, 32, bands)
        Finite pixels in any linear unit of flux.
    radius : float
        Radius of the circle in arcsec.

    Returns
    -------
    ndarray of float64, shape (..., bands)
        In the unit of the images.
    """
    return Sky.of(images).noise(radius)


def _circle(radius: float) -> NDArray[np.bool_]:
    """Pixels whose centre lies within a radius in arcsec of the cutout's centre."""
    return np.asarray(_radius * PIXEL_SCALE <= radius)


def _planes(images: NDArray[np.floating]) -> NDArray[np.floating]:
    """`planes` in the precision of the images."""
    dtype: Any = np.float32 if images.dtype == np.float32 else np.float64
    return planes(images, dtype)


def _level_scatter_step(rows: NDArray[np.floating]) -> tuple[NDArray[np.floating], ...]:
    """Median, scatter, and scatter of the differences of direct neighbours, in the outskirts of images as rows.

    var(a - b) = 2 sigma^2 (1 - rho), rho being the correlation; differences do not see the slow gradient of a galaxy's
    wings.
    """
    outskirts = rows.take(_OUTSKIRTS, axis=-1, mode="clip")  # which does not check the numbers, as they are ours
    level = median(outskirts)
    outskirts -= level[:, None]
    differences = np.concatenate(
        [(rows[:, gap:] - rows[:, :-gap]).take(first, axis=-1, mode="clip") for gap, first in _PAIRS.items()], axis=-1
    )
    return level, _MAD_TO_SIGMA * median_size(outskirts), _MAD_TO_SIGMA * median_size(differences)


def correlated_pixels(rho: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """sum_ij rho^(|i - j|^2) over the pixels of a circle: a polynomial in rho."""
    return np.asarray(np.polynomial.polynomial.polyval(rho, _pixel_pairs(radius)))


@cache
def _pixel_pairs(radius: float) -> NDArray[np.float64]:
    """Number of pairs of pixels of a circle by the square of their distance, from 0."""
    inside = np.argwhere(_circle(radius))
    squared = ((inside[:, None, :] - inside[None, :, :]) ** 2).sum(axis=-1)
    return np.bincount(squared.ravel()).astype(np.float64)
