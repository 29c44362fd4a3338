"""Images and datacubes of radiative transfer, made here in the layout of SKIRT, become scenes."""

import re
from dataclasses import replace
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.cosmology import Planck15
from astropy.io import fits
from astropy.table import Table
from typer.testing import CliRunner

from redden.bands import BANDS
from redden.errors import BandError, CatalogueError, PixelGridError, ReddenError, UnitError, UnreadableFileError
from training import dataset
from training.cli import app
from training.imports.bands import LabelError, in_bands, labels
from training.imports.product import Place, pivot, read_product
from training.imports.skirt import SOURCE, SkirtImport, contradiction, import_skirt, scene, through_telescope
from training.imports.table import read_rows
from training.observe import ObservationPrior, observe
from training.scene_set import load_scenes
from training.simulate.run import View, expose
from training.simulate.settings import Observation, Settings
from training.simulate.ssp import extinction

REST = np.geomspace(0.09, 1.2, 400)
"""Rest wavelengths in um that a datacube at z = 7 needs for all bands and the labels."""
GALAXY = {"galaxy": "g1", "z": 7.0, "log_mass": 9.5, "log_ssfr": -8.2, "a_v": 1.0, "e_bv": 0.2}


def blob(side: int = 15) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    light = np.exp(-(x**2 + y**2) / 8)
    return light / light.sum()


def write_cube(file: Path, spectrum: np.ndarray, wavelength: np.ndarray, unit: str = "nJy", **header: object) -> Path:
    """A datacube of a blob with this spectrum: cube, then the wavelengths in a table, as SKIRT writes them."""
    cube = fits.PrimaryHDU((spectrum[:, None, None] * blob()).astype(np.float32))
    cube.header.update(
        {"BUNIT": unit, "CDELT1": 0.04, "CDELT2": 0.04, "CUNIT1": "arcsec", "CUNIT3": "micron", **header}
    )
    column = fits.Column(name="GRID_POINTS", format="E16.9", unit="micron", array=wavelength, ascii=True)
    table = fits.TableHDU.from_columns([column], name="Z-axis coordinate values")
    fits.HDUList([cube, table]).writeto(file)
    return file


def write_bands(file: Path, flux: np.ndarray, bands: tuple[str, ...], **header: object) -> Path:
    cube = fits.PrimaryHDU((flux[:, None, None] * blob()).astype(np.float32))
    cube.header.update({"BUNIT": "nJy", "CDELT1": 0.04, "CDELT2": 0.04, "CUNIT1": "arcsec", **header})
    for number, band in enumerate(bands, start=1):
        cube.header[f"EXT{number}"] = band
    cube.writeto(file)
    return file


def write_table(folder: Path, *rows: dict[str, object]) -> Path:
    Table(rows=list(rows)).write(folder / "table.ecsv")
    return folder / "table.ecsv"


def screen(tau: float, rest_micron: np.ndarray) -> np.ndarray:
    return np.exp(-tau * extinction(rest_micron * 1e4))


def test_a_flat_spectrum_has_the_same_flux_in_every_band(tmp_path: Path) -> None:
    cube = read_product([write_cube(tmp_path / "c.fits", np.full(400, 50.0), REST * 8)], Place.at(7.0))
    assert cube.bands is None
    flux, pixel = in_bands(cube, tuple(BANDS), cube.place)
    assert flux.sum(axis=(0, 1)) == pytest.approx(50.0, rel=1e-5)
    assert pixel == pytest.approx(0.04)


@pytest.mark.parametrize("unit", ["W/m2/micron/arcsec2", "W/m2/arcsec2", "MJy/sr", "W/m2"])
def test_units_of_every_style_mean_the_same(tmp_path: Path, unit: str) -> None:
    wavelength = REST * 8
    flux = 30.0 * (wavelength / 3) ** 1.5
    per_area = u.Unit(unit) if "arcsec2" not in unit and "/sr" not in unit else u.Unit(unit) * u.arcsec**2
    if "sr" in unit:
        per_area = u.Unit(unit) * u.sr
    numbers = (flux * u.nJy).to_value(per_area, u.spectral_density(wavelength * u.um))
    if "arcsec2" in unit:
        numbers /= 0.04**2
    if "/sr" in unit:
        numbers /= (0.04 * u.arcsec).to_value(u.rad) ** 2
    plain = read_product([write_cube(tmp_path / "plain.fits", flux, wavelength)], Place.at(7.0))
    styled = read_product([write_cube(tmp_path / "styled.fits", numbers, wavelength, unit)], Place.at(7.0))
    bands = tuple(BANDS)
    np.testing.assert_allclose(
        in_bands(styled, bands, styled.place)[0], in_bands(plain, bands, plain.place)[0], rtol=1e-5
    )


