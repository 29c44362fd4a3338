"""Where stars and gas are: thick discs, clouds within them, and cavities that young stars have cleared."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from training.simulate.population import Galaxy
from training.simulate.settings import Geometry

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

_HALF_LIGHT: Final = 1.68
"""Half-light radius of an exponential disc in scale lengths."""


@dataclass(frozen=True, slots=True)
class Disc:
    """An exponential disc of any orientation."""

    share: float
    """Share of the galaxy's mass."""
    centre: Array
    """Position in kpc, shape (3,)."""
    rotation: Rotation
    length: float
    """Scale length in kpc."""
    height: float
    """Scale height in kpc."""


@dataclass(frozen=True, slots=True)
class Structure:
    """The skeleton of a galaxy: its discs and its clouds."""

    effective_radius: float
    """In kpc."""
    discs: list[Disc]
    cloud_centre: Array
    """Positions in kpc, shape (clouds, 3)."""
    cloud_share: Array
    """Share of each cloud in the mass of all."""
    cloud_radius: Array
    """In kpc."""
    cleared: NDArray[np.bool_]
    """Clouds whose stars have pushed the gas out."""


def draw_structure(prior: Geometry, galaxy: Galaxy, rng: np.random.Generator) -> Structure:
    """Draw discs and clouds for a galaxy."""
    log_radius = rng.normal(prior.effective_radius_per_log_mass * (galaxy.log_mass - 9), prior.effective_radius_scatter)
    expansion = ((1 + galaxy.z) / 8) ** prior.effective_radius_per_log_redshift
    effective_radius = prior.effective_radius * 10**log_radius * expansion

    discs = _draw_discs(prior, effective_radius, rng)
    clouds = int(rng.integers(*prior.clouds, endpoint=True))
    share = 1 + rng.pareto(prior.cloud_mass_slope, clouds)
    share /= share.sum()
    scale = prior.cloud_radius * (effective_radius / 0.65) ** 0.5
    return Structure(
        effective_radius=effective_radius,
        discs=discs,
        cloud_centre=_in_discs(discs, clouds, 1.0, rng)[0],
        cloud_share=share,
        cloud_radius=scale * (share * clouds) ** 0.3,
        cleared=rng.random(clouds) < prior.cleared,
    )


def place_stars(prior: Geometry, structure: Structure, age: Array, rng: np.random.Generator) -> Array:
    """Positions of star particles: the young ones in clouds, which they leave as they age.

    Parameters
    ----------
    age : ndarray, shape (stars,)
        Ages in Myr.

    Returns
    -------
    ndarray, shape (stars, 3)
        In kpc.
    """
    born_in_cloud, dispersal_time = rng.uniform(*prior.stars_in_clouds), rng.uniform(*prior.dispersal_time)
    clustered = rng.random(age.size) < born_in_cloud * np.exp(-age / dispersal_time)
    position, _ = _in_discs(structure.discs, age.size, 1.0, rng)
    cloud, offset = _in_clouds(structure, int(clustered.sum()), rng)
    position[clustered] = structure.cloud_centre[cloud] + offset
    return position


def place_gas(prior: Geometry, structure: Structure, cells: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Positions of gas cells of equal mass: in clouds, outside the cavities, and in wider discs.

    Returns
    -------
    position : ndarray, shape (cells, 3)
        In kpc.
    radius : ndarray, shape (cells,)
        Distance in kpc from the centre of the cell's own disc (for cells in clouds: of the nearest disc).
    """
    share = np.clip(rng.normal(prior.gas_in_clouds, prior.gas_in_clouds_scatter), 0.0, 1.0)
    in_clouds = round(float(share) * cells)
    cloud, offset = _in_clouds(structure, in_clouds, rng)
    cavity = np.where(structure.cleared, prior.clearing_radius * structure.cloud_radius, 0.0)[cloud]
    distance = np.linalg.norm(offset, axis=1)
    # The gas is swept up: the shell keeps the volume that the sphere had.
    offset *= (np.cbrt(distance**3 + cavity**3) / distance)[:, None]
    diffuse, _ = _in_discs(structure.discs, cells - in_clouds, prior.gas_disc_width, rng)
    position = np.concatenate([structure.cloud_centre[cloud] + offset, diffuse])
    centres = np.array([disc.centre for disc in structure.discs])
    radius = np.linalg.norm(position[:, None] - centres, axis=-1).min(axis=1)
    return position, radius


def _draw_discs(prior: Geometry, effective_radius: float, rng: np.random.Generator) -> list[Disc]:
    count = int(rng.integers(*prior.discs, endpoint=True))
    weight = np.concatenate([[1.0], rng.uniform(0.1, 0.7, count - 1)])
    direction = rng.normal(size=(count, 3))
    distance = effective_radius * rng.uniform(*prior.disc_offset, count)
    distance[0] = 0.0
    centre = direction / np.linalg.norm(direction, axis=1, keepdims=True) * distance[:, None]
    # Lesser discs are smaller, with equal surface density.
    length = effective_radius / _HALF_LIGHT * np.sqrt(weight)
    height = rng.uniform(*prior.disc_height, count) * length
    return [
        Disc(float(weight[i] / weight.sum()), centre[i], Rotation.random(rng=rng), float(length[i]), float(height[i]))
        for i in range(count)
    ]


def _in_discs(discs: list[Disc], count: int, width: float, rng: np.random.Generator) -> tuple[Array, Integers]:
    """Positions drawn from discs that are wider by a factor, and the disc of each."""
    which = np.sort(rng.choice(len(discs), size=count, p=[disc.share for disc in discs]))
    radius = rng.gamma(2.0, size=count) * width
    azimuth = rng.uniform(0.0, 2 * np.pi, count)
    flat = np.column_stack([radius * np.cos(azimuth), radius * np.sin(azimuth), rng.laplace(size=count)])
    position = np.empty_like(flat)
    for i, disc in enumerate(discs):
        own = which == i
        scaled = flat[own] * [disc.length, disc.length, disc.height]
        position[own] = disc.centre + disc.rotation.apply(scaled)
    return position[rng.permutation(count)], which


def _in_clouds(structure: Structure, count: int, rng: np.random.Generator) -> tuple[Integers, Array]:
    """Clouds that particles belong to, and the particles' offsets from the clouds' centres."""
    cloud = rng.choice(structure.cloud_share.size, size=count, p=structure.cloud_share)
    offset = rng.normal(size=(count, 3)) * structure.cloud_radius[cloud, None] / np.sqrt(3)
    return cloud, offset
