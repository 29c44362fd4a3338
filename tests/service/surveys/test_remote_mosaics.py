"""Windows of mosaics on a web server and on S3: the same pixels as on a disk, and few bytes transferred."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given
from hypothesis import strategies as st

from redden.errors import MosaicAwayError, MosaicError
from service.processes import free_port
from service.settings import Settings
from service.surveys.remote import BLOCK, BlockCache

HERE = SkyCoord(53.1, -27.8, unit="deg")
BANDS = """
[bands.F277W]
mosaics = ["F277W.fits{suffix}"]
[bands.F444W]
mosaics = ["F444W.fits{suffix}"]
"""


@pytest.fixture
def s3_text(s3_server):
    """A survey on S3, behind a port."""

    def text(port=s3_server, suffix=""):
        return (
            f'location = "s3://surveys/v1"\n[storage]\nanon = true\nendpoint_url = "http://127.0.0.1:{port}"\n'
            + BANDS.format(suffix=suffix)
        )

    return text


def web_text(port, suffix="", habit=""):
    return f'location = "http://127.0.0.1:{port}/{habit}"\n' + BANDS.format(suffix=suffix)


def grid(count):
    return [SkyCoord(53.1 + step * 2e-4, -27.8 + step * 1e-4, unit="deg") for step in range(count)]


@pytest.mark.parametrize("suffix", ["", ".fz"])
@pytest.mark.parametrize("kind", ["web", "s3"])
def test_a_remote_window_is_the_local_one_for_few_bytes(kind, suffix, request, mosaics, make_surveys, counter):
    server = request.getfixturevalue(f"{kind}_server")
    with counter.before(server):
        text = (
            web_text(counter.port, suffix)
            if kind == "web"
            else request.getfixturevalue("s3_text")(counter.port, suffix)
        )
        surveys = make_surveys(far=text, near=f'location = "{mosaics}"\n' + BANDS.format(suffix=suffix))
        assert not surveys.refused
        near, far = (surveys.get(name).windows(HERE) for name in ("near", "far"))
        assert [image.band for image in far] == ["F277W", "F444W"]
        for one, other in zip(near, far, strict=True):
            assert np.isfinite(one.data).all()
            np.testing.assert_array_equal(one.data, other.data)
            assert one.header == other.header
        sizes = [(mosaics / f"{band}.fits{suffix}").stat().st_size for band in ("F277W", "F444W")]
        first = counter.received
        assert first < 0.4 * sum(sizes)  # rows of 4 kB in blocks of 16 kB: here a window's rows are a good part of all
        surveys.get("far").windows(HERE)
        assert counter.received == first  # everything is in the cache


def test_the_cache_is_shared_by_requests_and_mosaics_are_read_side_by_side(web_server, mosaics, make_surveys, counter):
    with counter.before(web_server):
        surveys = make_surveys(far=web_text(counter.port), near=f'location = "{mosaics}"\n' + BANDS.format(suffix=""))
        positions = grid(24) * 2
        with ThreadPoolExecutor(8) as requests:
            far = list(requests.map(surveys.get("far").windows, positions))
        near = [surveys.get("near").windows(position) for position in positions]
        for ours, theirs in zip(far, near, strict=True):
            for one, other in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(one.data, other.data)
        assert counter.received < sum((mosaics / f"{band}.fits").stat().st_size for band in ("F277W", "F444W"))


@pytest.mark.parametrize(
    ("habit", "error", "message"),
    [
        ("whole", MosaicError, "does not give parts of files"),
        ("private", MosaicError, "is not public"),
        ("broken", MosaicAwayError, "cannot be read now"),
        ("nowhere/else", MosaicError, "^there is no F277W"),
    ],
)
def test_what_a_web_server_refuses_is_told(habit, error, message, web_server, make_surveys):
    suffix = ".missing" if habit == "nowhere/else" else ""
    surveys = make_surveys(far=web_text(web_server, suffix, habit))
    with pytest.raises(error, match=message) as raised:
        surveys.get("far").windows(HERE)
    assert type(raised.value) is error


def test_a_server_that_is_away_is_told_and_asked_again_later(web_server, make_surveys, counter):
    port = free_port()
    surveys = make_surveys(far=web_text(port))
    with pytest.raises(MosaicAwayError, match="Try again"):
        surveys.get("far").windows(HERE)


def test_a_server_that_went_away_while_a_mosaic_was_open_is_told(web_server, make_surveys, counter):
    with counter.before(web_server):
        surveys = make_surveys(far=web_text(counter.port))
        surveys.get("far").windows(HERE)
    with pytest.raises(MosaicAwayError):
        surveys.get("far").windows(SkyCoord(53.1, -27.802, unit="deg"))
    assert np.isfinite(surveys.get("far").windows(HERE)[0].data).all()  # still in the cache


def test_a_missing_object_and_a_missing_bucket_are_told(s3_text, make_surveys):
    surveys = make_surveys(lost=s3_text(suffix=".missing"), nowhere=s3_text().replace("s3://surveys", "s3://nowhere"))
    for name in ("lost", "nowhere"):
        with pytest.raises(MosaicError, match="^there is no F277W"):
            surveys.get(name).windows(HERE)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, BLOCK)), max_size=60), st.integers(0, 3 * BLOCK))
def test_the_cache_never_outgrows_its_capacity_and_keeps_what_was_used_last(puts, capacity):
    cache = BlockCache(capacity)
    for number, size in puts:
        cache.put("file", number, bytes([number]) * size)
        kept = [block for other in range(10) if (block := cache.get("file", other)) is not None]
        assert sum(map(len, kept)) <= capacity
        assert (cache.get("file", number) is not None) == (size <= capacity)


def test_over_http_a_server_that_is_away_is_unavailable_and_stays_private(
    running_gateway, models_dir, model_server, tmp_path
):
    address = f"http://user:secret@127.0.0.1:{free_port()}/hidden"
    text = f'name = "far"\ntitle = "Far"\nlocation = "{address}"\n' + BANDS.format(suffix="")
    (tmp_path / "far.toml").write_text(text, encoding="utf-8")
    settings = Settings(models_dir=models_dir, model_server=model_server, surveys_dir=tmp_path)
    with running_gateway(settings) as gateway:
        place = {"survey": "far", "ra": 53.1, "dec": -27.8, "model": "paper-1band"}
        for path in ("/v1/predict", "/v1/cutout"):
            response = gateway.get(path, params=place)
            assert (response.status_code, response.json()["type"]) == (503, "/problems/mosaic-away")
            assert response.headers["retry-after"]
        response = gateway.get("/v1/surveys/far/footprint")
        assert response.status_code == 503
        listed = gateway.get("/v1/surveys").text
        assert not any(word in response.text + listed for word in ("secret", "hidden"))