def test_a_power_law_is_integrated_to_its_value_at_the_pivot_wavelength(tmp_path: Path) -> None:
    wavelength = REST * 8
    cube = read_product([write_cube(tmp_path / "c.fits", wavelength**-1.0, wavelength)], Place.at(7.0))
    flux = in_bands(cube, tuple(BANDS), cube.place)[0].sum(axis=(0, 1))
    assert flux == pytest.approx([1e4 / pivot(band) for band in BANDS], rel=0.02)


def test_moved_away_a_galaxy_is_dimmer_and_smaller_by_cosmology(tmp_path: Path) -> None:
    near = read_product([write_cube(tmp_path / "c.fits", np.full(400, 50.0), REST * 7)], Place.at(6.0))
    flux, pixel = in_bands(near, ("F277W", "F444W"), Place.at(8.0))
    brightness = flux.sum(axis=(0, 1)) / pixel.prod()
    # Surface brightness per frequency falls with (1 + z)^3, whatever the cosmology.
    assert brightness == pytest.approx(50.0 / 0.04**2 * (7 / 9) ** 3, rel=1e-5)
    per_kpc = Planck15.arcsec_per_kpc_proper
    assert pixel[0] == pytest.approx(0.04 * float(per_kpc(8) / per_kpc(6)), rel=1e-6)


def test_the_rest_frame_at_ten_megaparsec_is_moved_by_its_luminosity(tmp_path: Path) -> None:
    scale = {"CDELT1": 150.0, "CDELT2": 150.0, "CUNIT1": "pc"}
    file = write_cube(tmp_path / "c.fits", np.full(400, 1e8), REST, **scale)
    flux, pixel = in_bands(read_product([file], Place.rest_frame(10.0)), ("F356W",), Place.at(7.0))
    distance = Place.at(7.0).luminosity_distance
    assert flux.sum() == pytest.approx(1e8 * 8 * (10 / distance) ** 2, rel=1e-5)
    assert pixel[0] == pytest.approx(0.150 * Planck15.arcsec_per_kpc_proper(7.0).value, rel=1e-6)


def test_nothing_is_seen_blueward_of_lyman_alpha(tmp_path: Path) -> None:
    cube = read_product([write_cube(tmp_path / "c.fits", np.full(400, 50.0), REST * 8)], Place.at(7.0))
    bluest, next_to = in_bands(cube, ("F115W", "F150W"), Place.at(9.0))[0].sum(axis=(0, 1))
    assert 0 < bluest < 0.6 * next_to


def test_images_in_bands_are_interpolated_in_the_rest_frame(tmp_path: Path) -> None:
    bands = ("F200W", "F250M", "F277W", "F356W", "F444W")
    flux = np.array([pivot(band) / 1e4 for band in bands])
    product = read_product([write_bands(tmp_path / "b.fits", flux, bands)], Place.at(5.0))
    here, _ = in_bands(product, ("F277W",), product.place)
    assert here.sum() == pytest.approx(flux[2], rel=1e-6)
    moved, _ = in_bands(product, ("F277W", "F356W"), Place.at(6.0))
    colour = moved.sum(axis=(0, 1))
    assert colour[1] / colour[0] == pytest.approx(pivot("F356W") / pivot("F277W"), rel=0.02)
    with pytest.raises(BandError, match="nearer redshift"):
        in_bands(product, ("F200W",), Place.at(6.0))
    with pytest.raises(BandError, match="has no F150W"):
        in_bands(product, ("F150W",), product.place)


def test_the_attenuation_of_a_known_screen_is_found_in_datacubes(tmp_path: Path) -> None:
    clear = REST**0.5
    free = read_product([write_cube(tmp_path / "free.fits", clear, REST * 8)], Place.at(7.0))
    dusty = read_product([write_cube(tmp_path / "dusty.fits", clear * screen(0.8, REST), REST * 8)], Place.at(7.0))
    found = labels(dusty, free)
    tau_b, tau_v = 0.8 * extinction(np.array([4361.0, 5446.0]))
    assert found["a_v"] == pytest.approx(1.086 * tau_v, rel=0.01)
    assert found["e_bv"] == pytest.approx(1.086 * (tau_b - tau_v), rel=0.02)
    assert found["r_v"] == pytest.approx(found["a_v"] / found["e_bv"])


