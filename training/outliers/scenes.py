"""Noiseless pictures of what is no galaxy at z > 5."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from redden.bands import BANDS
from redden.grid import PIXEL_SCALE, SIZE
from training.outliers.spectra import galaxy_colours, star_colours
from training.simulate.instrument import AB_NANOJANSKY, image

Array = NDArray[np.float64]

_BANDS: Final = tuple(BANDS)
_POINTS: Final = 3000
"""Points of equal light that stand for a smooth profile."""
_GOLDEN_ANGLE: Final = np.pi * (3 - 5**0.5)


def stars(rng: np.random.Generator, count: int, magnitude: tuple[float, float] = (19.0, 28.5)) -> Array:
    """Stars and brown dwarfs near the centre, a quarter of them with neighbours.

    Parameters
    ----------
    rng : Generator
    count : int
    magnitude : tuple of float
        Range of AB magnitudes of the mean flux over the bands.

    Returns
    -------
    ndarray, shape (count, 32, 32, 7)
        In nJy per pixel.
    """
    stars_of = 1 + rng.choice([0, 1, 2], count, p=[0.75, 0.2, 0.05])
    total = stars_of.sum()
    temperature = np.where(rng.random(total) < 0.4, rng.uniform(350, 2500, total), 10 ** rng.uniform(3.4, 4.1, total))
    colour = np.split(star_colours(temperature, rng), np.cumsum(stars_of)[:-1])
    brightness = 10 ** (0.4 * (AB_NANOJANSKY - rng.uniform(*magnitude, count)))
    pictures = np.empty((count, SIZE, SIZE, len(_BANDS)))
    for picture, colours, bright in zip(pictures, colour, brightness, strict=True):
        share = 10 ** rng.uniform(-1.5, 0.0, len(colours))
        x, y = rng.uniform(-0.4, 0.4, (2, len(colours)))
        share[0], x[0], y[0] = 1.0, *(rng.uniform(-1.0, 1.0, 2) * PIXEL_SCALE)
        picture[:] = image(x, y, bright * share[:, None] * colours, _BANDS)
    return pictures


def low_redshift(
    rng: np.random.Generator, count: int, magnitude: tuple[float, float, float] = (20.0, 27.5, 28.5)
) -> tuple[Array, Array]:
    """Galaxies at redshift 0.1 to 3: a bulge, an inclined disc with Sersic profiles, and often clumps.

    Parameters
    ----------
    rng : Generator
    count : int
    magnitude : tuple of float
        Brightest, most frequent and faintest AB magnitude of the mean flux over the bands, points beyond the picture
        included.

    Returns
    -------
    pictures : ndarray, shape (count, 32, 32, 7)
        In nJy per pixel.
    redshift : ndarray, shape (count,)
    """
    pictures = np.empty((count, SIZE, SIZE, len(_BANDS)))
    redshift = rng.uniform(0.1, 3.0, count)
    for picture, z in zip(pictures, redshift, strict=True):
        x, y, part, light = _draw_structure(rng)
        flux = light[:, None] * galaxy_colours(z, rng)[part]
        flux *= 10 ** (0.4 * (AB_NANOJANSKY - rng.triangular(*magnitude))) / flux.sum(axis=0).mean()
        offset = rng.uniform(-1.5, 1.5, (2, 1)) * PIXEL_SCALE
        picture[:] = image(x + offset[0], y + offset[1], flux, _BANDS)
    return pictures, redshift


def _draw_structure(rng: np.random.Generator) -> tuple[Array, Array, NDArray[np.int64], Array]:
    """Points of a galaxy: positions in arcsec, part (bulge, disc, clumps) and share of the light."""
    radius = 10 ** rng.uniform(np.log10(0.1), np.log10(1.5))
    axis_ratio, angle = rng.uniform(0.15, 1.0), rng.uniform(0, np.pi)
    clumps = int(rng.integers(0, 7))
    share = np.array([rng.beta(0.7, 1.5), 1.0, rng.uniform(0, 0.4) * (clumps > 0)])
    share[1] = 1 - share[0]
    bulge = sersic(rng.uniform(1.5, 5.0), rng.uniform(0.15, 0.6) * radius, rng.uniform(0.6, 1.0), angle)
    disc = sersic(rng.uniform(0.5, 1.5), radius, axis_ratio, angle)
    spots = disc[:, rng.choice(_POINTS // 2, clumps)] + rng.normal(0, 0.01, (2, clumps))
    points = np.concatenate([bulge, disc, spots], axis=1)
    part = np.repeat([0, 1, 2], [_POINTS, _POINTS, clumps])
    return points[0], points[1], part, share[part] / np.array([_POINTS, _POINTS, max(clumps, 1)])[part]


def sersic(index: float, radius: float, axis_ratio: float, angle: float) -> Array:
    """Points of equal light on a sunflower's spiral, which fill a Sersic profile smoothly.

    Parameters
    ----------
    index : float
        Sersic index.
    radius : float
        Radius of half the light, along the major axis.
    axis_ratio, angle : float
        Minor over major axis, and position angle in radian.

    Returns
    -------
    ndarray, shape (2, 3000)
        x and y in the unit of the radius, inner points first.
    """
    share = (np.arange(_POINTS) + 0.5) / _POINTS  # the inverse of the gamma function is slow and smooth
    few = np.append(share[:: _POINTS // 100], share[-1])
    root = (gammaincinv(2 * index, few) / gammaincinv(2 * index, 0.5)) ** index
    distance = radius * np.interp(share, few, root)
    along = distance * np.cos(_GOLDEN_ANGLE * np.arange(_POINTS))
    across = axis_ratio * distance * np.sin(_GOLDEN_ANGLE * np.arange(_POINTS))
    return np.stack([along * np.cos(angle) - across * np.sin(angle), along * np.sin(angle) + across * np.cos(angle)])
