"""Calibration of a run, from held-out galaxies to the levels of its network, and the report on others."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from redden.errors import ModelCardError
from redden.modelcard import CARD_FILE
from redden.photometric import context_columns
from redden.posterior import quantiles
from redden.signature import CONTEXT, DOMAIN, LEVELS, PIXELS
from tests.training.unfitted import write_unfitted
from training.assess import assess
from training.calibration import draw
from training.cli import app
from training.coverage_report import CALIBRATION_FILE, report
from training.dataset import DatasetCard, DatasetError
from training.domain import fit_usual, with_domain
from training.levels_run import calibrate
from training.observe import ObservationPrior
from training.predict import open_model
from training.rivals.mocks import ALL_BANDS, BAND_SETS, Mocks
from training.rivals.network import Network, PosteriorMean
from training.scene_set import load_scenes

# keras asks numpy for a view in an old way when it saves what a fit has updated.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


RNG = np.random.default_rng(0)
GALAXIES = {
    PIXELS: RNG.normal(size=(7, 32, 32, len(ALL_BANDS))).astype(np.float32),
    CONTEXT: RNG.normal(size=(7, context_columns(len(ALL_BANDS)))).astype(np.float32),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_unfitted(
        tmp_path_factory.mktemp("runs") / "redden",
        trained_on={"split_seed": 0, "sha256": "another", "settings": {"seed": 12}},
    )


def test_levels_make_even_a_network_that_knows_nothing_honest(run: Path, blob_scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "redden"
    shutil.copytree(run, out)
    before = report(out, blob_scenes, seed=2, scenes=400)
    result = CliRunner().invoke(app, ["calibrate", str(out), "--data", str(blob_scenes)])
    assert result.exit_code == 0, result.output
    assert "log_ssfr: 0." in result.output
    card, _ = open_model(out)
    assert card.levels
    assert card.trained_with["levels"]["sha256"] == DatasetCard.read(blob_scenes).sha256

    after = report(out, blob_scenes, seed=2, scenes=400)
    assert before.coverage["a_v"]["all"][""].held_68.value < 0.62
    for name in ("a_v", "e_bv", "log_ssfr"):  # all blobs have nearly one R_V, a hundredth of what the network allows
        bins = after.coverage[name]
        every = bins["all"][""]
        assert every.held_68.value == pytest.approx(0.68, abs=4 * every.held_68.error), name
        assert every.held_95.value == pytest.approx(0.95, abs=4 * every.held_95.error), name
        assert list(bins["bands"]) == [*(band_set.name for band_set in BAND_SETS), "any"]
        known = sum(bins["bands"][band_set.name].images for band_set in BAND_SETS if band_set.redshift)
        assert sum(found.images for found in bins["redshift"].values()) == known
        assert sum(found.images for found in bins["S/N"].values()) == 5 * bins["bands"]["any"].images
    assert np.mean(after.pit["a_v"]) == pytest.approx(1, abs=0.01)


def test_all_galaxies_of_another_data_set_can_be_tested_on(run: Path, blob_scenes: Path) -> None:
    part, every = (report(run, blob_scenes, seed=2, scenes=10_000, fresh=fresh) for fresh in (False, True))
    assert every.galaxies > 5 * part.galaxies
    table = every.table()
    row = table[(table["quantity"] == "r_v") & (table["bin"] == "3+z")][0]
    held = every.coverage["r_v"]["bands"]["3+z"]
    assert (row["answers"], row["held_68"]) == (held.images, pytest.approx(100 * held.held_68.value, abs=0.01))
    assert len(table) == 4 * sum(map(len, every.coverage["a_v"].values()))


def test_scenes_that_are_looked_at_in_parts_and_twice_are_the_same_galaxies(
    run: Path, blob_scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = report(run, blob_scenes, seed=2, scenes=10_000, fresh=True)
    monkeypatch.setattr("training.coverage_report.SCENES_AT_ONCE", 60)
    parts = report(run, blob_scenes, seed=2, scenes=10_000, looks=2, fresh=True)
    assert parts.images == pytest.approx(2 * once.images, rel=0.05)
    assert once.galaxies <= parts.galaxies <= 500
    for name, bins in parts.coverage.items():
        one, two = once.coverage[name]["all"][""], bins["all"][""]
        assert two.held_68.value == pytest.approx(one.held_68.value, abs=5 * one.held_68.error + 0.01), name
        assert two.width_68 == pytest.approx(one.width_68, rel=0.05), name


def test_levels_can_be_fitted_to_another_data_set_which_is_no_test_then(
    run: Path, blob_scenes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "redden"
    shutil.copytree(run, out)
    cards = [calibrate(out, blob_scenes, seed=1, scenes=10_000, fresh=True) for _ in range(2)]
    assert cards[0] == cards[1] == open_model(out)[0]  # levels start from the network, not from earlier ones
    fitted_to = cards[0].trained_with["levels"]
    part = calibrate(out, blob_scenes, seed=1, scenes=10_000).trained_with["levels"]
    assert (fitted_to["part"], part["part"]) == ("all", "validation")
    assert fitted_to["galaxies"] > 5 * part["galaxies"]
    calibrate(out, blob_scenes, seed=1, scenes=10_000, fresh=True)
    for fresh in (True, False):
        with pytest.raises(DatasetError, match="the data set that the levels of redden were fitted to"):
            report(out, blob_scenes, seed=2, scenes=100, fresh=fresh)
    with pytest.raises(DatasetError, match="the data set that the levels of redden were fitted to"):
        assess([out], blob_scenes, tmp_path, seed=0, test_scenes=10, train_scenes=10)


def test_levels_and_domain_score_leave_each_other_alone(run: Path, blob_scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "redden"
    shutil.copytree(run, out)
    (out / CALIBRATION_FILE).write_text("of earlier levels")
    plain = open_model(out)[1](GALAXIES)
    calibrate(out, blob_scenes, seed=1, scenes=200)
    assert not (out / CALIBRATION_FILE).exists()
    calibrated = open_model(out)[1](GALAXIES)
    usual = fit_usual(GALAXIES[CONTEXT], np.linspace(1, 2, 7), epochs=1, seed=0)
    with_domain(keras.models.load_model(out / "network.keras"), usual).save(out / "network.keras")
    scored = open_model(out)[1](GALAXIES)
    calibrate(out, blob_scenes, seed=1, scenes=200)
    again = open_model(out)[1](GALAXIES)
    assert set(again) == {*plain, LEVELS}
    assert not np.allclose(scored[DOMAIN], plain[DOMAIN])
    for name, values in again.items():
        np.testing.assert_allclose(values, scored[name], atol=1e-5)
        if name != DOMAIN:
            np.testing.assert_allclose(values, calibrated[name], atol=1e-5)


def test_levels_are_for_networks_with_a_mixture(run: Path, blob_scenes: Path, tmp_path: Path) -> None:
    gaussian = tmp_path / "redden"
    shutil.copytree(run, gaussian)
    card = json.loads((gaussian / CARD_FILE).read_text())
    (gaussian / CARD_FILE).write_text(json.dumps(card | {"posterior": "gaussian"}))
    with pytest.raises(ModelCardError, match="answers a gaussian posterior; levels"):
        calibrate(gaussian, blob_scenes, seed=1, scenes=100)


def test_levels_are_fitted_before_a_model_is_exported(run: Path, blob_scenes: Path, tmp_path: Path) -> None:
    exported = tmp_path / "redden"
    shutil.copytree(run, exported, ignore=shutil.ignore_patterns("*.keras"))
    with pytest.raises(ModelCardError, match="is no run"):
        calibrate(exported, blob_scenes, seed=1, scenes=100)


@pytest.mark.parametrize("told", [("sha256", "is the data set that"), ("seed", "has the seed of the data set")])
def test_the_galaxies_of_the_fit_are_not_fresh(
    run: Path, blob_scenes: Path, tmp_path: Path, told: tuple[str, str]
) -> None:
    fitted, of_data = tmp_path / "fitted", DatasetCard.read(blob_scenes)
    shutil.copytree(run, fitted)
    card = json.loads((fitted / CARD_FILE).read_text())
    card["trained_on"] |= {"sha256": of_data.sha256} if told[0] == "sha256" else {"settings": of_data.settings}
    (fitted / CARD_FILE).write_text(json.dumps(card))
    with pytest.raises(DatasetError, match=told[1]):
        report(fitted, blob_scenes, seed=2, scenes=100, fresh=True)


def test_the_mean_of_a_posterior_is_that_of_its_samples(run: Path, blob_scenes: Path) -> None:
    network = Network(run)
    mocks = Mocks.observe(load_scenes(blob_scenes)[1], ObservationPrior(), seed=0, most=20).rows(slice(0, 4))
    samples = draw(network.outputs(mocks), 40_000, np.random.default_rng(0))
    expected = {
        "a_v": np.exp(samples[..., 0]),
        "e_bv": np.exp(samples[..., 1]),
        "r_v": np.exp(samples[..., 0] - samples[..., 1]),
        "log_ssfr": samples[..., 2],
    }
    answer = PosteriorMean(network).answer(mocks)
    for name, values in expected.items():
        assert answer[name][:, 2] == pytest.approx(values.mean(axis=1), rel=0.02), name
    uncalibrated = network.card.model_copy(update={"levels": False})
    median = quantiles(uncalibrated, network.outputs(mocks))["a_v"][:, 2]
    assert np.all(answer["a_v"][:, 2] > median)
