"""Strange cutouts: each kind is what its name says."""

import numpy as np
import pytest
from numpy.typing import NDArray

from redden.bands import BANDS
from redden.grid import PIXEL_SCALE, SIZE
from redden.snr import aperture_snr
from training.observe import SELECTED_IN, ObservationPrior
from training.outliers import FITTED, KINDS
from training.outliers.artefacts import edge, rescaled, saturate, swap_bands
from training.outliers.draw import draw, telescope
from training.outliers.scenes import low_redshift, sersic, stars
from training.outliers.spectra import galaxy_colours, star_colours
from training.scene_set import SceneSet

Array = NDArray[np.float64]
NAMES = tuple(BANDS)


def blobs(count: int, width: float = 3.0, flux: float = 300.0) -> Array:
    """Round galaxies, a little redder one after the other."""
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    profile = np.exp(-(x**2 + y**2) / (2 * width**2)) / (2 * np.pi * width**2)
    colour = np.linspace(0.5, 1.5, 7) ** np.linspace(-1, 1, count)[:, None]
    return flux * profile[None, :, :, None] * colour[:, None, None, :]


def scenes(count: int) -> SceneSet:
    truth = {name: np.full(count, 1.0) for name in ("a_v", "e_bv", "r_v", "log_ssfr")}
    return SceneSet(NAMES, blobs(count).astype(np.float16), truth | {"z": np.full(count, 7.0)}, np.arange(count))


def half_light_radius(picture: Array) -> float:
    """In pixels, about the centre."""
    y, x = np.mgrid[: len(picture), : len(picture)] - (len(picture) - 1) / 2
    order = np.argsort(np.hypot(x, y), axis=None)
    light = np.cumsum(picture.ravel()[order])
    return float(np.hypot(x, y).ravel()[order][np.searchsorted(light, light[-1] / 2)])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn_as_it_is_asked_for(kind: str) -> None:
    pixels, redshift, where = draw(kind, scenes(40), ObservationPrior(), count=12, min_snr=5.0, seed=3)
    assert pixels.shape == (12, SIZE, SIZE, 7)
    assert pixels.dtype == np.float32
    assert np.isfinite(pixels).all()
    assert where.any(axis=1).all()
    assert where.all() == (kind not in {"edge", "two bands swapped"})
    has_redshifts = kind.startswith("low redshift") or kind in {"smooth geometry", "stars of BPASS"}
    assert np.isfinite(redshift).all() == has_redshifts
    if kind != "noise":
        selected = [NAMES.index(band) for band in SELECTED_IN]
        assert (np.abs(aperture_snr(pixels)[:, selected]) >= 5).all()


def test_the_score_is_fitted_to_what_it_must_tell_apart_and_tested_on_more() -> None:
    assert set(FITTED) < set(KINDS)
    assert "two bands swapped" not in FITTED


