"""The paper's data: noise-free twins, splits, HOG images, balanced labels and augmented copies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.feature import hog

from redden.normalise import each_band
from training import dataset
from training.dataset import split_images
from training.paper.augment import HOG, NOISE, Augmentation
from training.paper.balance import copies
from training.paper.hog import hog_images
from training.simulate.run import simulate_galaxies
from training.simulate.settings import Observation, Population, Sampling, Settings

RNG = np.random.default_rng(11)
PIXELS = each_band(RNG.normal(size=(30, 32, 32, 2)).astype(np.float32))


def test_noise_free_images_are_those_chosen_with_noise() -> None:
    bright = Settings(
        seed=3,
        population=Population(log_mass_range=(9.0, 10.0), star_particles=300),
        sampling=Sampling(orientations=2, dtm=(0.0, 0.5), dtm_draws=2),
    )
    clean = bright.model_copy(update={"observation": Observation(keep_noise=False)})
    _, rejected, noisy = simulate_galaxies(bright, range(4))
    _, same, pure = simulate_galaxies(clean, range(4))
    assert rejected == same
    assert len(noisy["galaxy"]) > 2
    for column in ("galaxy", "orientation", "dtm", "a_v", "snr"):
        np.testing.assert_array_equal(noisy[column], pure[column])
    difference = (noisy["images"] - pure["images"])[:, :5]
    assert np.all(np.abs(difference.mean(axis=(1, 2, 3))) < 0.3 * difference.std(axis=(1, 2, 3)))
    roughness = [np.abs(np.diff(rows["images"][:, :3], axis=2)).mean() for rows in (noisy, pure)]
    assert roughness[0] > 3 * roughness[1]


@pytest.mark.parametrize("how", ["galaxies", "galaxies-85-15"])
def test_splits_by_galaxy_share_no_galaxy(how: dataset.Split) -> None:
    galaxy = RNG.integers(500, size=4000)
    part = split_images(galaxy, 5, how)
    members = [set(galaxy[part == name]) for name in ("train", "validation", "test")]
    assert sum(map(len, members)) == len(np.unique(galaxy))
    assert np.mean(part == "test") == pytest.approx(0.1 if how == "galaxies" else 0.15, abs=0.04)


def test_a_test_galaxy_of_one_split_is_not_trained_on_in_the_other() -> None:
    galaxy = np.arange(1000)
    tested = split_images(galaxy, 5, "galaxies") == "test"
    assert np.all(split_images(galaxy, 5, "galaxies-85-15")[tested] == "test")


def test_the_split_by_image_leaks() -> None:
    galaxy = np.repeat(np.arange(100), 20)
    part = split_images(galaxy, 0, "images-leak")
    assert np.mean(part == "test") == pytest.approx(0.15, abs=0.03)
    assert np.isin(galaxy[part == "test"], galaxy[part == "train"]).all()


def test_hog_images_are_those_that_scikit_image_draws() -> None:
    drawn = hog_images(PIXELS[:3])
    for image, ours in zip(PIXELS[:3], drawn, strict=True):
        theirs = [hog(image[..., band], 9, (4, 4), (1, 1), visualize=True)[1] for band in range(2)]
        np.testing.assert_allclose(ours, each_band(np.stack(theirs, axis=-1)), atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    labels=st.lists(st.floats(-10, 10), min_size=1, max_size=60),
    total=st.integers(1, 500),
    most=st.integers(1, 8),
    seed=st.integers(0, 99),
)
def test_every_image_is_shown_between_once_and_most_times(
    labels: list[float], total: int, most: int, seed: int
) -> None:
    shown = copies(labels, total, most=most, rng=np.random.default_rng(seed))
    assert shown.min() >= 1
    assert shown.max() <= most
    assert shown.sum() <= max(total, len(labels))


def test_copies_make_labels_even_as_far_as_they_go() -> None:
    labels = RNG.exponential(size=2000)
    shown = copies(labels, 8000, most=8, rng=np.random.default_rng(0))
    before, after = (np.histogram(labels, 20, weights=weights)[0] for weights in (None, shown))
    full = after < 8 * before  # bins that could be filled
    assert np.ptp(after[full & (before < after)]) == 0
    assert after.std() / after.mean() < 0.8 * before.std() / before.mean()
    assert 8000 - 20 <= shown.sum() <= 8000


def test_the_plan_shows_each_image_itself_and_no_copy_twice() -> None:
    labels = RNG.exponential(size=200)
    rows, kinds = Augmentation(factor=4).plan(labels, np.random.default_rng(1))
    assert len(set(zip(rows, kinds, strict=True))) == len(rows)
    assert np.array_equal(rows[kinds == 0], np.arange(200))
    assert set(kinds) == set(range(HOG + 1))
    _, without = Augmentation(factor=4, hog=False).plan(labels, np.random.default_rng(1))
    assert set(without) == set(range(NOISE + 1))


def test_copies_are_quarter_turns_flips_noise_and_hog() -> None:
    image = PIXELS[:1]
    made = Augmentation().make(np.repeat(image, HOG + 1, axis=0), np.arange(HOG + 1), np.random.default_rng(2))
    turns = [np.rot90(image[0], number) for number in (1, 2, 3)]
    np.testing.assert_array_equal(made[0], image[0])
    assert {copy.tobytes() for copy in made[1:4]} == {turned.tobytes() for turned in turns}
    np.testing.assert_array_equal(made[4], image[0][:, ::-1])
    np.testing.assert_array_equal(made[5], image[0][::-1])
    assert 0.005 < np.std(made[NOISE] - image[0]) < 0.05
    np.testing.assert_array_equal(made[HOG], hog_images(image)[0])
    assert made.min() == 0
    assert made.max() == 1


def test_batches_show_every_copy_once_beside_its_own_label() -> None:
    labels = RNG.exponential(size=(30, 1)).astype(np.float32)
    batches = Augmentation(factor=70 / 30, hog=False, noise=0.0).batches(PIXELS, labels, batch_size=16, seed=4)
    by_content = {np.sort(image, axis=None).tobytes(): label for image, label in zip(PIXELS, labels, strict=True)}
    orders = []
    for _ in range(2):
        images, beside = (np.concatenate(part) for part in zip(*batches.as_numpy_iterator(), strict=True))
        assert 60 <= len(images) <= 70
        np.testing.assert_array_equal(beside, [by_content[np.sort(image, axis=None).tobytes()] for image in images])
        orders.append(beside.tobytes())
    assert orders[0] != orders[1]
