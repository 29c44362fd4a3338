"""A grid of model spectra compared with photometry by chi2: the cheapest form of what SED fitting codes do."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from sedpy.observate import Filter

from redden.dust import R_V, attenuation
from redden.posterior import PROBABILITIES
from training.rivals.mocks import ALL_BANDS, Answer, BandSet, Mocks
from training.rivals.photometry import fluxes
from training.simulate.population import RECENT, surviving_fraction
from training.simulate.ssp import LINES, LYMAN_ALPHA, load_stars

Array = NDArray[np.float64]

FORMATION_AGES: Final = (10.0, 30.0, 60.0, 100.0, 150.0, 220.0, 330.0, 500.0, 700.0)
"""Time in Myr since star formation began."""
DECLINES: Final = (-3.0, 0.0, 3.0)
"""Star formation goes as exp(decline * lookback / age): negative rises toward the present."""
METALLICITIES: Final = (0.0004, 0.004, 0.008, 0.02)
A_V: Final = np.arange(0.0, 5.01, 0.125)
REDSHIFTS: Final = np.arange(5.5, 9.001, 0.05)
FLUX_FLOOR: Final = 0.05
"""Relative error of a flux besides its noise, for the light that the aperture loses and for what models get wrong."""

_LEAST_PRIOR: Final = 1e-4
_GALAXIES_AT_ONCE: Final = 256


class SedGrid:
    """Posterior of A_V and sSFR over a grid of histories, metallicities, A_V and redshifts, each equally likely before.

    The spectra are those of the forward model (the same stars and lines), behind a screen of Calzetti's law as fits to
    broad bands take it; a posterior over mass is replaced by its best value. Without a redshift all of 5.5-9 is
    summed over. R_V is an assumption here, 4.05, and is not answered.
    """

    name = "chi2 grid of SEDs"

    def takes(self, band_set: BandSet) -> bool:
        """Whether there are colours enough to tell anything from the prior."""
        return len(band_set.bands) >= 3

    def answer(self, mocks: Mocks) -> Answer:
        """Quantiles for galaxies."""
        flux, error = fluxes(mocks)
        parts = range(0, len(mocks), _GALAXIES_AT_ONCE)
        found = [
            _posterior(*(values[start : start + _GALAXIES_AT_ONCE] for values in (flux, error, mocks.redshift)))
            for start in parts
        ]
        a_v = _quantiles(A_V, np.concatenate([one[0] for one in found]))
        log_ssfr = _quantiles(_ssfr_nodes()[0], np.concatenate([one[1] for one in found]))
        return {"a_v": a_v, "e_bv": a_v / R_V["Calzetti"], "log_ssfr": log_ssfr}


def _posterior(flux: Array, error: Array, redshift: Array) -> tuple[Array, Array]:
    """Probability of each of `A_V` and of each log sSFR of the grid, shapes (galaxies, nodes)."""
    prior = _redshift_prior(redshift)
    present = np.isfinite(flux)
    data = np.where(present, flux, 0.0)
    precision = np.where(present, 1 / (error**2 + (FLUX_FLOOR * data) ** 2), 0.0)
    best = np.full(len(flux), np.inf)
    by_a_v, by_ssfr = np.zeros((len(flux), A_V.size)), np.zeros((len(flux), _ssfr_nodes()[0].size))
    for node, z in enumerate(REDSHIFTS):
        likely = np.flatnonzero(prior[:, node] > _LEAST_PRIOR)
        if not likely.size:
            continue
        # The scale of a model that fits best leaves chi2 = sum p d^2 - (sum p d m)^2 / sum p m^2.
        models = _models(float(round(z, 2)))
        spectra = models.reshape(-1, len(ALL_BANDS)).T
        match = np.maximum((precision * data)[likely] @ spectra, 0.0)
        chi2 = (precision * data**2)[likely].sum(axis=1)[:, None] - match**2 / (precision[likely] @ spectra**2)
        least = np.minimum(best[likely], chi2.min(axis=1))
        shrink = np.exp((least - best[likely]) / 2)[:, None]
        best[likely] = least
        chi2 -= least[:, None]
        chance = np.exp(-chi2 / 2).reshape(-1, *models.shape[:2]) * prior[likely, node, None, None]
        by_a_v[likely] = shrink * by_a_v[likely] + chance.sum(axis=1)
        by_ssfr[likely] = shrink * by_ssfr[likely] + chance.sum(axis=2) @ _ssfr_nodes()[1]
    return by_a_v, by_ssfr


def _redshift_prior(redshift: Array) -> Array:
    """Probability of each of `REDSHIFTS`, shape (galaxies, nodes)."""
    z, error = redshift.T[:, :, None]
    width = np.hypot(np.nan_to_num(error), (REDSHIFTS[1] - REDSHIFTS[0]) / 2)
    inside = np.clip(z, REDSHIFTS[0], REDSHIFTS[-1])
    chance = np.where(np.isfinite(z), np.exp(-(((REDSHIFTS - inside) / width) ** 2) / 2), 1.0)
    return np.asarray(chance / chance.sum(axis=1, keepdims=True))


def _quantiles(nodes: Array, chance: Array) -> Array:
    """Quantiles of a distribution given at nodes, each of which stands for the space halfway to its neighbours."""
    middle = (nodes[1:] + nodes[:-1]) / 2
    edges = np.concatenate([[nodes[0]], middle, [nodes[-1]]])
    below = np.concatenate([np.zeros((len(chance), 1)), np.cumsum(chance, axis=1)], axis=1)
    below /= below[:, -1:]
    return np.array([np.interp(PROBABILITIES, one, edges) for one in below]).reshape(-1, len(PROBABILITIES))


@dataclass(frozen=True, slots=True)
class _Unreddened:
    """Galaxies of the grid without dust, one row for each history and metallicity."""

    continuum: Array
    lines: Array
    log_ssfr: Array


@lru_cache
def _galaxies() -> _Unreddened:
    stars = load_stars()
    age = 10**stars.log_age / 1e6
    edges = np.concatenate([[0.0], np.sqrt(age[1:] * age[:-1]), [age[-1]]])
    formed, log_ssfr = [], []
    for since in FORMATION_AGES:
        for decline in DECLINES:
            time = np.linspace(0.0, since, 2001)
            rate = np.exp(decline * time / since)
            total = np.concatenate([[0.0], np.cumsum((rate[1:] + rate[:-1]) / 2)])
            below = np.interp(edges, time, total / total[-1])
            formed.append(np.diff(below))
            recent = float(np.interp(RECENT, time, total / total[-1]))
            log_ssfr.append(np.log10(recent / (RECENT * 1e6) / (np.diff(below) @ surviving_fraction(age))))
    shape = (len(stars.log_z), age.size, -1)
    rows = [int(np.argmin(np.abs(stars.log_z - np.log10(value)))) for value in METALLICITIES]
    continuum, lines = (
        np.einsum("ha,zaw->hzw", np.array(formed), light.reshape(shape)[rows]).reshape(len(formed) * len(rows), -1)
        for light in (stars.continuum, stars.lines)
    )
    return _Unreddened(continuum, lines, np.repeat(log_ssfr, len(rows)))


@lru_cache
def _ssfr_nodes() -> tuple[Array, Array]:
    """The log sSFR of the grid, and which galaxy of the grid has which, shape (galaxies, values)."""
    values, which = np.unique(_galaxies().log_ssfr.round(3), return_inverse=True)
    return values, np.eye(values.size)[which]


@lru_cache(len(REDSHIFTS))
def _models(z: float) -> NDArray[np.float32]:
    """Fluxes in any unit of the grid at a redshift, shape (galaxies, A_V, bands)."""
    stars, grid = load_stars(), _galaxies()
    line = np.array(list(LINES))
    bright = (stars.wavelength > LYMAN_ALPHA) & (stars.wavelength < 2.0e4)
    continuum = np.stack([sensitivity(band, stars.wavelength[bright] * (1 + z)) for band in ALL_BANDS])
    continuum *= np.gradient(stars.wavelength[bright])
    at_lines = np.stack([sensitivity(band, line * (1 + z)) for band in ALL_BANDS])
    flux = np.einsum("gw,wa,bw->gab", grid.continuum[:, bright], _dimming(stars.wavelength[bright]), continuum,
                     optimize=True)  # fmt: skip
    flux += np.einsum("gw,wa,bw->gab", grid.lines, _dimming(line), at_lines, optimize=True)
    return np.asarray(flux / flux.max(axis=(1, 2), keepdims=True), dtype=np.float32)


def _dimming(wavelength: Array) -> Array:
    """Share of the light that Calzetti's law lets pass, shape (wavelengths, A_V)."""
    within = np.clip(wavelength, 1200.0, 2.2e4) * u.AA
    return np.asarray(10 ** (-0.4 * attenuation(within[:, None], A_V, "Calzetti")))


def sensitivity(band: str, wavelength: Array) -> Array:
    """Weight of each erg/s/cm2 at an observed wavelength in the mean f_nu of a band, in a unit common to all."""
    measured = Filter(f"jwst_{band.lower()}")
    norm = np.trapezoid(measured.transmission / measured.wavelength, measured.wavelength)
    through = np.interp(wavelength, measured.wavelength, measured.transmission, left=0.0, right=0.0)
    return np.asarray(through * wavelength / norm)
