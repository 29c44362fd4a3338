"""From a data set to a served model, on blobs and with few epochs."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import openvino
import pytest
import tensorflow as tf
from typer.testing import CliRunner

from redden.errors import ModelCardError
from redden.modelcard import ModelCard
from redden.modelinput import model_inputs
from redden.posterior import QUANTITIES
from training import dataset
from training.cli import app
from training.evaluate import Evaluation, evaluate, table
from training.export import export
from training.fit import fit, read_run_card
from training.networks import RECIPES

# Keras 3.15 itself calls numpy in a way that numpy 2 discourages, when it saves weights.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

MODELS = Path(__file__).parents[2] / "models"
COMMITTED = sorted(MODELS.glob("*/[0-9]*"))


@pytest.fixture(scope="module", autouse=True)
def short_recipes() -> Iterator[None]:
    epochs = {"gaussian-3band": 10, "paper-1band": 1, "paper-3band": 1}
    with pytest.MonkeyPatch.context() as patch:
        for name, number in epochs.items():
            patch.setitem(RECIPES, name, replace(RECIPES[name], epochs=number, patience=number, batch_size=32))
        yield


@pytest.fixture(scope="module")
def run(blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished and evaluated run of gaussian-3band, made by the commands."""
    out = tmp_path_factory.mktemp("runs") / "gaussian-3band"
    for arguments in (
        ["fit", "gaussian-3band", "--data", str(blobs), "--out", str(out), "--seed", "3"],
        ["evaluate", str(out), "--data", str(blobs)],
    ):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def model(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run as an exported model."""
    models = tmp_path_factory.mktemp("models")
    result = CliRunner().invoke(app, ["export", str(run), str(models)])
    assert result.output.strip() == str(models / "gaussian-3band" / "1")
    return models / "gaussian-3band" / "1"


@pytest.fixture(scope="module")
def few(blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of two blobs, both of the training part by the seed 0."""
    card, rows = dataset.read(blobs)
    training = np.unique(rows["galaxy"][(rows["a_v"] > 0) & (dataset.split(rows["galaxy"], 0) == "train")])[:2]
    chosen = {name: column[np.isin(rows["galaxy"], training)] for name, column in rows.items()}
    out = tmp_path_factory.mktemp("data") / "few"
    dataset.write(out, [(2, 0, chosen)], source="blobs", bands=card.bands, settings={}, software="tests")
    return out


def test_run_says_what_was_done(run: Path, blobs: Path) -> None:
    card = read_run_card(run)
    assert card.trained_on["sha256"] == dataset.DatasetCard.read(blobs).sha256
    assert card.trained_on["images_without_dust_left_out"] == 80
    counts = [card.trained_on[part]["galaxies"] for part in ("train", "validation")]
    _, rows = dataset.read(blobs)
    galaxies = np.unique(rows["galaxy"][rows["a_v"] > 0])
    parts = dataset.split(galaxies, 3)
    assert counts == [np.sum(parts == "train"), np.sum(parts == "validation")]
    assert card.trained_with["epochs"] == {"likelihood": 10}
    assert set(card.interval_scale) == {"a_v", "e_bv", "log_ssfr"}
    history = json.loads((run / "history.json").read_text())
    assert len(history["likelihood"]["val_loss"]) == 10


def test_a_run_without_strange_cutouts_gets_no_domain_score(run: Path, blobs: Path) -> None:
    result = CliRunner().invoke(app, ["domain", str(run), "--data", str(blobs)])
    assert result.exit_code != 0
    assert "redden-train fit redden" in " ".join(result.output.split())


def test_fit_learns(run: Path) -> None:
    evaluation = Evaluation.model_validate_json((run / "evaluation.json").read_text())
    assert evaluation.figures["a_v"]["skill"].value > 0.3


def test_equal_seeds_give_equal_networks(run: Path, blobs: Path, tmp_path: Path) -> None:
    fit("gaussian-3band", blobs, tmp_path, seed=3)
    first, again = (keras.models.load_model(path / "network.keras").get_weights() for path in (run, tmp_path))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_evaluation_of_the_exported_model_is_that_of_the_run(run: Path, model: Path, blobs: Path) -> None:
    of_run, of_model = evaluate(run, blobs), evaluate(model, blobs)
    assert of_run.galaxies == of_model.galaxies > 0
    for name in QUANTITIES:
        values = [{key: figure.value for key, figure in e.figures[name].items()} for e in (of_run, of_model)]
        assert values[0] == pytest.approx(values[1], rel=1e-4, abs=1e-5)


def test_point_estimates_are_evaluated_without_coverage(blobs: Path, tmp_path: Path) -> None:
    card = fit("paper-1band", blobs, tmp_path, seed=0)
    assert card.interval_scale == {}
    assert card.trained_with["epochs"] == {"a_v": 1, "e_bv": 1, "log_ssfr": 1}
    evaluation = evaluate(tmp_path, blobs)
    assert "coverage_68" not in evaluation.figures["a_v"]
    assert evaluation.figures["a_v"]["mae"].error > 0


def test_table_has_a_row_for_every_figure(run: Path, blobs: Path) -> None:
    evaluation = evaluate(run, blobs)
    assert table(evaluation).row_count == len(evaluation.figures["a_v"])


def test_exported_card_is_readable_and_carries_the_figures(run: Path, model: Path) -> None:
    card = ModelCard.read(model)
    assert card.figures_of_merit == json.loads((run / "evaluation.json").read_text())
    assert "Galaxies without dust were left out" in card.intended_use


def test_saved_model_holds_the_serving_weights_and_nothing_else(run: Path, model: Path) -> None:
    variables = tf.train.list_variables(str(model / "variables" / "variables"))
    numbers = sum(int(np.prod(shape)) for name, shape in variables if name != "_CHECKPOINTABLE_OBJECT_GRAPH")
    assert numbers == keras.models.load_model(run / "network.keras").count_params()


def assert_runtimes_agree(directory: Path) -> None:
    card = ModelCard.read(directory)
    pixels = np.random.default_rng(0).normal(size=(17, 32, 32, len(card.bands))).astype(np.float32)
    inputs = model_inputs(pixels, card)
    signature = tf.saved_model.load(str(directory)).signatures["serving_default"]
    answers = signature(**{name: tf.constant(values) for name, values in inputs.items()})
    expected = {name: tensor.numpy() for name, tensor in answers.items()}
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(directory), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for images in (17, 1):
        answer = compiled({name: values[:images] for name, values in inputs.items()})
        for name, tensor in expected.items():
            np.testing.assert_allclose(answer[name], tensor[:images], rtol=1e-5, atol=1e-5)


def test_openvino_and_tensorflow_agree_on_an_export(model: Path) -> None:
    assert_runtimes_agree(model)


@pytest.mark.parametrize("directory", COMMITTED, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_openvino_and_tensorflow_agree_on_the_committed_models(directory: Path) -> None:
    assert_runtimes_agree(directory)


def test_every_recipe_has_a_committed_model_made_by_it() -> None:
    cards = {directory.parent.name: ModelCard.read(directory) for directory in COMMITTED}
    assert set(cards) == {*RECIPES, "redden"}
    for name, recipe in RECIPES.items():
        assert (cards[name].bands, cards[name].normalisation) == (recipe.bands, recipe.normalisation)
        assert (cards[name].targets, cards[name].posterior) == (recipe.targets, recipe.posterior)


def test_the_committed_gaussian_beats_the_median_and_its_intervals_hold() -> None:
    figures = ModelCard.read(MODELS / "gaussian-3band" / "1").figures_of_merit["figures"]
    for name in QUANTITIES:
        assert figures[name]["skill"]["value"] > 3 * figures[name]["skill"]["error"]
        assert figures[name]["coverage_68"]["value"] == pytest.approx(0.68, abs=0.06)
        assert figures[name]["coverage_95"]["value"] == pytest.approx(0.95, abs=0.04)


def test_export_counts_versions_and_overwrites_none(run: Path, tmp_path: Path) -> None:
    assert [export(run, tmp_path).name for _ in range(2)] == ["1", "2"]
    with pytest.raises(ModelCardError, match="exists already"):
        export(run, tmp_path, version=2)
    assert export(run, tmp_path, version=7).name == "7"
    assert ModelCard.read(tmp_path / "gaussian-3band" / "7").version == 7
    assert not list(tmp_path.glob("*/.*"))


def test_export_wants_an_evaluation(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "evaluation.json").unlink()
    with pytest.raises(ModelCardError, match="redden-train evaluate"):
        export(copy, tmp_path / "models")


def test_a_run_is_not_fitted_over(run: Path, blobs: Path) -> None:
    result = CliRunner().invoke(app, ["fit", "gaussian-3band", "--data", str(blobs), "--out", str(run)])
    assert result.exit_code == 2
    assert "holds a run: name a new directory" in re.sub(r"[\s│]+", " ", result.output)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "nonsense", "--data", "{blobs}", "--out", "{tmp}"], "there is no model 'nonsense'"),
        (["fit", "paper-1band", "--data", "{tmp}", "--out", "{tmp}"], "is no finished data set"),
        (["evaluate", "{tmp}", "--data", "{blobs}"], "is neither the directory of a run"),
        (["evaluate", "{models}/redden/1", "--data", "{blobs}"], "use `redden-train coverage` or `compare-rivals`"),
        (["evaluate", "{models}/paper-1band/1", "--data", "{few}"], "no test galaxies: 2 galaxies are too few"),
        (["fit", "paper-1band", "--data", "{few}", "--out", "{tmp}"], "no validation galaxies: 2 galaxies are too few"),
        (["tune", "paper-1band", "--data", "{few}", "--out", "{tmp}"], "no validation galaxies: 2 galaxies"),
        (["fit", "paper-1band", "--data", "{scenes}", "--out", "{tmp}"], "run `redden-train observe-scenes` first"),
        (["evaluate", "{models}/paper-1band/1", "--data", "{scenes}"], "run `redden-train observe-scenes` first"),
        (["export", "{tmp}", "{tmp}"], "is no finished run"),
    ],
)
def test_mistakes_on_the_command_line_are_explained(
    arguments: list[str], message: str, blobs: Path, blob_scenes: Path, few: Path, tmp_path: Path
) -> None:
    places = {"blobs": blobs, "scenes": blob_scenes, "few": few, "models": MODELS, "tmp": tmp_path}
    result = CliRunner().invoke(app, [word.format(**places) for word in arguments])
    assert result.exit_code == 2
    assert message in re.sub(r"[\s│]+", " ", result.output)


def test_help_does_not_wait_for_tensorflow() -> None:
    code = "import sys, training.cli; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
