"""Boosting, the grid of SEDs and the table of all methods, on blobs and on spectra that are known."""

from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from typer.testing import CliRunner

from redden.bands import BANDS
from redden.dust import attenuation
from redden.errors import ReddenError
from training.assess import assess_slow, markdown
from training.cli import app
from training.comparison import Assessment, ask, compare, remembered
from training.figures import draw_accuracy, draw_sizes
from training.metrics import Figure
from training.observe import ObservationPrior
from training.rivals.boosting import Boosting
from training.rivals.mocks import ALL_BANDS, BAND_SETS, Answer, BandSet, Mocks
from training.rivals.sed_grid import SedGrid
from training.scene_set import SceneSet, load_scenes
from training.simulate.instrument import image
from training.simulate.spectra import band_table, mixture
from training.sizes import Size

MODELS = Path(__file__).parents[2] / "models"
ONE, THREE, THREE_Z, SEVEN, SEVEN_Z = BAND_SETS
SETTLED = ObservationPrior(depth=(29.5, 29.5), neighbour=0.0, cosmic_ray=0.0, matched=0.0, blur=(0.0, 0.0))


@pytest.fixture(scope="module")
def scenes(blob_scenes: Path) -> SceneSet:
    return load_scenes(blob_scenes)[1]


@pytest.fixture(scope="module")
def parts(scenes: SceneSet) -> dict[str, Mocks]:
    return {
        part: Mocks.observe(scenes.part(part, 0), SETTLED, seed=0, most=2000)
        for part in ("train", "validation", "test")
    }


@pytest.fixture(scope="module")
def boosting(parts: dict[str, Mocks]) -> Boosting:
    return Boosting(SEVEN_Z, parts["train"], parts["validation"], seed=0)


def dusty_stars(a_v: np.ndarray, z: float) -> Mocks:
    """Point sources of 100 Myr-old constant star formation behind a screen of Calzetti's law."""
    age = np.linspace(0.5, 100, 200)
    weights = mixture(np.log10(age) + 6, np.full(200, np.log10(0.004)))
    unreddened = np.exp(weights @ band_table(ALL_BANDS, z)[:, :, 0].astype(np.float64)).sum(axis=0)
    rest = np.array([BANDS[band].pivot for band in ALL_BANDS]) / (1 + z) * u.um
    flux = unreddened * 10 ** (-0.4 * np.stack([attenuation(rest, one, "Calzetti") for one in a_v]))
    flux *= 50 / flux[:, -1:]
    noise = np.random.default_rng(0).normal(0, 0.01, (len(a_v), 32, 32, 7))
    pixels = np.stack([image(np.zeros(1), np.zeros(1), one[None], ALL_BANDS) for one in flux]) + noise
    truth = {"a_v": a_v, "e_bv": a_v / 4.05, "r_v": np.full(len(a_v), 4.05), "log_ssfr": np.full(len(a_v), -7.95)}
    snr = np.full((len(a_v), 7), 50, np.float32)
    return Mocks(pixels.astype(np.float32), np.tile([z, 0.01], (len(a_v), 1)), truth, np.arange(len(a_v)), snr)


def test_boosting_learns_the_blobs_and_answers_points(boosting: Boosting, parts: dict[str, Mocks]) -> None:
    test = parts["test"]
    answer = boosting.answer(test)
    assert np.isnan(np.delete(answer["a_v"], 2, axis=1)).all()
    for name in ("a_v", "e_bv", "log_ssfr"):
        error = answer[name][:, 2] - test.truth[name]
        assert 1 - error.var() / test.truth[name].var() > 0.5
    np.testing.assert_allclose(answer["r_v"], answer["a_v"] / answer["e_bv"])
    assert [boosting.takes(band_set) for band_set in BAND_SETS] == [False, False, False, False, True]


