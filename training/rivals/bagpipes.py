"""Bagpipes (Carnall et al. 2018, MNRAS 480, 4379) on the photometry of each galaxy: its models, in seconds a galaxy.

Nested sampling, which Bagpipes brings, has to find the mass and the dust of a galaxy too, and makes tens of thousands
of models for it. But mass is one factor on a spectrum and dust another at each wavelength, so both can be integrated
over without a further model; only history, metallicity and ionisation are drawn from their priors.
"""

import os
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats.qmc import Sobol
from sedpy.observate import Filter

from redden.dust import R_V
from redden.errors import ReddenError
from redden.posterior import PROBABILITIES
from training.rivals.mocks import ALL_BANDS, Answer, BandSet, Mocks
from training.rivals.photometry import fluxes
from training.rivals.sed_grid import sensitivity

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prior:
    """Uniform between two limits, or uniform in the logarithm."""

    low: float
    high: float
    logarithmic: bool = False

    def at(self, share: Array) -> Array:
        """Values below which these shares of the probability lie."""
        if self.logarithmic:
            return np.asarray(self.low * (self.high / self.low) ** share)
        return np.asarray(self.low + (self.high - self.low) * share)


HISTORIES: Final[Mapping[str, Mapping[str, Prior]]] = {
    "lognormal": {"tmax": Prior(0.05, 15.0), "fwhm": Prior(0.05, 20.0)},
    "delayed": {"age": Prior(0.01, 1.0), "tau": Prior(0.01, 10.0)},
    "dblplaw": {
        "tau": Prior(0.05, 1.0),
        "alpha": Prior(0.01, 1000.0, logarithmic=True),
        "beta": Prior(0.01, 1000.0, logarithmic=True),
    },
    "constant": {"age_max": Prior(0.01, 1.0)},
}
"""Star-formation histories with their priors, times in Gyr; the paper's is lognormal."""
METALLICITY: Final = Prior(1e-6, 10.0, logarithmic=True)
"""In units of the Sun's."""
LOG_U: Final = Prior(-4.0, -2.0)
A_V: Final = Prior(1e-4, 10.0, logarithmic=True)
A_V_NODES: Final = 161
"""Values of A_V over which is integrated: steps of 7 %."""
FLUX_FLOOR: Final = 0.05
"""Relative error of a flux besides its noise."""

DRAWS: Final = 512
"""Models that are made at once."""
MOST_DRAWS: Final = 4096
MOST_REDSHIFT: Final = 10.0
"""Up to which Bagpipes makes models."""
LEAST_SNR: Final = 5.0
"""Signal-to-noise ratio of all bands together below which the integral over mass is too rough."""
LEAST_EFFECTIVE: Final = 100.0
"""Effective number of models in a posterior at which no more are drawn."""


class MissingBagpipesError(ReddenError):
    """Bagpipes is not installed."""


class UnfittableError(ReddenError):
    """A galaxy that Bagpipes cannot fit."""


