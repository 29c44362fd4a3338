"""A network that learns from another one's posteriors too."""

import json
import tomllib
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from typer.testing import CliRunner

from redden.errors import ModelCardError
from redden.grid import SIZE
from redden.photometric import context_columns
from redden.signature import CONTEXT, LOGITS, MEAN, PIXELS, SCALE_TRIL
from tests.training.unfitted import write_unfitted
from training.cli import app
from training.configs import config_file
from training.fit import read_run_card
from training.fit_redden import Config
from training.predict import open_model
from training.rivals.mocks import ALL_BANDS
from training.teacher import TAUGHT, Teacher, read_teacher

# keras asks numpy for a view in an old way when it saves what a fit has updated.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CONFIG = """
name = "pupil"
description = "small"
split_seed = 0
seed = 5
looks = 512
echo = 1
chunk = 512
batch = 64
strange = 10
strange_weight = 0.5
learning_rate = 1e-3
weight_decay = 1e-4
observation = {}

[shape]
filters = [4, 6, 8]
context = 8
dense = [8, 8]
components = 2
"""


def test_draws_of_a_teacher_are_of_its_mixtures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    galaxies = 400
    pixels = np.repeat(rng.normal(size=(1, SIZE, SIZE, len(ALL_BANDS))), galaxies, axis=0).astype(np.float32)
    context = np.repeat(rng.normal(size=(1, context_columns(len(ALL_BANDS)))), galaxies, axis=0).astype(np.float32)
    run = write_unfitted(tmp_path / "teacher", components=3, trained_on={})
    answer = {
        name: values[0].astype(np.float64)
        for name, values in open_model(run)[1]({PIXELS: pixels, CONTEXT: context}).items()
    }
    centre, spread = np.array([0.0, -1.5, -8.1]), np.array([[0.6, 0, 0], [0.2, 0.5, 0], [-0.1, 0.05, 0.3]])

    # Of a mixture's logarithm under one Gaussian the mean is known.
    weights = np.exp(answer[LOGITS]) / np.exp(answer[LOGITS]).sum()
    inverse = np.linalg.inv(spread @ spread.T)
    covariances = answer[SCALE_TRIL] @ answer[SCALE_TRIL].transpose(0, 2, 1)
    offset = answer[MEAN] - centre
    squares = np.trace(inverse @ covariances, axis1=1, axis2=2) + np.einsum("ki,ij,kj->k", offset, inverse, offset)
    expected = np.log(np.diag(spread)).sum() + 0.5 * weights @ squares

    teacher = Teacher(keras.models.load_model(run / "network.keras"), {})
    pupil = [
        tf.repeat(tf.constant(part[None], tf.float32), galaxies, axis=0)
        for part in (np.zeros(1), centre[None], spread[None])
    ]
    keras.utils.set_random_seed(0)
    found = [float(teacher.loss((tf.constant(pixels), tf.constant(context)), *pupil)) for _ in range(40)]
    assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / np.sqrt(len(found)))
    assert np.std(found) < 0.2


def test_a_pupil_learns_from_a_teacher_and_its_card_says_so(blob_scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(CONFIG)
    common = ["fit", str(tmp_path / "small.toml"), "--data", str(blob_scenes), "--out"]
    for arguments in ([str(tmp_path / "teacher")], [str(tmp_path / "pupil"), "--teacher", str(tmp_path / "teacher")]):
        result = CliRunner().invoke(app, [*common, *arguments])
        assert result.exit_code == 0, result.output
    teacher, pupil = (read_run_card(tmp_path / name) for name in ("teacher", "pupil"))
    assert "teacher" not in teacher.trained_with
    assert teacher.trained_with["config"]["seed"] == 5
    assert pupil.trained_with["teacher"] == teacher.trained_with
    assert pupil.trained_with["taught"] == TAUGHT
    weights = [
        keras.models.load_model(tmp_path / name / "network.keras").get_weights() for name in ("teacher", "pupil")
    ]
    assert any(not np.array_equal(one, other) for one, other in zip(*weights, strict=True))


@pytest.mark.parametrize("other", [{"sha256": "another"}, {"split_seed": 1}])
def test_a_teacher_of_other_galaxies_is_refused(tmp_path: Path, other: dict[str, object]) -> None:
    fitted_to = {"sha256": "one", "split_seed": 0}
    run = write_unfitted(tmp_path / "teacher", trained_on=fitted_to)
    assert read_teacher(run, "one", 0).trained_with == {"seed": 0}
    card = json.loads((run / "model_card.json").read_text())
    (run / "model_card.json").write_text(json.dumps(card | {"trained_on": fitted_to | other}))
    with pytest.raises(ModelCardError, match="cannot teach here"):
        read_teacher(run, "one", 0)


def test_only_redden_networks_have_teachers(blob_scenes: Path, tmp_path: Path) -> None:
    run = write_unfitted(tmp_path / "teacher", trained_on={})
    arguments = ["fit", "paper-3band", "--data", str(blob_scenes), "--out", str(tmp_path / "x"), "--teacher", str(run)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "only redden networks have teachers" in result.output


def test_a_name_that_ends_in_toml_is_a_file_of_ones_own(tmp_path: Path) -> None:
    assert config_file(str(tmp_path / "missing.toml")) is None
    (tmp_path / "mine.toml").write_text(CONFIG)
    assert config_file(str(tmp_path / "mine.toml")) == tmp_path / "mine.toml"
    assert Config.model_validate(tomllib.loads(CONFIG)).name == "pupil"
