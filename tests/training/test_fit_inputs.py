"""What goes into a fit: samples and their random turns."""

from pathlib import Path

import numpy as np
import pytest

from redden.modelcard import Target
from redden.normalise import each_band, joint
from training import dataset
from training.augment import TurnedBatches, turn
from training.dataset import DatasetError
from training.samples import load

BANDS = ("F277W", "F356W", "F444W")
SHIFTED = np.arange(2 * 3 * 3 * 1, dtype=np.float32).reshape(2, 3, 3, 1)


def test_load_leaves_out_galaxies_without_dust(blobs: Path) -> None:
    card, samples = load(blobs, BANDS, "joint")
    assert card.images == 800
    assert len(samples) == 720
    assert samples.galaxies == 360
    assert all(np.isfinite(values).all() for values in samples.truth.values())


def test_load_takes_the_bands_in_the_order_asked_for_and_normalises(blobs: Path) -> None:
    _, rows = dataset.read(blobs)
    images = rows["images"][rows["a_v"] > 0]
    _, samples = load(blobs, ("F444W", "F277W"), "joint")
    np.testing.assert_array_equal(samples.pixels, joint(images[..., [2, 0]]))
    _, samples = load(blobs, ("F356W",), "each-band")
    np.testing.assert_array_equal(samples.pixels, each_band(images[..., [1]]))


def test_load_names_the_band_that_a_data_set_lacks(blobs: Path) -> None:
    with pytest.raises(DatasetError, match=r"has no F115W; it has F277W, F356W, F444W"):
        load(blobs, ("F115W", "F277W"), "joint")


def test_parts_share_no_galaxy_and_leave_none_out(blobs: Path) -> None:
    _, samples = load(blobs, ("F277W",), "each-band")
    parts = [set(samples.part(name, 3).galaxy) for name in ("train", "validation", "test")]
    assert set.union(*parts) == set(samples.galaxy)
    assert sum(len(part) for part in parts) == samples.galaxies
    assert len(parts[0]) > len(parts[1]) > 0


def test_labels_follow_the_targets(blobs: Path) -> None:
    _, samples = load(blobs, ("F277W",), "each-band")
    labels = samples.labels([Target(name="log_ssfr"), Target(name="a_v", transform="log")])
    assert labels.dtype == np.float32
    np.testing.assert_allclose(labels[:, 0], samples.truth["log_ssfr"], rtol=1e-6)
    np.testing.assert_allclose(np.exp(labels[:, 1]), samples.truth["a_v"], rtol=1e-5)


def test_the_eight_turns_are_the_symmetries_of_a_square() -> None:
    image = SHIFTED[:1]
    turned = turn(np.repeat(image, 8, axis=0), np.arange(8))
    assert len({view.tobytes() for view in turned}) == 8
    expected = {np.rot90(flipped, k).tobytes() for flipped in (image[0], image[0, ::-1]) for k in range(4)}
    assert {view.tobytes() for view in turned} == expected


def test_turning_leaves_the_input_alone() -> None:
    before = SHIFTED.copy()
    np.testing.assert_array_equal(turn(SHIFTED, np.array([0, 0])), before)
    turn(SHIFTED, np.array([7, 3]))
    np.testing.assert_array_equal(SHIFTED, before)


def test_an_epoch_shows_every_image_once_beside_its_own_label() -> None:
    pixels = np.broadcast_to(np.arange(10, dtype=np.float32)[:, None, None, None], (10, 4, 4, 1))
    labels = 100 * np.arange(10, dtype=np.float32)[:, None]
    batches = TurnedBatches(pixels, labels, batch_size=4, seed=2)
    orders = []
    for _ in range(2):
        shown = [batches[index] for index in range(len(batches))]
        batches.on_epoch_end()
        assert [len(images) for images, _ in shown] == [4, 4, 2]
        values = np.concatenate([images[:, 0, 0, 0] for images, _ in shown])
        np.testing.assert_array_equal(np.concatenate([label[:, 0] for _, label in shown]), 100 * values)
        assert sorted(values) == list(range(10))
        orders.append(tuple(values))
    assert orders[0] != orders[1]


def test_equal_seeds_give_equal_batches() -> None:
    rng = np.random.default_rng(0)
    pixels, labels = rng.random((9, 4, 4, 1), np.float32), rng.random((9, 1), np.float32)
    first, again, other = (TurnedBatches(pixels, labels, batch_size=9, seed=seed)[0][0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
