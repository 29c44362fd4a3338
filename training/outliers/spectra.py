"""Colours of what is no galaxy at z > 5: stars, brown dwarfs, and galaxies at z < 3."""

from functools import lru_cache
from importlib.resources import files
from typing import Final

import astropy.units as u
import numpy as np
from astropy.cosmology import Planck15
from astropy.io import fits
from numpy.typing import NDArray
from sedpy.observate import Filter, getSED

from redden.bands import BANDS
from redden.dust import attenuation
from training.simulate.ssp import ABSORBED, H_BETA_PER_PHOTON, LINES, LYMAN_LIMIT, SSP_FILE

Array = NDArray[np.float64]

METALLICITIES: Final = ("0.0040", "0.0080", "0.0200", "0.0500")
"""Of galaxies at low redshift, as PopStar names them."""
_L_SUN: Final = 3.828e33
_PHOTON: Final = 1.98644586e-8
"""h c in erg Angstrom."""
_PLANCK: Final = 1.438777e8
"""h c / k in Angstrom K."""

_ABSORPTION: Final = (
    # Wavelength and width in um, depth of the coolest, effective temperature in K below which it sets in.
    (1.15, 0.06, 1.0, 2200.0),  # H2O and CH4
    (1.42, 0.08, 1.8, 2600.0),  # H2O
    (1.70, 0.08, 1.8, 1400.0),  # CH4
    (1.90, 0.10, 2.2, 2600.0),  # H2O
    (2.30, 0.10, 1.8, 1400.0),  # CH4
    (2.75, 0.20, 2.2, 2400.0),  # H2O
    (3.35, 0.25, 2.5, 1600.0),  # CH4
    (4.60, 0.15, 0.8, 1200.0),  # CO
)


@lru_cache
def _filters() -> list[Filter]:
    return [Filter(f"jwst_{band.lower()}") for band in BANDS]


def through_filters(wavelength: Array, flux: Array) -> Array:
    """Mean f_nu in the bands, in any unit, of spectra f_lambda.

    Parameters
    ----------
    wavelength : ndarray, shape (wavelengths,)
        In Angstrom.
    flux : ndarray, shape (spectra, wavelengths)

    Returns
    -------
    ndarray, shape (spectra, 7)
    """
    return np.asarray(getSED(wavelength, flux, filterlist=_filters(), linear_flux=True)).reshape(len(flux), -1)


def star_colours(temperature: Array, rng: np.random.Generator) -> Array:
    """Fluxes of stars in the bands: black bodies, below 2600 K with molecular bands of random depth.

    Parameters
    ----------
    temperature : ndarray, shape (stars,)
        Effective temperatures in K.

    Returns
    -------
    ndarray, shape (stars, 7)
        Relative to the mean over the bands.
    """
    wavelength = np.geomspace(8000.0, 60000.0, 400)
    spectra = wavelength**-5.0 / np.expm1(_PLANCK / (wavelength * temperature[:, None]))
    for centre, width, depth, below in _ABSORPTION:
        strength = depth * np.clip(1 - temperature / below, 0, None) * rng.uniform(0.5, 1.5, temperature.size) * 2
        shape = np.exp(-0.5 * ((wavelength / 1e4 - centre) / width) ** 2)
        spectra *= np.exp(-strength[:, None] * shape)
    flux = through_filters(wavelength, spectra)
    return np.asarray(flux / flux.mean(axis=1, keepdims=True))


@lru_cache
def _populations(metallicity: str) -> tuple[Array, Array, Array]:
    """Ages in yr, rest wavelengths in Angstrom, and PopStar's spectra of all ages with nebular emission."""
    with fits.open(str(files("pst").joinpath(SSP_FILE))) as hdus:
        wavelength = np.asarray(hdus["WAVELENGTH"].data["wavelength"], dtype=np.float64)
        table = hdus[f"SED_Z_{metallicity}"].data
        age = np.array([10 ** float(name.split("_")[2]) for name in table.names if name.endswith("_stellar")])
        spectra = np.array(table.tolist(), dtype=np.float64).T * _L_SUN
    stellar, total = spectra[0::2], spectra[1::2]
    ionising = wavelength < LYMAN_LIMIT
    photons = np.trapezoid(stellar[:, ionising] * wavelength[ionising] / _PHOTON, wavelength[ionising], axis=1)
    shining = stellar + ABSORBED * (total - stellar)
    log_z = np.log10(float(metallicity))
    for line, ratios in LINES.items():
        ratio = np.interp(log_z, np.log10([0.0004, 0.004, 0.008, 0.02]), ratios)
        pixel = int(np.searchsorted(wavelength, line))
        width = (wavelength[pixel + 1] - wavelength[pixel - 1]) / 2
        shining[:, pixel] += ABSORBED * H_BETA_PER_PHOTON * photons * ratio / width
    seen = (wavelength > 2000) & (wavelength < 60000)
    return age, wavelength[seen], shining[:, seen]


@lru_cache
def _dust() -> Array:
    """A_lambda over A_V of the Milky Way at the wavelengths of `_populations`."""
    return attenuation(_populations(METALLICITIES[0])[1] * u.AA, 1.0, "MW")


def galaxy_colours(z: float, rng: np.random.Generator) -> Array:
    """Fluxes in the bands of the parts of a galaxy at low redshift: its bulge, its disc, and its clumps.

    The disc has formed stars at a rate that falls exponentially, the bulge is as old as the galaxy, clumps are younger
    than 30 Myr; each is behind a screen of Milky-Way dust.

    Parameters
    ----------
    z : float
        Redshift, below 3.5.

    Returns
    -------
    ndarray, shape (3, 7)
        Each relative to its mean over the bands.
    """
    age, wavelength, spectra = _populations(str(rng.choice(METALLICITIES)))
    oldest = float(Planck15.age(z).to_value("yr")) * rng.uniform(0.1, 0.9)
    decline = 10 ** rng.uniform(8.3, 10.3)
    # Stars that are older formed when there was more gas.
    formed = np.where(age <= oldest, np.exp(-(oldest - age) / decline) * np.gradient(age), 0.0)
    young = np.where(age < 3e7, np.gradient(age), 0.0)
    old = np.where(np.arange(age.size) == np.searchsorted(age, oldest), 1.0, 0.0)
    a_v = rng.exponential(0.7, 3) * np.array([0.5, 1.0, 1.0])
    dusty = (np.stack([old, formed, young]) @ spectra) * 10 ** (-0.4 * a_v[:, None] * _dust())
    flux = through_filters(wavelength * (1 + z), dusty)
    return np.asarray(flux / flux.mean(axis=1, keepdims=True))
