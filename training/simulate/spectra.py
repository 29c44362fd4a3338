"""The light of the stars: their spectra through dust, redshift and filters."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import astropy.units as u
import numpy as np
from astropy.cosmology import Planck15
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sedpy.observate import Filter

from training.simulate.gas import SOLAR_METALLICITY
from training.simulate.settings import Spectra
from training.simulate.ssp import LINES, LYMAN_ALPHA, extinction_of_continuum, extinction_of_lines, load_stars

Array = NDArray[np.float64]
Single = NDArray[np.float32]

MILKY_WAY: Final = Spectra()

TAU_NODES: Final = np.concatenate([[0.0], np.geomspace(0.03, 100.0, 24)])
"""tau_V at which dusty spectra are tabulated; between them the logarithm of the flux is interpolated."""

_LIGHT: Final = 2.99792458e18  # Angstrom/s
_NANOJANSKY: Final = 1e32  # nJy in an erg/s/cm2/Hz, divided by 1
_FAINTEST: Final = 1e-37

TABLES_KEPT: Final = 1200
"""Tables of continua that stay in memory: all of redshift 5.5-9 with every library and curve, 0.4 MB each."""


def band_table(bands: tuple[str, ...], z: float, light: Spectra = MILKY_WAY, line_boost: Array | None = None) -> Single:
    """Log of the flux of each simple stellar population in each band behind each tau of `TAU_NODES`.

    Intergalactic hydrogen at z > 6 lets nothing pass blueward of Lyman alpha, which matters to F115W at z > 7.3.

    Parameters
    ----------
    bands : tuple of str
        NIRCam bands.
    z : float
        Redshift.
    light : Spectra
        Library of stars and extinction curve.
    line_boost : ndarray, shape (lines,), optional
        Factor on each of ``LINES``.

    Returns
    -------
    ndarray of float32, shape (metallicities * ages, bands, tau)
        Natural log of nJy per Msun formed.
    """
    stars = load_stars(light.library)
    wavelength = np.array(list(LINES))
    at_lines = np.array([_filter(f"jwst_{band.lower()}").sensitivity(wavelength * (1 + z)) for band in bands])
    if line_boost is not None:
        at_lines = at_lines * line_boost
    flux = _continuum(bands, z, light) + _through_dust(
        stars.lines, _to_nanojansky(z) * at_lines, extinction_of_lines(light.curve)
    )
    return np.asarray(np.log(np.maximum(flux, _FAINTEST)), dtype=np.float32)


@lru_cache(TABLES_KEPT)
def _continuum(bands: tuple[str, ...], z: float, light: Spectra) -> Single:
    """Flux of the continuum, as `band_table`, without the logarithm."""
    stars = load_stars(light.library)
    weights = np.array([_filter(f"jwst_{band.lower()}").weights(stars.wavelength * (1 + z)) for band in bands])
    weights[:, stars.wavelength < LYMAN_ALPHA] = 0.0
    # Stars.continuum is per rest Angstrom: L_lambda d lambda is the same in both frames.
    weights *= _to_nanojansky(z) / (1 + z)
    return _through_dust(stars.continuum, weights, extinction_of_continuum(light.curve, light.library)).astype(
        np.float32
    )


def _to_nanojansky(z: float) -> float:
    """Factor from a luminosity in erg/s to its flux in erg/s/cm2, in the unit that makes f_nu nJy."""
    distance = Planck15.luminosity_distance(z).to_value(u.cm)
    return float(_NANOJANSKY / (4 * np.pi * distance**2))


@lru_cache
def label_table(light: Spectra = MILKY_WAY) -> Single:
    """Log of the rest-frame B and V luminosity of the continuum, as `band_table` but in any unit."""
    stars = load_stars(light.library)
    weights = np.array([_filter(f"bessell_{name}").weights(stars.wavelength) for name in "BV"])
    flux = _through_dust(stars.continuum * 1e-30, weights, extinction_of_continuum(light.curve, light.library))
    return np.asarray(np.log(np.maximum(flux, _FAINTEST)), dtype=np.float32)


def mixture(log_age: Array, log_z: Array) -> csr_array:
    """Bilinear weights of the simple stellar populations in each star particle, in log age and log metallicity.

    Parameters
    ----------
    log_age, log_z : ndarray, shape (stars,)
        log10 of years, and of the mass fraction of metals; clipped to the grid.

    Returns
    -------
    csr_array, shape (stars, metallicities * ages)
    """
    stars = load_stars()
    age, older = _bracket(log_age, stars.log_age)
    metal, richer = _bracket(log_z, stars.log_z)
    corner = metal * stars.log_age.size + age
    columns = corner[:, None] + np.array([0, 1, stars.log_age.size, stars.log_age.size + 1])
    poorer, younger = 1 - richer, 1 - older
    weights = np.column_stack([poorer * younger, poorer * older, richer * younger, richer * older])
    rows = np.arange(0, 4 * log_age.size + 1, 4)
    return csr_array((weights.ravel(), columns.ravel(), rows), shape=(log_age.size, stars.continuum.shape[0]))


def behind_dust(log_flux: Array, tau: Array) -> Array:
    """Flux of each star particle behind its own tau_V.

    Parameters
    ----------
    log_flux : ndarray, shape (stars, bands, tau)
        Natural log at `TAU_NODES`.
    tau : ndarray, shape (stars,)

    Returns
    -------
    ndarray, shape (stars, bands)
    """
    node, beyond = _bracket(tau, TAU_NODES)
    star = np.arange(tau.size)
    low, high = log_flux[star, :, node], log_flux[star, :, node + 1]
    return np.asarray(np.exp(low + (high - low) * beyond[:, None]))


def metallicity(log_solar: Array) -> Array:
    """log10 of the mass fraction of metals from log10 Z/Zsun."""
    return np.asarray(log_solar + np.log10(SOLAR_METALLICITY))


def _through_dust(spectra: Array, weights: Array, curve: Array) -> Array:
    """Weighted sums over wavelength behind each tau of `TAU_NODES`, shape (spectra, weights, tau)."""
    used = np.any(weights > 0, axis=0)
    dust = np.exp(-TAU_NODES * curve[used, None])
    kernel = weights[:, used, None] * dust
    return np.asarray(np.einsum("sw,bwt->sbt", spectra[:, used], kernel, optimize=True))


def _bracket(values: Array, nodes: Array) -> tuple[NDArray[np.int64], Array]:
    """Index of the node below each value, and how far the value is on the way to the next, 0...1."""
    clipped = np.clip(values, nodes[0], nodes[-1])
    below = np.clip(np.searchsorted(nodes, clipped, side="right") - 1, 0, nodes.size - 2)
    return below, (clipped - nodes[below]) / (nodes[below + 1] - nodes[below])


@dataclass(frozen=True, slots=True)
class _Transmission:
    """A filter as photon-counting transmission."""

    wavelength: Array
    value: Array

    def sensitivity(self, wavelength: Array) -> Array:
        """Weight of each erg/s/cm2 at a wavelength in the mean f_nu (erg/s/cm2/Hz) of the band.

        f_nu = int f_lambda T lambda d lambda / int T c d lambda / lambda.
        """
        norm = np.trapezoid(self.value / self.wavelength, self.wavelength) * _LIGHT
        return np.asarray(np.interp(wavelength, self.wavelength, self.value, left=0.0, right=0.0) * wavelength / norm)

    def weights(self, grid: Array) -> Array:
        """Weights of f_lambda on a grid of wavelengths, so that their sum is the mean f_nu of the band."""
        return self.sensitivity(grid) * np.gradient(grid)


@lru_cache
def _filter(name: str) -> _Transmission:
    measured = Filter(name)
    return _Transmission(np.asarray(measured.wavelength), np.asarray(measured.transmission))