class Bagpipes:
    """Posterior of Bagpipes models with fixed redshift, Calzetti's law and the priors of Fu et al. (2024).

    A_V 1e-4 to 10 mag, Z 1e-6 to 10 solar and the formed mass are uniform in the logarithm, log U is from -4 to -2.
    R_V is taken to be 4.05.

    Parameters
    ----------
    history : str
        One of `HISTORIES`.

    Raises
    ------
    MissingBagpipesError
        If the optional dependency is missing.
    """

    def __init__(self, history: str) -> None:
        if find_spec("bagpipes") is None:
            raise MissingBagpipesError("Bagpipes is not installed: pip install 'redden[training,sed]'.")
        import_bagpipes()  # takes seconds, which belong to no galaxy
        self._history = history
        self.name = "Bagpipes" if history == "lognormal" else f"Bagpipes, {history}"

    def takes(self, band_set: BandSet) -> bool:
        """Whether there is a redshift, and colours."""
        return band_set.redshift and len(band_set.bands) >= 3

    def answer(self, mocks: Mocks) -> Answer:
        """Quantiles for galaxies, one after the other; NaN where Bagpipes cannot be asked."""
        unknown = np.full(len(PROBABILITIES), np.nan)
        found = []
        for one in zip(*fluxes(mocks), mocks.redshift[:, 0], strict=True):
            try:
                found.append(self.fit(*one))
            except UnfittableError:
                found.append((unknown, unknown))
        a_v, log_ssfr = (np.array(values).reshape(-1, len(PROBABILITIES)) for values in zip(*found, strict=True))
        return {"a_v": a_v, "e_bv": a_v / R_V["Calzetti"], "log_ssfr": log_ssfr}

    def fit(self, flux: Array, error: Array, z: float) -> tuple[Array, Array]:
        """Quantiles of A_V and of log sSFR of one galaxy, at `redden.posterior.PROBABILITIES`.

        Parameters
        ----------
        flux, error : ndarray, shape (7,)
            In nJy; NaN in absent bands.
        z : float
            Redshift.

        Returns
        -------
        a_v, log_ssfr : ndarray, shape (5,)

        Raises
        ------
        UnfittableError
            If the redshift is out of reach, the galaxy too faint, or no model physical.
        """
        if not 0 < z <= MOST_REDSHIFT:
            raise UnfittableError(f"Bagpipes needs a redshift above 0 and up to {MOST_REDSHIFT:g}; it is {z:g}.")
        present = np.isfinite(flux)
        snr = np.linalg.norm(np.maximum(flux[present] / error[present], 0.0))
        if not snr >= LEAST_SNR:
            raise UnfittableError(f"all bands together have S/N {snr:.2g}; Bagpipes needs {LEAST_SNR:g}.")
        data, sigma = flux[present], np.hypot(error[present], FLUX_FLOOR * flux[present])
        models = _Models(
            self._history, z, [band for band, is_there in zip(ALL_BANDS, present, strict=True) if is_there]
        )
        chi2, log_ssfr = np.empty((0, A_V_NODES)), np.empty(0)
        effective = 0.0
        while effective < LEAST_EFFECTIVE and len(chi2) < MOST_DRAWS:
            photometry, more = models.draw()
            if not len(more):
                raise UnfittableError(f"none of {DRAWS} models of Bagpipes is physical at redshift {z:g}.")
            chi2 = np.concatenate([chi2, _marginal_chi2(photometry / sigma, data / sigma)])
            log_ssfr = np.concatenate([log_ssfr, more])
            chance = np.exp((chi2.min() - chi2) / 2)
            by_draw = chance.sum(axis=1)
            effective = by_draw.sum() ** 2 / np.square(by_draw).sum()
        nodes = np.linspace(0.0, 1.0, A_V_NODES)
        return A_V.at(_quantiles(nodes, chance.sum(axis=0))), _quantiles(log_ssfr, by_draw)