def test_equal_seeds_give_equal_cutouts() -> None:
    first, second, other = (
        draw("edge", scenes(40), ObservationPrior(), count=5, min_snr=5.0, seed=seed)[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_noise_has_no_source() -> None:
    pixels, _, _ = draw("noise", scenes(4), ObservationPrior(neighbour=0.0), count=200, min_snr=5.0, seed=0)
    assert np.abs(np.median(aperture_snr(pixels))) < 0.5


def test_the_telescope_adds_noise_of_the_stated_depth() -> None:
    prior = ObservationPrior(depth=(28.6, 28.6), depth_scatter=0.0, gradient=0.0, cosmic_ray=0.0, neighbour=0.0)
    seen = telescope(prior)(np.zeros((300, SIZE, SIZE, 7)), np.random.default_rng(0))
    offset = (np.arange(SIZE) - (SIZE - 1) / 2) * PIXEL_SCALE
    circle = np.hypot(offset[:, None], offset) <= 0.1
    assert seen[:, circle].sum(axis=1).std() == pytest.approx(2.64, rel=0.1)


def test_stars_are_as_sharp_as_the_telescope_and_hot_ones_blue() -> None:
    pictures = stars(np.random.default_rng(1), 40, magnitude=(24.0, 24.0))
    radii = [half_light_radius(picture[..., 0]) for picture in pictures]
    assert np.median(radii) < 2.5
    hot, cool = star_colours(np.array([9000.0, 500.0]), np.random.default_rng(0))
    assert hot[0] > 2 * hot[-1]
    assert cool[-1] > 2 * cool[3]


def test_stars_have_the_stated_brightness() -> None:
    flux = stars(np.random.default_rng(2), 30, magnitude=(24.0, 24.0)).mean(axis=-1).sum(axis=(1, 2))
    assert np.median(flux) == pytest.approx(10 ** (0.4 * (31.4 - 24.0)), rel=0.1)


def test_old_galaxies_nearby_are_brightest_near_2_microns() -> None:
    rng = np.random.default_rng(0)
    bulges = np.median([galaxy_colours(0.2, rng)[0] for _ in range(10)], axis=0)
    assert bulges.argmax() in (1, 2)  # 1.6 um, redshifted by 1.2
    assert bulges[-1] < bulges[2]


def test_galaxies_at_low_redshift_have_their_redshift() -> None:
    pictures, redshift = low_redshift(np.random.default_rng(0), 6)
    assert ((redshift > 0.1) & (redshift < 3)).all()
    assert np.isfinite(pictures).all()
    assert (pictures.sum(axis=(1, 2)) > 0).all()


@pytest.mark.parametrize("index", [0.5, 1.0, 4.0])
def test_half_of_the_points_of_a_profile_lie_within_its_radius(index: float) -> None:
    x, y = sersic(index, 0.4, 0.5, angle=0.0)
    assert (np.hypot(x, y / 0.5) < 0.4).mean() == pytest.approx(0.5, abs=0.005)
    assert abs(x.mean()) < 0.01


@pytest.mark.parametrize("scale", [0.015, 0.02, 0.04, 0.063])
def test_another_pixel_scale_changes_the_size_in_pixels_and_keeps_the_flux(scale: float) -> None:
    galaxy = blobs(1, width=2.0)
    other = rescaled(galaxy, scale)
    assert other.sum() == pytest.approx(galaxy.sum(), rel=0.02)
    expected = half_light_radius(galaxy[0, ..., 0]) * PIXEL_SCALE / scale
    assert half_light_radius(other[0, ..., 0]) == pytest.approx(expected, abs=0.8)


def test_saturated_cores_are_clipped_emptied_or_filled() -> None:
    pictures = blobs(30)
    spoilt = saturate(np.random.default_rng(0), pictures)
    galaxies = spoilt[1::2]  # the others gave way to stars
    contrast = [each[:, 15:17, 15:17].mean(axis=(1, 2)) / each[:, 8, 16] for each in (galaxies, pictures[1::2])]
    assert (contrast[0] < contrast[1]).all()
    emptied = galaxies[:, 15:17, 15:17].max(axis=(1, 2, 3)) == 0
    assert 0 < emptied.sum() < len(galaxies)


def test_edges_spoil_a_part_of_a_picture() -> None:
    rng = np.random.default_rng(0)
    pixels = blobs(60) + rng.normal(size=(60, SIZE, SIZE, 7))
    spoilt, where = edge(rng, pixels)
    changed = (spoilt != pixels).any(axis=-1).mean(axis=(1, 2))
    assert (changed > 0).all()
    assert (changed < 0.5).all()
    np.testing.assert_array_equal((spoilt != pixels).any(axis=(1, 2)), where)
    assert 20 < where.all(axis=1).sum() < 45


def test_swapped_bands_are_the_same_pictures_in_another_order() -> None:
    pictures = blobs(20)
    swapped, where = swap_bands(np.random.default_rng(0), pictures)
    np.testing.assert_array_equal(np.sort(swapped, axis=-1), np.sort(pictures, axis=-1))
    changed = (swapped != pictures).any(axis=(1, 2))
    assert (changed.sum(axis=-1) == 2).sum() >= 18  # the middle ones are grey
    np.testing.assert_array_equal(where.sum(axis=-1), 2)
    assert where[changed].all()
