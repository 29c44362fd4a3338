import pytest
from hypothesis import given
from hypothesis import strategies as st

from redden.bands import BANDS, find_bands, known_band
from redden.errors import BandError


@pytest.mark.parametrize(
    ("text", "bands"),
    [
        ("hlsp_jades_jwst_nircam_goods-s_f277w_v2.0_drz.fits", ["F277W"]),
        ("CLEAR/F444W", ["F444W"]),
        ("JOF_36_F356W.fits", ["F356W"]),
        ("ceers-full-grizli-v7.2-f115w-clear_drc_sci.fits.gz", ["F115W"]),
        ("F150W2", ["F150W2"]),
        ("F277W-F444W", ["F277W", "F444W"]),
        ("galaxy.fits", []),
        ("OFF277WX", []),
    ],
)
def test_bands_are_found_in_the_names_that_archives_use(text: str, bands: list[str]) -> None:
    assert find_bands(text) == bands


@given(st.sampled_from(sorted(BANDS)), st.sampled_from(["{}", "x_{}_y", "{}.fits", "ext-{}", "{} ERR"]), st.booleans())
def test_every_known_band_is_found_in_any_case(name: str, frame: str, lower: bool) -> None:
    assert find_bands(frame.format(name.lower() if lower else name)) == [name]


def test_bands_run_from_blue_to_red() -> None:
    pivots = [band.pivot for band in BANDS.values()]
    assert pivots == sorted(pivots)


def test_an_unknown_band_is_answered_with_those_that_exist() -> None:
    assert known_band(" f444w ").name == "F444W"
    with pytest.raises(BandError, match="F999W.*F277W"):
        known_band("F999W")
