"""Observations of noiseless scenes: depth, noise, sharpness, neighbours and remnants, drawn anew at every look."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from redden.grid import PIXEL_SCALE, SIZE
from redden.snr import aperture_snr
from training.scene_set import SceneSet
from training.simulate.instrument import AB_NANOJANSKY, FINE_SCALE, Sky, noise, psf
from training.simulate.scenes import aperture_noise_at
from training.simulate.settings import Range
from training.symmetry import turn

Single = NDArray[np.float32]

CEERS: Final = 28.6
"""5 sigma AB magnitude in a circle of 0.1 arcsec radius."""
DEEP: Final = 29.8
"""Three times deeper."""

SELECTED_IN: Final = ("F277W", "F356W", "F444W")
"""Bands of the selection, as in the paper."""
LEAST_SNR: Final = 5.0
"""Least signal-to-noise ratio in these of the galaxies that models are for, and tested on."""
REDSHIFT_ERROR: Final = 0.01
"""Standard error of the redshifts that are told in tests."""

GROUP: Final = 128
"""Scenes that share one survey: its sharpness and the correlation of its noise."""

_FIELD: Final = 1024
"""Side in pixels of the noise fields of which windows are taken."""
_CORRELATION_STEP: Final = 0.05


class ObservationPrior(BaseModel):
    """How scenes may be observed. Ranges are drawn from uniformly, for each survey or galaxy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    depth: Range = (CEERS, DEEP)
    """5 sigma AB magnitude in a circle of 0.1 arcsec radius, by galaxy."""
    depth_scatter: float = 0.15
    """Scatter in mag of the depths of a galaxy's bands."""
    correlation: Range = (0.3, 0.75)
    """Of the noise of neighbouring pixels, by survey."""
    blur: Range = (0.0, 0.6)
    """Dispersion in pixels of a Gaussian by which the images are less sharp than the model PSF, by survey."""
    matched: float = 0.2
    """Share of the surveys whose images are smoothed to the sharpness of F444W."""
    gradient: float = 0.2
    """Standard deviation of the sky's rise from the centre to the edge, in units of the pixel noise, by image."""
    neighbour: float = 0.2
    """Share of the galaxies with another one beside them."""
    cosmic_ray: float = 0.02
    """Share of the images with the remnant of a cosmic ray."""
    min_expected_snr: Annotated[float, Field(ge=0)] = 3.0
    """Least signal-to-noise ratio that is expected in each of `SELECTED_IN`."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Observed scenes.

    Attributes
    ----------
    pixels : ndarray of float32, shape (scenes, 32, 32, bands)
        In nJy per pixel.
    snr : ndarray of float32, shape (scenes, bands)
        As measured by `redden.snr.aperture_snr`.
    depth : ndarray of float64, shape (scenes, bands)
        5 sigma AB magnitude in a circle of 0.1 arcsec radius.
    truth, galaxy
        As in `SceneSet`.
    """

    pixels: Single
    snr: Single
    depth: NDArray[np.float64]
    truth: dict[str, NDArray[np.float64]]
    galaxy: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.galaxy)

    def rows(self, chosen: NDArray[np.integer] | NDArray[np.bool_]) -> "Observed":
        """Some of the scenes."""
        truth = {name: values[chosen] for name, values in self.truth.items()}
        return Observed(self.pixels[chosen], self.snr[chosen], self.depth[chosen], truth, self.galaxy[chosen])