def test_the_grid_finds_the_dust_of_a_calzetti_screen() -> None:
    a_v = np.array([0.3, 1.0, 2.0])
    found = SedGrid().answer(dusty_stars(a_v, 7.0).seen_in(SEVEN_Z))
    assert found["a_v"][:, 2] == pytest.approx(a_v, abs=0.3)
    assert np.all(np.diff(found["a_v"], axis=1) >= 0)
    np.testing.assert_allclose(found["e_bv"] * 4.05, found["a_v"])
    assert np.all((found["log_ssfr"] > -9.5) & (found["log_ssfr"] < -7.8))


def test_the_grid_is_less_sure_of_fewer_bands() -> None:
    stars = dusty_stars(np.array([1.0]), 7.0)
    widths = {}
    for band_set in (THREE, THREE_Z, SEVEN_Z):
        values = SedGrid().answer(stars.seen_in(band_set))["a_v"][0]
        widths[band_set.name] = values[3] - values[1]
        assert values[0] < 1 < values[4]
    assert widths["7+z"] < widths["3+z"] <= widths["3"]
    assert [SedGrid().takes(band_set) for band_set in BAND_SETS] == [False, True, True, True, True]


def test_a_table_says_what_each_method_is_worth(boosting: Boosting, parts: dict[str, Mocks], tmp_path: Path) -> None:
    medians = {name: float(np.median(values)) for name, values in parts["train"].truth.items()}
    seen = parts["test"].seen_in(SEVEN_Z)
    answers = [ask(method, seen) for method in (boosting, SedGrid())]
    rows = compare(answers, SEVEN_Z, 29.5, parts["test"], medians, seed=0)
    first, second = rows
    assert (first.method, second.method) == ("gradient boosting", "chi2 grid of SEDs")
    assert first.behind["a_v"].value == first.behind["a_v"].error == 0
    difference = first.figures["a_v"]["r2"].value - second.figures["a_v"]["r2"].value
    assert second.behind["a_v"].value == pytest.approx(difference)
    assert second.behind["a_v"].error > 0
    assert set(second.figures["r_v"]) == {"undefined", "ratio_mae"}  # it takes R_V for granted
    by_calzetti = np.abs(parts["test"].truth["r_v"] - 4.05).mean()
    assert second.figures["r_v"]["ratio_mae"].value == pytest.approx(by_calzetti, rel=1e-3)
    assert "coverage_68" not in first.figures["a_v"]
    assert 0 <= second.figures["a_v"]["coverage_68"].value <= 1

    kept = remembered(tmp_path / "rivals/grid.npz", "grid", lambda: answers[1])
    again = remembered(tmp_path / "rivals/grid.npz", "grid", pytest.fail)
    assert again.milliseconds == kept.milliseconds == answers[1].milliseconds
    np.testing.assert_array_equal(again.quantiles["a_v"], answers[1].quantiles["a_v"])

    table = Assessment(model="gradient boosting", data_set="x", sha256="", seed=0, train_scenes=9, rows=tuple(rows))
    text = markdown(table)
    assert "trees fitted to 9 scenes" in text
    assert text.count("\n| ") == 4
    files = draw_accuracy(table, tmp_path)
    assert [file.name for file in files] == ["accuracy.png", "accuracy.pdf"]
    assert all(file.stat().st_size > 5000 for file in files)


class Slow:
    """A method that is asked galaxy by galaxy; it takes none where it was asked before."""

    name = "slow"

    def __init__(self) -> None:
        self.asked = 0

    def takes(self, band_set: BandSet) -> bool:
        return band_set.redshift

    def answer(self, mocks: Mocks) -> Answer:
        self.asked += len(mocks)
        return {"a_v": np.tile(mocks.snr[:, :1], (1, 5)).astype(np.float64)}


