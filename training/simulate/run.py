"""From settings to a data set: one galaxy after the other, on several processes, the same whatever their number."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.cosmology import Planck15
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from redden.bands import BANDS
from redden.grid import PIXEL_SCALE, SIZE
from redden.snr import aperture_snr
from training import dataset
from training.simulate.dust_screen import VIEWS, sky_axes, tau_v
from training.simulate.gas import GasCells, draw_gas, draw_log_metallicity
from training.simulate.geometry import draw_structure, place_stars
from training.simulate.instrument import draw_sky, image, noise
from training.simulate.population import Galaxy, draw_galaxy
from training.simulate.settings import Settings, Spectra
from training.simulate.spectra import band_table, behind_dust, label_table, metallicity, mixture
from training.software import CODE_VERSION

Array = NDArray[np.float64]

_GALAXIES_PER_TASK: Final = 16
_THREAD_LIMITS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Mock:
    """A galaxy in three dimensions."""

    galaxy: Galaxy
    stars: Array
    """Positions of the star particles in kpc, shape (stars, 3)."""
    gas: GasCells
    light: Array
    """Natural log of the light of the star particles behind each of ``TAU_NODES``, shape (stars, bands + 2, tau).

    In nJy for the bands; the last two are rest-frame B and V of the continuum, in another unit.
    """


@dataclass(frozen=True, slots=True)
class View:
    """A galaxy as seen from one side: where its stars are in the sky, and the dust in front of them."""

    x: Array
    """In arcsec."""
    y: Array
    tau_v: Array
    """Optical depth in V at a dust-to-metal ratio of 1."""


def simulate(settings: Settings, directory: Path, processes: int) -> dataset.DatasetCard:
    """Simulate galaxies and write those images that are bright enough as a data set.

    Parameters
    ----------
    settings : Settings
        Equal settings give equal content, whatever the number of processes.
    directory : Path
        New or empty directory.
    processes : int
        Worker processes; each uses one thread.

    Returns
    -------
    DatasetCard
    """
    return dataset.write(
        directory,
        in_processes(partial(simulate_galaxies, settings), settings.galaxies, processes),
        source="redden forward model",
        bands=settings.observation.bands,
        settings=settings.model_dump(mode="json"),
        software=f"redden {CODE_VERSION}",
    )


def simulate_galaxies(settings: Settings, galaxies: range) -> dataset.Batch:
    """Simulate some galaxies.

    Returns
    -------
    galaxies : int
        How many.
    rejected : int
        Images that are too faint.
    rows : dict of str to ndarray
        The other images and their labels, as in ``training.dataset.COLUMNS``.
    """
    rows: list[dict[str, Any]] = []
    for number in galaxies:
        rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(number,)))
        rows += [{"galaxy": number, **row} for row in simulate_galaxy(settings, rng)]
    images = len(galaxies) * settings.sampling.orientations * settings.sampling.dtm_draws
    columns = {name: np.array([row[name] for row in rows]) for name in dataset.COLUMNS}
    return len(galaxies), images - len(rows), columns


def simulate_galaxy(settings: Settings, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Simulate one galaxy: its images that are bright enough, with their labels.

    Images are not even drawn if the flux of the whole galaxy is below what the noisier, smaller aperture alone asks
    for; of those, noise would lift fewer than one in 10^4 over the threshold.
    """
    bands, sampling = settings.observation.bands, settings.sampling
    sky = draw_sky(settings.observation, rng)
    least_flux = settings.observation.min_snr * sky.aperture_rms
    mock = draw_mock(settings, rng)
    if np.exp(mock.light[:, : len(bands), 0]).sum(axis=0).min() < least_flux:
        return

    for orientation, direction in enumerate(VIEWS[: sampling.orientations]):
        view = look(mock, direction)
        for dtm in np.sort(rng.choice(sampling.dtm, sampling.dtm_draws, replace=False)):
            flux, labels = attenuate(mock.light, dtm * view.tau_v)
            if flux.sum(axis=0).min() < least_flux:
                continue
            clean = expose(settings, view, flux, rng)
            pixels = clean + noise(sky, len(bands), rng)
            snr = aperture_snr(pixels)
            if snr.min() >= settings.observation.min_snr:
                yield {
                    "images": pixels if settings.observation.keep_noise else clean,
                    "orientation": orientation,
                    "dtm": dtm,
                    "z": mock.galaxy.z,
                    "log_mass": mock.galaxy.log_mass,
                    "log_ssfr": mock.galaxy.log_ssfr,
                    "snr": snr,
                    **labels,
                }


def draw_mock(settings: Settings, rng: np.random.Generator) -> Mock:
    """Draw a galaxy: its history, the light of its stars, and where stars and gas are."""
    galaxy = draw_galaxy(settings.population, rng)
    log_z = draw_log_metallicity(settings.gas, galaxy, rng)
    structure = draw_structure(settings.geometry, galaxy, rng)
    return Mock(
        galaxy=galaxy,
        stars=place_stars(settings.geometry, structure, galaxy.age, rng),
        gas=draw_gas(settings.gas, settings.geometry, galaxy, structure, log_z, rng),
        light=shine(settings, galaxy, log_z, rng),
    )


def shine(settings: Settings, galaxy: Galaxy, log_metallicity: float, rng: np.random.Generator) -> Array:
    """Light of the star particles behind every optical depth of ``TAU_NODES``, see `Mock.light`.

    Stars have the metallicity that the gas had when the galaxy was as light as at their birth.

    Parameters
    ----------
    log_metallicity : float
        Of the gas, log10 Z/Zsun.
    """
    enrichment = settings.gas.log_metallicity_per_log_mass * np.log10(galaxy.formed_before)
    log_z = rng.normal(log_metallicity + enrichment, settings.gas.cell_scatter)
    # A stream of its own: how much lines scatter changes nothing else.
    boost = line_boost(settings.spectra.line_scatter, rng.spawn(1)[0])
    bands, age = settings.observation.bands, np.log10(galaxy.age) + 6
    return starlight(bands, galaxy.z, settings.spectra, age, metallicity(log_z), galaxy.formed_mass, boost)


