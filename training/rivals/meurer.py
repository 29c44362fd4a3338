"""Meurer's relation: the ultraviolet slope as a measure of dust, for galaxies whose ultraviolet is in the bands."""

from functools import lru_cache
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sedpy.observate import Filter

from redden.bands import BANDS
from redden.dust import R_V, a_v_from_beta
from redden.posterior import PROBABILITIES
from training.rivals.mocks import ALL_BANDS, Answer, BandSet, Mocks
from training.rivals.photometry import fluxes

Array = NDArray[np.float64]

REST_WAVELENGTHS: Final = (0.1216, 0.30)
"""A band is ultraviolet if its whole transmission lies between these rest wavelengths in um."""
LEAST_SNR: Final = 2.0
"""Fainter bands are left out of the slope: a logarithm of noise has no slope."""
FLUX_FLOOR: Final = 0.05
"""Relative error of a flux besides its noise, for the loss of light that differs between the bands."""

_DEVIATIONS: Final = np.array([NormalDist().inv_cdf(p) for p in PROBABILITIES])


class Meurer:
    """A_V from the slope beta of two or more ultraviolet bands, A_1600 = 4.43 + 1.99 beta, carried to V with Calzetti.

    It needs a redshift, and bands in the rest-frame ultraviolet: at z > 6 these are F115W, F150W and F200W, so it says
    nothing of a galaxy seen from F277W on. It says nothing of star formation either. The interval holds the error
    of the slope alone; the relation's own scatter is not in it.
    """

    name = "Meurer"

    def takes(self, band_set: BandSet) -> bool:
        """Whether there is a redshift and, at z = 7, ultraviolet light in two bands."""
        ultraviolet = [band for band in band_set.bands if BANDS[band].pivot / 8 <= REST_WAVELENGTHS[1]]
        return band_set.redshift and len(ultraviolet) >= 2

    def answer(self, mocks: Mocks) -> Answer:
        """Quantiles for galaxies; NaN where fewer than two bands are ultraviolet and bright enough."""
        beta, error = slope(*fluxes(mocks), mocks.redshift[:, 0])
        # A_V rises with beta, so the quantiles of one are those of the other.
        a_v = a_v_from_beta(beta[:, None] + error[:, None] * _DEVIATIONS, "Calzetti")
        return {"a_v": a_v, "e_bv": a_v / R_V["Calzetti"]}


def slope(flux: Array, error: Array, z: Array) -> tuple[Array, Array]:
    """Ultraviolet slope beta, f_lambda ~ lambda^beta, and its standard error, by weighted least squares in logarithms.

    Parameters
    ----------
    flux, error : ndarray, shape (galaxies, 7)
        In nJy (per unit of frequency); NaN in absent bands.
    z : ndarray, shape (galaxies,)
        Redshift; NaN where unknown.

    Returns
    -------
    beta, error : ndarray, shape (galaxies,)
        NaN where fewer than two bands are ultraviolet and have a signal-to-noise ratio of 2 or more.
    """
    bluest, reddest = _edges()
    stretch = (1 + z)[:, None]
    with np.errstate(invalid="ignore"):
        used = (bluest / stretch >= REST_WAVELENGTHS[0]) & (reddest / stretch <= REST_WAVELENGTHS[1])
        used &= flux >= LEAST_SNR * error
    log_wavelength = np.log([BANDS[band].pivot for band in ALL_BANDS])
    log_flux = np.log(np.where(used, flux, 1.0))
    relative = np.where(used, error, 0.0) / np.where(used, flux, 1.0)
    weight = np.where(used, 1 / (relative**2 + FLUX_FLOOR**2), 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x = (weight * log_wavelength).sum(axis=1) / weight.sum(axis=1)
        lever = log_wavelength - mean_x[:, None]
        spread = (weight * lever**2).sum(axis=1)
        # f_nu ~ lambda^(beta + 2)
        beta = (weight * lever * log_flux).sum(axis=1) / spread - 2
        beta_error = 1 / np.sqrt(spread)
    enough = used.sum(axis=1) >= 2
    return np.where(enough, beta, np.nan), np.where(enough, beta_error, np.nan)


@lru_cache
def _edges() -> Array:
    """Wavelengths in um at which each band's transmission rises above and falls below a tenth of its peak, (2, 7)."""
    edges = []
    for band in ALL_BANDS:
        transmission = Filter(f"jwst_{band.lower()}")
        bright = transmission.wavelength[transmission.transmission > 0.1 * transmission.transmission.max()] / 1e4
        edges.append((bright.min(), bright.max()))
    return np.array(edges).T