class _Models:
    """Model galaxies of Bagpipes at one redshift, drawn from the priors."""

    def __init__(self, history: str, z: float, bands: list[str]) -> None:
        self._bagpipes = import_bagpipes()
        self._priors = {
            **{(history, name): prior for name, prior in HISTORIES[history].items()},
            (history, "metallicity"): METALLICITY,
            ("nebular", "logU"): LOG_U,
        }
        self._components: dict[str, Any] = {"redshift": z, history: {"massformed": 9.0}, "nebular": {}}
        if history == "constant":
            self._components[history]["age_min"] = 0.0
        self._sobol = Sobol(len(self._priors), rng=0)
        self._galaxy: Any = None
        self._z = z
        self._bands = bands

    def draw(self) -> tuple[Array, Array]:
        """Draw `DRAWS` more models.

        Returns
        -------
        photometry : ndarray, shape (models, `A_V_NODES`, bands)
            Mean f_nu in a unit common to all.
        log_ssfr : ndarray, shape (models,)
            Of star formation over 100 Myr. Fewer than were drawn where Bagpipes cannot make a model.
        """
        spectra, log_ssfr = [], []
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # of steps in Bagpipes that fail for some parameters
            for shares in self._sobol.random(DRAWS):
                for ((component, name), prior), share in zip(self._priors.items(), shares, strict=True):
                    self._components[component][name] = float(prior.at(share))
                self._update()
                # No stars yet, or a step of Bagpipes failed.
                if not self._galaxy.sfh.unphysical and 0 < self._galaxy.spectrum_full.sum() < np.inf:
                    spectra.append(self._galaxy.spectrum_full)
                    log_ssfr.append(self._galaxy.sfh.ssfr)
        if not spectra:
            return np.empty((0, A_V_NODES, len(self._bands))), np.empty(0)
        return self._through_dust_and_filters(np.array(spectra)), np.array(log_ssfr)

    def _update(self) -> None:
        if self._galaxy is not None:
            self._galaxy.update(self._components)
            return
        # The filters decide where the spectrum is finely sampled.
        with TemporaryDirectory() as place:
            curves = write_curves(Path(place), self._bands)
            self._galaxy = self._bagpipes.model_galaxy(self._components, filt_list=curves)

    def _through_dust_and_filters(self, spectra: Array) -> Array:
        wavelength = self._galaxy.wavelengths
        observed = wavelength * (1 + self._z)
        weight = np.stack([sensitivity(band, observed) for band in self._bands]) * np.gradient(wavelength)
        seen = weight.any(axis=0)
        curve = self._bagpipes.models.dust_attenuation_model.dust_attenuation(wavelength[seen], {"type": "Calzetti"})
        passing = 10 ** (-0.4 * A_V.at(np.linspace(0.0, 1.0, A_V_NODES))[:, None] * curve.A_cont)
        through = (passing[:, None, :] * weight[:, seen]).reshape(-1, int(seen.sum()))
        return np.asarray((spectra[:, seen] @ through.T).reshape(len(spectra), A_V_NODES, len(self._bands)))


def _marginal_chi2(model: Array, data: Array) -> Array:
    """-2 ln of the likelihood, integrated over a mass that is uniform in the logarithm before.

    Parameters
    ----------
    model : ndarray, shape (..., bands)
        Over the errors of the data, at any mass.
    data : ndarray, shape (bands,)
        Over their errors.

    Returns
    -------
    ndarray, shape (...)
        But for a constant.
    """
    # A Gaussian in the mass of relative width 1/t, times 1/mass: good to 1/t^4, and t is about `LEAST_SNR` or more.
    t = np.maximum((model @ data) / np.linalg.norm(model, axis=-1), 1.0)
    return np.asarray(data @ data - t**2 + 2 * np.log(t) - 2 * np.log1p(1 / t**2))


def _quantiles(values: Array, weight: Array) -> Array:
    """Quantiles of weighted values at `redden.posterior.PROBABILITIES`."""
    order = np.argsort(values)
    below = np.cumsum(weight[order]) - weight[order] / 2
    return np.asarray(np.interp(PROBABILITIES, below / weight.sum(), values[order]))


def import_bagpipes() -> ModuleType:
    """Bagpipes, without what it prints: what it finds missing, and its progress."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        import bagpipes
        import bagpipes.models.dust_attenuation_model
    return bagpipes  # type: ignore[no-any-return]


def write_curves(directory: Path, bands: list[str]) -> list[str]:
    """Write filter curves for Bagpipes, which has none of NIRCam, and name the files."""
    files = []
    for band in bands:
        measured = Filter(f"jwst_{band.lower()}")
        file = directory / f"{band}.dat"
        np.savetxt(file, np.column_stack([measured.wavelength, measured.transmission]))
        files.append(str(file))
    return files