def test_a_slow_method_is_compared_with_all_others_on_the_same_galaxies(
    blob_scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.rivals.boosting._SETTINGS", {"max_iter": 3})
    models, slow, again = [MODELS / "gaussian-3band/1"], Slow(), Slow()
    found = assess_slow(models, blob_scenes, slow, tmp_path, seed=0, galaxies=9, train_scenes=300)
    methods = {bands: [row.method for row in found.rows if row.bands == bands] for bands in ("3", "3+z", "7", "7+z")}
    rivals = ["gradient boosting", "chi2 grid of SEDs"]
    assert methods == {  # the model is not asked with redshifts, which it does not take
        "3": ["gaussian-3band", *rivals],
        "3+z": [*rivals, "slow"],
        "7": ["gaussian-3band", *rivals],
        "7+z": [*rivals, "Meurer", "slow"],
    }
    assert {(row.images, row.galaxies) for row in found.rows} == {(9, 9)}
    assert slow.asked == 18
    assert "trees fitted to 300 scenes" in markdown(found)
    more = assess_slow(models, blob_scenes, again, tmp_path, seed=0, galaxies=10, train_scenes=300)
    assert again.asked == 2  # the others are remembered
    assert {row.images for row in more.rows} == {10}


def test_scenes_of_other_bands_or_too_faint_ones_are_refused(scenes: SceneSet) -> None:
    three = SceneSet(ALL_BANDS[3:6], scenes.images[..., 3:6], scenes.truth, scenes.galaxy)
    with pytest.raises(ReddenError, match="F115W.*are needed; these are in F277W"):
        Mocks.observe(three, SETTLED, seed=0, most=10)
    faint = SceneSet(scenes.bands, scenes.images * np.float16(0.03), scenes.truth, scenes.galaxy)
    with pytest.raises(ReddenError, match="no galaxy"):
        Mocks.observe(faint, ObservationPrior(depth=(28.6, 28.6), min_expected_snr=0.0), seed=0, most=200)


def test_coverage_of_a_committed_model(blob_scenes: Path, tmp_path: Path) -> None:
    arguments = [str(MODELS / "gaussian-3band/1"), "--data", str(blob_scenes), "--out", str(tmp_path)]
    result = CliRunner().invoke(app, ["coverage", *arguments])
    assert result.exit_code == 0, result.output
    assert "log_ssfr: 68 % intervals hold" in result.output
    names = {
        "calibration.json",
        "coverage.ecsv",
        *(f"{name}.{kind}" for name in ("coverage", "pit", "coverage_in_bins") for kind in ("png", "pdf")),
    }
    assert {file.name for file in tmp_path.iterdir()} == names


def test_what_cannot_be_calibrated_is_one_line(blob_scenes: Path) -> None:
    for name, wrong in (("gaussian-3band", "is no run"), ("paper-3band", "is no run")):
        result = CliRunner().invoke(app, ["calibrate", str(MODELS / name / "1"), "--data", str(blob_scenes)])
        assert result.exit_code == 2
        assert wrong in " ".join(result.output.replace("│", " ").split())
    arguments = ["coverage", str(MODELS / "paper-3band/1"), "--data", str(blob_scenes), "--out", "unused"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "point estimates" in " ".join(result.output.replace("│", " ").split())


def test_sizes_are_drawn_against_speed_or_refused(tmp_path: Path) -> None:
    figure = Figure(value=0.5, error=0.01)
    sizes = [
        Size(name=name, parameters=parameters, validation_loss=1.0, r2={"3": {"a_v": figure}, "7": {"a_v": figure}})
        for name, parameters in (("S", 20_000), ("M", 80_000))
    ]
    rates = {"models/paper-3band/1": 2000.0, "sizes/S/1": 60_000.0, "sizes/M/1": 30_000.0}
    files = draw_sizes(sizes, rates, "M", tmp_path)
    assert [file.name for file in files] == ["accuracy_against_cost.png", "accuracy_against_cost.pdf"]
    assert all(file.stat().st_size > 5000 for file in files)
    with pytest.raises(ReddenError, match="no size 'XXL'"):
        draw_sizes(sizes, rates, "XXL", tmp_path)
    with pytest.raises(ReddenError, match="no speed of M"):
        draw_sizes(sizes, {"models/paper-3band/1": 2000.0, "sizes/S/1": 60_000.0}, "S", tmp_path)
