"""``POST /v1/predict`` over real sockets: right requests, and wrong ones of every kind."""

import gzip
import hashlib
from io import BytesIO

import httpx
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from redden.answer import Answer

THREE = ("F277W", "F356W", "F444W")


def test_one_file_per_band_gives_intervals(post, three_bands):
    response = post(*three_bands)
    answer = Answer.model_validate_json(response.content)
    assert response.status_code == 200
    for quantity in (answer.quantities.a_v, answer.quantities.e_bv, answer.quantities.r_v, answer.quantities.log_ssfr):
        low, high = quantity.interval_68
        lowest, highest = quantity.interval_95
        assert lowest < low < quantity.median < high < highest
    assert set(answer.snr) == set(THREE)
    assert min(answer.snr.values()) > 5
    assert (answer.model.name, answer.model.version) == ("gaussian-3band", 1)
    assert answer.provenance.input_sha256 == hashlib.sha256(b"".join(three_bands)).hexdigest()


def multi_extension(three_bands):
    hdus = [fits.open(BytesIO(data))[0] for data in three_bands]
    stream = BytesIO()
    fits.HDUList(
        [fits.PrimaryHDU(), *(fits.ImageHDU(hdu.data, hdu.header, name=hdu.header["FILTER"]) for hdu in hdus)]
    ).writeto(stream)
    return stream.getvalue()


@pytest.mark.parametrize("media_type", ["application/fits", "image/fits", "application/octet-stream", None])
def test_a_raw_body_gives_the_same_numbers_as_a_form(gateway, post, three_bands, media_type):
    headers = {"Content-Type": media_type} if media_type else {}
    raw = gateway.post("/v1/predict", content=multi_extension(three_bands), headers=headers)
    assert raw.status_code == 200, raw.text
    assert raw.json()["quantities"] == post(*three_bands).json()["quantities"]


def test_a_gzipped_file_is_read(gateway, three_bands):
    body = gzip.compress(multi_extension(three_bands))
    response = gateway.post("/v1/predict", content=body, headers={"Content-Type": "application/fits"})
    assert response.status_code == 200, response.text


def test_the_paper_s_models_give_points_without_a_unit(post, image):
    answer = post(image(BUNIT=None), model="paper-1band", version=1).json()
    assert answer["model"] == {"name": "paper-1band", "version": 1}
    assert isinstance(answer["quantities"]["a_v"]["median"], float)
    assert answer["quantities"]["a_v"]["interval_68"] is None


def test_bands_can_be_stated_with_commas_or_repeated(gateway, image, form):
    files = form(*(image(seed=seed, FILTER=None) for seed in range(3)))
    comma = gateway.post("/v1/predict", files=files, params={"bands": "F277W, F356W,F444W"})
    repeated = gateway.post("/v1/predict", files=files, params={"bands": list(THREE)})
    assert comma.status_code == repeated.status_code == 200, comma.text
    assert comma.json()["quantities"] == repeated.json()["quantities"]


def test_a_stated_unit_replaces_the_header_s(post, image, three_bands):
    without = [image(seed=seed, FILTER=band, BUNIT=None) for seed, band in enumerate(THREE)]
    assert post(*without, unit="nJy").json()["quantities"] == post(*three_bands).json()["quantities"]


def test_a_position_is_cut_instead_of_the_centre(post, image):
    wide = np.pad(fits.getdata(BytesIO(image())), ((30, 0), (0, 0)), mode="reflect")
    centre = post(image(wide), model="paper-1band").json()
    shifted = post(image(wide), model="paper-1band", ra=53.15, dec=-27.8 + 15 * 0.03 / 3600).json()
    assert "y=46" in shifted["provenance"]["pixels"][0]
    assert shifted["snr"]["F277W"] > 2 * centre["snr"]["F277W"]


def test_a_position_may_be_sexagesimal(post, image):
    wide = np.pad(fits.getdata(BytesIO(image())), ((30, 0), (0, 0)), mode="reflect")
    decimal, sexagesimal = (
        post(image(wide), model="paper-1band", ra=ra, dec=dec).json()
        for ra, dec in ((53.15, -27.799875), ("03:32:36", "-27:47:59.55"))
    )
    assert "y=46" in sexagesimal["provenance"]["pixels"][0]
    assert sexagesimal["quantities"] == decimal["quantities"]


def table():
    stream = BytesIO()
    Table({"flux": [1.0, 2.0]}).write(stream, format="fits")
    return stream.getvalue()


def constant_nan(size=64):
    return np.full((size, size), np.nan, np.float32)


def axes(data, count):
    """The file with another number of axes in its header."""
    place = data.index(b"NAXIS   =")
    return data[:place] + b"NAXIS   = " + count.rjust(20) + data[place + 30 :]


HTML = b"<!doctype html><html><body>Log in</body></html>"

