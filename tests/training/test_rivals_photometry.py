"""Photometry, shapes and Meurer's relation against pictures and spectra that are known."""

import numpy as np
import pytest

from redden.bands import BANDS
from redden.grid import SIZE
from redden.posterior import QUANTITIES
from training.rivals.meurer import Meurer, slope
from training.rivals.mocks import ALL_BANDS, BAND_SETS, BandSet, Mocks
from training.rivals.photometry import features, fluxes
from training.simulate.instrument import image

ONE, THREE, THREE_Z, SEVEN, SEVEN_Z = BAND_SETS


def mocks(pixels: np.ndarray, z: float = 7.0) -> Mocks:
    images = len(pixels)
    redshift = np.tile([z, 0.01], (images, 1))
    truth = {name: np.ones(images) for name in QUANTITIES}
    return Mocks(pixels.astype(np.float32), redshift, truth, np.arange(images), np.full((images, 7), 20, np.float32))


def points(flux: np.ndarray, noise: float = 1e-3) -> Mocks:
    """Point sources of these fluxes in nJy, shape (images, 7), in a little white noise."""
    rng = np.random.default_rng(0)
    pictures = [image(np.zeros(1), np.zeros(1), one[None, :], ALL_BANDS) for one in flux]
    return mocks(np.stack(pictures) + rng.normal(0, noise, (len(flux), SIZE, SIZE, 7)))


def test_the_flux_of_a_point_source_is_recovered() -> None:
    wanted = np.array([[10.0, 12, 14, 20, 25, 28, 30], [3.0, 3, 3, 3, 3, 3, 3]])
    flux, error = fluxes(points(wanted))
    assert flux == pytest.approx(wanted, rel=0.03)
    assert np.all((error > 0) & (error < 0.1))


def test_absent_bands_have_no_flux() -> None:
    flux, _ = fluxes(points(np.full((2, 7), 10.0)).seen_in(THREE))
    assert np.isnan(flux[:, :3]).all()
    assert np.isfinite(flux[:, [3, 4, 6]]).all()


def test_an_observer_who_has_less_sees_less() -> None:
    every = points(np.full((3, 7), 10.0))
    seen = every.seen_in(THREE)
    assert seen.present.tolist() == [[False, False, False, True, True, False, True]] * 3
    assert np.isnan(seen.redshift).all()
    assert np.isfinite(every.seen_in(SEVEN_Z).redshift).all()
    assert np.isfinite(every.pixels).all()


@pytest.mark.parametrize("band_set", BAND_SETS, ids=lambda band_set: band_set.name)
def test_features_come_from_the_bands_that_are_seen(band_set: BandSet) -> None:
    every = points(np.geomspace(5, 50, 4)[:, None] * np.ones(7), noise=0.01)
    seen = features(every.seen_in(band_set), band_set.bands)
    assert np.isfinite(seen[:, :-2]).all()
    assert np.isfinite(seen[:, -2:]).all() == band_set.redshift
    np.testing.assert_array_equal(seen[:, :-2], features(every, band_set.bands)[:, :-2])


def test_features_tell_a_lopsided_galaxy_from_a_round_one() -> None:
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    round_ = np.exp(-(x**2 + y**2) / 18)
    long = np.exp(-((x / 2) ** 2 + (2 * y) ** 2) / 18)
    lopsided = round_ + 0.5 * np.exp(-((x - 6) ** 2 + y**2) / 4)
    noise = np.random.default_rng(1).normal(0, 1e-3, (SIZE, SIZE))
    stack = np.stack([round_, long, lopsided]) + noise
    found = features(mocks(np.repeat(stack[..., None], 7, axis=-1)), ("F277W",))
    # The last nine columns: radius, axis ratio, offset, asymmetry, roughness, Gini, M20, redshift and its error.
    _, axis_ratio, offset, asymmetry, *_ = found[:, -9:].T
    assert axis_ratio[0] == pytest.approx(1, abs=0.02)
    assert axis_ratio[1] < 0.5
    assert offset[2] > 0.015 > 5 * offset[0]
    assert asymmetry[2] > 5 * asymmetry[0]


@pytest.mark.parametrize("beta", [-2.4, -2.0, -1.2])
def test_the_slope_of_a_power_law_is_recovered(beta: float) -> None:
    wavelength = np.array([BANDS[band].pivot for band in ALL_BANDS])
    flux = 10 * wavelength ** (beta + 2)
    found, error = slope(flux[None, :], 0.01 * flux[None, :], np.array([7.0]))
    assert found == pytest.approx(beta, abs=1e-6)
    assert 0 < error[0] < 0.3


def test_no_slope_without_two_ultraviolet_bands() -> None:
    flux = np.full((4, 7), 10.0)
    z = np.array([7.0, 7.0, np.nan, 7.0])
    flux[1, :3] = np.nan  # as seen in the long-wavelength channel
    flux[3, 1:3] = 0.01  # too faint
    found, error = slope(flux, np.full((4, 7), 0.1), z)
    assert np.isfinite(found).tolist() == [True, False, False, False]
    assert np.isfinite(error).tolist() == [True, False, False, False]


def test_meurer_measures_a_red_slope_as_dust_and_says_what_it_needs() -> None:
    wavelength = np.array([BANDS[band].pivot for band in ALL_BANDS])
    flux = 20 * wavelength[None, :] ** (np.array([-2.6, -1.5])[:, None] + 2)
    a_v = Meurer().answer(points(flux))["a_v"]
    assert a_v[0, 2] == 0
    assert a_v[1, 2] == pytest.approx((4.43 - 1.99 * 1.5) * 4.05 / 9.97, abs=0.1)
    assert np.all(np.diff(a_v, axis=1) >= 0)
    assert [Meurer().takes(band_set) for band_set in BAND_SETS] == [False, False, False, False, True]
