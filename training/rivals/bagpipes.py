"""Bagpipes (Carnall et al. 2018, MNRAS 480, 4379) on the photometry of each galaxy: minutes each, so few galaxies."""

import os
from collections.abc import Mapping
from contextlib import chdir, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sedpy.observate import Filter

from redden.dust import R_V
from redden.errors import ReddenError
from redden.posterior import PROBABILITIES
from training.rivals.mocks import ALL_BANDS, Answer, BandSet, Mocks
from training.rivals.photometry import fluxes

Array = NDArray[np.float64]

_METALS: Final[Mapping[str, Any]] = {
    "massformed": (5.0, 13.0),
    "metallicity": (1e-6, 10.0),
    "metallicity_prior": "log_10",
}
HISTORIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "lognormal": {"tmax": (0.05, 15.0), "fwhm": (0.05, 20.0)},
    "delayed": {"age": (0.01, 1.0), "tau": (0.01, 10.0)},
    "dblplaw": {
        "tau": (0.05, 1.0),
        "alpha": (0.01, 1000.0),
        "alpha_prior": "log_10",
        "beta": (0.01, 1000.0),
        "beta_prior": "log_10",
    },
    "constant": {"age_max": (0.01, 1.0), "age_min": 0.0},
}
"""Star-formation histories with their priors, times in Gyr; the paper's is lognormal."""
FLUX_FLOOR: Final = 0.05
"""Relative error of a flux besides its noise."""


class MissingBagpipesError(ReddenError):
    """Bagpipes is not installed."""


class Bagpipes:
    """Posterior from nested sampling with fixed redshift, Calzetti's law and the priors of Fu et al. (2024).

    A_V 1e-4 to 10 and Z 1e-6 to 10 solar, uniform in the logarithm, log U -4 to -2. R_V is taken to be 4.05.

    Parameters
    ----------
    history : str
        One of `HISTORIES`.

    Raises
    ------
    MissingBagpipesError
        If the optional dependency is missing.
    """

    name = "Bagpipes"

    def __init__(self, history: str) -> None:
        if find_spec("bagpipes") is None:
            raise MissingBagpipesError("Bagpipes is not installed: pip install 'redden[sed]'.")
        self._component = {history: {**_METALS, **HISTORIES[history]}}

    def takes(self, band_set: BandSet) -> bool:
        """Whether there is a redshift, and colours."""
        return band_set.redshift and len(band_set.bands) >= 3

    def answer(self, mocks: Mocks) -> Answer:
        """Quantiles for galaxies, one after the other."""
        flux, error = fluxes(mocks)
        error = np.hypot(error, FLUX_FLOOR * flux)
        found = [self._fit(*one) for one in zip(flux, error, mocks.redshift[:, 0], strict=True)]
        a_v, log_ssfr = (np.quantile(samples, PROBABILITIES, axis=1).T for samples in zip(*found, strict=True))
        return {"a_v": a_v, "e_bv": a_v / R_V["Calzetti"], "log_ssfr": log_ssfr}

    def _fit(self, flux: Array, error: Array, z: float) -> tuple[Array, Array]:
        """Samples of A_V and of log sSFR of one galaxy."""
        # Bagpipes writes into the working directory, deletes there by a pattern, and prints.
        with (
            TemporaryDirectory() as place,
            chdir(place),
            Path(os.devnull).open("w") as nowhere,
            redirect_stdout(nowhere),
        ):
            import bagpipes

            curves = _write_curves([band for band, value in zip(ALL_BANDS, flux, strict=True) if np.isfinite(value)])
            present = np.isfinite(flux)
            table = np.column_stack([flux[present], error[present]]) / 1e3
            galaxy = bagpipes.galaxy("1", lambda _: table, spectrum_exists=False, filt_list=curves, phot_units="mujy")
            instructions = {
                "redshift": z,
                "dust": {"type": "Calzetti", "Av": (1e-4, 10.0), "Av_prior": "log_10"},
                "nebular": {"logU": (-4.0, -2.0)},
                **self._component,
            }
            fit = bagpipes.fit(galaxy, instructions)
            fit.fit(verbose=False, sampler="nautilus")
            samples = fit.posterior.samples
        return np.asarray(samples["dust:Av"]), np.asarray(samples["ssfr"])


def _write_curves(bands: list[str]) -> list[str]:
    """Write filter curves into the working directory, and name the files."""
    for band in bands:
        measured = Filter(f"jwst_{band.lower()}")
        np.savetxt(f"{band}.dat", np.column_stack([measured.wavelength, measured.transmission]))
    return [f"{band}.dat" for band in bands]
