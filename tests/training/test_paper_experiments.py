"""Experiments on blobs: each changes what it says and nothing else."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from training.cli import app
from training.paper import experiments
from training.paper.augment import Augmentation
from training.paper.experiments import Variant, run, variants
from training.samples import load

# Keras 3.15 itself calls numpy in a way that numpy 2 discourages.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


def command(blobs: Path, out: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["experiments", *arguments, "--data", str(blobs), "--out", str(out)])
    return result.exit_code, re.sub(r"[\s│]+", " ", result.output)


def test_the_table_has_one_baseline_and_every_other_changes_something() -> None:
    table = variants()
    changed = {name: variant.model_dump(exclude_defaults=True, exclude={"asks"}) for name, variant in table.items()}
    assert [name for name, found in changed.items() if not found] == ["baseline"]
    assert len({json.dumps(found) for found in changed.values()}) == len(table)


def test_the_command_writes_outcomes_once_and_a_table(blobs: Path, tmp_path: Path) -> None:
    arguments = ("baseline", "--model", "paper-1band", "--factor", "1", "--epochs", "2")
    code, output = command(blobs, tmp_path, *arguments)
    assert code == 0, output
    file = tmp_path / "baseline-paper-1band-a_v.json"
    outcome = experiments.Outcome.read(file)
    assert outcome.epochs == 2
    assert 0 < outcome.test_galaxies < outcome.test_images
    assert outcome.figures["mae"].error > 0
    assert f"| baseline | a_v | `paper-1band` | {outcome.figures['mae'].value:.4f} ±" in output
    file.write_text(outcome.model_copy(update={"epochs": 77}).model_dump_json())
    assert command(blobs, tmp_path, *arguments)[0] == 0
    assert experiments.Outcome.read(file).epochs == 77  # read, not made again
    assert (tmp_path / "experiments.md").read_text().count("\n") == 3
    code, output = command(blobs, tmp_path, "baseline", "--model", "paper-1band", "--factor", "2", "--epochs", "2")
    assert code != 0
    assert "of other data or options" in " ".join(output.split())


@pytest.mark.parametrize("split", ["galaxies-85-15", "images-leak", "copies-leak"])
def test_only_the_leaks_test_on_what_was_trained_on(blobs: Path, split: str) -> None:
    _, samples = load(blobs, ("F277W",), "each-band")
    variant = Variant.model_validate({"asks": "", "split": split})
    (train, _, test), _, left = experiments._shared_out(samples, "a_v", variant, Augmentation(factor=2.5), seed=0)
    shared = np.isin(test.galaxy, train.galaxy).mean()
    assert (shared == 0) == (split == "galaxies-85-15")
    turned = {np.sort(image, axis=None).tobytes() for image in train.pixels}
    copied = np.mean([np.sort(image, axis=None).tobytes() in turned for image in test.pixels])
    assert (copied > 0.3) == (split == "copies-leak")
    assert left.factor == (1 if split == "copies-leak" else 2.5)


def test_narrow_and_dust_free_change_the_images_and_the_loss_changes_the_loss(blobs: Path, tmp_path: Path) -> None:
    outcomes = {
        name: run(name, Variant(asks="", **changed), "paper-1band", "a_v", blobs, tmp_path, factor=1, epochs=1, seed=0)
        for name, changed in {
            "baseline": {},
            "narrow": {"most_a_v": 1.0},
            "dust": {"with_dust_free": True},
            "absolute": {"loss": "mean_absolute_error"},
        }.items()
    }
    assert outcomes["narrow"].figures["spread"].value < 0.5 * outcomes["baseline"].figures["spread"].value
    assert outcomes["narrow"].train_images < outcomes["baseline"].train_images < outcomes["dust"].train_images
    assert outcomes["dust"].test_images == outcomes["baseline"].test_images  # always dusty ones
    assert outcomes["absolute"].figures["mae"] != outcomes["baseline"].figures["mae"]


def test_mistakes_are_explained(blobs: Path, tmp_path: Path) -> None:
    code, output = command(blobs, tmp_path, "nonsense")
    assert code == 2
    assert "there is no experiment nonsense; there are baseline, images-leak" in output
    code, output = command(blobs, tmp_path)
    assert code == 2
    assert "noise-free, all-in-favour need the same images without noise" in output
    table = tmp_path / "mine.toml"
    table.write_text('[mine]\nasks = "?"\nlos = "mean_absolute_error"\n')
    code, output = command(blobs, tmp_path, "--table", str(table))
    assert code == 2
    assert "cannot be used" in output
