"""Doubts about the pixels of a cutout, in words for the user."""

from collections.abc import Collection, Mapping
from typing import Final

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from redden.answer import Flag
from redden.snr import aperture_noise

LOW_SNR: Final = 5.0
"""The paper's selection, and that of the training images."""

BANDS_IGNORED: Final = "bands_ignored"
"""Code of the flag of bands that were sent to a model that does not look at them."""
REDSHIFT_IGNORED: Final = "redshift_ignored"
"""Code of the flag of a redshift that was stated and does not count."""

DEPTH_APERTURE: Final = 0.1
"""Radius in arcsec of the circle for which depths are stated."""
_AB_OF_ONE: Final = float((1 * u.nJy).to_value(u.ABmag))
"""AB magnitude of 1 nJy."""
_PLAUSIBLE_DEPTH: Final = (25.5, 33.0)
"""5 sigma depths, AB mag in `DEPTH_APERTURE`, outside of which the unit is doubted."""


def low_snr(snr: Mapping[str, float]) -> list[Flag]:
    """A flag if the signal-to-noise ratio of a band is below `LOW_SNR`."""
    low = {band: value for band, value in snr.items() if value < LOW_SNR}
    if not low:
        return []
    listed = ", ".join(f"{band} {value:.1f}" for band, value in low.items())
    return [
        Flag(code="low_snr", message=f"S/N below {LOW_SNR:g}: {listed}. The models were trained on brighter galaxies.")
    ]


def limiting_magnitude(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """AB magnitudes of 5 times the noise in nJy; NaN where there is none."""
    return np.asarray(_AB_OF_ONE - 2.5 * np.log10(5 * np.where(noise > 0, noise, np.nan)))


def is_implausible(depth: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a 5 sigma depth, AB mag in `DEPTH_APERTURE`, is that of no JWST image; not if it is NaN."""
    shallowest, deepest = _PLAUSIBLE_DEPTH
    return (depth <= shallowest) | (depth >= deepest)


def implausible_depth(bands: tuple[str, ...], pixels: NDArray[np.float64], uncalibrated: Collection[str]) -> list[Flag]:
    """Doubt the unit where the noise is not that of any JWST image; headers are known to state a wrong unit."""
    depth = limiting_magnitude(aperture_noise(pixels, DEPTH_APERTURE))
    odd = {
        band: mag
        for band, mag, doubtful in zip(bands, depth, is_implausible(depth), strict=True)
        if doubtful and band not in uncalibrated
    }
    if not odd:
        return []
    listed = ", ".join(f"{band} {mag:.1f}" for band, mag in odd.items())
    return [
        Flag(
            code="unit_doubtful",
            message=f"The noise means a 5 sigma depth in 0.1 arcsec of {listed} AB mag, which no JWST image has; "
            "the header may state a wrong unit. Check it, and state the right one with `unit`.",
        )
    ]
