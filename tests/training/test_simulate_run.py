"""The forward model from settings to a data set, and the commands that run it."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from pydantic import ValidationError
from typer.testing import CliRunner

from redden.snr import aperture_snr
from training import dataset
from training.cli import app
from training.simulate.demo import demo_galaxy
from training.simulate.run import attenuate, draw_mock, expose, look, simulate, simulate_galaxies
from training.simulate.settings import SAMPLINGS, Observation, Population, Sampling, Settings

BRIGHT = Settings(
    seed=3,
    galaxies=20,
    population=Population(log_mass_range=(9.0, 10.0), star_particles=500),
    sampling=Sampling(dtm=(0.1, 0.2), dtm_draws=2),
)


def test_a_data_set_does_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    one = simulate(BRIGHT, tmp_path / "one", processes=1)
    two = simulate(BRIGHT, tmp_path / "two", processes=2)
    assert one.sha256 == two.sha256
    assert one.galaxies == 20
    assert one.images + one.images_rejected == 40
    assert Settings.model_validate(one.settings) == BRIGHT

    card, rows = dataset.read(tmp_path / "two")
    assert card.images == len(rows["images"]) > 5
    assert np.isfinite(rows["images"]).all()
    assert rows["snr"].min() >= 5
    np.testing.assert_allclose(rows["snr"], aperture_snr(rows["images"]), rtol=1e-3)
    np.testing.assert_allclose(rows["r_v"], rows["a_v"] / rows["e_bv"], rtol=1e-4)
    assert np.all(rows["a_v"] > 0)
    for galaxy in np.unique(rows["galaxy"]):
        own = rows["galaxy"] == galaxy
        assert np.all(np.diff(rows["a_v"][own][np.argsort(rows["dtm"][own])]) > 0)
        assert np.unique(rows["z"][own]).size == 1


def test_galaxies_do_not_depend_on_their_neighbours() -> None:
    _, _, together = simulate_galaxies(BRIGHT, range(6))
    _, _, alone = simulate_galaxies(BRIGHT, range(4, 6))
    later = together["galaxy"] >= 4
    assert later.any()
    np.testing.assert_array_equal(together["images"][later], alone["images"])
    other = BRIGHT.model_copy(update={"seed": 4})
    assert not np.isin(simulate_galaxies(other, range(4, 6))[2]["z"], alone["z"]).any()


def test_the_paper_grid_has_a_dust_free_image_of_each_orientation() -> None:
    settings = BRIGHT.model_copy(update={"sampling": SAMPLINGS["paper"]})
    _, rejected, rows = simulate_galaxies(settings, range(2))
    assert rejected + len(rows["galaxy"]) == 2 * 4 * 11
    bare = rows["dtm"] == 0
    assert set(rows["orientation"][bare]) == {0, 1, 2, 3}
    assert np.all(rows["a_v"][bare] == 0)
    assert np.all(rows["e_bv"][bare] == 0)
    assert np.all(np.isnan(rows["r_v"][bare]))
    assert np.all(rows["r_v"][~bare] > 2)


def test_all_seven_bands_can_be_simulated() -> None:
    bands = ("F115W", "F150W", "F200W", "F277W", "F356W", "F410M", "F444W")
    settings = BRIGHT.model_copy(update={"observation": Observation(bands=bands, min_snr=1.0)})
    _, _, rows = simulate_galaxies(settings, range(4))
    assert rows["images"].shape[1:] == (32, 32, 7)
    assert rows["snr"].shape[1:] == (7,)


def test_images_are_centred_on_the_reddest_band_and_keep_the_flux() -> None:
    settings = BRIGHT.model_copy(update={"observation": Observation(centring=0.0)})
    rng = np.random.default_rng(1)
    mock = draw_mock(settings, rng)
    view = look(mock, np.array([0.0, 0.0, 1.0]))
    flux, labels = attenuate(mock.light, 0.4 * view.tau_v)
    picture = expose(settings, view, flux, rng, size=160)
    assert picture.sum(axis=(0, 1)) == pytest.approx(flux.sum(axis=0), rel=0.01)
    y, x = np.indices((160, 160)) - 79.5
    reddest = picture[..., 2]
    assert (reddest * x).sum() / reddest.sum() == pytest.approx(0, abs=0.5)
    assert (reddest * y).sum() / reddest.sum() == pytest.approx(0, abs=0.5)
    assert 0 < labels["e_bv"] < labels["a_v"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"observation": {"bands": ["F277W", "F277W"]}},
        {"observation": {"bands": ["F999W"]}},
        {"observation": {"depth": [29.8, 28.6]}},
        {"geometry": {"clouds": [9, 8]}},
        {"observation": {"noise_correlation": [0.7, 1.0]}},
        {"sampling": {"dtm": [0.5, 1.5]}},
        {"sampling": {"dtm": [0.5], "dtm_draws": 2}},
        {"galaxy": 5},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(wrong)


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    runner = CliRunner(env={"COLUMNS": "200"})
    in_use = runner.invoke(app, ["simulate", str(tmp_path), "--galaxies", "1"])
    assert in_use.exit_code == 2
    assert "not empty" in in_use.output
    unknown = runner.invoke(app, ["simulate", str(tmp_path / "new"), "--galaxies", "1", "--bands", "F277W,F999W"])
    assert unknown.exit_code == 2
    assert "F115W" in unknown.output


def test_the_demo_galaxy_is_a_file_that_a_user_would_have(tmp_path: Path) -> None:
    path = tmp_path / "galaxy.fits"
    result = CliRunner().invoke(app, ["demo", str(path)])
    assert result.exit_code == 0, result.output
    with fits.open(path) as hdus:
        hdus.verify("exception")
        names = ["PRIMARY", "F277W", "F277W_ERR", "F356W", "F356W_ERR", "F444W", "F444W_ERR"]
        assert [hdu.name for hdu in hdus] == names
        truth = hdus[0].header
        assert truth["TRUE_RV"] == pytest.approx(truth["TRUE_AV"] / truth["TRUE_EBV"], rel=0.01)
        for band in names[1::2]:
            header = hdus[band].header
            assert hdus[band].data.shape == (64, 64)
            assert (header["FILTER"], header["BUNIT"]) == (band, "nJy")
            assert header["SNR"] > 20
            assert np.all(hdus[f"{band}_ERR"].data > 0)
            wcs = WCS(header)
            np.testing.assert_allclose(wcs.proj_plane_pixel_scales()[0].to_value("arcsec"), 0.03, rtol=1e-6)
            np.testing.assert_allclose(wcs.wcs_pix2world([[31.5, 31.5]], 0)[0], [53.16, -27.79], atol=1e-7)


def test_demo_galaxies_are_repeated_by_their_seed() -> None:
    first, again, other = demo_galaxy(1), demo_galaxy(1), demo_galaxy(2)
    np.testing.assert_array_equal(first["F277W"].data, again["F277W"].data)
    assert (first["F277W"].data != other["F277W"].data).any()


@pytest.mark.parametrize(
    ("sampling", "depth", "then"),
    [
        ("varied", "29.8", "redden-train fit gaussian-3band "),
        ("paper", "29.8", "redden-train fit paper-1band "),
        ("varied", "20", "0 images"),
    ],
)
def test_the_command_says_what_comes_next(sampling: str, depth: str, then: str, tmp_path: Path) -> None:
    arguments = ["simulate", str(tmp_path / "new"), "--galaxies", "4", "--processes", "1"]
    result = CliRunner().invoke(app, [*arguments, "--sampling", sampling, "--depth", depth, depth])
    assert result.exit_code == 0, result.output
    assert then in result.output
    assert ("Next:" in result.output) != ("simulate more than 4" in result.output)
