"""The gas: how much, how metal-rich, where, and which of it carries dust."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from training.simulate.geometry import Structure, place_gas
from training.simulate.population import Galaxy
from training.simulate.settings import Gas, Geometry

Array = NDArray[np.float64]

SOLAR_METALLICITY: Final = 0.0134
COLD_DENSITY: Final = 0.13
"""Hydrogen atoms per cm3 above which gas counts as cold (the paper's and TNG's threshold of star formation)."""
_HYDROGEN_PER_CM3: Final = 3.04e-8
"""Hydrogen atoms per cm3 in gas of 1 Msun/kpc3, three quarters of it hydrogen."""
_NEIGHBOURS: Final = 8


@dataclass(frozen=True, slots=True)
class GasCells:
    """Cold gas cells."""

    position: Array
    """In kpc, shape (cells, 3)."""
    radius: Array
    """Radius in kpc of the sphere that a cell fills."""
    metal_mass: Array
    """Mass of metals in Msun."""


def draw_log_metallicity(prior: Gas, galaxy: Galaxy, rng: np.random.Generator) -> float:
    """Mean log10 Z/Zsun of a galaxy's gas, from mass, redshift and star formation."""
    mean = (
        prior.log_metallicity
        + prior.log_metallicity_per_log_mass * (galaxy.log_mass - 9)
        + prior.log_metallicity_per_redshift * (galaxy.z - 7)
        + prior.log_metallicity_per_d * galaxy.ssfr_deviation
    )
    return rng.normal(mean, prior.log_metallicity_scatter)


def draw_gas(
    prior: Gas,
    geometry: Geometry,
    galaxy: Galaxy,
    structure: Structure,
    log_metallicity: float,
    rng: np.random.Generator,
) -> GasCells:
    """Draw the gas cells of a galaxy and keep the cold ones.

    There is no temperature here, so cold means dense: n_H > 0.13 per cm3, from the volume of the cell.

    Parameters
    ----------
    log_metallicity : float
        Mean log10 Z/Zsun of the gas at the effective radius.
    """
    log_mass = rng.normal(
        galaxy.log_mass
        + prior.log_gas_to_stars
        + prior.log_gas_to_stars_per_log_mass * (galaxy.log_mass - 9)
        + prior.log_gas_to_stars_per_d * galaxy.ssfr_deviation,
        prior.log_gas_to_stars_scatter,
    )
    position, distance = place_gas(geometry, structure, prior.cells, rng)
    log_z = rng.normal(log_metallicity + prior.gradient * (distance - structure.effective_radius), prior.cell_scatter)
    cell_mass = 10**log_mass / prior.cells
    radius = cell_radius(position)
    density = cell_mass / (4 / 3 * np.pi * radius**3)
    cold = density * _HYDROGEN_PER_CM3 > COLD_DENSITY
    return GasCells(position[cold], radius[cold], (cell_mass * SOLAR_METALLICITY * 10**log_z)[cold])


def cell_radius(position: Array) -> Array:
    """Radius of the sphere that holds one cell, from the distance to the eighth neighbour.

    Parameters
    ----------
    position : ndarray, shape (cells, 3)

    Returns
    -------
    ndarray, shape (cells,)
        In the unit of the positions.
    """
    distance = np.asarray(KDTree(position).query(position, k=[_NEIGHBOURS + 1])[0])
    return np.asarray(distance[:, 0] / np.cbrt(_NEIGHBOURS))
