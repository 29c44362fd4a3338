"""The domain score: fitted to a small network, it tells strange cutouts from galaxies and keeps its false alarms."""

from pathlib import Path

import keras
import numpy as np
import openvino
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from redden.bands import BANDS
from redden.grid import SIZE
from redden.modelinput import Inputs
from redden.signature import CONTEXT, DOMAIN, LOGITS, MEAN, PIXELS, SCALE_TRIL
from training.batches import Looks
from training.configs import config_file
from training.domain import FALSE_ALARMS, fit_usual, score, with_domain
from training.domain_data import Cutouts, band_sets, strange_looks
from training.domain_report import auroc, domain_report
from training.fit_redden import Config, Fit, measure_scales
from training.networks.redden import Shape

NAMES = tuple(BANDS)
KINDS = ("noise", "tiny", "upside")
TINY = Shape(filters=(8, 12, 16), context=12, dense=(16, 16), components=2, strange=(16,))

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
    where = np.full((count, 7), kind != "blob")
    return Cutouts(pixels.astype(np.float32), rng.uniform(5.5, 9, count), np.full((count, 7), 8.0, np.float32), where)


def shown(kind: str, count: int, seed: int) -> Inputs:
    return cutouts(kind, count, seed).shown_at_random(NAMES, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """Fitted to tell blobs from the rest, and to answer nothing but noise."""
    path = config_file("redden")
    assert path is not None
    config = Config.read(path).model_copy(
        update={"learning_rate": 1e-2, "looks": 128 * 200, "batch": 128, "chunk": 128}
    )
    galaxies, rng = shown("blob", 1500, 1), np.random.default_rng(1)
    known = Looks(galaxies[PIXELS].astype(np.float16), galaxies[CONTEXT], rng.normal(size=(1500, 3)).astype(np.float32))
    strange = {kind: cutouts(kind, 500, 10 + number) for number, kind in enumerate(KINDS)}
    others = strange_looks(strange, NAMES, galaxies=64, seed=1)
    fit = Fit(config, TINY, measure_scales(known, known.labels))
    for _ in range(20):
        for batch in known.batches(128, rng):
            odd = next(others)
            fit.step(batch, (odd.pixels.astype(np.float32), odd.context))
    return with_domain(fit.model)


@pytest.fixture(scope="module")
def scored(network: keras.Model) -> keras.Model:
    calibration = cutouts("blob", 1000, 2).shown_in_every_set(NAMES, np.random.default_rng(2))
    return with_domain(network, fit_usual(calibration[CONTEXT], score(network, calibration), epochs=30, seed=0))


@pytest.mark.parametrize("kind", KINDS)
def test_strange_cutouts_score_higher_than_galaxies(scored: keras.Model, kind: str) -> None:
    usual, strange = (cutouts(each, 300, 3).shown_in(NAMES, NAMES) for each in ("blob", kind))
    assert auroc(score(scored, usual), score(scored, strange)) > 0.95


def test_one_in_a_hundred_galaxies_is_above_zero_whatever_the_bands(scored: keras.Model) -> None:
    held_out = cutouts("blob", 1200, 5)
    for bands in band_sets(NAMES).values():
        flagged = (score(scored, held_out.shown_in(NAMES, bands)) > 0).mean()
        assert 0 < flagged < FALSE_ALARMS + 0.02  # 12 of 1,200, and few of them to fit to


def test_the_answer_stays_as_it_was(network: keras.Model, scored: keras.Model) -> None:
    galaxies = shown("blob", 20, 6)
    before = network.predict([galaxies[PIXELS], galaxies[CONTEXT]], verbose=0)
    after = scored.predict([galaxies[PIXELS], galaxies[CONTEXT]], verbose=0)
    for name in (LOGITS, MEAN, SCALE_TRIL):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-5, atol=1e-6)
    assert set(after) == {LOGITS, MEAN, SCALE_TRIL, DOMAIN}
    assert after[DOMAIN].shape == (20,)


def test_a_level_can_be_taken_away_again(network: keras.Model, scored: keras.Model) -> None:
    galaxies = shown("tiny", 20, 6)
    np.testing.assert_allclose(score(with_domain(scored), galaxies), score(network, galaxies), rtol=1e-5)
    assert not np.allclose(score(scored, galaxies), score(network, galaxies))


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


