"""From settings to a data set: one galaxy after the other, on several processes, the same whatever their number."""

import os
from collections.abc import Iterator
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

from redden import __version__
from redden.bands import BANDS
from redden.grid import PIXEL_SCALE, SIZE
from redden.snr import aperture_snr
from training import dataset
from training.simulate.dust_screen import VIEWS, sky_axes, tau_v
from training.simulate.gas import GasCells, draw_gas, draw_log_metallicity
from training.simulate.geometry import draw_structure, place_stars
from training.simulate.instrument import image, noise
from training.simulate.population import Galaxy, draw_galaxy
from training.simulate.settings import Settings
from training.simulate.spectra import band_table, behind_dust, label_table, metallicity, mixture

Array = NDArray[np.float64]

_GALAXIES_PER_TASK: Final = 16
_THREAD_LIMITS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Mock:
    """A galaxy in three dimensions, with the spectra of its stars."""

    galaxy: Galaxy
    stars: Array
    """Positions of the star particles in kpc, shape (stars, 3)."""
    gas: GasCells
    log_flux: Array
    """Natural log of the flux of every star particle, shape (stars, bands + 2, tau); the last two are rest B and V."""


@dataclass(frozen=True, slots=True)
class View:
    """A mock galaxy as seen from one side: where its stars are in the sky, and the dust in front of them."""

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
    starts = range(0, settings.galaxies, _GALAXIES_PER_TASK)
    tasks = [range(start, min(start + _GALAXIES_PER_TASK, settings.galaxies)) for start in starts]
    # Threads of the linear algebra would fight with the processes, and round differently.
    os.environ.update(dict.fromkeys(_THREAD_LIMITS, "1"))
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        results = pool.map(partial(simulate_galaxies, settings), tasks)
        return dataset.write(
            directory,
            _with_progress(results, settings.galaxies),
            source="redden forward model",
            bands=settings.observation.bands,
            settings=settings.model_dump(mode="json"),
            software=f"redden {__version__}",
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
    rejected = 0
    for number in galaxies:
        rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(number,)))
        mock = make_mock(settings, rng)
        for row in observe(settings, mock, rng):
            if row["snr"].min() >= settings.observation.min_snr:
                rows.append({"galaxy": number, **row})
            else:
                rejected += 1
    return len(galaxies), rejected, {name: np.array([row[name] for row in rows]) for name in dataset.COLUMNS}


def make_mock(settings: Settings, rng: np.random.Generator) -> Mock:
    """Draw a galaxy: its history, its structure, its gas and the spectra of its stars."""
    galaxy = draw_galaxy(settings.population, rng)
    structure = draw_structure(settings.geometry, galaxy, rng)
    log_z = draw_log_metallicity(settings.gas, galaxy, rng)
    stars = place_stars(settings.geometry, structure, galaxy.age, rng)
    gas = draw_gas(settings.gas, settings.geometry, galaxy, structure, log_z, rng)
    # Stars have the metallicity that the gas had when the galaxy was as light as at their birth.
    enrichment = settings.gas.log_metallicity_per_log_mass * np.log10(galaxy.formed_before)
    star_z = rng.normal(log_z + enrichment, settings.gas.cell_scatter)
    tables = np.concatenate([band_table(settings.observation.bands, galaxy.z), label_table()], axis=1)
    weights = mixture(np.log10(galaxy.age) + 6, metallicity(star_z))
    log_flux = (weights @ tables.reshape(len(tables), -1)).reshape(-1, *tables.shape[1:])
    return Mock(galaxy, stars, gas, log_flux + np.log(galaxy.formed_mass))


def look(mock: Mock, view: Array) -> View:
    """Project a mock galaxy and compute the dust in front of its stars.

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


def expose(
    settings: Settings, mock: Mock, view: View, dtm: float, rng: np.random.Generator, size: int = SIZE
) -> tuple[Array, dict[str, float]]:
    """Noiseless image and labels of a mock galaxy at a dust-to-metal ratio.

    The image is centred on the centroid of the reddest band, but for a random offset.

    Returns
    -------
    pixels : ndarray, shape (size, size, bands)
        In nJy per pixel.
    labels : dict of str to float
        ``a_v``, ``e_bv`` and ``r_v`` of the rest-frame continuum.
    """
    bands = settings.observation.bands
    flux = behind_dust(mock.log_flux, dtm * view.tau_v)
    clear = np.exp(mock.log_flux[:, -2:, 0]).sum(axis=0)
    a_b, a_v = -2.5 * np.log10(flux[:, -2:].sum(axis=0) / clear)
    labels = {"a_v": a_v, "e_bv": a_b - a_v, "r_v": a_v / (a_b - a_v) if dtm > 0 else np.nan}

    reddest = flux[:, bands.index(max(bands, key=lambda name: BANDS[name].pivot))]
    offset_x, offset_y = rng.uniform(-1, 1, 2) * settings.observation.centring * PIXEL_SCALE
    x = view.x - np.average(view.x, weights=reddest) + offset_x
    y = view.y - np.average(view.y, weights=reddest) + offset_y
    return image(x, y, flux[:, :-2], bands, size), labels


def observe(settings: Settings, mock: Mock, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Noisy images of a galaxy with their labels, bright enough or not."""
    sampling, observation = settings.sampling, settings.observation
    for orientation, direction in enumerate(VIEWS[: sampling.orientations]):
        view = look(mock, direction)
        for dtm in np.sort(rng.choice(sampling.dtm, sampling.dtm_draws, replace=False)):
            pixels, labels = expose(settings, mock, view, dtm, rng)
            pixels += noise(observation.depth, observation.noise_correlation, len(observation.bands), rng)
            yield {
                "images": pixels,
                "orientation": orientation,
                "dtm": dtm,
                "z": mock.galaxy.z,
                "log_mass": mock.galaxy.log_mass,
                "log_ssfr": mock.galaxy.log_ssfr,
                "snr": aperture_snr(pixels),
                **labels,
            }


def _with_progress(results: Iterator[dataset.Batch], galaxies: int) -> Iterator[dataset.Batch]:
    """Pass batches on and show how far they are."""
    columns = (TextColumn("Simulating"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("galaxies", total=galaxies)
        for batch in results:
            yield batch
            progress.advance(task, batch[0])
