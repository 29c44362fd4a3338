"""The domain score: fitted to a small network, it tells strange cutouts from galaxies and keeps its false alarms."""

from pathlib import Path

import keras
import numpy as np
import openvino
import pytest
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from redden.bands import BANDS
from redden.grid import SIZE
from redden.modelinput import Inputs
from redden.photometric import context_columns
from redden.signature import CONTEXT, DOMAIN, MEAN, PIXELS
from training.domain import FALSE_ALARMS, RINGS, evidence, exceeded_by_few, fit_head, look, statistics, with_domain
from training.domain_data import Cutouts, band_sets
from training.domain_report import auroc, domain_report, heads_without, score
from training.networks.redden import FEATURES

NAMES = tuple(BANDS)
COLUMNS = context_columns(len(NAMES))
KINDS = ("noise", "tiny", "upside")

# keras asks numpy for a view in an old way when it saves what a fit has updated.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def cutouts(kind: str, count: int, seed: int) -> Cutouts:
    """Round blobs of any colour; or none, or sharp ones, or holes, in the same noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    width = 1.0 if kind == "tiny" else rng.uniform(2.5, 4.0, (count, 1, 1, 1))
    brightness = rng.uniform(4, 20, (count, 1, 1, 1)) * {"noise": 0.0, "upside": -1.0}.get(kind, 1.0)
    colour = rng.uniform(0.7, 1.3, (count, 1, 1, len(NAMES)))
    pixels = brightness * colour * np.exp(-((x**2 + y**2)[None, :, :, None]) / (2 * width**2))
    pixels += rng.normal(size=pixels.shape)
    return Cutouts(pixels.astype(np.float32), rng.uniform(5.5, 9, count), np.full((count, 7), 8.0, np.float32))


def shown(kind: str, count: int, seed: int) -> Inputs:
    return cutouts(kind, count, seed).shown_at_random(NAMES, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """Untrained: even random maps tell blobs from noise."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((SIZE, SIZE, len(NAMES)), name=PIXELS)
    context = keras.Input((context_columns(len(NAMES)),), name=CONTEXT)
    x = layers.ReLU()(layers.Conv2D(8, 3, strides=2, padding="same")(pixels))
    x = layers.ReLU()(layers.Conv2D(8, 3, strides=2, padding="same")(x))
    x = layers.Concatenate()([layers.Flatten()(x), context])
    x = layers.Dense(16, activation="relu", name=FEATURES)(x)
    return keras.Model([pixels, context], {MEAN: layers.Dense(3, name=MEAN)(x)}, name="small")


@pytest.fixture(scope="module")
def scored(network: keras.Model) -> keras.Model:
    sees = evidence(network)
    strange = {kind: look(sees, shown(kind, 250, 10 + number)) for number, kind in enumerate(KINDS)}
    calibration = look(sees, cutouts("blob", 1000, 2).shown_in_every_set(NAMES, np.random.default_rng(2)))
    known = look(sees, shown("blob", 800, 1))
    return with_domain(network, fit_head(known, strange, calibration, COLUMNS, epochs=30, seed=0))


@pytest.mark.parametrize("kind", KINDS)
def test_strange_cutouts_score_higher_than_galaxies(scored: keras.Model, kind: str) -> None:
    usual, strange = (cutouts(each, 300, 3).shown_in(NAMES, NAMES) for each in ("blob", kind))
    assert auroc(score(scored, usual), score(scored, strange)) > 0.95


def test_one_in_a_hundred_galaxies_is_above_zero_whatever_the_bands(scored: keras.Model) -> None:
    held_out = cutouts("blob", 1200, 5)
    for bands in band_sets(NAMES).values():
        flagged = (score(scored, held_out.shown_in(NAMES, bands)) > 0).mean()
        assert flagged == pytest.approx(FALSE_ALARMS, abs=0.02)  # 12 of 1,200, and few of them to fit to


def test_the_answer_stays_as_it_was(network: keras.Model, scored: keras.Model) -> None:
    galaxies = shown("blob", 20, 6)
    before = network.predict([galaxies[PIXELS], galaxies[CONTEXT]], verbose=0)
    after = scored.predict([galaxies[PIXELS], galaxies[CONTEXT]], verbose=0)
    np.testing.assert_allclose(after[MEAN], before[MEAN], rtol=1e-5, atol=1e-6)
    assert set(after) == {MEAN, DOMAIN}
    assert after[DOMAIN].shape == (20,)


