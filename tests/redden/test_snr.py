import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from redden.snr import aperture_noise, aperture_snr

INSIDE = np.hypot(*(np.mgrid[:32, :32] - 15.5)) <= 0.16 / 0.03


@pytest.mark.parametrize("smoothing", [0.01, 0.6, 0.85, 1.0])
def test_the_noise_of_an_aperture_is_right_for_white_and_correlated_pixels(smoothing: float) -> None:
    noise = gaussian_filter(np.random.default_rng(3).normal(size=(600, 32, 32)), (0, smoothing, smoothing), mode="wrap")
    scatter = noise[:, INSIDE].sum(axis=1).std()
    assert np.median(aperture_noise(noise[..., None], 0.16)) == pytest.approx(scatter, rel=0.12)


def test_snr_is_that_of_the_flux_put_in() -> None:
    rng = np.random.default_rng(5)
    galaxy = np.exp(-(np.hypot(*(np.mgrid[:32, :32] - 15.5)) ** 2) / (2 * 2.0**2))
    images = 3.0 * galaxy[..., None] + 0.5 * rng.normal(size=(300, 32, 32, 2)) + 7.0
    expected = 3.0 * galaxy[INSIDE].sum() / (0.5 * np.sqrt(INSIDE.sum()))
    assert np.median(aperture_snr(images), axis=0) == pytest.approx([expected, expected], rel=0.1)


def test_snr_has_no_unit_and_zero_noise_gives_zero() -> None:
    image = np.random.default_rng(7).normal(size=(32, 32, 3))
    assert aperture_snr(image) == pytest.approx(aperture_snr(1e6 * image))
    assert aperture_snr(np.ones((32, 32, 1))) == pytest.approx([0.0])
