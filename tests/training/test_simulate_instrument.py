"""The telescope of the forward model: flux, centring, sharpness and noise."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from redden.bands import BANDS
from redden.grid import PIXEL_SCALE
from training.simulate.instrument import NOISE_RADIUS, Sky, deposit, draw_sky, image, noise, psf
from training.simulate.settings import Observation

Array = NDArray[np.float64]
LONG = ("F277W", "F356W", "F444W")


def star(bands: tuple[str, ...], x: float = 0.0, y: float = 0.0, size: int = 32) -> Array:
    return image(np.array([x]), np.array([y]), np.full((1, len(bands)), 100.0), bands, size)


def encircled(picture: Array, centre: float, radius: float) -> float:
    """Flux within a radius in pixels."""
    y, x = np.indices(picture.shape) - centre
    return float(picture[np.hypot(x, y) <= radius].sum())


def test_every_band_has_a_psf_that_grows_with_wavelength() -> None:
    areas = []
    for band in BANDS:
        picture = psf(band)
        assert picture.sum() == pytest.approx(1)
        assert np.unravel_index(picture.argmax(), picture.shape) == (60, 60)
        areas.append((picture > picture.max() / 2).sum())
    assert areas[0] < areas[3] < areas[4] <= areas[6]


def test_the_psf_has_the_width_of_stars_in_mosaics() -> None:
    # A star in the centre of a pixel; widths of measured star stacks, as the area above half of the peak.
    pictures = star(LONG, PIXEL_SCALE / 2, PIXEL_SCALE / 2)
    width = 2 * np.sqrt((pictures > pictures.max(axis=(0, 1)) / 2).sum(axis=(0, 1)) / np.pi)
    np.testing.assert_allclose(width, [4.1, 5.0, 5.2], atol=0.25)


def test_the_psf_has_the_encircled_energy_of_star_stacks(real_images: Path) -> None:
    pictures = star(LONG, PIXEL_SCALE / 2, PIXEL_SCALE / 2, size=48)
    for i, band in enumerate(LONG):
        stack = fits.getdata(real_images / "psf" / f"starstack_{band}.fits").astype(np.float64)
        for radius in (2, 3, 4, 5, 8, 10):
            # The model ends where 0.965 of the stack's light is in.
            measured = encircled(stack, 66, radius) / stack.sum() / 0.965
            assert encircled(pictures[..., i], 24, radius) / 100 == pytest.approx(measured, abs=0.03)


def test_flux_is_kept_and_mirrored_with_position() -> None:
    left, right = star(LONG, x=-0.1), star(LONG, x=0.1)
    up = star(LONG, y=0.1)
    assert up[16:].sum() > 2 * up[:16].sum()
    assert right[:, 16:].sum() > 2 * right[:, :16].sum()
    assert left.sum() == pytest.approx(right.sum(), rel=0.02)
    assert star(LONG, size=120).sum(axis=(0, 1)) == pytest.approx(100.0)


def test_a_shift_by_a_pixel_shifts_the_image() -> None:
    here, there = star(LONG), star(LONG, x=PIXEL_SCALE, y=-2 * PIXEL_SCALE)
    # The transform is in single precision: a millionth of the flux.
    np.testing.assert_allclose(there[:-2, 1:], here[2:, :-1], atol=1e-6 * 100)


def test_light_from_beside_the_cutout_comes_in_and_from_far_away_does_not() -> None:
    beside, far = star(LONG, x=0.6), star(LONG, x=3.0)
    assert beside.sum() > 5
    np.testing.assert_allclose(far, 0, atol=1e-9)


def test_deposited_flux_has_the_centroid_of_its_source() -> None:
    field = deposit(np.array([0.02, 0.5]), np.array([-0.011, 9.0]), np.array([[2.0], [1.0]]), 64)[..., 0]
    assert field.sum() == pytest.approx(2.0)  # the second source is outside
    y, x = (np.indices(field.shape) - 31.5) * PIXEL_SCALE / 2
    assert (field * x).sum() / 2 == pytest.approx(0.02)
    assert (field * y).sum() / 2 == pytest.approx(-0.011)


@pytest.mark.parametrize("correlation", [0.0, 0.63, 0.76])
def test_noise_has_the_stated_depth_and_correlation(correlation: float) -> None:
    rng = np.random.default_rng(0)
    sky = Sky(aperture_rms=2.64, correlation=correlation)
    skies = np.stack([noise(sky, 2, rng) for _ in range(400)])
    assert (skies[:, 1:] * skies[:, :-1]).mean() / (skies**2).mean() == pytest.approx(correlation, abs=0.01)
    assert np.corrcoef(skies[..., 0].ravel(), skies[..., 1].ravel())[0, 1] == pytest.approx(0, abs=0.02)
    offset = (np.arange(32) - 15.5) * PIXEL_SCALE
    circle = np.hypot(offset[:, None], offset) <= NOISE_RADIUS
    assert skies[:, circle].sum(axis=1).std() == pytest.approx(2.64, rel=0.06)


def test_a_depth_is_a_5_sigma_magnitude() -> None:
    sky = draw_sky(Observation(depth=(28.6, 28.6), noise_correlation=(0.7, 0.7)), np.random.default_rng(0))
    assert -2.5 * np.log10(5 * sky.aperture_rms) + 31.4 == pytest.approx(28.6)
    assert sky.correlation == 0.7
