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
from redden.modelcard import CARD_FILE
from redden.photometric import context_columns
from redden.signature import CONTEXT, LOGITS, MEAN, PIXELS, SCALE_TRIL
from tests.training.unfitted import write_unfitted
from training.batches import FAINTEST_SNR, looks
from training.cli import app
from training.dataset import DatasetCard
from training.ensemble import ensemble
from training.fit import read_run_card
from training.fit_redden import TARGETS, Config, fit
from training.networks.redden import Scales, Shape, build
from training.predict import open_model
from training.rivals.mocks import ALL_BANDS
from training.scene_set import load_scenes
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


def test_a_pupil_learns_from_a_teacher_and_a_teacher_nothing(blob_scenes: Path) -> None:
    columns = context_columns(len(ALL_BANDS))
    far = Scales(np.zeros(columns), np.ones(columns), np.array([4.0, 1.0, -5.0]), np.full(3, 0.02))
    network = build(ALL_BANDS, Shape(filters=(4, 4, 4), context=8, dense=(8, 8), components=2), far)
    before = [weight.copy() for weight in network.get_weights()]
    config = Config.model_validate(tomllib.loads(CONFIG) | {"looks": 2048, "echo": 8, "learning_rate": 1e-2})
    ((fitted, _),) = fit(config, blob_scenes, [config.shape], lambda _: None, Teacher(network, {}))
    galaxies = next(looks(load_scenes(blob_scenes)[1], config.observation, TARGETS, galaxies=128, seed=9))
    answer = fitted.model([galaxies.pixels.astype(np.float32), galaxies.context])
    shares = keras.ops.softmax(answer[LOGITS])[..., None]
    mean = keras.ops.convert_to_numpy(keras.ops.sum(shares * answer[MEAN], axis=1)).mean(axis=0)
    # Half of the posterior is to be the teacher's, far from the labels.
    assert np.all(mean - galaxies.labels.mean(axis=0) > [0.8, 0.6, 0.6])
    assert np.all(mean < far.label_mean)
    assert all(np.array_equal(one, other) for one, other in zip(before, network.get_weights(), strict=True))


def test_the_card_of_a_pupil_names_its_teacher(blob_scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(CONFIG)
    common = ["fit", str(tmp_path / "small.toml"), "--data", str(blob_scenes), "--out"]
    config = Config.model_validate(tomllib.loads(CONFIG))
    fitted_to = {
        "sha256": DatasetCard.read(blob_scenes).sha256,
        "split_seed": config.split_seed,
        "observation": config.observation.model_dump(mode="json"),
        "least_snr": FAINTEST_SNR,
    }
    members = [write_unfitted(tmp_path / f"{seed}", seed=seed, trained_on=fitted_to) for seed in range(2)]
    ensemble(members, tmp_path / "both")
    result = CliRunner().invoke(app, [*common, str(tmp_path / "pupil"), "--teacher", str(tmp_path / "both")])
    assert result.exit_code == 0, result.output
    both, pupil = (read_run_card(tmp_path / name).trained_with for name in ("both", "pupil"))
    assert pupil["config"]["seed"] == 5
    assert pupil["teacher"]["trained_with"] == both
    assert pupil["teacher"]["share_of_the_loss"] == TAUGHT
    assert len(pupil["teacher"]["sha256"]) == 64
    assert "teacher's draws" in pupil["loss"]


FITTED_TO = {"sha256": "one", "split_seed": 0, "observation": {"depth": [28.6, 29.8]}}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"trained_on": FITTED_TO | {"sha256": "another"}}, "its sha256 differ"),
        ({"trained_on": FITTED_TO | {"split_seed": 1, "observation": {}}}, "its split_seed, observation differ"),
        ({"bands": ALL_BANDS[::-1]}, "its bands differ"),
        ({"posterior": "gaussian"}, "are for mixtures"),
    ],
)
def test_a_teacher_of_something_else_is_refused(tmp_path: Path, changed: dict[str, object], says: str) -> None:
    run = write_unfitted(tmp_path / "teacher", trained_on=FITTED_TO)
    assert read_teacher(run, FITTED_TO).facts["trained_with"] == {"seed": 0}
    card = json.loads((run / CARD_FILE).read_text())
    (run / CARD_FILE).write_text(json.dumps(card | changed))
    with pytest.raises(ModelCardError, match=says):
        read_teacher(run, FITTED_TO)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("paper-3band", "only redden networks have teachers"),
        ("papr-3band", "there is no model 'papr-3band'"),
        ("nowhere.toml", "nowhere.toml cannot be used"),
    ],
)
def test_models_that_cannot_be_taught_are_told(blob_scenes: Path, tmp_path: Path, name: str, says: str) -> None:
    run = write_unfitted(tmp_path / "teacher", trained_on={})
    arguments = ["fit", name, "--data", str(blob_scenes), "--out", str(tmp_path / "x"), "--teacher", str(run)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert says in result.output
    assert not (tmp_path / "x").exists()
