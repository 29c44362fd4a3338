"""From star particles with the dust in front of them to a data set of noiseless scenes.

The particles shine and are seen as those of the built-in forward model: its spectra, its dust screens, its telescope.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import astropy.units as u
import h5py
import numpy as np
from astropy.cosmology import Planck15
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from rich.progress import track

from redden.bands import BANDS, in_order
from redden.errors import CatalogueError
from training import dataset
from training.imports.skirt import expected_snr
from training.simulate.population import RECENT, surviving_fraction
from training.simulate.run import View, attenuate, expose, starlight
from training.simulate.scenes import NOISELESS
from training.simulate.settings import Observation, Settings, Spectra
from training.simulate.ssp import load_stars
from training.software import CODE_VERSION

Array = NDArray[np.float64]

SOURCE: Final = f"particle import, {NOISELESS}"

NEEDED: Final = {
    "coordinates": "positions, (n, 3), a length",
    "initial_masses": "masses at birth",
    "log10ages or ages": "log10 of years, or a time",
    "log10metallicities or metallicities": "mass fraction of metals, or its log10",
    "tau_v": "optical depth in V in front of each particle, along the line of sight",
}
"""Arrays of a galaxy that are needed, a value per particle; ``Units`` is an attribute that astropy reads."""
FURTHER: Final = {
    "current_masses": "masses of what still lives, otherwise by the loss formula of the built-in forward model",
    "smoothing_lengths": "radius of the spline kernel in which a particle's light is spread, otherwise points",
}
"""Arrays that may be there."""

POINTS: Final = 32
"""Points that stand for a particle that has a size."""
_REDSHIFT_IN_NAME: Final = re.compile(r"z(\d+)p(\d+)")
_AXES: Final = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}
"""Axes of the sky by the axis of the line of sight."""


class ParticleImport(BaseModel):
    """What decides the content of an imported data set, besides the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bands: tuple[str, ...] = tuple(BANDS)
    redshift: Annotated[float, Field(gt=0, lt=20)] | None = None
    """Of all galaxies, in place of what the file says."""
    line_of_sight: Literal["x", "y", "z"] = "z"
    """Axis along which the optical depths are."""
    spectra: Spectra = Spectra()
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the points within the particles, and of the offset of the galaxies from the middle."""


@dataclass(frozen=True, slots=True)
class Particles:
    """The star particles of a galaxy."""

    name: str
    z: float
    position: Array
    """In kpc, shape (stars, 3)."""
    formed_mass: Array
    """Mass at birth in Msun, shape (stars,), as are all that follow."""
    mass: Array
    """Mass of what still lives, in Msun."""
    log_age: Array
    """log10 of years."""
    log_z: Array
    """log10 of the mass fraction of metals."""
    tau_v: Array
    size: Array
    """Radius of the kernel in kpc; 0 for points."""


def import_particles(
    file: Path, directory: Path, settings: ParticleImport, report: Callable[[str], object] = print
) -> dataset.DatasetCard:
    """Read star particles and write the galaxies as a data set of noiseless scenes.

    Galaxies that have formed no star in the last 100 Myr are left out, since their log sSFR is not defined; they count
    as rejected.

    Parameters
    ----------
    file : Path
        HDF5; every group that holds `NEEDED` is a galaxy.
    directory : Path
        New or empty directory.
    settings : ParticleImport
    report : callable
        Takes a sentence about stars that are older than the library's, if there are any.

    Raises
    ------
    CatalogueError
        If the file cannot be read, has no galaxy, or a galaxy lacks something.
    """
    bands = in_order(settings.bands)
    galaxies = read_particles(file, settings.redshift)
    if warning := too_old(galaxies, float(load_stars(settings.spectra.library).log_age[-1])):
        report(warning)
    chosen = settings.model_copy(update={"bands": bands})
    return dataset.write(
        directory,
        _batches(galaxies, chosen),
        source=SOURCE,
        bands=bands,
        settings=chosen.model_dump(mode="json") | {"file": file.name, "galaxies": [each.name for each in galaxies]},
        software=f"redden {CODE_VERSION}",
    )


def scene(particles: Particles, settings: ParticleImport, rng: np.random.Generator) -> dict[str, Any]:
    """One scene with its labels, as in ``training.dataset.COLUMNS`` but for the number of the galaxy."""
    stars, bands = particles, settings.bands
    light = starlight(bands, stars.z, settings.spectra, stars.log_age, stars.log_z, stars.formed_mass)
    flux, labels = attenuate(light, stars.tau_v)
    points = 1 if not stars.size.any() else POINTS
    arcsec = float(Planck15.arcsec_per_kpc_proper(stars.z).value)
    spread = stars.position[:, None] + stars.size[:, None, None] * draw_in_kernel((len(stars.tau_v), points), rng)
    x, y = (spread[..., axis].ravel() * arcsec for axis in _AXES[settings.line_of_sight])
    view = View(x, y, stars.tau_v.repeat(points))
    images = expose(Settings(observation=Observation(bands=bands)), view, flux.repeat(points, axis=0) / points, rng)
    return {
        "images": images,
        "orientation": 0,
        "dtm": np.nan,
        "z": stars.z,
        "log_mass": np.log10(stars.mass.sum()),
        "log_ssfr": log_ssfr(stars),
        "snr": expected_snr(images),
        **labels,
    }


def log_ssfr(particles: Particles) -> float:
    """log10 of the mass formed in the last 100 Myr over 100 Myr and over the stellar mass, in 1/yr; maybe -inf."""
    recent = RECENT * 1e6
    formed = particles.formed_mass[particles.log_age < np.log10(recent)].sum()
    with np.errstate(divide="ignore"):
        return float(np.log10(formed / recent / particles.mass.sum()))


def too_old(galaxies: list[Particles], oldest: float) -> str | None:
    """How much mass is of stars older than the library's oldest (log10 of years); None if there is none."""
    share = [float(stars.mass[stars.log_age > oldest].sum() / stars.mass.sum()) for stars in galaxies]
    if not any(share):
        return None
    return (
        f"Stars older than 10^{oldest:g} yr, the last age of the library, shine as if they were that old: "
        f"{np.mean(share):.1%} of a galaxy's stellar mass on average, {max(share):.1%} at most."
    )


