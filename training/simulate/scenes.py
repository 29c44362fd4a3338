"""Scenes: noiseless galaxies in all bands, each with its own stars, dust and geometry, to be observed many times.

What an observation adds (depth, noise, sharpness, neighbours) is drawn anew whenever a scene is looked at, see
`training.observe`; what costs time to compute is computed once, here.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from redden.grid import PIXEL_SCALE, SIZE
from redden.snr import APERTURE_RADIUS, correlated_pixels
from training import dataset
from training.simulate.instrument import AB_NANOJANSKY, NOISE_RADIUS
from training.simulate.run import attenuate, draw_mock, expose, in_processes, look
from training.simulate.settings import Scenes, Settings, Spectra, Variety
from training.software import CODE_VERSION

NOISELESS: Final = "noiseless scenes"
"""How the source of such a data set ends, in its card, whoever simulated the galaxies."""
SOURCE: Final = f"redden forward model, {NOISELESS}"
"""That of the built-in forward model."""

_offset: Final = (np.arange(SIZE) - (SIZE - 1) / 2) * PIXEL_SCALE
APERTURE: Final = np.hypot(_offset[:, None], _offset) <= APERTURE_RADIUS
"""Pixels of the circle in which signal-to-noise ratios are measured, shape (32, 32)."""


def aperture_noise_at(depth: NDArray[np.float64], correlation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Noise in nJy of the flux in a circle of 0.16 arcsec radius.

    Parameters
    ----------
    depth : ndarray
        5 sigma AB magnitude in a circle of 0.1 arcsec radius.
    correlation : ndarray
        Of the noise of neighbouring pixels.
    """
    growth = np.sqrt(correlated_pixels(correlation, APERTURE_RADIUS) / correlated_pixels(correlation, NOISE_RADIUS))
    return np.asarray(10 ** ((AB_NANOJANSKY - depth) / 2.5) / 5 * growth)


def simulate_scenes(scenes: Scenes, directory: Path, processes: int) -> dataset.DatasetCard:
    """Simulate scenes and write them as a data set.

    Its ``images`` have no noise, ``snr`` is what is expected at the depth of ``scenes.observation``, and
    ``orientation`` is the number of the view.

    Parameters
    ----------
    scenes : Scenes
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
        in_processes(partial(scenes_of, scenes), scenes.galaxies, processes),
        source=SOURCE,
        bands=scenes.observation.bands,
        settings=scenes.model_dump(mode="json"),
        software=f"redden {CODE_VERSION}",
    )


def scenes_of(scenes: Scenes, galaxies: range) -> dataset.Batch:
    """Simulate the scenes of some galaxies: how many galaxies, how many views are too faint, and the others."""
    rows: list[dict[str, Any]] = []
    for number in galaxies:
        rng = np.random.default_rng(np.random.SeedSequence(scenes.seed, spawn_key=(number,)))
        rows += [{"galaxy": number, **row} for row in scenes_of_galaxy(scenes, rng)]
    columns = {name: np.array([row[name] for row in rows]) for name in dataset.COLUMNS}
    return len(galaxies), len(galaxies) * scenes.views - len(rows), columns


def scenes_of_galaxy(scenes: Scenes, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Views of one galaxy that are bright enough, with their labels."""
    settings = draw_settings(scenes, rng)
    bands = settings.observation.bands
    depth, correlation = settings.observation.depth[0], settings.observation.noise_correlation[0]
    noise = float(aperture_noise_at(np.array(depth), np.array(correlation)))
    least_flux = settings.observation.min_snr * noise
    selected = [bands.index(band) for band in scenes.selected_in]
    mock = draw_mock(settings, rng)
    if np.exp(mock.light[:, selected, 0]).sum(axis=0).min() < least_flux:
        return
    for view in range(scenes.views):
        direction = rng.normal(size=3)
        seen = look(mock, direction / np.linalg.norm(direction))
        dtm = rng.uniform(*scenes.variety.dtm)
        flux, labels = attenuate(mock.light, dtm * seen.tau_v)
        if flux[:, selected].sum(axis=0).min() < least_flux:
            continue
        pixels = expose(settings, seen, flux, rng)
        snr = pixels[APERTURE].sum(axis=0) / noise
        if snr[selected].min() >= settings.observation.min_snr:
            yield {
                "images": pixels,
                "orientation": view,
                "dtm": dtm,
                "z": mock.galaxy.z,
                "log_mass": mock.galaxy.log_mass,
                "log_ssfr": mock.galaxy.log_ssfr,
                "snr": snr,
                **labels,
            }


def draw_settings(scenes: Scenes, rng: np.random.Generator) -> Settings:
    """The settings of one galaxy."""
    variety = scenes.variety
    drawn = {name: rng.uniform(*getattr(variety, name)) for name in _GEOMETRY}
    gas = scenes.gas.model_copy(update={"log_gas_to_stars": rng.uniform(*variety.log_gas_to_stars)})
    return Settings(
        population=scenes.population,
        gas=gas,
        geometry=scenes.geometry.model_copy(update=drawn),
        spectra=_draw_spectra(variety, rng),
        observation=scenes.observation,
    )


_GEOMETRY: Final = ("effective_radius", "gas_in_clouds", "cloud_radius", "cleared")


def _draw_spectra(variety: Variety, rng: np.random.Generator) -> Spectra:
    library = variety.library[rng.integers(len(variety.library))]
    curve = variety.curve[rng.integers(len(variety.curve))]
    return Spectra(library=library, curve=curve, line_scatter=variety.line_scatter)