def test_the_attenuation_is_found_in_bands_that_reach_it_and_in_no_others(tmp_path: Path) -> None:
    bands = tuple(BANDS)
    rest = np.array([pivot(band) for band in bands]) / 1e4 / 7.5
    free_file = write_bands(tmp_path / "free.fits", np.ones(7), bands)
    dusty_file = write_bands(tmp_path / "dusty.fits", screen(0.8, rest), bands)
    dusty, free = (read_product([file], Place.at(6.5)) for file in (dusty_file, free_file))
    assert labels(dusty, free)["a_v"] == pytest.approx(1.086 * 0.8, rel=0.03)
    dusty, free = (read_product([file], Place.at(9.0)) for file in (dusty_file, free_file))
    with pytest.raises(LabelError, match="beyond F115W to F444W"):
        labels(dusty, free)


def test_a_scene_keeps_the_flux_whatever_the_pixels_and_is_centred(tmp_path: Path) -> None:
    fine, coarse, off = np.zeros((3, 24, 24)), np.zeros((3, 12, 12)), np.zeros((3, 24, 24))
    fine[:, 10:14, 10:14], coarse[:, 5:7, 5:7], off[:, 12:16, 5:9] = 1 / 16, 1 / 4, 1 / 16
    bands = ("F277W", "F356W", "F444W")
    images = []
    for name, pixels, side in (("fine", fine, 0.04), ("coarse", coarse, 0.08), ("off", off, 0.04)):
        cube = fits.PrimaryHDU(100 * pixels)
        cube.header.update({"BUNIT": "nJy", "PIXSCALE": side} | {f"EXT{n + 1}": band for n, band in enumerate(bands)})
        cube.writeto(tmp_path / f"{name}.fits")
        table = tmp_path / f"{name}.ecsv"
        Table(rows=[{**GALAXY, "dusty": f"{name}.fits"}]).write(table)
        images.append(scene(read_rows(table)[0], bands, SkirtImport())["images"])
    inside = images[0].sum(axis=(0, 1))
    assert ((inside > 93) & (inside < 99)).all()  # the rest is in the wings of the PSF
    np.testing.assert_allclose(images[1], images[0], atol=0.01)
    np.testing.assert_allclose(images[2], images[0], atol=0.01)


def test_a_table_becomes_a_data_set_that_is_observed_like_any_other(tmp_path: Path) -> None:
    wavelength = REST * 8
    write_cube(tmp_path / "g1_free.fits", np.full(400, 400.0), wavelength)
    rows = []
    for dtm in (0.0, 0.3):
        spectrum = 400.0 * screen(2 * dtm, REST)
        write_cube(tmp_path / f"g1_{dtm}.fits", spectrum, wavelength)
        for _ in range(4):
            row = {"galaxy": "g1", "z": 7.0, "mass": 2e9, "sfr": 12.0, "dtm": dtm, "dusty": f"g1_{dtm}.fits"}
            rows.append({**row, "dust_free": "g1_free.fits"})
    table = write_table(tmp_path, *rows)
    result = CliRunner().invoke(app, ["import-skirt", str(table), str(tmp_path / "data")])
    assert result.exit_code == 0, result.output
    card, data = dataset.read(tmp_path / "data")
    assert card.source == SOURCE
    assert card.bands == tuple(BANDS)
    assert card.settings["galaxies"] == ["g1"]
    assert data["orientation"].tolist() == [0, 1, 2, 3] * 2
    assert data["log_mass"] == pytest.approx(9.301, abs=1e-3)
    assert data["log_ssfr"] == pytest.approx(-8.222, abs=1e-3)
    assert (data["a_v"][:4] == 0).all()
    assert np.isnan(data["r_v"][:4]).all()
    assert data["a_v"][4:] == pytest.approx(1.086 * 0.6, rel=0.01)
    _, scenes = load_scenes(tmp_path / "data")
    assert len(scenes) == 4  # those with dust
    seen = observe(scenes, ObservationPrior(), min_snr=5, seed=1)
    assert len(seen) == 4
    assert seen.pixels.shape == (4, 32, 32, 7)


