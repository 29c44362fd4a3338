"""Bagpipes models through our integration over mass and dust, against Bagpipes itself."""

import warnings
from pathlib import Path

import numpy as np
import pytest

bagpipes = pytest.importorskip("bagpipes", reason="needs the extra sed")

from scipy.stats.qmc import Sobol  # noqa: E402

from training.rivals import bagpipes as rival  # noqa: E402
from training.rivals.mocks import ALL_BANDS  # noqa: E402

Z = 7.0


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rival, "DRAWS", 16)
        return rival._Models("lognormal", Z, list(ALL_BANDS)).draw()


def test_photometry_and_star_formation_are_those_of_bagpipes(
    drawn: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    """Colours agree to 0.2 %, with dust and without; that is how finely either adds up a filter."""
    photometry, log_ssfr = drawn
    curves = rival.write_curves(tmp_path, list(ALL_BANDS))
    shares = Sobol(4, rng=0).random(16)[1]
    tmax, fwhm = (
        rival.HISTORIES["lognormal"][name].at(share) for name, share in zip(("tmax", "fwhm"), shares, strict=False)
    )
    node = 140
    components = {
        "redshift": Z,
        "lognormal": {"massformed": 9.0, "tmax": tmax, "fwhm": fwhm, "metallicity": rival.METALLICITY.at(shares[2])},
        "nebular": {"logU": rival.LOG_U.at(shares[3])},
        "dust": {"type": "Calzetti", "Av": rival.A_V.at(np.linspace(0, 1, rival.A_V_NODES))[node]},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = bagpipes.model_galaxy(components, filt_list=curves, phot_units="mujy")
    assert len(photometry) == 16  # none failed, so the rows are those of the draws
    ratio = theirs.photometry / photometry[1, node]
    np.testing.assert_allclose(ratio / ratio[3], 1, atol=2e-3)
    assert log_ssfr[1] == pytest.approx(theirs.sfh.ssfr)


def test_dust_of_a_model_is_found(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    photometry, _ = drawn
    nodes = rival.A_V.at(np.linspace(0, 1, rival.A_V_NODES))
    node = int(np.searchsorted(nodes, 1.0))
    flux = 50 * photometry[1, node] / photometry[1, node, 3]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rival, "DRAWS", 128)
        patch.setattr(rival, "MOST_DRAWS", 128)
        a_v, log_ssfr = rival.Bagpipes("lognormal").fit(flux, 0.02 * flux, Z)
    assert a_v[0] < nodes[node] < a_v[4]
    assert np.all(np.diff(a_v) > 0)
    assert np.all(np.diff(log_ssfr) > 0)


def test_mass_is_integrated_over() -> None:
    """Against a sum over masses, uniform in the logarithm, at a total signal-to-noise ratio of about 10."""
    model, data = np.array([[2.0, 3.0, 4.0], [4.0, 3.0, 2.0]]), np.array([4.2, 6.1, 7.5])
    mass = np.exp(np.linspace(-8, 6, 20_001))
    chi2 = np.square(data - mass[:, None, None] * model).sum(axis=-1)
    summed = np.log(np.exp(-chi2 / 2).sum(axis=0))
    found = -rival._marginal_chi2(model, data) / 2
    assert found[1] - found[0] == pytest.approx(summed[1] - summed[0], abs=0.02)


@pytest.mark.parametrize("history", list(rival.HISTORIES))
def test_every_history_makes_models(history: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rival, "DRAWS", 4)
    photometry, log_ssfr = rival._Models(history, Z, ["F277W", "F356W", "F444W"]).draw()
    assert photometry.shape[1:] == (rival.A_V_NODES, 3)
    assert len(log_ssfr) == len(photometry) >= 1
    assert np.all(photometry > 0)
