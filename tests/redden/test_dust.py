import astropy.units as u
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redden.dust import CURVES, R_V, a_1600_from_beta, a_v_from_beta, attenuation

V = 0.55 * u.um


@pytest.mark.parametrize("curve", sorted(CURVES))
def test_a_v_is_the_attenuation_in_v(curve: str) -> None:
    assert attenuation(V, 1.7, curve) == pytest.approx(1.7, rel=2e-3)


@pytest.mark.parametrize("curve", sorted(CURVES))
def test_attenuation_falls_to_the_red_and_is_linear_in_a_v(curve: str) -> None:
    wavelengths = np.linspace(0.35, 2.0, 50) * u.um
    values = attenuation(wavelengths, 1.0, curve)
    assert np.all(np.diff(values) < 0)
    assert attenuation(wavelengths, 2.5, curve) == pytest.approx(2.5 * values)


def test_the_calzetti_curve_has_its_published_values() -> None:
    # Calzetti et al. 2000: k(V) = 4.05, and both branches meet at 0.63 um.
    assert CURVES["Calzetti"](0.55 * u.um) == pytest.approx(4.05, abs=0.01)
    assert CURVES["Calzetti"](0.6299 * u.um) == pytest.approx(CURVES["Calzetti"](0.6301 * u.um), abs=0.03)
    assert CURVES["Calzetti"](0.16 * u.um) == pytest.approx(9.97, abs=0.02)


def test_a_measured_r_v_makes_the_law_greyer() -> None:
    assert attenuation(0.16 * u.um, 1.0, "MW", r_v=7.0) == pytest.approx(
        attenuation(0.16 * u.um, 1.0, "MW") * R_V["MW"] / 7.0
    )


def test_meurers_relation() -> None:
    assert a_1600_from_beta([-1.0, -2.0, -3.0]) == pytest.approx([2.44, 0.45, 0.0])
    assert a_v_from_beta(-1.0, "Calzetti") == pytest.approx(2.44 * 4.05 / 9.97, rel=2e-3)


@given(st.floats(-2.2, 1.0), st.sampled_from(sorted(CURVES)))
def test_a_v_from_beta_agrees_with_the_law(beta: float, curve: str) -> None:
    assert attenuation(0.16 * u.um, a_v_from_beta(beta, curve), curve) == pytest.approx(a_1600_from_beta(beta))


def test_what_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="'LMC'; known are MW, SMC, Calzetti"):
        attenuation(V, 1.0, "LMC")
    with pytest.raises(ValueError, match="'LMC'; known are MW, SMC, Calzetti"):
        a_v_from_beta(-1.0, "LMC")
    with pytest.raises(ValueError, match=r"0\.12 to 2\.2"):
        attenuation(3 * u.um, 1.0, "Calzetti")
