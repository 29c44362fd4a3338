"""The normalisation `photometric`: any bands, colours, flux and noise kept, a redshift if there is one.

Pixels are scaled as by `redden.normalise.joint`. What that scaling takes away, and what a network would have to add up
itself, stands in the context: aperture magnitudes, noise, which bands there are, the flux scale, and the redshift.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from redden.errors import BadPixelsError
from redden.grid import PIXEL_SCALE, SIZE
from redden.snr import APERTURE_RADIUS, Sky

PHOTOMETRIC: Final = "photometric"
"""Name of this normalisation in a model card."""

RADII: Final = (0.1, APERTURE_RADIUS, 0.26, 0.42)
"""Radii in arcsec of the circles in which magnitudes are measured."""

MIDDLE_REDSHIFT: Final = 7.0
"""The redshift that stands as 0 in the context."""
SMALLEST_REDSHIFT_ERROR: Final = 0.01
"""Errors below count as this: no network tells them apart."""

_offset: Final = (np.arange(SIZE) - (SIZE - 1) / 2) * PIXEL_SCALE
_distance: Final = np.hypot(_offset[:, None], _offset)
_CIRCLES: Final = np.stack([(_distance <= radius).ravel() for radius in RADII]).astype(np.float32)
_NOISE_GROWTH: Final = 1.5
"""Exponent with which the noise of a flux grows with the radius, between that of white and of one common noise."""


def context_columns(bands: int) -> int:
    """Width of the context for a number of bands: see `photometric`."""
    return bands * (len(RADII) + 2) + 5


def context_places(columns: int) -> dict[str, slice]:
    """Where things stand in a context of this width, see `photometric`.

    Returns
    -------
    dict of str to slice
        ``present``, ``magnitude`` (that in `redden.snr.APERTURE_RADIUS`), ``noise`` and ``known``.
    """
    bands = (columns - context_columns(0)) // (context_columns(1) - context_columns(0))
    starts = {"present": 0, "magnitude": 1 + RADII.index(APERTURE_RADIUS), "noise": 1 + len(RADII)}
    places = {name: slice(start * bands, (start + 1) * bands) for name, start in starts.items()}
    return places | {"known": slice(columns - 2, columns - 1)}


def photometric(
    pixels: NDArray[np.floating], redshift: NDArray[np.floating] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Normalised pixels and context of a batch of galaxies.

    Parameters
    ----------
    pixels : ndarray of float, shape (galaxies, 32, 32, bands)
        In nJy; an absent band is NaN all over.
    redshift : ndarray of float, shape (galaxies, 2), optional
        Redshift and its standard error; NaN where unknown.

    Returns
    -------
    pixels : ndarray of float32, shape (galaxies, 32, 32, bands)
        asinh(y / s), where y is sky-subtracted and s the root mean square of y over all bands there are; 0 in absent
        bands.
    context : ndarray of float32, shape (galaxies, columns)
        In order: for each band whether it is there (0 or 1); for each of `RADII`, for each band, the natural
        asinh magnitude ln(F/s), softened by the noise (Lupton et al. 1999, AJ 118, 1406; brighter is larger); for each
        band ln(noise/s) of the flux in 0.16 arcsec radius; ln(s / nJy); redshift - 7; ln of its error; whether the
        redshift is known (0 or 1); the share of the bands that are there. What is absent or unknown is 0.

    Raises
    ------
    BadPixelsError
        If a galaxy has no band, or all its bands are constant.
    """
    stack = np.asarray(pixels, dtype=np.float32)
    present = np.isfinite(stack[:, 0, 0, :])
    stack = np.where(present[:, None, None, :], stack, np.float32(0))
    sky = Sky.of(stack)
    clean = stack - sky.level[:, None, None, :].astype(np.float32)
    count = present.sum(axis=1)
    power = np.einsum("nyxb,nyxb->n", clean, clean, dtype=np.float64)
    if not (power > 0).all():
        raise BadPixelsError("the image is constant: send a cutout with a galaxy in its centre, in one band or more.")
    scale = np.sqrt(power / (SIZE * SIZE * count))
    clean /= scale[:, None, None, None].astype(np.float32)

    # (radii, pixels) x (galaxies, pixels, bands)
    flux = np.matmul(_CIRCLES, clean.reshape(len(clean), SIZE * SIZE, -1))
    noise = np.maximum(sky.noise(APERTURE_RADIUS) / scale[:, None], 1e-6)
    softening = 2 * noise[:, None, :] * (np.array(RADII)[None, :, None] / APERTURE_RADIUS) ** _NOISE_GROWTH
    magnitude = np.where(present[:, None, :], np.arcsinh(flux / softening) + np.log(softening / 2), 0.0)
    columns = [
        present,
        magnitude.reshape(len(stack), -1),
        np.where(present, np.log(noise), 0.0),
        np.log(scale)[:, None],
        _redshift_columns(redshift, len(stack)),
        (count / present.shape[1])[:, None],
    ]
    return np.arcsinh(clean), np.concatenate(columns, axis=1).astype(np.float32)


def _redshift_columns(redshift: NDArray[np.floating] | None, galaxies: int) -> NDArray[np.float64]:
    """Redshift, log of its error, and whether it is known, shape (galaxies, 3)."""
    if redshift is None:
        return np.zeros((galaxies, 3))
    z, error = np.asarray(redshift, dtype=np.float64).T
    known = np.isfinite(z)
    log_error = np.log(np.maximum(np.nan_to_num(error), SMALLEST_REDSHIFT_ERROR))
    return np.column_stack([np.where(known, z - MIDDLE_REDSHIFT, 0.0), np.where(known, log_error, 0.0), known])