WRONG_FILES = {
    "truncated": (lambda image: [image()[:9000]], {}, "unreadable-file", "truncated"),
    "html": (lambda image: [HTML], {}, "unreadable-file", "web page"),
    "empty file": (lambda image: [b""], {}, "unreadable-file", "empty"),
    "table": (lambda image: [table()], {}, "unreadable-file", "table"),
    "one band twice": (lambda image: [image(), image()], {}, "band", "given twice"),
    "unknown filter": (lambda image: [image(FILTER="F999W")], {}, "band", "F999W"),
    "no filter": (lambda image: [image(FILTER=None)], {"model": "paper-1band"}, "band", "bands="),
    "too few bands stated": (lambda image: [image()], {"bands": "F277W,F356W"}, "band", "2 bands"),
    "unknown band stated": (lambda image: [image()], {"bands": "green"}, "band", "green"),
    "NaN": (lambda image: [image(constant_nan())], {"model": "paper-1band"}, "bad-pixels", "NaN"),
    "constant": (lambda image: [image(np.ones((64, 64), "f4"))], {"model": "paper-1band"}, "bad-pixels", "nothing"),
    "8x8": (lambda image: [image(size=8)], {"model": "paper-1band"}, "pixel-grid", "at least 32x32"),
    "other scale": (lambda image: [image(CDELT1=-1e-3, CDELT2=1e-3)], {"model": "paper-1band"}, "pixel-grid", "arcsec"),
    "absurd axes": (lambda image: [axes(image(), b"99999999999999999999")], {}, "unreadable-file", "allows 999"),
    "far position": (lambda image: [image()], {"model": "paper-1band", "ra": 10, "dec": 0}, "pixel-grid", ""),
    "no unit": (
        lambda image: [image(seed=seed, FILTER=band, BUNIT=None) for seed, band in enumerate(THREE)],
        {},
        "unit",
        "model=paper-3band",
    ),
    "strange unit": (lambda image: [image()], {"unit": "furlong"}, "unit", "furlong"),
    "a band missing": (lambda image: [image()], {"model": "gaussian-3band"}, "band", "Add F356W, F444W"),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_wrong_files_are_a_422_that_says_what_to_do(post, image, case):
    make, parameters, problem, hint = WRONG_FILES[case]
    response = post(*make(image), **parameters)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == f"/problems/{problem}"
    assert hint in response.json()["detail"]


def test_bands_that_do_not_fit_the_default_model_name_the_models_that_take_them(post, image):
    detail = post(image()).json()["detail"]
    assert "model=paper-1band (point estimates)" in detail
    assert "paper-3band" not in detail
    assert "model=any-band." in post(image(FILTER="F115W")).json()["detail"]
    assert "No model takes it" in post(image(FILTER="F115W", BUNIT=None)).json()["detail"]


@pytest.mark.parametrize(
    ("parameters", "status", "hint"),
    [
        ({"model": "nosuch"}, 404, "gaussian-3band"),
        ({"version": 9}, 404, "no version 9"),
        ({"version": "newest"}, 404, "label 'newest'; it has stable (version 1), canary (version 7)"),
        ({"version": "canary"}, 404, "no version 7, which 'canary' stands for; it has 1"),
        ({"version": 0}, 422, "version: a version is a number from 1 on, or a label"),
        ({"ra": 53.1}, 422, "ra and dec go together"),
        ({"ra": 400, "dec": 0}, 422, "between 0 and 360"),
        ({"ra": "noon", "dec": 0}, 422, "ra 'noon' cannot be read; give degrees"),
        ({"ra": "nan", "dec": 0}, 422, "ra 'nan' is not finite"),
        ({"ra": 10, "dec": -91}, 422, "between -90 and 90"),
        ({"pixel_scale": 0}, 422, "pixel_scale: "),
        ({"modell": "paper-1band"}, 422, "modell: "),
    ],
)
def test_wrong_parameters_are_a_4xx_that_names_them(post, image, parameters, status, hint):
    response = post(image(), **parameters)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert hint in response.json()["detail"]


def test_a_form_has_files_and_nothing_else(gateway, post, image, form):
    cases = {
        "Name every part `files`": post(image(), name="image"),
        "in the URL": gateway.post("/v1/predict", files=form(image()), data={"model": "paper-1band"}),
        "Too many files": post(*[image()] * 8),
        "no files": gateway.post(
            "/v1/predict", content=b"--b--\r\n", headers={"Content-Type": "multipart/form-data; boundary=b"}
        ),
        "boundary": gateway.post("/v1/predict", content=b"x", headers={"Content-Type": "multipart/form-data"}),
        "no body": gateway.post("/v1/predict", headers={"Content-Type": "application/fits"}),
    }
    for hint, response in cases.items():
        assert (response.status_code, response.headers["content-type"]) == (400, "application/problem+json"), hint
        assert hint in response.json()["detail"]


def test_an_upload_without_room_for_it_is_a_507(gateway, image, form, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    response = gateway.post("/v1/predict", files=form(image(), b" " * 2**21))
    assert (response.status_code, response.json()["type"]) == (507, "/problems/storage")
    assert "No such file or directory" in response.json()["detail"]


def test_another_media_type_is_told_the_right_one(gateway, image):
    response = gateway.post(
        "/v1/predict", content=image(), headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert response.status_code == 415
    assert "application/fits" in response.json()["detail"]


class Endless:
    """A body without a length that counts what is taken from it."""

    def __init__(self, size):
        self.size, self.sent = size, 0

    def __iter__(self):
        while self.sent < self.size:
            self.sent += 2**16
            yield bytes(2**16)


@pytest.mark.parametrize("length", [True, False])
def test_100_mb_are_refused_early(gateway, length):
    body = Endless(100_000_000)
    headers = {"Content-Type": "application/fits"} | ({"Content-Length": str(body.size)} if length else {})
    response = gateway.post("/v1/predict", content=body, headers=headers)
    assert (response.status_code, response.json()["type"]) == (413, "/problems/too-large")
    assert "16 MiB" in response.json()["detail"]
    assert body.sent < body.size / 2


def test_a_large_form_is_refused_too(post):
    response = post(bytes(20_000_000))
    assert (response.status_code, response.json()["type"]) == (413, "/problems/too-large")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/nosuch", 404), ("PUT", "/v1/predict", 405), ("PUT", "/v1/models", 405)]
)
def test_the_framework_s_refusals_are_problems_too(gateway: httpx.Client, method, path, status):
    response = gateway.request(method, path)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert response.json()["type"] == "about:blank"