def test_the_usual_level_does_not_excuse_strange_colours_and_redshifts(network: keras.Model) -> None:
    galaxies = shown("blob", 600, 12)
    usual = fit_usual(galaxies[CONTEXT], score(network, galaxies), epochs=2, seed=0)
    context = cutouts("blob", 50, 13).shown_in(NAMES, NAMES)[CONTEXT]
    level = usual.predict(context, verbose=0)
    bands, magnitudes, noise = np.split(np.arange(6 * len(NAMES)), [len(NAMES), 5 * len(NAMES)])
    flux, redshift, error, known, share = range(6 * len(NAMES), context.shape[1])
    for columns, matters in (
        ([*magnitudes, flux, redshift, error, share], False),
        (bands, True),
        (noise, True),
        ([known], True),
    ):
        other = context.copy()
        other[:, columns] += np.linspace(1, 2, len(columns))
        assert np.allclose(usual.predict(other, verbose=0), level, rtol=1e-5) is not matters


def test_strange_looks_are_of_all_kinds_in_the_bands_of_training() -> None:
    kinds = {kind: cutouts(kind, 100, number) for number, kind in enumerate(KINDS)}
    one, same = (next(strange_looks(kinds, NAMES, galaxies=600, seed=3)) for _ in range(2))
    np.testing.assert_array_equal(one.pixels, same.pixels)
    assert one.labels.shape == (600, 0)
    bands = one.context[:, : len(NAMES)].sum(axis=1)
    assert {1, 3, 7} <= set(bands.astype(int).tolist())
    middle = one.pixels[bands == 7, 15:17, 15:17].astype(np.float32).mean(axis=(1, 2, 3))
    assert (middle < -1).any()  # a hole
    assert (np.abs(middle) < 0.5).any()  # nothing
    assert (middle > 1).any()  # a sharp source


def test_a_report_has_every_kind_and_the_false_alarms(scored: keras.Model) -> None:
    tests = {kind: cutouts(kind, 100, 30) for kind in (*KINDS, "blob")}
    report = domain_report(scored, NAMES, 0.0, cutouts("blob", 500, 31), tests)
    assert set(report.kinds) == {*KINDS, "blob"}
    assert set(report.false_alarms) == {"1", "1+z", "3", "3+z", "7", "7+z", "any"}
    assert set(report.kinds["blob"]) == {"1", "3", "7", "any"}
    for shown in ("7", "any"):
        assert report.kinds["blob"][shown].auroc == pytest.approx(0.5, abs=0.1)
    assert report.kinds["noise"]["any"].auroc > 0.9
    assert report.kinds["noise"]["7"].flagged > 0.5
    assert report.false_alarms["7"]["S/N 7-10"] == report.false_alarms["7"]["all"]
    assert "| noise |" in report.markdown()


def single(values: list[float]) -> NDArray[np.float64]:
    return np.array(values)


def test_auroc_is_the_chance_that_strange_is_above_usual() -> None:
    assert auroc(single([0, 1]), single([2, 3])) == 1
    assert auroc(single([0, 2]), single([1, 3])) == 0.75


def test_what_is_strange_in_some_bands_is_shown_in_them() -> None:
    odd = cutouts("noise", 400, 3)
    odd.strange_in[:] = False
    odd.strange_in[:, 0] = True  # F115W, which is not among the paper's bands
    anyhow = odd.shown_at_random(NAMES, np.random.default_rng(0))[CONTEXT][:, : len(NAMES)]
    assert anyhow[:, 0].all()
    assert (anyhow.sum(axis=1) < len(NAMES)).any()
    odd.strange_in[:100, NAMES.index("F277W")] = True
    assert len(odd.shown_in(NAMES, ("F277W", "F356W"))[CONTEXT]) == 100
    assert len(odd.shown_in(NAMES, ("F115W", "F356W"))[CONTEXT]) == 400
    assert len(cutouts("blob", 400, 3).shown_in(NAMES, ("F277W",))[CONTEXT]) == 400
