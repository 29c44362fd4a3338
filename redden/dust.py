"""The dust law: attenuation at any wavelength from A_V, and A_V from the ultraviolet slope."""

from collections.abc import Callable
from typing import Final

import astropy.units as u
import numpy as np
from astropy.units import Quantity
from dust_extinction.averages import G03_SMCBar
from dust_extinction.parameter_averages import G23
from numpy.typing import ArrayLike, NDArray

Curve = Callable[[Quantity], NDArray[np.float64]]


def _calzetti(wavelength: Quantity) -> NDArray[np.float64]:
    """k(lambda) of starburst galaxies, 0.12-2.2 um (Calzetti et al. 2000, ApJ 533, 682, equation 4)."""
    micron = np.asarray(wavelength.to_value(u.um), dtype=np.float64)
    if np.any((micron < 0.12) | (micron > 2.2)):
        raise ValueError("the Calzetti curve is defined from 0.12 to 2.2 um")
    blue = 2.659 * (-2.156 + 1.509 / micron - 0.198 / micron**2 + 0.011 / micron**3) + 4.05
    red = 2.659 * (-1.857 + 1.040 / micron) + 4.05
    return np.where(micron < 0.63, blue, red)


def _milky_way(wavelength: Quantity) -> NDArray[np.float64]:
    """k(lambda) of the Milky Way, 0.0912-32 um (Gordon et al. 2023, ApJ 950, 86), at R_V = 3.1."""
    return np.asarray(3.1 * G23(Rv=3.1)(wavelength), dtype=np.float64)


def _smc(wavelength: Quantity) -> NDArray[np.float64]:
    """k(lambda) of the bar of the Small Magellanic Cloud, 0.1-3.3 um (Gordon et al. 2003, ApJ 594, 279)."""
    return np.asarray(G03_SMCBar.Rv * G03_SMCBar()(wavelength), dtype=np.float64)


CURVES: Final[dict[str, Curve]] = {"MW": _milky_way, "SMC": _smc, "Calzetti": _calzetti}
"""k(lambda) = A_lambda / E(B-V) by name."""

R_V: Final = {"MW": 3.1, "SMC": float(G03_SMCBar.Rv), "Calzetti": 4.05}
"""R_V = A_V / E(B-V) = k(V) of each curve."""

_A_1600_AT_BETA_0: Final = 4.43
_A_1600_PER_BETA: Final = 1.99


def attenuation(wavelength: Quantity, a_v: ArrayLike, curve: str, r_v: ArrayLike | None = None) -> NDArray[np.float64]:
    """Attenuation at a rest-frame wavelength, A_lambda = k(lambda) A_V / R_V (Fu et al. 2024, section 1).

    Parameters
    ----------
    wavelength : Quantity
        Rest-frame wavelength; broadcasts with `a_v`.
    a_v : array_like
        A_V in mag.
    curve : {'MW', 'SMC', 'Calzetti'}
        Shape of k(lambda).
    r_v : array_like, optional
        R_V of the galaxy, if it was measured. By default the curve's own, so that A_lambda equals A_V in V.

    Returns
    -------
    ndarray of float64
        A_lambda in mag.

    Raises
    ------
    ValueError
        If the curve is unknown or not defined at the wavelength.
    """
    k = _curve(curve)(wavelength)
    return np.asarray(k * np.asarray(a_v, dtype=np.float64) / (R_V[curve] if r_v is None else np.asarray(r_v)))


def a_1600_from_beta(beta: ArrayLike) -> NDArray[np.float64]:
    """Attenuation at 1600 A from the ultraviolet slope, 4.43 + 1.99 beta (Meurer et al. 1999, ApJ 521, 64).

    Parameters
    ----------
    beta : array_like
        Slope of the ultraviolet continuum, f_lambda ~ lambda^beta.

    Returns
    -------
    ndarray of float64
        A_1600 in mag; 0 for slopes bluer than that of stars without dust, -2.23.
    """
    return np.maximum(_A_1600_AT_BETA_0 + _A_1600_PER_BETA * np.asarray(beta, dtype=np.float64), 0.0)


def a_v_from_beta(beta: ArrayLike, curve: str) -> NDArray[np.float64]:
    """A_V from the ultraviolet slope: Meurer's A_1600 carried to V, A_V = A_1600 R_V / k(1600 A).

    Parameters
    ----------
    beta : array_like
        Slope of the ultraviolet continuum, f_lambda ~ lambda^beta.
    curve : {'MW', 'SMC', 'Calzetti'}
        Curve that links 1600 A and V; Meurer's galaxies are described by Calzetti's.

    Returns
    -------
    ndarray of float64
        A_V in mag.

    Raises
    ------
    ValueError
        If the curve is unknown.
    """
    k_1600 = _curve(curve)(1600 * u.AA)
    return np.asarray(a_1600_from_beta(beta) * R_V[curve] / k_1600)


def _curve(name: str) -> Curve:
    if name not in CURVES:
        raise ValueError(f"unknown dust curve {name!r}; known are {', '.join(CURVES)}")
    return CURVES[name]
