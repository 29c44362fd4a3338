"""Aperture photometry and shapes of cutouts: what a catalogue would hold of each galaxy, and nothing learned."""

from collections.abc import Iterator
from math import prod
from typing import Final

import numpy as np
from numpy.typing import NDArray

from redden.grid import PIXEL_SCALE, SIZE
from redden.snr import APERTURE_RADIUS, aperture_noise, sky_level
from training.rivals.mocks import ALL_BANDS, Mocks
from training.simulate.instrument import FINE_SCALE, PSF_SIZE, psf

Array = NDArray[np.float64]

RADII: Final = (0.075, 0.12, 0.16, 0.22, 0.3, 0.42)
"""Radii in arcsec of the circles in which fluxes are measured."""
COLOUR_RADIUS: Final = 0.22
"""Radius in arcsec of the circle whose flux, corrected for the light a point source loses, stands for a band."""
SHAPE_RADIUS: Final = 0.42
"""Radius in arcsec of the circle in which shapes are measured."""

_NOISE_GROWTH: Final = 1.5
"""Exponent with which noise grows with the radius: 1 for independent pixels, 2 for wholly correlated ones."""
_IMAGES_AT_ONCE: Final = 512
_offset: Final = (np.arange(SIZE) - (SIZE - 1) / 2) * PIXEL_SCALE
_distance: Final = np.hypot(_offset[:, None], _offset).ravel()
_circles: Final = np.stack([_distance <= radius for radius in RADII])
_inside: Final = _distance <= SHAPE_RADIUS
_x: Final = np.tile(_offset, SIZE)[_inside]
_y: Final = np.repeat(_offset, SIZE)[_inside]


def fluxes(mocks: Mocks) -> tuple[Array, Array]:
    """Flux of each band and its standard error, corrected to infinity as for a point source.

    Returns
    -------
    flux, error : ndarray, shape (images, 7)
        In nJy; NaN in absent bands.
    """
    circle = _distance <= COLOUR_RADIUS
    losses = np.array([_encircled(band, COLOUR_RADIUS) for band in ALL_BANDS])
    flux, error = np.empty((2, len(mocks), len(ALL_BANDS)))
    for part, images in _in_parts(mocks.pixels):
        clean = images - sky_level(images)[:, None, None, :]
        flux[part] = clean.reshape(len(images), -1, len(ALL_BANDS))[:, circle].sum(axis=1) / losses
        error[part] = aperture_noise(images, COLOUR_RADIUS) / losses
    return flux, error


def features(mocks: Mocks, bands: tuple[str, ...]) -> NDArray[np.float32]:
    """Photometric and shape features of every galaxy, and its redshift if that is known.

    Magnitudes are natural asinh magnitudes (Lupton et al. 1999, AJ 118, 1406), brighter is larger. Per band: the
    magnitude in each of `RADII`, the signal-to-noise ratio and noise, three concentrations (ratios of fluxes), root
    mean square radius, axis ratio, offset of the centroid, asymmetry under half a turn, smoothness, Gini coefficient
    and M20 (Conselice 2014, ARA&A 52, 291; Lotz et al. 2004, AJ 128, 163). Between neighbouring bands, and from each
    band to the reddest: the colour in three circles, so that colour gradients are there too. The brightest band's
    magnitude and the redshift with its error come last.

    Parameters
    ----------
    mocks : Mocks
    bands : tuple of str
        The bands to use, from blue to red.

    Returns
    -------
    ndarray of float32, shape (images, features)
        NaN where something is unknown.
    """
    columns = [ALL_BANDS.index(band) for band in bands]
    parts = [_features(images) for _, images in _in_parts(mocks.pixels[..., columns])]
    return np.concatenate([np.concatenate(parts), mocks.redshift], axis=1).astype(np.float32)


def _in_parts(pixels: NDArray[np.float32]) -> Iterator[tuple[slice, Array]]:
    for start in range(0, len(pixels), _IMAGES_AT_ONCE):
        part = slice(start, start + _IMAGES_AT_ONCE)
        yield part, pixels[part].astype(np.float64)


