"""Star particles, made here in the layout of FLARES, become scenes; imported scenes are observed and measured."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from redden.bands import BANDS
from redden.errors import CatalogueError
from training import dataset
from training.cli import app
from training.configs import config_file
from training.dataset import DatasetError
from training.fit_redden import Config
from training.fit_redden import fit as fit_redden
from training.imports.measured import measure_scenes
from training.imports.particles import (
    ParticleImport,
    draw_in_kernel,
    import_particles,
    log_ssfr,
    read_particles,
    scene,
)
from training.simulate.ssp import extinction

MODEL = Path(__file__).parents[2] / "models/redden/1"
UNITS = {"coordinates": "Mpc", "initial_masses": "Msun", "current_masses": "Msun", "smoothing_lengths": "Mpc"}
STARS = 60


def galaxy(**change: np.ndarray | None) -> dict[str, np.ndarray]:
    """Particles of equal mass, formed evenly over 200 Myr, behind a screen of tau_V = 0.5."""
    rng = np.random.default_rng(3)
    arrays = {
        "coordinates": rng.normal(0, 4e-4, (STARS, 3)),
        "initial_masses": np.full(STARS, 2e7),
        "current_masses": np.full(STARS, 1.6e7),
        "log10ages": np.log10(np.linspace(1e6, 199e6, STARS)),
        "log10metallicities": np.full(STARS, -2.7),
        "smoothing_lengths": np.full(STARS, 3e-4),
        "tau_v": np.full(STARS, 0.5),
    }
    return {name: values for name, values in {**arrays, **change}.items() if values is not None}


def write(file: Path, galaxies: dict[str, dict[str, np.ndarray]], units: dict[str, str] = UNITS) -> Path:
    with h5py.File(file, "w") as hdf5:
        for name, arrays in galaxies.items():
            for column, values in arrays.items():
                hdf5[f"{name}/{column}"] = values
                hdf5[f"{name}/{column}"].attrs["Units"] = units.get(column, "dimensionless")
    return file


def seen(file: Path, **settings: object) -> dict[str, np.ndarray]:
    return scene(read_particles(file)[0], ParticleImport(**settings), np.random.default_rng(0))


def test_one_screen_in_front_of_all_stars_is_found_again(tmp_path: Path) -> None:
    found = seen(write(tmp_path / "a.h5", {"z007p000/1": galaxy()}))
    tau_b, tau_v = 0.5 * extinction(np.array([4361.0, 5446.0]))
    assert found["a_v"] == pytest.approx(1.086 * tau_v, rel=0.01)
    assert found["e_bv"] == pytest.approx(1.086 * (tau_b - tau_v), rel=0.03)
    assert found["r_v"] == pytest.approx(found["a_v"] / found["e_bv"])


def test_mass_and_star_formation_are_those_of_the_particles(tmp_path: Path) -> None:
    particles = read_particles(write(tmp_path / "a.h5", {"z007p000/1": galaxy()}))[0]
    assert particles.z == 7
    assert log_ssfr(particles) == pytest.approx(np.log10(30 * 2e7 / 1e8 / (STARS * 1.6e7)), abs=1e-9)
    found = seen(tmp_path / "a.h5")
    assert found["log_mass"] == pytest.approx(np.log10(STARS * 1.6e7))
    assert found["images"].shape == (32, 32, 7)


def test_other_units_and_plain_ages_and_metallicities_mean_the_same(tmp_path: Path) -> None:
    plain = galaxy()
    other = galaxy(
        coordinates=plain["coordinates"] * 1e3,
        smoothing_lengths=plain["smoothing_lengths"] * 1e3,
        initial_masses=plain["initial_masses"] / 1e10,
        log10ages=None,
        ages=10 ** plain["log10ages"] / 1e6,
        log10metallicities=None,
        metallicities=10 ** plain["log10metallicities"],
    )
    units = {**UNITS, "coordinates": "kpc", "smoothing_lengths": "kpc", "initial_masses": "1e10 Msun", "ages": "Myr"}
    one = seen(write(tmp_path / "a.h5", {"z007p000/1": plain}))
    same = seen(write(tmp_path / "b.h5", {"z007p000/1": other}, units))
    np.testing.assert_allclose(same["images"], one["images"], rtol=1e-4, atol=1e-6)
    assert same["a_v"] == pytest.approx(one["a_v"], rel=1e-5)


def test_particles_with_a_size_are_spread_in_a_kernel_that_ends_there(tmp_path: Path) -> None:
    offset = draw_in_kernel((4000,), np.random.default_rng(0))
    distance = np.linalg.norm(offset, axis=-1)
    assert distance.max() <= 1
    assert distance.mean() == pytest.approx(31 / 70, abs=0.01)  # of the cubic spline
    assert np.abs(offset.mean(axis=0)).max() < 0.03
    points = seen(write(tmp_path / "a.h5", {"z007p000/1": galaxy(smoothing_lengths=None)}))["images"]
    spread = seen(write(tmp_path / "b.h5", {"z007p000/1": galaxy(smoothing_lengths=np.full(STARS, 2e-3))}))["images"]
    assert spread.max() < 0.8 * points.max()
    # What leaves the cutout is little.
    assert spread.sum() == pytest.approx(points.sum(), rel=0.05)


def test_the_line_of_sight_is_along_the_axis_of_the_optical_depths(tmp_path: Path) -> None:
    flat = np.random.default_rng(1).normal(0, 1.5e-3, (STARS, 3)) * [1, 1, 0]
    file = write(tmp_path / "a.h5", {"z007p000/1": galaxy(coordinates=flat)})
    bands = ("F444W",)
    face_on, edge_on = (seen(file, line_of_sight=axis, bands=bands)["images"][..., 0] for axis in "zx")
    assert edge_on.max() > 1.5 * face_on.max()


def test_the_redshift_is_an_attribute_or_in_a_name_or_stated(tmp_path: Path) -> None:
    file = write(tmp_path / "a.h5", {"snapshot/1": galaxy()})
    with pytest.raises(CatalogueError, match="--redshift"):
        read_particles(file)
    assert read_particles(file, 6.5)[0].z == 6.5
    with h5py.File(file, "a") as hdf5:
        hdf5["snapshot"].attrs["redshift"] = 8.25
    assert read_particles(file)[0].z == 8.25


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"log10ages": None}, "log10ages or ages"),
        ({"initial_masses": np.full(STARS - 1, 2e7)}, "has the shape"),
        ({"coordinates": np.zeros((STARS, 2))}, r"\(60, 3\) is needed"),
        ({"tau_v": np.full(STARS, -1.0)}, "not negative"),
        ({"log10metallicities": np.full(STARS, np.nan)}, "not finite"),
        ({"log10metallicities": np.full(STARS, 0.3)}, "mass fractions of metals, below 1"),
    ],
)
def test_a_wrong_galaxy_says_what_would_be_right(
    tmp_path: Path, change: dict[str, np.ndarray | None], message: str
) -> None:
    with pytest.raises(CatalogueError, match=message):
        read_particles(write(tmp_path / "a.h5", {"z007p000/1": galaxy(**change)}))


def test_a_wrong_file_or_unit_says_what_would_be_right(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="has the dimension|is 'apples'"):
        read_particles(write(tmp_path / "a.h5", {"z007p000/1": galaxy()}, {**UNITS, "coordinates": "apples"}))
    with pytest.raises(CatalogueError, match=r"group z007p000/1 lacks tau_v\. A galaxy is"):
        read_particles(write(tmp_path / "b.h5", {"z007p000/1": galaxy(tau_v=None)}))
    with pytest.raises(CatalogueError, match="no group of star particles"):
        read_particles(write(tmp_path / "empty.h5", {}))
    with h5py.File(write(tmp_path / "silent.h5", {"z007p000/1": galaxy()}), "a") as silent:
        del silent["z007p000/1/coordinates"].attrs["Units"]
    with pytest.raises(CatalogueError, match="coordinates has no attribute Units; one like kpc"):
        read_particles(tmp_path / "silent.h5")
    (tmp_path / "c.h5").write_text("no HDF5")
    with pytest.raises(CatalogueError, match="cannot be read as HDF5"):
        read_particles(tmp_path / "c.h5")


def test_stars_older_than_the_library_are_told(tmp_path: Path) -> None:
    age = np.concatenate([np.full(STARS - 15, 7.5), np.full(15, 9.6)])
    file = write(tmp_path / "a.h5", {"z002p000/1": galaxy(log10ages=age), "z002p000/2": galaxy()})
    told: list[str] = []
    import_particles(file, tmp_path / "scenes", ParticleImport(bands=("F444W",)), told.append)
    assert len(told) == 1
    assert "older than 10^9.18 yr" in told[0]
    assert "12.5% of a galaxy's stellar mass on average, 25.0% at most" in told[0]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data set of four bright galaxies, and one without young stars, which is left out."""
    folder = tmp_path_factory.mktemp("particles")
    galaxies = {
        f"z00{6 + number}p500/{number}": galaxy(initial_masses=np.full(STARS, 3e8), tau_v=np.full(STARS, 0.2 + number))
        for number in range(2)
    }
    galaxies["z007p000/old"] = galaxy(log10ages=np.full(STARS, 8.2))
    file = write(folder / "galaxies.h5", galaxies)
    result = CliRunner().invoke(app, ["import-particles", str(file), str(folder / "scenes")])
    assert result.exit_code == 0, result.output
    assert "1 have formed no star" in result.output
    return folder / "scenes"