def draw_in_kernel(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Offsets in a cubic-spline kernel (Monaghan & Lattanzio 1985) that ends at radius 1, shape (..., 3)."""
    radius = np.linspace(0.0, 1.0, 257)
    density = np.where(radius < 0.5, 1 - 6 * radius**2 + 6 * radius**3, 2 * (1 - radius) ** 3)
    inside = np.cumsum(density * radius**2)
    direction = rng.normal(size=(*shape, 3))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    return np.asarray(direction * np.interp(rng.random(shape), inside / inside[-1], radius)[..., None])


def read_particles(file: Path, redshift: float | None = None) -> list[Particles]:
    """The galaxies of a file, in the order of their names.

    Parameters
    ----------
    file : Path
    redshift : float, optional
        Of all galaxies. By default it is the attribute ``redshift`` of the group or of one around it, or stands in
        their names as FLARES writes it: ``z007p000``.

    Raises
    ------
    CatalogueError
        As `import_particles`.
    """
    found: list[Particles] = []
    partial: dict[str, list[str]] = {}

    def visit(name: str, entry: object) -> None:
        if not isinstance(entry, h5py.Group):
            return
        lacking = [each for each in NEEDED if not any(column in entry for column in each.split(" or "))]
        if "tau_v" in entry and "coordinates" in entry:
            found.append(_galaxy(name, entry, redshift))
        elif len(lacking) < len(NEEDED):
            partial[name] = lacking

    try:
        with h5py.File(file) as hdf5:
            visit("/", hdf5)
            hdf5.visititems(visit)
    except OSError as error:
        raise CatalogueError(f"{file} cannot be read as HDF5: {error}.") from error
    if not found:
        needed = "; ".join(f"{name} ({meaning})" for name, meaning in NEEDED.items())
        if partial:
            name, lacking = min(partial.items(), key=lambda each: len(each[1]))
            raise CatalogueError(f"group {name} lacks {', '.join(lacking)}. A galaxy is a group with {needed}.")
        raise CatalogueError(f"{file} has no group of star particles. A galaxy is a group with {needed}.")
    return found


def _batches(galaxies: list[Particles], settings: ParticleImport) -> Iterator[dataset.Batch]:
    for number, particles in enumerate(track(galaxies, "Importing galaxies")):
        rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(number,)))
        rows = [{"galaxy": number, **scene(particles, settings, rng)}] if np.isfinite(log_ssfr(particles)) else []
        yield 1, 1 - len(rows), {name: np.array([row[name] for row in rows]) for name in dataset.COLUMNS}


def _galaxy(name: str, group: h5py.Group, redshift: float | None) -> Particles:
    position = _read(name, group, "coordinates", u.kpc)
    formed_mass = _read(name, group, "initial_masses", u.Msun)
    log_age = _read_log(name, group, "ages", u.yr)
    mass = (
        _read(name, group, "current_masses", u.Msun)
        if "current_masses" in group
        else formed_mass * surviving_fraction(10**log_age / 1e6)
    )
    stars = len(formed_mass)
    size = _read(name, group, "smoothing_lengths", u.kpc) if "smoothing_lengths" in group else np.zeros(stars)
    columns = {
        "initial_masses": formed_mass,
        "current_masses": mass,
        "ages": log_age,
        "metallicities": _read_log(name, group, "metallicities", u.one),
        "tau_v": _read(name, group, "tau_v", u.one),
        "smoothing_lengths": size,
    }
    for column, values in columns.items():
        if values.shape != (stars,) or not stars:
            raise CatalogueError(f"galaxy {name}: {column} has the shape {values.shape}, not ({stars},).")
    if position.shape != (stars, 3):
        raise CatalogueError(f"galaxy {name}: coordinates have the shape {position.shape}; ({stars}, 3) is needed.")
    if (columns["tau_v"] < 0).any() or (formed_mass <= 0).any() or (mass <= 0).any() or (size < 0).any():
        raise CatalogueError(f"galaxy {name}: masses must be positive, tau_v and smoothing lengths not negative.")
    if (highest := columns["metallicities"].max()) >= 0:
        raise CatalogueError(
            f"galaxy {name}: metallicities reach 10^{highest:g}; they are mass fractions of metals, below 1 (the Sun's "
            "is about 0.02, or -1.7 in log10metallicities), not relative to the Sun."
        )
    return Particles(
        name=name,
        z=_redshift(name, group) if redshift is None else redshift,
        position=position,
        formed_mass=formed_mass,
        mass=mass,
        log_age=log_age,
        log_z=columns["metallicities"],
        tau_v=columns["tau_v"],
        size=size,
    )


def _redshift(name: str, group: h5py.Group) -> float:
    for around in (group, *_parents(group)):
        if "redshift" in around.attrs:
            return float(around.attrs["redshift"])
    told = _REDSHIFT_IN_NAME.search(name)
    if told is None:
        raise CatalogueError(
            f"galaxy {name} has no redshift: no attribute `redshift`, and none in its name, such as z007p000. "
            "State it (--redshift)."
        )
    return float(f"{told[1]}.{told[2]}")


def _parents(group: h5py.Group) -> Iterator[h5py.Group]:
    while group.name != "/":
        group = group.parent
        yield group


def _read(name: str, group: h5py.Group, column: str, unit: u.UnitBase) -> Array:
    """An array in a unit."""
    if column not in group:
        needed = next((f"{each} ({meaning})" for each, meaning in NEEDED.items() if column in each), column)
        raise CatalogueError(f"galaxy {name} has no {needed}; it has {', '.join(group)}.")
    stated = group[column].attrs.get("Units", "" if unit == u.one else None)
    if stated is None:
        raise CatalogueError(f"galaxy {name}: {column} has no attribute Units; one like {unit} is needed.")
    text = stated.decode() if isinstance(stated, bytes) else str(stated)
    try:
        factor = 1.0 if text == "dimensionless" and unit == u.one else u.Unit(text).to(unit)
    except ValueError as error:
        raise CatalogueError(
            f"galaxy {name}: the attribute Units of {column} is {text!r}; one like {unit or 'dimensionless'} is needed."
        ) from error
    values = np.asarray(group[column][()], dtype=np.float64) * factor
    if not np.isfinite(values).all():
        raise CatalogueError(f"galaxy {name}: {column} has values that are not finite.")
    return values


def _read_log(name: str, group: h5py.Group, column: str, unit: u.UnitBase) -> Array:
    """log10 of an array in a unit, which stands there as it is or as its log10."""
    if f"log10{column}" in group:
        return _read(name, group, f"log10{column}", u.one)
    values = _read(name, group, column, unit)
    if (values < 0).any():
        raise CatalogueError(f"galaxy {name}: {column} has negative values; it needs values from 0 on.")
    with np.errstate(divide="ignore"):
        # The libraries' lowest ages and metallicities are the least there are.
        return np.maximum(np.log10(values), -20.0)