def _features(images: Array) -> Array:
    bands = images.shape[-1]
    clean = (images - sky_level(images)[:, None, None, :]).reshape(len(images), -1, bands)
    known = np.maximum(aperture_noise(images, APERTURE_RADIUS), 1e-9)
    noise = known[:, None] * (np.array(RADII)[:, None] / APERTURE_RADIUS) ** _NOISE_GROWTH
    flux = np.einsum("rp,npb->nrb", _circles.astype(np.float64), clean)
    # Softened by twice the noise, a colour of two faint bands tends to their noise's instead of to infinity.
    magnitude = np.arcsinh(flux / (2 * noise)) + np.log(noise)
    reddest = magnitude[:, 1::2, -1:]
    columns = [
        magnitude,
        np.log(known),
        flux[:, 2] / known,
        magnitude[:, [0, 2, 3]] - magnitude[:, [2, 4, 5]],
        np.diff(magnitude[:, 1::2], axis=2),
        magnitude[:, 1::2, :-2] - reddest,
        magnitude[:, 3].max(axis=1),
        *_shapes(clean[:, _inside], clean),
    ]
    return np.concatenate([column.reshape(len(images), prod(column.shape[1:])) for column in columns], axis=1)


def _shapes(light: Array, whole: Array) -> list[Array]:
    """Shapes of each band from the pixels within `SHAPE_RADIUS`, each of shape (images, bands)."""
    # Only pixels that stand out of the noise have a weight, so that the sky does not decide the moments.
    deviation = 1.4826 * np.median(np.abs(whole), axis=1)
    weight = np.maximum(light - deviation[:, None], 0.0)
    total = np.maximum(weight.sum(axis=1), 1e-12)
    x, y = (np.einsum("npb,p->nb", weight, axis) / total for axis in (_x, _y))
    xx = np.einsum("npb,p->nb", weight, _x**2) / total - x**2
    yy = np.einsum("npb,p->nb", weight, _y**2) / total - y**2
    xy = np.einsum("npb,p->nb", weight, _x * _y) / total - x * y
    spread = np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    axis_ratio = np.sqrt(np.clip((xx + yy) / 2 - spread, 1e-9, None) / np.clip((xx + yy) / 2 + spread, 1e-9, None))

    turned = light[:, ::-1]
    sum_of_light = np.maximum(np.abs(light).sum(axis=1), 1e-12)
    asymmetry = np.abs(light - turned).sum(axis=1) / sum_of_light
    roughness = np.abs(np.diff(light, axis=1)).sum(axis=1) / sum_of_light
    return [
        np.sqrt(np.maximum(xx + yy, 0.0)),
        axis_ratio,
        np.hypot(x, y),
        asymmetry,
        roughness,
        _gini(light),
        _m20(weight, total),
    ]


def _gini(light: Array) -> Array:
    """Gini coefficient of the absolute pixel values: 0 if all are equal, 1 if one has all light."""
    ordered = np.sort(np.abs(light), axis=1)
    pixels = ordered.shape[1]
    rank = 2 * np.arange(1, pixels + 1) - pixels - 1
    scale = np.maximum(ordered.mean(axis=1) * pixels * (pixels - 1), 1e-12)
    return np.asarray(np.einsum("npb,p->nb", ordered, rank) / scale)


def _m20(weight: Array, total: Array) -> Array:
    """log10 of the share of the second moment that the brightest pixels have which hold 20 % of the light."""
    moment = weight * (_x**2 + _y**2)[:, None]
    order = np.argsort(-weight, axis=1)
    brightest = np.take_along_axis(weight, order, axis=1)
    among_20 = np.cumsum(brightest, axis=1) - brightest < 0.2 * total[:, None]
    inner = (np.take_along_axis(moment, order, axis=1) * among_20).sum(axis=1)
    return np.asarray(np.log10(np.maximum(inner, 1e-12) / np.maximum(moment.sum(axis=1), 1e-12)))


def _encircled(band: str, radius: float) -> float:
    """Share of a point source's light within a radius in arcsec."""
    offset = (np.arange(PSF_SIZE) - PSF_SIZE // 2) * FINE_SCALE
    return float(psf(band)[np.hypot(offset[:, None], offset) <= radius].sum())