def test_files_of_single_bands_are_found_by_a_pattern(tmp_path: Path) -> None:
    for number, band in enumerate(("F277W", "F356W", "F444W"), start=1):
        image = fits.PrimaryHDU(number * blob())
        image.header.update({"BUNIT": "uJy", "PIXSCALE": 0.04})
        image.writeto(tmp_path / f"g1_{band.lower()}_total.fits")
    rows = read_rows(write_table(tmp_path, {**GALAXY, "dusty": "g1_*_total.fits"}))
    images = scene(rows[0], ("F277W", "F444W"), SkirtImport())["images"]
    one, three = images.sum(axis=(0, 1))
    assert three / one == pytest.approx(3, rel=0.05)
    assert one == pytest.approx(1000, rel=0.1)


def test_bands_without_a_known_transmission_are_left_aside_in_so_many_words(tmp_path: Path) -> None:
    write_bands(tmp_path / "b.fits", np.full(4, 50.0), ("F277W", "F323N", "F444W", "F470N"))
    table = write_table(tmp_path, {**GALAXY, "dusty": "b.fits"})
    result = CliRunner().invoke(app, ["import-skirt", str(table), str(tmp_path / "data")])
    assert result.exit_code == 0, result.output
    assert "Left aside, since their transmission is not known: F323N, F470N.\n" in result.output
    assert dataset.DatasetCard.read(tmp_path / "data").bands == ("F277W", "F444W")


def test_unnamed_planes_are_named_by_the_user(tmp_path: Path) -> None:
    file = write_bands(tmp_path / "b.fits", np.array([1.0, 2.0, 3.0]), ())
    product = read_product([file], Place.at(7), planes=("F444W", "F090W", "F277W"))
    assert product.bands == ("F090W", "F277W", "F444W")
    assert product.total() == pytest.approx([2, 3, 1])
    with pytest.raises(BandError, match="2 bands are stated"):
        read_product([file], Place.at(7), planes=("F444W", "F277W"))
    with pytest.raises(BandError, match="names no band"):
        read_product([file], Place.at(7))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"dusty": "missing.fits"}, CatalogueError, "there is no file"),
        ({"z": "far"}, CatalogueError, "no number"),
        ({"z": 0.0}, CatalogueError, "between 0 and 20"),
        ({"dtm": 1.5}, CatalogueError, "between 0 and 1"),
        ({"orientation": 1000}, CatalogueError, "0 to 127"),
        ({"log_mass": np.nan}, CatalogueError, "log_mass"),
        ({"log_mass": 3e9}, CatalogueError, "row 1 of table.ecsv: log_mass is 3e.09; .* between 4 and 13"),
        ({"log_ssfr": 1e-9}, CatalogueError, "row 1 of table.ecsv: log_ssfr is 1e-09; .* It looks linear"),
        ({"log_ssfr": -99.0}, CatalogueError, "log_ssfr is -99; .* between -16 and -6"),
        ({"a_v": 0.1, "e_bv": 0.3}, CatalogueError, "R_V is 0.333; .* swapped"),
        ({"e_bv": 0.01}, CatalogueError, "R_V is 100"),
        ({"e_bv": -99.0}, LabelError, "columns a_v and e_bv"),
        ({"a_v": np.nan}, LabelError, "columns a_v and e_bv"),
        ({"dust_free": "other.fits"}, LabelError, "do not have the same wavelengths"),
    ],
)
def test_a_wrong_row_says_what_would_be_right(
    tmp_path: Path, change: dict[str, object], error: type[ReddenError], message: str
) -> None:
    write_cube(tmp_path / "g1.fits", np.full(400, 50.0), REST * 8)
    write_cube(tmp_path / "other.fits", np.full(300, 50.0), REST[:300] * 8)
    row = {**GALAXY, "dusty": "g1.fits", "dtm": 0.3, "orientation": 0, "dust_free": "", **change}
    if "dust_free" in change:
        row["a_v"] = np.nan
    with pytest.raises(error, match=message):
        import_skirt(write_table(tmp_path, row), tmp_path / "out", SkirtImport(bands=("F356W",)))


