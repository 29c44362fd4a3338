from pathlib import Path
from shutil import copytree

import keras
import numpy as np
import pytest

from redden.modelinput import model_inputs
from redden.posterior import quantiles
from redden.signature import CONTEXT, DOMAIN, LOGITS, MEAN, PIXELS, SCALE_TRIL
from redden.snr import aperture_snr
from training.batches import draw_bands, draw_redshifts, groups, looks
from training.configs import config_file
from training.dataset import DatasetError, Part
from training.domain_run import DomainSettings, add_domain
from training.fit import read_run_card
from training.fit_redden import TARGETS, Config, ConfigError, fit, fit_one
from training.networks.redden import Shape, negative_log_likelihood
from training.observe import SELECTED_IN, ObservationPrior, surveys
from training.predict import open_model
from training.rivals.mocks import BAND_SETS, Mocks
from training.scene_set import SceneSet, load_scenes

# keras asks numpy for a view in an old way when it saves what a fit has updated.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TINY = Shape(filters=(4, 6, 8), context=12, dense=(16, 16), components=2)


@pytest.fixture(scope="module")
def config() -> Config:
    path = config_file("redden")
    assert path is not None
    small = {"looks": 4096, "echo": 8, "chunk": 1024, "batch": 64, "strange": 40, "learning_rate": 1e-2, "shape": TINY}
    return Config.read(path).model_copy(update=small)


