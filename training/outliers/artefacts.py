"""What goes wrong with pictures of galaxies: another pixel scale, saturation, edges and bad columns, swapped bands."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import median_abs_deviation

from redden.grid import PIXEL_SCALE, SIZE
from redden.snr import sky_level
from training.outliers.scenes import stars

Array = NDArray[np.float64]

_CENTRE: Final = (SIZE - 1) / 2
_y, _x = np.mgrid[:SIZE, :SIZE] - _CENTRE
_SUBPIXELS: Final = 4


def rescaled(pictures: NDArray[np.floating], pixel_scale: float) -> Array:
    """Pictures as they look with pixels of another size; flux per pixel follows the pixel's area.

    Parameters
    ----------
    pictures : ndarray, shape (n, side, side, bands)
        With pixels of 0.03 arcsec; a side of more than 32 pixels gives what a larger field needs.
    pixel_scale : float
        In arcsec.

    Returns
    -------
    ndarray, shape (n, 32, 32, bands)
        0 beyond the field.
    """
    factor, side = pixel_scale / PIXEL_SCALE, pictures.shape[1]
    middle = (side - 1) / 2
    position = ((np.arange(SIZE * _SUBPIXELS) + 0.5) / _SUBPIXELS - SIZE / 2) * factor + middle
    hat = np.clip(1 - np.abs(position[:, None] - np.arange(side)), 0, None)
    weights = hat.reshape(SIZE, _SUBPIXELS, side).sum(axis=1) * factor / _SUBPIXELS
    return np.asarray(np.einsum("yi,nijb,xj->nyxb", weights, pictures, weights, optimize=True))


def saturate(rng: np.random.Generator, pictures: Array) -> Array:
    """Bright pictures whose core was clipped, emptied, or filled from its edge, most with diffraction spikes.

    Parameters
    ----------
    rng : Generator
    pictures : ndarray, shape (n, 32, 32, bands)
        Noiseless, in nJy; every other one gives way to a bright star.

    Returns
    -------
    ndarray, same shape
    """
    bright = pictures * 10 ** rng.uniform(1.0, 2.5, (len(pictures), 1, 1, 1))
    bright[::2] = stars(rng, len(bright[::2]), magnitude=(15.0, 21.0))
    for picture in bright:
        if rng.random() < 0.7:
            _add_spikes(rng, picture)
        level = picture.max(axis=(0, 1)) * 10 ** rng.uniform(-1.5, -0.3)
        saturated = picture > level
        match rng.integers(3):
            case 0:
                np.minimum(picture, level, out=picture)
            case 1:
                picture[saturated] = 0.0
            case _:
                _fill(picture, saturated)
    return np.asarray(bright)


def _add_spikes(rng: np.random.Generator, picture: Array) -> None:
    """Six rays 60 degrees apart whose light falls with the square of the distance."""
    angles = rng.uniform(0, np.pi / 3) + np.arange(3) * np.pi / 3
    distance = np.hypot(_x, _y)
    rays = sum(np.exp(-0.5 * ((_x * np.sin(a) - _y * np.cos(a)) / rng.uniform(0.7, 1.2)) ** 2) for a in angles)
    strength = picture.max(axis=(0, 1)) * 10 ** rng.uniform(-1.5, -0.5)
    picture += np.asarray(rays)[..., None] / (1 + (distance[..., None] / 4) ** 2) * strength


def _fill(picture: Array, bad: NDArray[np.bool_]) -> None:
    """Fill bad pixels with the weighted mean of what is around them."""
    width = (2.0, 2.0, 0.0)
    light, weight = gaussian_filter(np.where(bad, 0.0, picture), width), gaussian_filter((~bad).astype(float), width)
    np.copyto(picture, light / np.maximum(weight, 1e-12), where=bad)


def edge(rng: np.random.Generator, pixels: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Pictures that reach over an edge: a part is empty, constant, or noisier, or columns are bad.

    Parameters
    ----------
    rng : Generator
    pixels : ndarray, shape (n, 32, 32, bands)
        Observed, in nJy.

    Returns
    -------
    pixels : ndarray, same shape
    where : ndarray of bool, shape (n, bands)
        In which bands that is so: in all, or in some.
    """
    spoilt = np.array(pixels, dtype=np.float64)
    sky = sky_level(spoilt)
    sigma = median_abs_deviation(spoilt.reshape(len(spoilt), SIZE * SIZE, -1), axis=1, scale="normal")
    where = rng.random(sky.shape) < rng.choice([0.5, 1.0], size=(len(sky), 1))
    where |= ~where.any(axis=1, keepdims=True)
    for picture, bands, noise, level in zip(spoilt, where, sigma, sky, strict=True):
        _EDGES[rng.integers(len(_EDGES))](rng, picture, bands, noise, level)
    return spoilt, where


def _side(rng: np.random.Generator) -> NDArray[np.bool_]:
    """What lies beyond a straight edge of any direction, 3 to 12 pixels from the centre."""
    angle = rng.uniform(0, 2 * np.pi) if rng.random() < 0.5 else rng.integers(4) * np.pi / 2
    return np.asarray(_x * np.cos(angle) + _y * np.sin(angle) > rng.uniform(3, 12))


def _empty(rng: np.random.Generator, picture: Array, bands: NDArray[np.bool_], noise: Array, level: Array) -> None:
    picture[np.ix_(*[np.arange(SIZE)] * 2, bands)] *= ~_side(rng)[..., None]


def _constant(rng: np.random.Generator, picture: Array, bands: NDArray[np.bool_], noise: Array, level: Array) -> None:
    beyond = _side(rng)[..., None] & bands
    np.copyto(picture, level + rng.normal(0, 10) * noise, where=beyond)


def _noisy(rng: np.random.Generator, picture: Array, bands: NDArray[np.bool_], noise: Array, level: Array) -> None:
    beyond = _side(rng)[..., None] & bands
    rough = gaussian_filter(rng.normal(size=picture.shape), (0.7, 0.7, 0))
    picture += beyond * rough / rough.std() * noise * rng.uniform(3, 10)


def _columns(rng: np.random.Generator, picture: Array, bands: NDArray[np.bool_], noise: Array, level: Array) -> None:
    lines = picture if rng.random() < 0.5 else picture.transpose(1, 0, 2)
    for _ in range(rng.integers(1, 4)):
        first = rng.integers(SIZE)
        lines[:, first : first + rng.integers(1, 3)] += bands * rng.choice([-1, 1]) * rng.uniform(5, 50) * noise


_EDGES: Final[tuple[Callable[[np.random.Generator, Array, NDArray[np.bool_], Array, Array], None], ...]] = (
    _empty,
    _constant,
    _noisy,
    _columns,
)


def swap_bands(rng: np.random.Generator, pixels: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Pictures of which two bands, drawn anew for each galaxy, were taken for each other, and which two these are."""
    swapped = np.array(pixels)
    where = np.zeros((len(swapped), swapped.shape[-1]), dtype=bool)
    for picture, bands in zip(swapped, where, strict=True):
        one, other = rng.choice(len(bands), 2, replace=False)
        picture[..., [one, other]] = picture[..., [other, one]]
        bands[[one, other]] = True
    return swapped, where
