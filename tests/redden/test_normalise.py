import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redden.errors import BadPixelsError, ModelCardError
from redden.normalise import NORMALISATIONS, Pixels, each_band, joint, normalisation
from redden.snr import sky_level

SMALL = np.random.default_rng(1).normal(size=(4, 32, 32, 3)).astype(np.float32)


def test_each_band_runs_from_zero_to_one() -> None:
    scaled = each_band(SMALL)
    assert scaled.dtype == np.float32
    assert np.all(scaled.min(axis=(1, 2)) == 0)
    assert np.all(scaled.max(axis=(1, 2)) == 1)


def test_each_band_forgets_colour_and_joint_keeps_it() -> None:
    redder = SMALL * np.array([1, 2, 4], dtype=np.float32)
    assert each_band(redder) == pytest.approx(each_band(SMALL), abs=1e-6)
    clean = SMALL - sky_level(SMALL)[..., None, None, :]
    ratio = np.sinh(joint(redder)[..., 2]) / np.sinh(joint(redder)[..., 0])
    assert ratio == pytest.approx(4 * clean[..., 2] / clean[..., 0], rel=1e-2)


@pytest.mark.parametrize("name", sorted(NORMALISATIONS))
@given(scale=st.floats(1e-6, 1e6))
def test_the_unit_of_flux_does_not_matter(name: str, scale: float) -> None:
    assert normalisation(name)((SMALL * scale).astype(np.float32)) == pytest.approx(
        normalisation(name)(SMALL), abs=2e-5
    )


@pytest.mark.parametrize("name", sorted(NORMALISATIONS))
def test_a_background_that_was_not_subtracted_does_not_matter(name: str) -> None:
    raised = SMALL + np.array([0.5, 30, -4], dtype=np.float32)
    assert normalisation(name)(raised) == pytest.approx(normalisation(name)(SMALL), abs=1e-4)


@pytest.mark.parametrize("name", sorted(NORMALISATIONS))
def test_one_galaxy_or_a_batch_is_the_same(name: str) -> None:
    alone: list[Pixels] = [normalisation(name)(galaxy) for galaxy in SMALL]
    assert np.array_equal(np.stack(alone), normalisation(name)(SMALL))


@pytest.mark.parametrize("name", sorted(NORMALISATIONS))
def test_a_constant_image_is_refused(name: str) -> None:
    with pytest.raises(BadPixelsError, match="constant"):
        normalisation(name)(np.zeros((32, 32, 1), dtype=np.float32))


def test_an_unknown_normalisation_is_answered_with_those_that_exist() -> None:
    with pytest.raises(ModelCardError, match="'log'.*each-band, joint"):
        normalisation("log")


def test_no_galaxies_give_no_images() -> None:
    assert each_band(np.empty((0, 32, 32, 3), dtype=np.float32)).shape == (0, 32, 32, 3)