@pytest.fixture(scope="module")
def run(config: Config, blob_scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "redden"
    fit_one(config, blob_scenes, out, lambda _: None)
    return out


def test_the_fit_learns_what_the_blobs_tell(run: Path, config: Config, blob_scenes: Path) -> None:
    card, predict = open_model(run)
    mocks = Mocks.observe(
        load_scenes(blob_scenes)[1].part("test", config.split_seed), ObservationPrior(), seed=5, most=400
    )
    answer = quantiles(card, predict(model_inputs(mocks.pixels, card, mocks.redshift)))["a_v"]
    assert np.corrcoef(answer[:, 2], mocks.truth["a_v"])[0, 1] > 0.7


def test_bands_may_be_absent_and_what_is_absent_does_not_matter(run: Path, config: Config, blob_scenes: Path) -> None:
    card, predict = open_model(run)
    mocks = Mocks.observe(
        load_scenes(blob_scenes)[1].part("test", config.split_seed), ObservationPrior(), seed=5, most=60
    )
    medians = [
        quantiles(card, predict(model_inputs(mocks.seen_in(each).pixels, card)))["a_v"][:, 2] for each in BAND_SETS[::2]
    ]
    assert all(np.isfinite(found).all() for found in medians)
    assert not np.allclose(medians[0], medians[-1])


def test_the_fit_learns_strange_cutouts_and_the_score_is_completed(
    run: Path, blob_scenes: Path, tmp_path: Path
) -> None:
    copied = Path(copytree(run, tmp_path / "redden"))
    report = add_domain(copied, blob_scenes, DomainSettings(tests=60, epochs=4))
    assert report.kinds["star"]["7"].auroc > 0.8
    card = read_run_card(copied)
    assert card.domain is not None
    low, high = card.redshift_range or (np.nan, np.nan)
    redshifts = load_scenes(blob_scenes)[1].part("train", card.trained_on["split_seed"]).truth["z"]
    assert low <= redshifts.min() < low + 0.11
    assert high - 0.11 < redshifts.max() <= high
    assert card.domain.threshold == report.threshold
    assert add_domain(copied, blob_scenes, DomainSettings(tests=60, epochs=4)) == report  # from the same strangeness


def test_a_fit_with_another_seed_keeps_the_split(
    config: Config, blob_scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, part = set(), SceneSet.part

    def noted(scenes: SceneSet, name: Part, seed: int) -> SceneSet:
        asked.add(seed)
        return part(scenes, name, seed)

    monkeypatch.setattr(SceneSet, "part", noted)
    other = config.model_copy(update={"seed": 1, "looks": 1024, "echo": 1, "strange": 10})
    card = fit_one(other, blob_scenes, tmp_path / "redden", lambda _: None)
    assert asked == {config.split_seed}
    assert card.trained_on["split_seed"] == config.split_seed != other.seed


def test_the_same_seed_gives_the_same_looks(config: Config, blob_scenes: Path) -> None:
    scenes = load_scenes(blob_scenes)[1]
    one, same = (next(looks(scenes, config.observation, TARGETS, galaxies=256, seed=3)) for _ in range(2))
    np.testing.assert_array_equal(one.pixels, same.pixels)
    np.testing.assert_array_equal(one.context, same.context)


def test_scenes_that_are_too_faint_are_an_error(
    config: Config, blob_scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.batches.FAINTEST_SNR", 1e9)
    with pytest.raises(DatasetError, match="signal-to-noise ratio"):
        next(looks(load_scenes(blob_scenes)[1], config.observation, TARGETS, galaxies=256, seed=3))


def test_only_galaxies_bright_enough_in_all_selected_bands_are_looked_at(
    config: Config, blob_scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes = load_scenes(blob_scenes)[1]
    _, images, _ = next(surveys(scenes, config.observation, np.random.default_rng(3)))
    faintest_band = aperture_snr(images)[:, [scenes.bands.index(band) for band in SELECTED_IN]].min(axis=1)
    monkeypatch.setattr("training.batches.FAINTEST_SNR", np.median(faintest_band))
    first, *_ = next(groups(scenes, config.observation, TARGETS, np.random.default_rng(3)))
    assert len(first) == (faintest_band >= np.median(faintest_band)).sum() == len(images) / 2


def test_several_sizes_are_fitted_to_the_same_observations(config: Config, blob_scenes: Path) -> None:
    shorter = config.model_copy(update={"looks": 512, "echo": 1})
    wider = TINY.model_copy(update={"dense": (24, 24)})
    (one, history), (other, others) = fit(shorter, blob_scenes, [TINY, wider], lambda _: None)
    assert other.model.count_params() > one.model.count_params()
    assert history["looks"] == others["looks"] == [1024]


def test_the_likelihood_is_that_of_the_mixture() -> None:
    rng = np.random.default_rng(0)
    labels, logits = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    mean, tril = rng.normal(size=(5, 2, 3)), np.tril(rng.normal(size=(5, 2, 3, 3)))
    for i in range(3):
        tril[..., i, i] = np.abs(tril[..., i, i]) + 0.5
    found = keras.ops.convert_to_numpy(
        negative_log_likelihood(*(keras.ops.convert_to_tensor(part) for part in (labels, logits, mean, tril)))
    )
    weights = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for row in range(5):
        density = 0.0
        for k in range(2):
            covariance = tril[row, k] @ tril[row, k].T
            residual = labels[row] - mean[row, k]
            exponent = -0.5 * residual @ np.linalg.solve(covariance, residual)
            density += weights[row, k] * np.exp(exponent) / np.sqrt(np.linalg.det(covariance))
        assert found[row] == pytest.approx(-np.log(density), rel=1e-4)


def test_every_galaxy_has_a_band_and_all_sets_occur() -> None:
    bands = ("F115W", "F150W", "F200W", "F277W", "F356W", "F410M", "F444W")
    drawn = draw_bands(bands, 2000, np.random.default_rng(0))
    assert drawn.any(axis=1).all()
    assert drawn.all(axis=1).mean() == pytest.approx(0.36, abs=0.05)
    assert {1, 3, 7} <= set(drawn.sum(axis=1).tolist())


def test_redshifts_are_known_to_half_and_scatter_by_their_error() -> None:
    z = np.full(4000, 7.0)
    known = draw_redshifts(z, np.random.default_rng(0))
    given = np.isfinite(known[:, 0])
    assert given.mean() == pytest.approx(0.5, abs=0.05)
    exact = known[:, 1] == 0
    assert (known[exact, 0] == 7).all()
    pull = (known[given & ~exact, 0] - 7) / known[given & ~exact, 1]
    assert pull.std() == pytest.approx(1, abs=0.1)


def test_the_network_has_named_inputs_and_outputs(run: Path) -> None:
    network = keras.models.load_model(run / "network.keras")
    assert {tensor.name for tensor in network.inputs} == {PIXELS, CONTEXT}
    assert set(network.output) == {LOGITS, MEAN, SCALE_TRIL, DOMAIN}


def test_a_configuration_that_is_wrong_says_where(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text('name = "redden"\nlooks = 0\n')
    with pytest.raises(ConfigError, match="looks"):
        Config.read(path)


def test_a_chunk_holds_two_batches(config: Config) -> None:
    with pytest.raises(ValueError, match="at least twice the batch, 128"):
        Config.model_validate(config.model_dump() | {"chunk": 127})
