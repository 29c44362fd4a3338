"""Levels that a network answers: they mend posteriors that are wrong in different ways for different galaxies."""

import json
from pathlib import Path

import keras
import numpy as np
import openvino
import pytest
from numpy.typing import NDArray

from redden.modelcard import PROBABILITIES, ModelCard
from redden.photometric import context_columns, context_places
from redden.posterior import QUANTITIES, exceedance, quantiles
from redden.signature import CONTEXT, LEVELS, LOGITS, MEAN, PIXELS, SCALE_TRIL
from tests.training.unfitted import ALL_BANDS, write_unfitted
from training.calibration import coverage, draw, pit
from training.export import write_saved_model
from training.levels import POSTERIOR, fit_levels, what_is_known, with_levels
from training.predict import open_model

GALAXIES = 8000
COLUMNS = context_columns(len(ALL_BANDS))
KNOWN = context_places(COLUMNS)["known"].start
"""Column of the context that says whether the redshift is known."""
CARD = ModelCard.model_validate(
    json.loads((Path(__file__).parents[2] / "models/redden/1/model_card.json").read_text(encoding="utf-8"))
    | {"levels": False}
)
MENDED = CARD.model_copy(update={"levels": True})

# keras asks numpy for a view in an old way when it saves what a fit has updated.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def posteriors(seed: int) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float64]]]:
    """Contexts, answers of two unequal components, and truths, of which the answers are too sure.

    Where the redshift is known, widths of A_V and E(B-V) are 3/4 of what they should be, else they are right; and who
    is thought to form many stars forms still more.
    """
    rng = np.random.default_rng(seed)
    context = rng.normal(size=(GALAXIES, COLUMNS)).astype(np.float32)
    context[:, KNOWN] = rng.integers(2, size=GALAXIES)
    mean = rng.normal([0, -2, -8.2], [0.5, 0.4, 0.2], (GALAXIES, 3))
    factor = np.array([[0.3, 0, 0], [0.2, 0.1, 0], [0.02, 0.03, 0.1]])
    drawn = mean + rng.normal(size=(GALAXIES, 3)) @ factor.T
    drawn[:, 2] += 0.3 * (mean[:, 2] + 8.2)
    narrow = np.where(context[:, [KNOWN]], [0.75, 0.75, 1.0], 1.0)[:, :, None]
    offset = np.array([[-0.1, 0, 0], [0.1, 0, 0]])
    components = mean[:, None] + offset
    known = {
        CONTEXT: context,
        LOGITS: np.tile(np.float32([0.0, 0.1]), (GALAXIES, 1)),
        MEAN: components.astype(np.float32),
        SCALE_TRIL: np.stack([factor * narrow] * 2, axis=1).astype(np.float32),
    }
    truth = {"a_v": np.exp(drawn[:, 0]), "e_bv": np.exp(drawn[:, 1]), "log_ssfr": drawn[:, 2]}
    return known, truth | {"r_v": truth["a_v"] / truth["e_bv"]}


@pytest.fixture(scope="module")
def levels() -> keras.Model:
    known, truth = posteriors(seed=1)
    return fit_levels(CARD, known, ranks_of(known, truth), epochs=150, seed=0)


