"""Signal-to-noise ratio of the galaxy in the centre of a cutout; the same measurement selects training images.

The noise comes from the image itself, since error maps of mosaics know nothing of the correlation between pixels.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from redden.grid import PIXEL_SCALE, SIZE

APERTURE_RADIUS: Final = 0.16
"""Radius in arcsec of the circle in which the signal is measured (Fu et al. 2024, section 2)."""

_CENTRE: Final = (SIZE - 1) / 2
_y, _x = np.mgrid[:SIZE, :SIZE]
_radius: Final = np.hypot(_y - _CENTRE, _x - _CENTRE)
_OUTSKIRTS: Final = _radius > 12
"""Pixels farther than 0.36 arcsec from the centre: sky for most galaxies at z > 6."""
_MAD_TO_SIGMA: Final = 1.4826


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
    return np.asarray(np.median(np.asarray(images, dtype=np.float64)[..., _OUTSKIRTS, :], axis=-2))


def aperture_snr(images: NDArray[np.floating]) -> NDArray[np.float64]:
    """Signal-to-noise ratio in a circle of 0.16 arcsec radius at the centre.

    Parameters
    ----------
    images : ndarray, shape (..., 32, 32, bands)
        Finite pixels in any linear unit of flux.

    Returns
    -------
    ndarray of float64, shape (..., bands)
        Sky-subtracted flux over its noise; 0 where the outskirts show no noise at all.
    """
    stack = np.asarray(images, dtype=np.float64)
    inside = _circle(APERTURE_RADIUS)
    signal = stack[..., inside, :].sum(axis=-2) - sky_level(stack) * inside.sum()
    noise = aperture_noise(stack, APERTURE_RADIUS)
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
    stack = np.asarray(images, dtype=np.float64)
    deviation = stack[..., _OUTSKIRTS, :] - sky_level(stack)[..., None, :]
    sigma = _MAD_TO_SIGMA * np.median(np.abs(deviation), axis=-2)
    rho = _neighbour_correlation(stack, sigma)
    return np.asarray(sigma * np.sqrt(correlated_pixels(rho, radius)))


def _circle(radius: float) -> NDArray[np.bool_]:
    """Pixels whose centre lies within a radius in arcsec of the cutout's centre."""
    return np.asarray(_radius * PIXEL_SCALE <= radius)


def _neighbour_correlation(stack: NDArray[np.float64], sigma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of direct neighbours in the outskirts, 0...0.95, from the scatter of their differences.

    var(a - b) = 2 sigma^2 (1 - rho); differences do not see the slow gradient of a galaxy's wings.
    """
    pairs_x = _OUTSKIRTS[:, 1:] & _OUTSKIRTS[:, :-1]
    pairs_y = _OUTSKIRTS[1:, :] & _OUTSKIRTS[:-1, :]
    along_x = np.diff(stack, axis=-2)[..., pairs_x, :]
    along_y = np.diff(stack, axis=-3)[..., pairs_y, :]
    step = _MAD_TO_SIGMA * np.median(np.abs(np.concatenate([along_x, along_y], axis=-2)), axis=-2)
    ratio = np.divide(step, sigma, out=np.full_like(step, np.sqrt(2)), where=sigma > 0)
    return np.asarray(np.clip(1 - ratio**2 / 2, 0.0, 0.95))


def correlated_pixels(rho: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """sum_ij rho^(|i - j|^2) over the pixels of a circle, from the number of pixel pairs at each distance."""
    inside = np.argwhere(_circle(radius))
    squared = ((inside[:, None, :] - inside[None, :, :]) ** 2).sum(axis=-1)
    distances, pairs = np.unique(squared, return_counts=True)
    return np.asarray(np.power(rho[..., None], distances) @ pairs.astype(np.float64))