def test_a_file_becomes_a_data_set_of_its_star_forming_galaxies(imported: Path) -> None:
    card, rows = dataset.read(imported)
    assert card.bands == tuple(BANDS)
    assert (card.galaxies, card.images, card.images_rejected) == (3, 2, 1)
    assert card.settings["galaxies"] == ["z006p500/0", "z007p000/old", "z007p500/1"]
    assert rows["z"].tolist() == [6.5, 7.5]
    assert np.isnan(rows["dtm"]).all()


def test_scenes_are_observed_into_a_data_set_of_images_with_noise(imported: Path, tmp_path: Path) -> None:
    arguments = ["observe-scenes", str(imported), str(tmp_path / "observed"), "--depth", "29.8", "29.8"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    clean, seen_with_noise = dataset.read(imported)[1], dataset.read(tmp_path / "observed")[1]
    assert seen_with_noise["z"].tolist() == [6.5, 7.5]
    assert (seen_with_noise["snr"] >= 5).all()
    assert not np.array_equal(seen_with_noise["images"], clean["images"])
    again = CliRunner().invoke(app, ["observe-scenes", str(tmp_path / "observed"), str(tmp_path / "twice")])
    assert again.exit_code == 2
    assert "observed already" in " ".join(again.output.split())


def test_scenes_in_few_bands_are_in_order_and_not_for_the_network_of_seven(tmp_path: Path) -> None:
    file = write(tmp_path / "a.h5", {"z007p000/1": galaxy()})
    card = import_particles(file, tmp_path / "scenes", ParticleImport(bands=("F444W", "F277W", "F356W")))
    assert card.bands == ("F277W", "F356W", "F444W")
    config = config_file("redden")
    assert config is not None
    with pytest.raises(DatasetError, match="has F277W, F356W, F444W"):
        fit_redden(Config.read(config), tmp_path / "scenes", [], print)


def test_a_model_measures_imported_scenes(imported: Path) -> None:
    measured, answers = measure_scenes(MODEL, imported, depth=(29.8, 29.8), looks=3, seed=1)
    assert (measured.scenes, measured.galaxies) == (2, 2)
    assert measured.images <= 6
    assert len(answers) == 5 * measured.images
    one = answers[answers["bands"] == "7"]
    error = np.abs(one["a_v_50"] - one["true_a_v"]).mean()
    row = next(row for row in measured.rows if (row.quantity, row.bands) == ("a_v", "7"))
    assert row.figures["mae"].value == pytest.approx(error)
    assert measured.flagged.keys() == {"1", "3", "3+z", "7", "7+z"}
    assert "| a_v | 7+z |" in measured.markdown()
    with pytest.raises(DatasetError, match="observe deeper"):
        measure_scenes(MODEL, imported, depth=(20.0, 20.0), looks=1, seed=1)