def starlight(
    bands: tuple[str, ...],
    z: float,
    light: Spectra,
    log_age: Array,
    log_z: Array,
    formed_mass: float | Array,
    boost: Array | None = None,
) -> Array:
    """Light of star particles behind every optical depth of ``TAU_NODES``, see `Mock.light`.

    Parameters
    ----------
    bands : tuple of str
        NIRCam bands.
    z : float
        Redshift.
    light : Spectra
        Library of stars and extinction curve.
    log_age, log_z : ndarray, shape (stars,)
        log10 of years, and of the mass fraction of metals; clipped to the library's.
    formed_mass : float or ndarray, shape (stars,)
        Mass in Msun with which the particles formed.
    boost : ndarray, shape (lines,), optional
        Factor on each of ``LINES``.
    """
    table = np.concatenate([band_table(bands, z, light, boost), label_table(light)], axis=1)
    weights = mixture(log_age, log_z).astype(np.float32)
    log_flux = (weights @ table.reshape(len(table), -1)).reshape(-1, *table.shape[1:])
    return np.asarray(log_flux + np.log(formed_mass, dtype=np.float64).astype(np.float32).reshape(-1, 1, 1))


def line_boost(scatter: float, rng: np.random.Generator) -> Array:
    """Factor on each of ``LINES``: one on all of them, and one on each metal's lines, lognormal.

    Parameters
    ----------
    scatter : float
        In dex.
    """
    every, oxygen_2, oxygen_3, nitrogen = 10 ** (scatter * rng.normal(size=4))
    return float(every) * np.array([oxygen_2, oxygen_3, 1, 1, 1, oxygen_3, oxygen_3, 1, nitrogen])


def look(mock: Mock, view: Array) -> View:
    """Project a galaxy and compute the dust in front of its stars.

    Parameters
    ----------
    view : ndarray, shape (3,)
        Unit vector towards the observer.
    """
    axes = sky_axes(view)
    stars = mock.stars @ axes.T
    arcsec_per_kpc = float(Planck15.arcsec_per_kpc_proper(mock.galaxy.z).value)
    x, y = stars[:, :2].T * arcsec_per_kpc
    return View(x, y, tau_v(stars, mock.gas, mock.gas.position @ axes.T))


def attenuate(light: Array, tau: Array) -> tuple[Array, dict[str, float]]:
    """Flux of the star particles behind their dust, and what it does to the galaxy's rest-frame continuum.

    Parameters
    ----------
    light : ndarray of float32, shape (stars, bands + 2, tau)
        See `Mock.light`.
    tau : ndarray, shape (stars,)
        Optical depth in V.

    Returns
    -------
    flux : ndarray, shape (stars, bands)
        In nJy.
    labels : dict of str to float
        ``a_v``, ``e_bv`` and ``r_v``; without dust 0, 0 and NaN.
    """
    flux = behind_dust(light, tau)
    clear = np.exp(light[:, -2:, 0].astype(np.float64)).sum(axis=0)
    a_b, a_v = -2.5 * np.log10(flux[:, -2:].sum(axis=0) / clear) + 0.0  # 0 without dust, not -0
    e_bv = a_b - a_v
    return flux[:, :-2], {"a_v": a_v, "e_bv": e_bv, "r_v": a_v / e_bv if tau.any() else np.nan}


def expose(settings: Settings, view: View, flux: Array, rng: np.random.Generator, size: int = SIZE) -> Array:
    """Noiseless image, centred on the centroid of the reddest band but for a random offset.

    Returns
    -------
    ndarray, shape (size, size, bands)
        In nJy per pixel.
    """
    bands = settings.observation.bands
    reddest = flux[:, bands.index(max(bands, key=lambda name: BANDS[name].pivot))]
    offset = rng.uniform(-1, 1, 2) * settings.observation.centring * PIXEL_SCALE
    x = view.x - np.average(view.x, weights=reddest) + offset[0]
    y = view.y - np.average(view.y, weights=reddest) + offset[1]
    return image(x, y, flux, bands, size)


def in_processes(
    simulate_some: Callable[[range], dataset.Batch], galaxies: int, processes: int
) -> Iterator[dataset.Batch]:
    """Simulate galaxies on several processes, in order, and show how far they are.

    Parameters
    ----------
    simulate_some : callable
        Simulates the galaxies of these numbers; it is sent to other processes.
    galaxies : int
        How many.
    processes : int
        Worker processes; each uses one thread.

    Yields
    ------
    Batch
    """
    starts = range(0, galaxies, _GALAXIES_PER_TASK)
    tasks = [range(start, min(start + _GALAXIES_PER_TASK, galaxies)) for start in starts]
    columns = (TextColumn("Simulating"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    # Threads of the linear algebra would fight with the processes, and round differently.
    os.environ.update(dict.fromkeys(_THREAD_LIMITS, "1"))
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool, Progress(*columns) as progress:
        bar = progress.add_task("galaxies", total=galaxies)
        try:
            for batch in pool.map(simulate_some, tasks):
                yield batch
                progress.advance(bar, batch[0])
        finally:
            # Whoever interrupts a run does not wait for the galaxies that are left.
            pool.shutdown(cancel_futures=True)
