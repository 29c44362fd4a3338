"""Who the galaxies are: redshift, stellar mass, star-formation history and star particles."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from astropy.cosmology import Planck15
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.signal import lfilter

from training.simulate.settings import Population

Array = NDArray[np.float64]

SNAPSHOTS: Final = {6.01: 0.30, 6.49: 0.24, 7.01: 0.16, 7.24: 0.13, 7.60: 0.10, 8.01: 0.07}
"""Redshifts of the TNG50 snapshots and their shares of the paper's galaxies."""
FIRST_STARS: Final = 20.0
"""Redshift at which star formation begins."""
RECENT: Final = 100.0
"""Time in Myr over which the sSFR is averaged."""
REDSHIFT_STEP: Final = 0.02
"""Steps that are far finer than the edge of any filter, so that tables of spectra can be kept."""
_STEP: Final = 1.0
"""Time step of star-formation histories in Myr."""


@dataclass(frozen=True, slots=True)
class Galaxy:
    """A galaxy and its star particles, all of which formed with equal mass."""

    z: float
    log_mass: float
    """log10 of the stellar mass in Msun, what died left out."""
    log_ssfr: float
    """log10 of the mass formed in the last 100 Myr over 100 Myr and over the stellar mass, in 1/yr."""
    ssfr_deviation: float
    """The drawn log sSFR less the mean of its mass and redshift, in dex."""
    age: Array
    """Ages of the star particles in Myr, youngest first."""
    formed_mass: float
    """Mass in Msun with which each star particle formed."""
    formed_before: Array
    """Share of the galaxy's stars that are older than each particle."""


def draw_galaxy(prior: Population, rng: np.random.Generator) -> Galaxy:
    """Draw a galaxy from the population.

    The history is exp(-g lookback) since z = 20, g such that the drawn share of the mass is younger than 100 Myr,
    times a lognormal Ornstein-Uhlenbeck process. Ages are stratified: one in each of equal steps of formed mass.
    """
    z = _draw_redshift(prior, rng)
    log_mass = _draw_log_mass(prior, rng)
    mean = prior.log_ssfr + prior.log_ssfr_per_log_mass * (log_mass - 9) + prior.log_ssfr_per_redshift * (z - 7)
    deviation = rng.normal(0.0, prior.log_ssfr_scatter)

    edges = np.arange(0.0, _time_since_first_stars(z), _STEP)
    formed = _history(prior, edges, 10 ** (mean + deviation), rng)
    cumulative = np.concatenate([[0.0], np.cumsum(formed)]) / formed.sum()
    quantile = (np.arange(prior.star_particles) + rng.random(prior.star_particles)) / prior.star_particles
    age = np.interp(quantile, cumulative, np.append(edges, edges[-1] + _STEP))

    formed_mass = 10**log_mass / surviving_fraction(age).sum()
    log_ssfr = np.log10((age < RECENT).sum() * formed_mass / (RECENT * 1e6)) - log_mass
    return Galaxy(z, log_mass, float(log_ssfr), deviation, age, float(formed_mass), 1 - quantile)


def surviving_fraction(age: Array) -> Array:
    """Share of formed mass that is still in stars (Behroozi et al. 2013, ApJ 770, 57, equation 14).

    Parameters
    ----------
    age : ndarray
        Age of the stars in Myr.
    """
    return np.asarray(1 - 0.05 * np.log1p(age / 1.4))


def _draw_redshift(prior: Population, rng: np.random.Generator) -> float:
    if prior.redshifts == "snapshots":
        return float(rng.choice(list(SNAPSHOTS), p=list(SNAPSHOTS.values())))
    z = rng.uniform(*prior.redshift_range)
    return z if prior.redshifts == "continuous" else round(z / REDSHIFT_STEP) * REDSHIFT_STEP


def _draw_log_mass(prior: Population, rng: np.random.Generator) -> float:
    low, high = (10 ** (prior.mass_slope * log_mass) for log_mass in prior.log_mass_range)
    return float(np.log10(low + (high - low) * rng.random()) / prior.mass_slope)


def _time_since_first_stars(z: float) -> float:
    """Myr from the first stars to redshift z."""
    redshift, age = _cosmic_ages()
    return float(np.interp(z, redshift, age) - np.interp(FIRST_STARS, redshift, age))


@lru_cache
def _cosmic_ages() -> tuple[Array, Array]:
    redshift = np.linspace(0.0, FIRST_STARS, 401)
    return redshift, np.asarray(Planck15.age(redshift).to_value("Myr"))


def _history(prior: Population, lookback: Array, ssfr: float, rng: np.random.Generator) -> Array:
    """Mass formed in each time step, latest first, in any unit."""
    recent = lookback < RECENT
    younger = np.where(recent, 1.0, 0.0)

    def excess(decline: float) -> float:
        """sSFR of an undisturbed history over the wanted one, less 1."""
        formed = np.exp(-decline * lookback)
        surviving = float(formed @ surviving_fraction(lookback + _STEP / 2))
        return float(formed @ younger) / (surviving * RECENT * 1e6) / ssfr - 1

    steepest, flattest = 0.1, -0.1
    # Above the ceiling of a galaxy younger than 100 Myr no history fits; the steepest is nearest.
    decline = steepest if excess(steepest) < 0 else float(brentq(excess, flattest, steepest, xtol=1e-6))
    memory = np.exp(-_STEP / prior.burst_time)
    shocks = rng.normal(size=lookback.size)
    shocks[1:] *= np.sqrt(1 - memory**2)
    bursts = lfilter([1.0], [1.0, -memory], shocks)
    return np.asarray(np.exp(-decline * lookback) * 10 ** (prior.burst_scatter * bursts))