def observe(scenes: SceneSet, prior: ObservationPrior, *, min_snr: float, seed: int) -> Observed:
    """Observe each scene once and keep those whose measured signal-to-noise ratio suffices in `SELECTED_IN`.

    Parameters
    ----------
    scenes : SceneSet
        What to observe.
    prior : ObservationPrior
        How.
    min_snr : float
        Least signal-to-noise ratio.
    seed : int
        Decides everything.
    """
    rng = np.random.default_rng(seed)
    selected = [scenes.bands.index(band) for band in SELECTED_IN]
    seen = [_nothing(scenes)]  # all there is if no scene is bright enough
    for rows, pixels, depth in surveys(scenes, prior, rng):
        snr = aperture_snr(pixels)
        bright = snr[:, selected].min(axis=1) >= min_snr
        chosen = rows[bright]
        truth = {name: values[chosen] for name, values in scenes.truth.items()}
        seen.append(
            Observed(pixels[bright], snr[bright].astype(np.float32), depth[bright], truth, scenes.galaxy[chosen])
        )
    return Observed(
        np.concatenate([part.pixels for part in seen]),
        np.concatenate([part.snr for part in seen]),
        np.concatenate([part.depth for part in seen]),
        {name: np.concatenate([part.truth[name] for part in seen]) for name in scenes.truth},
        np.concatenate([part.galaxy for part in seen]),
    )


def _nothing(scenes: SceneSet) -> Observed:
    """No observation of some scenes."""
    images, bands = scenes.images[:0].astype(np.float32), len(scenes.bands)
    truth = {name: values[:0] for name, values in scenes.truth.items()}
    return Observed(images, np.empty((0, bands), np.float32), np.empty((0, bands)), truth, scenes.galaxy[:0])


def surveys(
    scenes: SceneSet, prior: ObservationPrior, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], Single, NDArray[np.float64]]]:
    """All scenes that are bright enough for the depth drawn for them, in random order, a survey after the other.

    Yields
    ------
    rows : ndarray of int64, shape (n,)
        Which scenes; n is `GROUP` but for the last.
    pixels : ndarray of float32, shape (n, 32, 32, bands)
        In nJy per pixel, turned or mirrored at random.
    depth : ndarray of float64, shape (n, bands)
        5 sigma AB magnitudes.
    """
    base = rng.uniform(*prior.depth, size=(len(scenes), 1))
    depth = base + prior.depth_scatter * rng.normal(size=(len(scenes), len(scenes.bands)))
    middle = np.full(depth.shape, np.mean(prior.correlation))
    selected = [scenes.bands.index(band) for band in SELECTED_IN]
    expected = (scenes.aperture_flux() / aperture_noise_at(depth, middle))[:, selected].min(axis=1)
    order = rng.permutation(np.flatnonzero(expected >= prior.min_expected_snr))
    for start in range(0, len(order), GROUP):
        rows = order[start : start + GROUP]
        images = turn(scenes.images[rows].astype(np.float32), rng.integers(8, size=len(rows)))
        yield rows, expose_survey(images, scenes.bands, depth[rows], prior, rng), depth[rows]


def expose_survey(
    images: Single,
    bands: tuple[str, ...],
    depth: NDArray[np.float64],
    prior: ObservationPrior,
    rng: np.random.Generator,
) -> Single:
    """Observe scenes in one survey.

    Parameters
    ----------
    images : ndarray of float32, shape (n, 32, 32, bands)
        Noiseless, in nJy per pixel.
    bands : tuple of str
        Bands of the last axis.
    depth : ndarray, shape (n, bands)
        5 sigma AB magnitude in a circle of 0.1 arcsec radius.
    """
    images = images + _neighbours(images, prior.neighbour, rng)
    matched = rng.random() < prior.matched
    extra = rng.uniform(*prior.blur)
    widths = np.hypot(extra, [_matching_width(band) if matched else 0.0 for band in bands])
    images = _blurred(images, widths)
    correlation = round(rng.uniform(*prior.correlation) / _CORRELATION_STEP) * _CORRELATION_STEP
    field = _noise_field(correlation)
    aperture_rms = (10 ** ((AB_NANOJANSKY - depth) / 2.5) / 5).astype(np.float32)[:, None, None, :]
    corner = rng.integers(_FIELD - SIZE, size=(2, len(images), len(bands)))
    windows = sliding_window_view(field, (SIZE, SIZE))[corner[0], corner[1]]
    pixel_rms = np.float32(field.std()) * aperture_rms
    images += np.moveaxis(windows, 1, -1) * aperture_rms
    images += _gradient(len(images), len(bands), prior.gradient, rng) * pixel_rms
    _hit(images, pixel_rms[:, 0, 0, :], prior.cosmic_ray, rng)
    return images


