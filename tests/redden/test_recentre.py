import subprocess
import sys

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

from redden.cutout import Cutout, cut
from redden.errors import PixelGridError
from redden.fits import Image
from redden.recentre import Recentre, find_source
from tests.redden.conftest import DEC, RA, blob, tan_header


def image(scale: float, x: float = 31.5, y: float = 31.5, band: str = "F444W", seed: int = 1) -> Image:
    header = tan_header(64, scale)
    header["BUNIT"] = "nJy"
    return Image(band, blob(64, x=x, y=y, seed=seed).astype(np.float64), header, f"{band}.fits")


def brightest(cutout: Cutout) -> tuple[float, ...]:
    """Offset in pixels of the brightest pixel of the last band from the middle."""
    return tuple(np.subtract(np.unravel_index(cutout.pixels[..., -1].argmax(), (32, 32)), 15.5))


@pytest.mark.parametrize("what", ["peak", "centroid"])
@given(x=st.floats(-6, 6), y=st.floats(-6, 6), seed=st.integers(0, 1000))
@settings(max_examples=40)
def test_a_source_is_found_where_it_is(what: Recentre, x: float, y: float, seed: int) -> None:
    pixels = blob(32, peak=10.0, x=15.5 + x, y=15.5 + y, seed=seed).astype(np.float64)
    found = find_source(pixels, what, radius=0.3)
    assert found is not None
    assert found == pytest.approx((x, y), abs=0.4)


@pytest.mark.parametrize("what", ["peak", "centroid"])
def test_without_a_source_within_the_radius_nothing_is_found(what: Recentre) -> None:
    assert find_source(blob(32, peak=0.0).astype(np.float64), what, 0.1) is None
    # The flank of a source that lies outside is no peak.
    assert find_source(blob(32, x=24.0, y=15.5).astype(np.float64), what, 0.2) is None


def test_peak_and_centroid_differ_for_a_lopsided_source() -> None:
    pixels = (blob(32, peak=20.0) + blob(32, peak=8.0, x=21.5, y=15.5, width=3.0)).astype(np.float64)
    peak, centroid = find_source(pixels, "peak", 0.45), find_source(pixels, "centroid", 0.45)
    assert peak is not None
    assert centroid is not None
    assert abs(peak[0]) < 0.6
    assert 1.0 < centroid[0] < 3.0


@pytest.mark.parametrize("scale", [0.03, 0.04])
@pytest.mark.parametrize("what", ["peak", "centroid"])
def test_a_cutout_moves_onto_its_source(scale: float, what: Recentre) -> None:
    off = image(scale, x=36.5, y=28.5)
    before = cut([off], "")
    after = cut([off], "", recentre=what)
    assert brightest(before) == pytest.approx((-3 * scale / 0.03, 5 * scale / 0.03), abs=1)
    assert brightest(after) == pytest.approx((0, 0), abs=1.1)
    distance = np.hypot(3, 5) * scale
    told = float(after.history[0].removeprefix(f"recentred on the {what} in F444W, ").split()[0])
    assert told == pytest.approx(distance, abs=0.01)
    assert before.wcs is not None
    assert after.wcs is not None
    moved = before.wcs.pixel_to_world(15.5, 15.5).separation(after.wcs.pixel_to_world(15.5, 15.5)).arcsec
    assert moved == pytest.approx(distance, abs=0.02)


def test_it_is_off_by_default_and_keeps_to_its_radius() -> None:
    off = image(0.03, x=38.5)
    assert np.array_equal(cut([off], "").pixels, cut([off], "", recentre="peak", recentre_radius=0.1).pixels)
    kept = cut([off], "", recentre="peak", recentre_radius=0.1)
    assert [flag.code for flag in kept.flags] == ["not_recentred"]
    assert "0.1 arcsec in F444W" in kept.flags[0].message
    for radius in (0.0, -1.0, 0.5, float("nan")):
        with pytest.raises(PixelGridError, match=r"must be above 0, up to 0\.48"):
            cut([off], "", recentre="peak", recentre_radius=radius)


def test_the_reddest_band_decides() -> None:
    bands = [image(0.03, x=36.5, band="F444W"), image(0.03, x=31.5, band="F277W")]
    cutout = cut(bands, "", recentre="peak", position=SkyCoord(RA, DEC, unit="deg"))
    assert "in F444W, 0.15" in cutout.history[0]
    assert brightest(cutout) == pytest.approx((0, -5), abs=1.1)


def test_images_without_wcs_move_too() -> None:
    bare = image(0.04, x=36.5)
    for key in list(bare.header):
        if key != "BUNIT":
            del bare.header[key]
    assert brightest(cut([bare], "", pixel_scale=0.04, recentre="centroid")) == pytest.approx((0, 0), abs=1.1)


def test_the_client_starts_without_astropy() -> None:
    code = "import sys, redden.client; sys.exit('astropy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