def test_a_unit_that_contradicts_the_header_is_used_with_a_warning(tmp_path: Path) -> None:
    write_cube(tmp_path / "g1.fits", np.geomspace(50, 100, 400), REST * 8)
    write_cube(tmp_path / "silent.fits", np.full(400, 50.0), REST * 8, "")
    table = write_table(tmp_path, {**GALAXY, "dusty": "g1.fits"})
    arguments = ["import-skirt", str(table), str(tmp_path / "data"), "--bands", "F277W,F444W", "--unit", "uJy"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    _, data = dataset.read(tmp_path / "data")
    faintest = 31.4 - 2.5 * np.log10(100e3)
    told = re.search(r"stated to be uJy, but BUNIT of g1.fits is nJy.* is ([\d.]+) AB in F444W", result.output)
    assert told is not None, result.output
    assert faintest < float(told[1]) < faintest + 0.75
    assert data["images"].sum() > 5e4  # as stated
    with pytest.raises(UnitError, match=r"row 1 \(galaxy g1\): .*furlong"):
        import_skirt(table, tmp_path / "wrong", SkirtImport(bands=("F444W",), unit="furlong"))
    row = read_rows(table)[0]
    assert contradiction(row, ("F444W",), SkirtImport(unit="1e-3 uJy")) is None
    assert contradiction(replace(row, dusty=(tmp_path / "silent.fits",)), ("F444W",), SkirtImport(unit="uJy")) is None


def test_what_cannot_reach_the_image_is_left_out_and_changes_nothing() -> None:
    bands, pixel = ("F277W", "F444W"), np.array([0.06, 0.05])
    flux = np.random.default_rng(4).exponential(1.0, (160, 150, 2))
    flux[60:70, 50:65] += 300.0
    flux[5:8, 5:8] += 500.0  # far outside, where it moves the centroid
    x, y = (
        (np.arange(side * 4) - (side * 4 - 1) / 2) * scale / 4 for side, scale in zip((150, 160), pixel, strict=True)
    )
    grid_y, grid_x = np.meshgrid(y, x, indexing="ij")
    view = View(grid_x.ravel(), grid_y.ravel(), np.empty(0))
    everything = flux.repeat(4, axis=0).repeat(4, axis=1).reshape(-1, 2) / 16
    settings = Settings(observation=Observation(bands=bands))
    expected = expose(settings, view, everything, np.random.default_rng(1))
    found = through_telescope(flux, pixel, bands, np.random.default_rng(1))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_wrong_product_says_what_would_be_right(tmp_path: Path) -> None:
    wavelength, flat, place = REST * 8, np.full(400, 50.0), Place.at(7)
    with pytest.raises(UnitError, match="W/m2/micron/arcsec2"):
        read_product([write_cube(tmp_path / "unit.fits", flat, wavelength, "furlong")], place)
    with pytest.raises(PixelGridError, match="--pixel-scale"):
        read_product([write_cube(tmp_path / "scale.fits", flat, wavelength, CUNIT1="")], place)
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        read_product([tmp_path / "absent.fits"], place)
    truncated = write_cube(tmp_path / "truncated.fits", flat, wavelength)
    truncated.write_bytes(truncated.read_bytes()[:20_000])
    with pytest.raises(UnreadableFileError, match="truncated.fits"):
        read_product([truncated], place)
    sparse = read_product([write_cube(tmp_path / "sparse.fits", flat[::20], wavelength[::20])], place)
    with pytest.raises(BandError, match="--planes"):
        in_bands(sparse, ("F356W",), place)
    with pytest.raises(BandError, match="covers"):
        in_bands(sparse, ("F356W",), Place.at(60))


def test_a_table_without_a_needed_column_or_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("galaxy,z,dusty\n1,7,a.fits\n")
    with pytest.raises(CatalogueError, match="log_mass or mass"):
        read_rows(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("galaxy,z,mass,sfr,dusty\n")
    with pytest.raises(CatalogueError, match="no rows"):
        read_rows(tmp_path / "b.csv")
    (tmp_path / "c.fits").write_text("no table")
    with pytest.raises(CatalogueError, match="cannot be read as a table"):
        read_rows(tmp_path / "c.fits")


def test_a_real_tng50_galaxy_has_the_magnitudes_of_its_header(real_images: Path) -> None:
    files = sorted((real_images / "omega").glob("*_NIRCam_long.fits"))
    if not files:
        pytest.skip("no OMEGA cube in the folder of real images")
    header = fits.getheader(files[0])
    product = read_product(files, Place.at(header["REDSHIFT"]))
    assert product.bands is not None
    assert product.pixel == pytest.approx((0.063, 0.063), rel=1e-3)
    told = {header[f"EXT{number}"]: header[f"MAG{number}"] for number in range(1, 16)}
    magnitudes = dict(zip(product.bands, 31.4 - 2.5 * np.log10(product.total()), strict=True))
    assert {"F277W", "F356W", "F410M", "F444W"} <= magnitudes.keys()
    assert magnitudes == pytest.approx({band: told[band] for band in magnitudes}, abs=0.02)