def test_the_score_survives_saving_and_another_runtime(scored: keras.Model, tmp_path: Path) -> None:
    galaxies = shown("tiny", 20, 7)
    expected = score(scored, galaxies)
    scored.save(tmp_path / "network.keras")
    np.testing.assert_allclose(
        score(keras.models.load_model(tmp_path / "network.keras"), galaxies), expected, rtol=1e-5
    )

    spec = [tf.TensorSpec((None, *tensor.shape[1:]), tf.float32, name=tensor.name) for tensor in scored.inputs]
    served = tf.function(lambda pixels, context: scored([pixels, context]), input_signature=spec)
    module = tf.Module()
    module.weights = [variable.value for variable in scored.weights]
    tf.saved_model.save(module, str(tmp_path / "served"), signatures=served)
    compiled = openvino.compile_model(openvino.Core().read_model(tmp_path / "served"), "CPU")
    answer = compiled({name: galaxies[name] for name in (PIXELS, CONTEXT)})
    np.testing.assert_allclose(answer[DOMAIN], expected, rtol=1e-3, atol=1e-3)


def test_the_level_that_few_exceed_is_the_quantile() -> None:
    scores = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    levels = np.linspace(1.5, 3.5, 41, dtype=np.float32)
    losses = [float(np.mean(exceeded_by_few(scores, np.full_like(scores, level)))) for level in levels]
    assert levels[np.argmin(losses)] == pytest.approx(np.quantile(scores, 1 - FALSE_ALARMS), abs=0.06)


def test_evidence_ends_with_the_context(network: keras.Model) -> None:
    galaxies = shown("blob", 10, 8)
    seen = look(evidence(network), galaxies)
    assert seen.shape[1] == statistics(len(NAMES)).output.shape[1] + 2 * 8 + 2 * 8 + 16 + context_columns(len(NAMES))
    np.testing.assert_allclose(seen[:, -context_columns(len(NAMES)) :], galaxies[CONTEXT], rtol=1e-6)


def test_statistics_see_rings_and_empty_rows() -> None:
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    image = np.where(np.hypot(x, y) < 2.2, 3.0, 1.0)[None, :, :, None].astype(np.float32)
    seen = np.asarray(statistics(1)(image))[0]
    rings = len(RINGS) - 1
    np.testing.assert_allclose(seen[:rings], [3.0] + [1.0] * (rings - 1), rtol=1e-5)
    np.testing.assert_allclose(seen[rings : rings + 2], [1.0, 3.0], rtol=1e-5)  # least and largest brightness
    noisy = np.random.default_rng(0).normal(size=(1, SIZE, SIZE, 1)).astype(np.float32)
    spoilt = noisy.copy()
    spoilt[:, :4] = 0.0
    usual, strange = (np.asarray(statistics(1)(each))[0, -4:] for each in (noisy, spoilt))
    assert (np.abs(usual - strange) > 2).sum() == 1  # the least contrast of a row


def test_a_report_has_every_kind_with_and_without_its_fit(network: keras.Model, scored: keras.Model) -> None:
    sees = evidence(network)
    strange = {kind: look(sees, shown(kind, 100, 20 + number)) for number, kind in enumerate(KINDS)}
    usual, others = (look(sees, shown("blob", 300, seed)) for seed in (1, 2))
    unseen = heads_without(usual, strange, others, COLUMNS, epochs=5, seed=0)
    tests = {kind: cutouts(kind, 100, 30) for kind in (*KINDS, "blob")}
    report = domain_report(scored, NAMES, 0.0, cutouts("blob", 500, 31), tests, unseen)
    assert set(report.kinds) == {*KINDS, "blob"}
    assert set(report.false_alarms) == {"1", "3", "7"}
    assert report.kinds["blob"]["7"].auroc == pytest.approx(0.5, abs=0.1)
    assert report.kinds["blob"]["7"].auroc_unseen is None
    unseen_noise = report.kinds["noise"]["7"].auroc_unseen
    assert unseen_noise is not None
    assert 0 <= unseen_noise <= 1
    assert report.false_alarms["7"]["S/N 7-10"] == report.false_alarms["7"]["all"]
    assert "| noise |" in report.markdown()


def single(values: list[float]) -> NDArray[np.float64]:
    return np.array(values)


def test_auroc_is_the_chance_that_strange_is_above_usual() -> None:
    assert auroc(single([0, 1]), single([2, 3])) == 1
    assert auroc(single([0, 2]), single([1, 3])) == 0.75
