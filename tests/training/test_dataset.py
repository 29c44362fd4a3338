"""Data sets on disk: what is written is read, what is damaged is refused, and the split keeps galaxies together."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from training import dataset
from training.dataset import COLUMNS, Batch, DatasetCard, DatasetError, split

BANDS = ("F277W", "F444W")


def make_rows(first: int, count: int) -> dict[str, NDArray[Any]]:
    """Rows of distinguishable content, one galaxy each."""
    rng = np.random.default_rng(first)
    shapes = {"images": (count, 32, 32, 2), "snr": (count, 2)}
    rows = {name: rng.normal(size=shapes.get(name, count)).astype(dtype) for name, dtype in COLUMNS.items()}
    rows["galaxy"] = np.arange(first, first + count)
    rows["r_v"][:1] = np.nan
    return rows


def write(directory: Path, batches: Iterator[Batch] | list[Batch], rows_per_shard: int = 4) -> DatasetCard:
    return dataset.write(
        directory,
        batches,
        source="test",
        bands=BANDS,
        settings={"seed": 1},
        software="redden test",
        rows_per_shard=rows_per_shard,
    )


def test_rows_come_back_in_order_and_with_their_types(tmp_path: Path) -> None:
    parts = [make_rows(0, 3), make_rows(3, 5), make_rows(8, 1)]
    written = write(tmp_path / "set", [(4, 2, parts[0]), (5, 0, parts[1]), (1, 1, parts[2])])
    card, rows = dataset.read(tmp_path / "set")
    assert card == written
    assert [shard.rows for shard in card.shards] == [4, 4, 1]
    assert (card.galaxies, card.galaxies_kept, card.images, card.images_rejected) == (10, 9, 9, 3)
    for name, dtype in COLUMNS.items():
        assert rows[name].dtype == dtype
        np.testing.assert_array_equal(rows[name], np.concatenate([part[name] for part in parts]))


def test_the_card_states_percentiles_of_defined_labels(tmp_path: Path) -> None:
    rows = make_rows(0, 50)
    card = write(tmp_path / "set", [(50, 0, rows)])
    assert card.label_percentiles["r_v"] == pytest.approx(np.nanpercentile(rows["r_v"], [5, 16, 50, 84, 95]), abs=1e-4)


@settings(max_examples=15)
@given(cuts=st.sets(st.integers(1, 8), max_size=5), rows_per_shard=st.integers(1, 20))
def test_content_does_not_depend_on_how_rows_arrive(
    tmp_path_factory: pytest.TempPathFactory, cuts: set[int], rows_per_shard: int
) -> None:
    rows = make_rows(0, 9)
    edges = [0, *sorted(cuts), 9]
    batches: list[Batch] = [
        (high - low, 0, {name: column[low:high] for name, column in rows.items()}) for low, high in pairwise(edges)
    ]
    directory = tmp_path_factory.mktemp("sets")
    pieces = write(directory / "pieces", batches, rows_per_shard)
    whole = write(directory / "whole", [(9, 0, rows)], rows_per_shard)
    assert pieces.sha256 == whole.sha256
    np.testing.assert_array_equal(dataset.read(directory / "pieces")[1]["images"], rows["images"])


def test_batches_without_a_bright_galaxy_are_fine(tmp_path: Path) -> None:
    nothing: dict[str, NDArray[Any]] = {name: np.array([]) for name in COLUMNS}
    card = write(tmp_path / "set", [(2, 4, nothing), (1, 0, make_rows(2, 1)), (1, 2, nothing)])
    assert (card.galaxies, card.images, card.images_rejected) == (4, 1, 6)
    empty = write(tmp_path / "empty", [(2, 4, nothing)])
    assert empty.images == 0
    assert dataset.read(tmp_path / "empty")[1]["images"].shape == (0, 32, 32, 2)


def test_a_directory_in_use_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match="not empty"):
        write(tmp_path, [(1, 0, make_rows(0, 1))])


def test_an_unfinished_data_set_is_refused(tmp_path: Path) -> None:
    def interrupted() -> Iterator[Batch]:
        yield 8, 0, make_rows(0, 8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "set", interrupted())
    assert (tmp_path / "set" / "shard-00000.npz").exists()
    with pytest.raises(DatasetError, match=r"no card\.json"):
        dataset.read(tmp_path / "set")


def test_altered_missing_and_broken_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "set", [(8, 0, make_rows(0, 8))])
    shard = tmp_path / "set" / "shard-00001.npz"
    good = shard.read_bytes()

    np.savez(shard, allow_pickle=False, **make_rows(4, 4))
    with pytest.raises(DatasetError, match="not what the card says"):
        dataset.read(tmp_path / "set")
    shard.write_bytes(good[: len(good) // 2])
    with pytest.raises(DatasetError, match="cannot be read"):
        dataset.read(tmp_path / "set")
    shard.unlink()
    with pytest.raises(DatasetError, match="cannot be read"):
        dataset.read(tmp_path / "set")
    (tmp_path / "set" / "card.json").write_text("{}")
    with pytest.raises(DatasetError, match="cannot be used"):
        dataset.read(tmp_path / "set")


@given(seed=st.integers(0, 2**31), galaxies=st.lists(st.integers(0, 5000), min_size=1, max_size=40))
def test_the_split_of_a_galaxy_depends_on_seed_and_number_alone(seed: int, galaxies: list[int]) -> None:
    together = split(galaxies, seed)
    alone = [str(split([galaxy], seed)[0]) for galaxy in galaxies]
    assert together.tolist() == alone
    assert set(alone) <= set(dataset.FRACTIONS)


def test_the_split_has_the_stated_shares_and_changes_with_the_seed() -> None:
    parts = split(np.arange(20_000), 0)
    for part, share in dataset.FRACTIONS.items():
        assert (parts == part).mean() == pytest.approx(share, abs=0.01)
    assert (parts != split(np.arange(20_000), 1)).any()
    assert split([], 0).shape == (0,)
