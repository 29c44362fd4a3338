"""``redden survey``: add, list, check, remove, convert."""

import gzip

import pytest
from typer.testing import CliRunner

from redden.errors import MosaicAwayError, MosaicError, SurveyError, UnknownSurveyError
from service.cli import commands
from service.processes import free_port
from service.settings import Settings
from service.surveys.definition import Definition
from service.surveys.registry import Surveys


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """The directory of registered surveys."""
    directory = tmp_path / "registered"
    monkeypatch.setenv("REDDEN_SURVEYS_DIR", str(directory))
    monkeypatch.setenv("COLUMNS", "200")
    return directory


def run(*arguments, error=None):
    result = CliRunner().invoke(commands, ["survey", *map(str, arguments)])
    if error is None:
        assert result.exit_code == 0, result.exception
    else:
        assert isinstance(result.exception, error)
        return f"{result.output}{result.exception}"
    return result.output


@pytest.fixture
def mine(tmp_path, write_mosaic, make_wcs, noise):
    """A survey file beside its gzipped mosaics."""
    directory = tmp_path / "mine"
    for band in ("F277W", "F444W"):
        write_mosaic(directory / "images" / f"{band}.fits", noise(1, 200), make_wcs(side=200))
        plain = (directory / "images" / f"{band}.fits").read_bytes()
        (directory / "images" / f"{band}.fits.gz").write_bytes(gzip.compress(plain))
        (directory / "images" / f"{band}.fits").unlink()
    (directory / "mine.toml").write_text(
        'name = "mine"\ntitle = "Mine"\n'
        '[bands.F277W]\nmosaics = ["images/F277W.fits.gz"]\n[bands.F444W]\nmosaics = ["images/F444W.fits.gz"]\n',
        encoding="utf-8",
    )
    return directory


def test_from_adding_to_removing(registered, mine):
    assert "Registered mine" in run("add", mine / "mine.toml")
    assert "not checked" in run("list")
    told = run("check", "mine", error=SurveyError)
    assert "redden survey convert" in told
    assert "2 problem(s)" in told
    assert "2 files are in" in run("convert", "mine")
    assert (mine / "images" / "F277W.fits").is_file()
    assert "all bands 0." in run("check", "mine")
    assert "footprint known" in run("list")
    assert "0 files are in" in run("convert", "mine")
    assert "Removed mine" in run("remove", "mine")
    assert list(registered.iterdir()) == []
    assert (mine / "mine.toml").is_file()


def test_a_shipped_survey_is_added_by_name_with_the_location_of_the_user(registered, tmp_path):
    run("add", "ceers")
    assert Definition.read(registered / "ceers.toml").location.startswith("https://")
    run("add", "ceers", "--location", tmp_path / "disk")
    definition = Definition.read(registered / "ceers.toml")
    assert definition.bands["F277W"].mosaics[0].path.startswith(f"{tmp_path}/disk/NIRCam/")
    output = run("list")
    assert "can be added" in output
    assert "cosmos-web" in output


def test_a_relative_location_stays_where_the_user_meant_it(registered, mine, monkeypatch):
    monkeypatch.chdir(mine)
    run("add", "mine.toml", "--location", ".")
    assert Definition.read(registered / "mine.toml").location == str(mine)


def test_remote_mosaics_are_brought_to_the_disk(registered, tmp_path, web_server, mosaics):
    for band in ("F277W", "F444W"):
        (mosaics / f"{band}.fits.gz").write_bytes(gzip.compress((mosaics / f"{band}.fits").read_bytes(), 1))
    file = tmp_path / "far.toml"
    file.write_text(
        f'name = "far"\ntitle = "Far"\nlocation = "http://127.0.0.1:{web_server}"\n'
        '[bands.F277W]\nmosaics = ["F277W.fits.gz"]\n[bands.F444W]\nmosaics = ["F444W.fits"]\n',
        encoding="utf-8",
    )
    run("add", file)
    assert "--to DIRECTORY" in run("convert", "far", error=SurveyError)
    run("convert", "far", "--to", tmp_path / "disk")
    for band in ("F277W", "F444W"):
        assert (tmp_path / "disk" / f"{band}.fits").read_bytes() == (mosaics / f"{band}.fits").read_bytes()
        (mosaics / f"{band}.fits.gz").unlink()
    run("check", "far")
    assert Definition.read(registered / "far.toml").location == str(tmp_path / "disk")
    assert list((tmp_path / "disk").glob("*.part")) == []


def test_what_cannot_be_converted_is_told_and_leaves_no_half_file(registered, mine, tmp_path):
    broken = mine / "images" / "F444W.fits.gz"
    broken.write_bytes(broken.read_bytes()[:1000])
    run("add", mine / "mine.toml")
    assert "broken gzip" in run("convert", "mine", error=MosaicError)
    assert not (mine / "images" / "F444W.fits").exists()
    text = (mine / "mine.toml").read_text(encoding="utf-8")
    (mine / "mine.toml").write_text(
        text.replace("[bands", f'location = "http://127.0.0.1:{free_port()}"\n[bands', 1), encoding="utf-8"
    )
    run("add", mine / "mine.toml")
    run("convert", "mine", "--to", tmp_path / "disk", error=MosaicAwayError)
    (mine / "mine.toml").write_text(text.replace('"images/F277W', '"/images/F277W'), encoding="utf-8")
    run("add", mine / "mine.toml")
    assert "not below the survey's location" in run("convert", "mine", "--to", tmp_path / "disk", error=SurveyError)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("add", "nosuch"), UnknownSurveyError, "or one of ceers, cosmos-web"),
        (("add", "nosuch.toml"), UnknownSurveyError, "there is no file nosuch.toml"),
        (("check", "nosuch"), UnknownSurveyError, "there is demo"),
        (("remove", "nosuch"), UnknownSurveyError, "there is demo"),
        (("remove", "demo"), SurveyError, "comes with redden"),
        (("convert", "nosuch"), UnknownSurveyError, "there is demo"),
    ],
)
def test_what_is_not_there_is_told(registered, arguments, error, message):
    assert message in run(*arguments, error=error)


def test_a_survey_file_with_a_mistake_is_not_registered(registered, mine):
    (mine / "mine.toml").write_text('name = "mine"', encoding="utf-8")
    run("add", mine / "mine.toml", error=SurveyError)
    assert Surveys.read(Settings()).names == ["demo"]
