"""Signal-to-noise ratio of the galaxy in the centre of a cutout; the same measurement selects training images.

The noise comes from the image itself, since error maps of mosaics know nothing of the correlation between pixels.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from redden.arrays import median, planes
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
        """The sky of images of shape (..., 32, 32, bands), finite and in any linear unit of flux."""
        rows = planes(images, np.float64)
        outskirts = np.take(rows, _OUTSKIRTS, axis=-1)
        level = median(outskirts)
        outskirts -= level[..., None]
        sigma = _MAD_TO_SIGMA * median(np.abs(outskirts, out=outskirts))
        return cls(level, sigma, _neighbour_correlation(rows, sigma))

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
    return median(np.take(planes(images, np.float64), _OUTSKIRTS, axis=-1))


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
    signal = np.take(planes(images, np.float64), inside, axis=-1).sum(axis=-1) - sky.level * inside.size
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


def _neighbour_correlation(rows: NDArray[np.floating], sigma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of direct neighbours in the outskirts, 0...0.95, from the scatter of their differences.

    var(a - b) = 2 sigma^2 (1 - rho); differences do not see the slow gradient of a galaxy's wings.
    """
    differences = np.concatenate(
        [np.take(rows[..., gap:] - rows[..., :-gap], first, axis=-1) for gap, first in _PAIRS.items()], axis=-1
    )
    step = _MAD_TO_SIGMA * median(np.abs(differences, out=differences))
    ratio = np.divide(step, sigma, out=np.full_like(step, np.sqrt(2)), where=sigma > 0)
    return np.asarray(np.clip(1 - ratio**2 / 2, 0.0, 0.95))


def correlated_pixels(rho: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """sum_ij rho^(|i - j|^2) over the pixels of a circle: a polynomial in rho."""
    return np.asarray(np.polynomial.polynomial.polyval(rho, _pixel_pairs(radius)))


@cache
def _pixel_pairs(radius: float) -> NDArray[np.float64]:
    """Number of pairs of pixels of a circle by the square of their distance, from 0."""
    inside = np.argwhere(_circle(radius))
    squared = ((inside[:, None, :] - inside[None, :, :]) ** 2).sum(axis=-1)
    return np.bincount(squared.ravel()).astype(np.float64)
