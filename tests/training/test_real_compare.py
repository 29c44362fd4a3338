"""Real galaxies, here made up: cutouts in files and a table in, values, figures and a page out."""

import csv
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from typer.testing import CliRunner

from redden.dust import a_v_from_beta
from redden.errors import ReddenError
from training.cli import app
from training.real.catalogue import read_catalogue
from training.real.measure import measure_real
from training.real.write import NO_REFERENCE, compared
from training.rivals.mocks import ALL_BANDS
from training.simulate.instrument import image

MODELS = Path(__file__).parents[2] / "models"
SLOPE = -1.6
THREE = ("F277W", "F356W", "F444W")


def cutout(folder: Path, name: str, bands: tuple[str, ...], *, scale: float = 1.0) -> str:
    """A point source of the ultraviolet slope `SLOPE`, one file with all bands; its name."""
    from redden.bands import BANDS

    flux = scale * 60 * np.array([BANDS[band].pivot / 2 for band in bands]) ** (SLOPE + 2)
    light = image(np.zeros(1), np.zeros(1), flux[None], bands)
    light = light + np.random.default_rng(1).normal(0, 0.02, light.shape)
    hdus = [fits.PrimaryHDU()]
    for place, band in enumerate(bands):
        hdu = fits.ImageHDU(light[..., place].astype(np.float32), name=band)
        hdu.header["FILTER"], hdu.header["BUNIT"] = band, "nJy"
        hdu.header["PIXSCALE"] = 0.03
        hdus.append(hdu)
    fits.HDUList(hdus).writeto(folder / f"{name}.fits")
    return f"{name}.fits"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Galaxies with seven and with three bands, one of them with a given slope, and one whose file is missing."""
    folder = tmp_path_factory.mktemp("real")
    seven, three = cutout(folder, "seven", ALL_BANDS), cutout(folder, "three", THREE)
    rows = Table(
        {
            "id": ["seven", "three", "lost"],
            "files": [seven, three, "nowhere.fits"],
            "z": [7.0, 6.5, 7.0],
            "a_v": [0.5, 0.1, 0.2],
            "a_v_err": ["0.1", "", "0.1"],
            "log_ssfr_100": ["-8.1", "-8.0", ""],
            "log_ssfr_10": ["-8.3", "", ""],
            "beta": ["", "-1.9", ""],
        }
    )
    rows.write(folder / "galaxies.csv")
    return folder / "galaxies.csv"


def test_galaxies_are_measured_by_every_method_that_can(table: Path) -> None:
    models = [MODELS / "redden/1", MODELS / "gaussian-3band/1"]
    seven, three, lost = measure_real(read_catalogue(table), models, None)
    assert [found.method for found in seven.measurements] == ["redden", "gaussian-3band", "Meurer"]
    assert all(np.all(np.diff(found.a_v) > 0) for found in seven.measurements)
    assert seven.measurements[0].in_domain is not None
    assert seven.measurements[1].in_domain is None
    # F115W, F150W and F200W are ultraviolet at z = 7.
    assert seven.beta[0] == pytest.approx(SLOPE, abs=0.15)
    assert seven.measurements[-1].a_v[2] == pytest.approx(float(a_v_from_beta(seven.beta[0], "Calzetti")))
    assert three.beta[0] == -1.9
    assert three.measurements[-1].a_v[2] == pytest.approx(float(a_v_from_beta(-1.9, "Calzetti")))
    assert np.isnan(np.delete(three.measurements[-1].a_v, 2)).all()  # no error of the slope is given
    assert "cannot be read" in lost.measurements[0].problem


def test_the_differences_are_those_of_the_values(table: Path) -> None:
    measured = measure_real(read_catalogue(table), [MODELS / "paper-3band/1"], None)
    heading, *rows = compared(measured)
    assert heading[3] == "MAE"
    found = {(row[0], row[1]): row[2:] for row in rows}
    ours = [one.measurements[0].a_v[2] for one in measured[:2]]
    number, mae, sigma, mean = found["A_V of SED fits", "paper-3band"]
    differences = np.array(ours) - [0.5, 0.1]
    assert number == "2"
    assert [float(mae), float(sigma), float(mean)] == pytest.approx(
        [np.abs(differences).mean(), differences.std(), differences.mean()], abs=6e-4
    )
    assert found["log sSFR of SED fits over 10 Myr", "paper-3band"][0] == "1"
    assert ("A_V of Meurer's relation", "Meurer") not in found


def test_the_command_writes_values_figures_and_a_page(table: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["compare", str(table), str(MODELS / "redden/1"), str(MODELS / "paper-1band/1"), "--out", str(tmp_path)]
    )
    assert result.exit_code == 0, result.output
    assert "A_V of Meurer's relation | redden | 2 |" in result.output
    assert "1 of 3 galaxies could not be measured:\nlost: " in result.output
    figures = {f"figure{number}.{kind}" for number in (4, 9, 10, 11) for kind in ("png", "pdf")}
    assert {file.name for file in tmp_path.iterdir()} == {"values.csv", "comparison.md", "index.html", *figures}
    with (tmp_path / "values.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["id"], row["method"]) for row in rows[:3]] == [
        ("seven", "redden"),
        ("seven", "paper-1band"),
        ("seven", "Meurer"),
    ]
    assert "nowhere.fits" in rows[-1]["problem"]
    assert (tmp_path / "index.html").read_text(encoding="utf-8").count("data:image/png;base64,") == 4


def test_without_reference_values_only_the_images_are_drawn(tmp_path: Path) -> None:
    name = cutout(tmp_path, "one", THREE)
    (tmp_path / "one.csv").write_text(f"id,files\none,{name}\n")
    out = tmp_path / "out"
    result = CliRunner().invoke(
        app, ["compare", str(tmp_path / "one.csv"), str(MODELS / "paper-1band/1"), "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    assert sorted(file.name for file in out.glob("*.png")) == ["figure4.png"]
    for said in (result.output, (out / "comparison.md").read_text(), (out / "index.html").read_text()):
        assert NO_REFERENCE in said
    assert "could not be measured" not in result.output


def test_columns_are_found_in_any_case(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("ID,Files,Z,A_V,a_v_ERR\na,a.fits,7.0,0.3,0.1\n")
    (galaxy,) = read_catalogue(tmp_path / "table.csv")
    assert (galaxy.id, galaxy.z, galaxy.references["a_v"]) == ("a", 7.0, (0.3, 0.1))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("id,z\na,7\n", "needs the columns id and files; it has id, z"),
        ("id,files\n", "has no rows"),
        ("id,files\na,a.fits\nb,b.fits\na,c.fits\n", "rows 1 and 3 of .* have the same id 'a'"),
        ("id,files,z,Z\na,b.fits,7,7\n", "two columns z, in different case"),
        ("id,files,z\na,b.fits,seven\n", "z of galaxy a is 'seven', which is no number"),
    ],
)
def test_a_wrong_table_is_refused(text: str, wrong: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.csv").write_text(text)
    with pytest.raises(ReddenError, match=wrong):
        read_catalogue(tmp_path / "wrong.csv")


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wrong.fits").write_bytes(b"no table")
    with pytest.raises(ReddenError, match="cannot be read as a table"):
        read_catalogue(tmp_path / "wrong.fits")


def test_bagpipes_fits_the_photometry_of_real_cutouts(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("bagpipes", reason="needs the extra sed")
    monkeypatch.setattr("training.rivals.bagpipes.DRAWS", 64)
    monkeypatch.setattr("training.rivals.bagpipes.MOST_DRAWS", 64)
    seven = measure_real(read_catalogue(table)[:1], [], "lognormal")[0]
    fitted = seven.measurements[-1]
    assert fitted.method == "Bagpipes"
    assert np.all(np.diff(fitted.a_v) > 0)
    assert fitted.log_ssfr[2] < -7.8


@pytest.mark.parametrize(
    ("z", "z_err"), [("-99", "0.1"), ("inf", "0.1"), ("21", "0.1"), ("7", ""), ("7", "-1"), ("", "0.1")]
)
def test_a_redshift_that_cannot_be_used_is_unknown(tmp_path: Path, z: str, z_err: str) -> None:
    table = tmp_path / "table.csv"
    table.write_text(f"id,files,z,z_err\na,a.fits,{z},{z_err}\nb,b.fits,7.0,0.1\n", encoding="utf-8")
    assert [galaxy.redshift for galaxy in read_catalogue(table)] == [None, (7.0, 0.1)]
