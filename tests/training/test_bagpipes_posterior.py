"""Our posterior of Bagpipes' models against one from `bagpipes.fit`'s own priors, photometry and likelihood.

Nested sampling of one galaxy takes minutes (`benchmarks/nested_sampling.py`). Here what it would sample is drawn from
the priors, with the mass from what the flux leaves of it, and weighted.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("bagpipes", reason="needs the extra sed")

from scipy.stats.qmc import Sobol

from benchmarks.nested_sampling import REDSHIFT, in_all_bands, mock, own_fit
from redden.posterior import PROBABILITIES
from training.rivals import bagpipes as rival

DRAWS = 2048


def weighted_draws(model: Any, photometry: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A_V, log sSFR and weights of draws from Bagpipes' priors, by Bagpipes' likelihood."""
    mass = model.params.index("lognormal:massformed")
    rng = np.random.default_rng(3)
    found = []
    for cube in Sobol(model.ndim, rng=1).random(DRAWS):
        parameters = model.prior.transform(cube.copy())
        parameters[mass] = 9.0
        if model.lnlike(parameters) < -1e90 or not model.model_galaxy.photometry.sum() > 0:
            continue
        expected, weight = model.model_galaxy.photometry, model.inv_sigma_sq_phot
        best = (photometry * expected * weight).sum() / (expected**2 * weight).sum()
        width = 1 / (best * np.sqrt((expected**2 * weight).sum()))
        step = rng.normal()
        parameters[mass] += (np.log(best) + width * step) / np.log(10)
        log_weight = model.lnlike(parameters) + np.log(width) + step**2 / 2
        found.append((parameters[model.params.index("dust:Av")], model.model_galaxy.sfh.ssfr, log_weight))
    a_v, log_ssfr, log_weight = np.array(found).T
    return a_v, log_ssfr, np.exp(log_weight - log_weight.max())


def test_median_and_interval_are_those_of_bagpipes_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Bagpipes' posterior 16, 50 and 84 % lie below ours, within three standard errors of its draws."""
    monkeypatch.chdir(tmp_path)
    # Half a percent of the posterior lies outside, and fewer draws are wasted.
    prior = rival.Prior(0.1, 10.0, logarithmic=True)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        flux, error = mock(tmp_path)
        ours = rival.Bagpipes("lognormal").fit(in_all_bands(flux), in_all_bands(error), REDSHIFT)
        monkeypatch.setattr(rival, "A_V", prior)
        monkeypatch.setattr(rival.import_bagpipes().utils, "working_dir", str(tmp_path))
        fit = own_fit(flux, error, tmp_path)
        a_v, log_ssfr, weight = weighted_draws(fit.fitted_model, fit.galaxy.photometry[:, 1])
    effective = weight.sum() ** 2 / np.square(weight).sum()
    assert effective > 100
    for values, quantiles in zip((a_v, log_ssfr), ours, strict=True):
        for share, quantile in list(zip(PROBABILITIES, quantiles, strict=True))[1:4]:
            below = weight[values < quantile].sum() / weight.sum()
            assert below == pytest.approx(share, abs=3 * np.sqrt(share * (1 - share) / effective))