def ranks_of(known: dict[str, NDArray[np.float32]], truth: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    ranks = pit(CARD, known, truth)
    return np.stack([ranks[name] for name in QUANTITIES], axis=1)


def answered(levels: keras.Model, known: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.asarray(levels.predict([known[tensor.name] for tensor in levels.inputs], batch_size=1024, verbose=0))


def test_levels_mend_what_is_wrong_for_some_galaxies_only(levels: keras.Model) -> None:
    known, truth = posteriors(seed=2)
    before = quantiles(CARD, known)
    after = quantiles(MENDED, known | {LEVELS: answered(levels, known)})
    told = known[CONTEXT][:, KNOWN] == 1
    everyone = np.arange(GALAXIES)
    assert coverage(truth["a_v"][told], before["a_v"][told], everyone[told]).held_68.value < 0.6
    young = before["log_ssfr"][:, 2] > -8.0
    for name in QUANTITIES:
        for some in (told, ~told, young, ~young):
            held = coverage(truth[name][some], after[name][some], everyone[some])
            assert held.held_68.value == pytest.approx(0.68, abs=0.035), name
            assert held.held_95.value == pytest.approx(0.95, abs=0.025), name
    for column, probability in enumerate(PROBABILITIES):
        chance = exceedance(MENDED, known | {LEVELS: answered(levels, known)}, "r_v", after["r_v"][:, column])
        assert chance == pytest.approx(1 - probability, abs=1e-4)


def test_levels_of_a_right_posterior_are_the_probabilities() -> None:
    known, _ = posteriors(seed=3)
    uniform = np.random.default_rng(0).random((GALAXIES, len(QUANTITIES)))
    found = answered(fit_levels(CARD, known, uniform, epochs=5, seed=0), known)
    assert found.mean(axis=0) == pytest.approx(np.tile(PROBABILITIES, (4, 1)), abs=0.015)
    assert found.std(axis=0).max() < 0.03


def test_levels_rise_where_galaxies_are_few_and_alike() -> None:
    known, _ = posteriors(seed=6)
    few = {name: values[:5] for name, values in known.items()}
    found = answered(fit_levels(CARD, few, np.zeros((5, len(QUANTITIES))), epochs=1, seed=0), few)
    assert np.diff(found).min() > 0
    assert found.min() > 0
    assert found.max() < 1


def test_what_levels_follow_from_is_the_mean_and_width_of_each_marginal() -> None:
    known, _ = posteriors(seed=7)
    samples = draw(known, 4000, np.random.default_rng(0))[:20]
    samples = np.stack([samples[..., 0], samples[..., 1], samples[..., 0] - samples[..., 1], samples[..., 2]], axis=2)
    given = [keras.Input(known[name].shape[1:], name=name) for name in (CONTEXT, *POSTERIOR)]
    usual = known[MEAN].mean(axis=(0, 1))
    seen = keras.Model(given, what_is_known(CARD, usual, *given)).predict(
        [known[tensor.name][:20] for tensor in given], verbose=0
    )
    offset = np.array([usual[0], usual[1], usual[0] - usual[1], usual[2]])
    assert seen[:, COLUMNS : COLUMNS + 4] + offset == pytest.approx(samples.mean(axis=1), abs=0.03)
    assert seen[:, COLUMNS + 4 :] == pytest.approx(np.log(samples.std(axis=1)), abs=0.06)
    np.testing.assert_array_equal(seen[:, :COLUMNS], known[CONTEXT][:20])


def test_levels_rise_whatever_is_sent(levels: keras.Model) -> None:
    known, _ = posteriors(seed=4)
    rng = np.random.default_rng(4)
    wild = {
        CONTEXT: known[CONTEXT] * 10.0 ** rng.uniform(0, 8, (GALAXIES, 1)).astype(np.float32),
        LOGITS: known[LOGITS] * 100,
        MEAN: known[MEAN] * 10.0 ** rng.uniform(0, 4, (GALAXIES, 1, 1)).astype(np.float32),
        SCALE_TRIL: known[SCALE_TRIL] * 10.0 ** rng.uniform(-4, 4, (GALAXIES, 1, 1, 1)).astype(np.float32),
    }
    found = answered(levels, wild)
    assert np.diff(np.pad(found, [(0, 0), (0, 0), (1, 1)], constant_values=[(0, 0), (0, 0), (0, 1)])).min() > 1e-6
    assert all(np.isfinite(values).all() for values in quantiles(MENDED, known | {LEVELS: found}).values())


def test_a_network_answers_levels_in_every_runtime_and_can_forget_them(levels: keras.Model, tmp_path: Path) -> None:
    network = keras.models.load_model(write_unfitted(tmp_path / "redden", trained_on={}) / "network.keras")
    rng = np.random.default_rng(5)
    galaxies = {
        PIXELS: rng.normal(size=(9, 32, 32, len(ALL_BANDS))).astype(np.float32),
        CONTEXT: rng.normal(size=(9, COLUMNS)).astype(np.float32),
    }
    plain = open_model(tmp_path / "redden")[1](galaxies)
    for _ in range(2):  # new levels take the place of old ones
        network = with_levels(network, levels)
    network.save(tmp_path / "redden" / "network.keras")
    expected = open_model(tmp_path / "redden")[1](galaxies)
    assert set(expected) == {*plain, LEVELS}
    assert expected[LEVELS].shape == (9, 4, 5)
    np.testing.assert_allclose(expected[LEVELS], answered(levels, galaxies | expected), atol=1e-5)
    for name, values in plain.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-6)

    write_saved_model(network, tmp_path)
    model = openvino.Core().read_model(tmp_path)
    served = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(galaxies)
    np.testing.assert_allclose(served[LEVELS], expected[LEVELS], atol=1e-5)
    assert set(with_levels(network).output) == set(plain)