def _neighbours(images: Single, share: float, rng: np.random.Generator) -> Single:
    """Other galaxies of the group, brighter or fainter, 0.3-0.75 arcsec away."""
    beside = np.zeros_like(images)
    for row in np.flatnonzero(rng.random(len(images)) < share):
        other = images[rng.integers(len(images))] * np.float32(rng.lognormal(-0.3, 0.8))
        distance, angle = rng.uniform(10, 25), rng.uniform(0, 2 * np.pi)
        dy, dx = round(distance * np.sin(angle)), round(distance * np.cos(angle))
        to = np.s_[max(dy, 0) : SIZE + min(dy, 0), max(dx, 0) : SIZE + min(dx, 0)]
        source = np.s_[max(-dy, 0) : SIZE + min(-dy, 0), max(-dx, 0) : SIZE + min(-dx, 0)]
        beside[row][to] = other[source]
    return beside


def _blurred(images: Single, widths: NDArray[np.float64]) -> Single:
    """Images convolved with a Gaussian of a dispersion in pixels for each band; the edge is repeated outwards."""
    blurred = np.empty_like(images)
    for band, width in enumerate(widths):
        matrix = _gaussian_matrix(round(float(width), 2))
        blurred[..., band] = np.matmul(np.matmul(matrix, images[..., band]), matrix.T)
    return blurred


@lru_cache(512)
def _gaussian_matrix(width: float) -> Single:
    if width < 0.05:
        return np.eye(SIZE, dtype=np.float32)
    reach = int(np.ceil(4 * width))
    offset = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offset / width) ** 2)
    matrix = np.zeros((SIZE, SIZE))
    for row in range(SIZE):
        np.add.at(matrix[row], np.clip(row + offset, 0, SIZE - 1), kernel / kernel.sum())
    return matrix.astype(np.float32)


@lru_cache
def _matching_width(band: str) -> float:
    """Dispersion in pixels of the Gaussian that makes a band about as sharp as F444W."""
    return float(np.sqrt(max(_dispersion("F444W") ** 2 - _dispersion(band) ** 2, 0.0)))


@lru_cache
def _dispersion(band: str) -> float:
    """Of a Gaussian as wide at half of its peak as a band's PSF, in pixels."""
    image = psf(band)
    area = (image > image.max() / 2).sum() * FINE_SCALE**2
    return float(np.sqrt(area / (2 * np.pi * np.log(2)))) / PIXEL_SCALE


@lru_cache
def _noise_field(correlation: float) -> Single:
    """Sky noise with a standard deviation of 1 nJy in a circle of 0.1 arcsec radius."""
    rng = np.random.default_rng(round(100 * correlation))
    return np.asarray(noise(Sky(1.0, correlation), 1, rng, _FIELD)[..., 0], dtype=np.float32)


def _gradient(images: int, bands: int, strength: float, rng: np.random.Generator) -> Single:
    """Planes that rise from 0 in the centre to the edge."""
    axis = np.linspace(-1, 1, SIZE)
    slope = strength * rng.normal(size=(2, images, 1, 1, bands))
    plane = slope[0] * axis[None, :, None, None] + slope[1] * axis[None, None, :, None]
    return np.asarray(plane, dtype=np.float32)


def _hit(images: Single, pixel_rms: Single, share: float, rng: np.random.Generator) -> None:
    """Leave remnants of cosmic rays: short streaks, well above the noise."""
    for row, band in np.argwhere(rng.random(pixel_rms.shape) < share):
        y, x = rng.integers(1, SIZE - 1, size=2)
        dy, dx = rng.integers(-1, 2, size=2)
        bright = np.float32(rng.uniform(5, 30)) * pixel_rms[row, band]
        images[row, y, x, band] += bright
        images[row, y + dy, x + dx, band] += bright * np.float32(0.5)
