"""The registered surveys over HTTP."""

from hashlib import sha256
from io import BytesIO

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table
from mocpy import MOC

from service.settings import Settings
from service.surveys.registry import DEMO_DIR

CENTRE = SkyCoord(30.0, 12.0, unit=u.deg)


def test_the_demo_is_always_there(gateway):
    listed = gateway.get("/v1/surveys").json()
    (demo,) = listed["surveys"]
    assert listed["refused"] == {}
    assert demo["name"] == "demo"
    assert set(demo["bands"]) == {"F277W", "F356W", "F444W"}
    assert demo["bands"]["F444W"]["psf_fwhm"] == pytest.approx(0.16, abs=0.03)
    assert demo["models"] == ["any-band", "gaussian-3band", "paper-1band", "paper-3band"]
    assert gateway.get("/v1/surveys/demo").json() == demo


@pytest.mark.parametrize("path", ["nowhere", "nowhere/footprint", "nowhere/catalogue", "..%2Fdemo"])
def test_an_unknown_survey(gateway, path):
    response = gateway.get(f"/v1/surveys/{path}")
    assert response.status_code == 404
    if "%2F" not in path:
        assert response.json()["type"] == "/problems/unknown-survey"
        assert "there is demo" in response.json()["detail"]


def test_the_footprint_as_a_coverage_map(gateway):
    json = gateway.get("/v1/surveys/demo/footprint")
    assert json.headers["content-type"] == "application/json"
    from_json = MOC.from_json(json.json())
    response = gateway.get("/v1/surveys/demo/footprint", params={"format": "fits"})
    assert response.headers["content-type"] == "application/fits"
    from_fits = MOC.from_fits(BytesIO(response.content))
    assert from_json == from_fits
    inside = CENTRE.directional_offset_by([0, 90, 180, 270] * u.deg, 44 * u.arcsec)
    outside = CENTRE.directional_offset_by([0, 90, 180, 270] * u.deg, 56 * u.arcsec)
    assert from_json.contains_skycoords(inside).all()
    assert not from_json.contains_skycoords(outside).any()
    assert from_json.sky_fraction * 4 * np.pi * u.sr.to(u.arcmin**2) == pytest.approx(1.536**2, rel=0.1)


def test_the_footprint_as_a_polygon(gateway):
    stcs = gateway.get("/v1/surveys/demo/footprint", params={"format": "stc-s"}).text.split()
    assert stcs[:2] == ["Polygon", "ICRS"]
    corners = SkyCoord(np.array(stcs[2:], dtype=float).reshape(-1, 2), unit=u.deg)
    assert len(corners) == 4
    np.testing.assert_allclose(corners.separation(CENTRE).arcsec, 1536 * 0.03 * np.sqrt(2), rtol=0.01)

    adql = gateway.get("/v1/surveys/demo/footprint", params={"format": "adql"}).text
    assert adql == f"POLYGON('ICRS', {', '.join(stcs[2:])})\n"


def test_several_mosaics_are_a_union(running_gateway, models_dir, tmp_path):
    outlines = '{"survey_file": "%s", "bands": {"F277W": [%s]}}'
    squares = [[[ra, 0.0], [ra, 0.1], [ra - 0.1, 0.1], [ra - 0.1, 0.0]] for ra in (0.05, 10.0, 10.0)]
    file = tmp_path / "three.toml"
    file.write_text(
        'name = "three"\ntitle = "Three"\n[bands.F277W]\nmosaics = ["a.fits", "b.fits", "c.fits"]', encoding="utf-8"
    )
    digest = sha256(file.read_bytes()).hexdigest()
    (tmp_path / "three.footprint.json").write_text(outlines % (digest, ",".join(map(str, squares))), encoding="utf-8")
    with running_gateway(Settings(models_dir=models_dir, surveys_dir=tmp_path)) as gateway:
        stcs = gateway.get("/v1/surveys/three/footprint", params={"format": "stc-s"}).text
        assert stcs.startswith("Union ICRS (Polygon 0.05")
        assert stcs.count("Polygon") == 2
        assert gateway.get("/v1/surveys/three/footprint", params={"format": "adql"}).text.count("\n") == 2
        moc = MOC.from_json(gateway.get("/v1/surveys/three/footprint").json())
    asked = SkyCoord([0.0, 359.96, 9.95, 5.0], [0.05] * 4, unit=u.deg)
    assert moc.contains_skycoords(asked).tolist() == [True, True, True, False]


def test_the_footprint_of_mosaics_that_are_away(running_gateway, models_dir, tmp_path):
    (tmp_path / "away.toml").write_text(
        'name = "away"\ntitle = "Away"\n[bands.F277W]\nmosaics = ["nowhere.fits"]', encoding="utf-8"
    )
    with running_gateway(Settings(models_dir=models_dir, surveys_dir=tmp_path)) as gateway:
        response = gateway.get("/v1/surveys/away/footprint")
        assert (response.status_code, response.json()["type"]) == (502, "/problems/mosaic")


def test_the_catalogue_of_the_demo(gateway):
    response = gateway.get("/v1/surveys/demo/catalogue")
    assert response.headers["content-type"].startswith("text/plain")
    assert 'filename="catalogue.ecsv"' in response.headers["content-disposition"]
    assert response.content == (DEMO_DIR / "catalogue.ecsv").read_bytes()
    table = Table.read(BytesIO(response.content), format="ascii.ecsv")
    assert len(table) == 300
    assert all(check_ucd(column.meta["ucd"], check_controlled_vocabulary=True) for column in table.itercols())


@pytest.mark.parametrize(
    ("line", "status", "says"),
    [
        ("", 404, "has no catalogue"),
        ('catalogue = "nowhere.csv"', 404, "not where the survey file says"),
        ('catalogue = "s3://bucket/table.fits"', 404, "no web address"),
        ('catalogue = "https://archive.test/table.fits"', 307, ""),
    ],
)
def test_catalogues_elsewhere(running_gateway, models_dir, tmp_path, line, status, says):
    (tmp_path / "here.toml").write_text(
        f'name = "here"\ntitle = "Here"\n{line}\n[bands.F277W]\nmosaics = ["a.fits"]', encoding="utf-8"
    )
    with running_gateway(Settings(models_dir=models_dir, surveys_dir=tmp_path)) as gateway:
        response = gateway.get("/v1/surveys/here/catalogue")
        assert response.status_code == status
        if status == 307:
            assert response.headers["location"] == "https://archive.test/table.fits"
        else:
            assert response.json()["type"] == "/problems/no-catalogue"
            assert says in response.json()["detail"]


def test_a_survey_file_that_cannot_be_used_is_said(running_gateway, models_dir, tmp_path):
    (tmp_path / "broken.toml").write_text("name = ", encoding="utf-8")
    with running_gateway(Settings(models_dir=models_dir, surveys_dir=tmp_path)) as gateway:
        listed = gateway.get("/v1/surveys").json()
    assert [survey["name"] for survey in listed["surveys"]] == ["demo"]
    assert "not TOML" in listed["refused"]["broken.toml"]
