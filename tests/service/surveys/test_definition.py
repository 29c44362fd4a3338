"""Survey files: what they may say, what is said to a wrong one, and the files that are shipped."""

from pathlib import Path

import pytest

from redden.errors import SurveyError
from service.surveys.definition import SHIPPED_DIR, Definition, with_location

MINIMAL = 'name = "test"\ntitle = "Test"\n[bands.F277W]\nmosaics = ["a.fits"]\n'


def test_paths_are_relative_to_the_location_and_that_to_the_file(tmp_path):
    text = """
    name = "test"
    title = "Test"
    location = "data"
    catalogue = "catalogue.ecsv"
    [bands.f277w]
    mosaics = ["a.fits", { path = "/b/b.fits", weight = { path = "w.fits" }, error = { hdu = "ERR" } }]
    [bands.F444W]
    mosaics = ["https://example.org/c.fits"]
    """
    definition = Definition.parse(text, "here").resolved(tmp_path)
    first, second = definition.bands["F277W"].mosaics
    assert first.path == f"{tmp_path}/data/a.fits"
    assert (second.path, second.weight.path, second.error.path) == ("/b/b.fits", f"{tmp_path}/data/w.fits", "/b/b.fits")
    assert definition.bands["F444W"].mosaics[0].path == "https://example.org/c.fits"
    assert definition.catalogue == f"{tmp_path}/data/catalogue.ecsv"


def test_a_gzipped_file_that_is_there_unzipped_is_read_unzipped(tmp_path):
    (tmp_path / "a.fits").touch()
    text = MINIMAL.replace('"a.fits"', '"a.fits.gz", "b.fits.gz"')
    paths = [tile.path for tile in Definition.parse(text, "here").resolved(tmp_path).bands["F277W"].mosaics]
    assert paths == [f"{tmp_path}/a.fits", f"{tmp_path}/b.fits.gz"]


@pytest.mark.parametrize("text", [MINIMAL, MINIMAL.replace("[bands", 'location = "elsewhere"\n# more\n[bands', 1)])
@pytest.mark.parametrize("location", ["/data/ceers", "https://example.org/a b", "/odd \"'\\1/ü"])
def test_the_location_is_overridden_in_one_line(text, location):
    moved = Definition.parse(with_location(text, location), "here")
    assert moved.location == location
    assert moved.model_copy(update={"location": ""}) == Definition.parse(MINIMAL, "here")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text + "[", "is not TOML"),
        (lambda text: text.replace('"test"', '"../test"'), "name: String should match"),
        (lambda text: text.replace('title = "Test"', ""), "title: Field required"),
        (lambda text: text.replace("F277W", "F300M"), "redden does not know the band 'F300M'"),
        (lambda text: text.replace('["a.fits"]', "[]"), "bands.F277W.mosaics"),
        (
            lambda text: text.replace("a.fits", "ftp://example.org/a.fits"),
            "neither a path nor a URL of http, https, s3",
        ),
        (lambda text: text.replace("a.fits", "simplecache::https://example.org/a.fits"), "neither a path nor a URL"),
        (lambda text: text.replace("mosaics", "mosaic"), "Extra inputs are not permitted"),
        (lambda text: text.partition("[")[0], "bands: Field required"),
    ],
)
def test_a_wrong_survey_file_is_told_what_is_wrong(change, message):
    with pytest.raises(SurveyError, match=message):
        Definition.parse(change(MINIMAL), "test.toml")


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(SurveyError, match="cannot be read"):
        Definition.read(tmp_path / "nosuch.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SurveyError, match="cannot be read"):
        Definition.read(tmp_path / "binary.toml")


@pytest.mark.parametrize("file", sorted(SHIPPED_DIR.glob("*.toml")), ids=lambda file: file.stem)
def test_shipped_surveys_are_whole_public_and_marked_as_not_checked(file: Path):
    definition = Definition.read(file)
    assert definition.name == file.stem
    assert not definition.checked
    assert definition.reference.startswith("https://")
    assert definition.citation
    assert {"F277W", "F444W"} <= set(definition.bands)
    for band, mosaics in definition.bands.items():
        assert mosaics.psf_fwhm > 0.03
        for tile in mosaics.mosaics:
            assert tile.path.startswith("https://")
            assert band.lower() in tile.path


def test_what_the_paper_used_is_shipped():
    assert {"ceers", "jades-gs", "jades-gn"} <= {file.stem for file in SHIPPED_DIR.glob("*.toml")}
