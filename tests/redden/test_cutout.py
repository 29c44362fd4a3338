import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from hypothesis import given
from hypothesis import strategies as st

from redden.bands import BANDS
from redden.cutout import Cutout, model_input, model_pixels, read_cutout, used_bands
from redden.errors import BadPixelsError, BandError, PixelGridError, UnitError
from redden.fits import Upload
from redden.normalise import joint
from redden.photometric import photometric
from tests.redden.conftest import DEC, RA, as_bytes, blob, tan_header
from tests.redden.test_modelcard import card

ImageFile = Callable[..., bytes]
THREE = ("F277W", "F356W", "F444W")


def three(image_file: ImageFile, **keywords: object) -> list[Upload]:
    return [Upload(f"{band}.fits", image_file(blob(seed=i), **keywords)) for i, band in enumerate(THREE)]


def flags(cutout: Cutout) -> list[str]:
    return [flag.code for flag in cutout.flags]


@pytest.mark.parametrize("size", [32, 33, 64, 65])
def test_the_centre_crop_is_that_of_astropy(image_file: ImageFile, size: int) -> None:
    data = blob(size)
    cutout = read_cutout([Upload("f277w.fits", image_file(data))])
    expected = Cutout2D(data, ((size - 1) / 2,) * 2, 32, mode="strict").data
    assert cutout.pixels.shape == (32, 32, 1)
    assert cutout.pixels[..., 0] == pytest.approx(expected)
    assert cutout.snr["F277W"] > 20
    assert not cutout.flags


def test_rows_are_y_and_columns_x(image_file: ImageFile) -> None:
    data = blob(64, x=40, y=22)
    cutout = read_cutout([Upload("f277w.fits", image_file(data))])
    assert np.unravel_index(cutout.pixels[..., 0].argmax(), (32, 32)) == (22 - 16, 40 - 16)


@given(x=st.floats(16, 47), y=st.floats(16, 47))
def test_a_crop_at_a_position_puts_it_in_the_middle(x: float, y: float) -> None:
    header = tan_header(64)
    header["BUNIT"] = "nJy"
    upload = Upload("f277w.fits", as_bytes([fits.PrimaryHDU(blob(64), header)]))
    column, row = (32.5 - 31.5 + x - 1, 32.5 - 31.5 + y - 1)
    ra = RA - (column - 31.5) * 0.03 / 3600 / np.cos(np.radians(DEC))
    position = SkyCoord(ra, DEC + (row - 31.5) * 0.03 / 3600, unit="deg")
    try:
        history = read_cutout([upload], position=position).history[0]
    except PixelGridError as error:
        assert "does not lie inside" in str(error)
        assert not (16.1 < x < 46.9 and 16.1 < y < 46.9)
        return
    start_x = int(history.split("from x=")[1].split(",")[0])
    start_y = int(history.split(" y=")[1].split(" ")[0])
    assert abs(start_x + 15.5 - x) <= 0.51
    assert abs(start_y + 15.5 - y) <= 0.51


def test_a_position_outside_is_refused(image_file: ImageFile) -> None:
    upload = Upload("f277w.fits", image_file())
    with pytest.raises(PixelGridError, match="does not lie inside"):
        read_cutout([upload], position=SkyCoord(RA + 1, DEC, unit="deg"))
    with pytest.raises(PixelGridError, match="not on the sky"):
        read_cutout([upload], position=SkyCoord(RA + 180, -DEC, unit="deg"))


def test_units_become_njy_and_are_told(image_file: ImageFile) -> None:
    plain = read_cutout(three(image_file))
    micro = read_cutout(three(image_file, BUNIT="uJy"))
    assert micro.pixels == pytest.approx(1000 * plain.pixels)
    assert "BUNIT uJy: times 1000" in micro.history[0]


def test_without_unit_only_models_that_compare_bands_refuse(image_file: ImageFile) -> None:
    cutout = read_cutout(three(image_file, BUNIT=None))
    assert set(cutout.uncalibrated) == set(THREE)
    assert model_input(cutout, card(normalisation="each-band"))["pixels"].shape == (1, 32, 32, 3)
    with pytest.raises(UnitError, match=r"no BUNIT.*Say the unit"):
        model_input(cutout, card())
    assert model_input(read_cutout(three(image_file, BUNIT=None), unit="nJy"), card())["pixels"].shape == (1, 32, 32, 3)
    with pytest.raises(UnitError, match="'parsec'|cannot be read|no unit of flux"):
        read_cutout(three(image_file), unit="parsec")


def test_pixels_beyond_single_precision_are_refused(image_file: ImageFile) -> None:
    huge = Upload("f277w.fits", image_file(blob().astype(np.float64) * 1e200))
    with pytest.raises(BadPixelsError, match=r"e\+201 in the file are too large"):
        read_cutout([huge])
    with pytest.raises(BadPixelsError, match="too large"):
        read_cutout([Upload("f277w.fits", image_file())], unit="1e290 Jy")


def test_an_implausible_unit_is_doubted(image_file: ImageFile) -> None:
    assert flags(read_cutout(three(image_file), unit="Jy")) == ["unit_doubtful"]


def test_faint_galaxies_are_flagged(image_file: ImageFile) -> None:
    noise = Upload("f277w.fits", image_file(blob(peak=0.0)))
    assert flags(read_cutout([noise])) == ["low_snr"]


@pytest.mark.parametrize("scale", [0.2, 0.008])
def test_pixels_of_other_instruments_are_refused(image_file: ImageFile, scale: float) -> None:
    with pytest.raises(PixelGridError, match=rf"{scale} x {scale} arcsec; the models need 0\.03.*0\.01 to 0\.1"):
        read_cutout([Upload("f277w.fits", image_file(scale=scale))])


def test_an_unknown_pixel_scale_must_be_stated(image_file: ImageFile) -> None:
    bare = Upload("f277w.fits", image_file(scale=None))
    with pytest.raises(PixelGridError, match="does not tell its pixel scale.*pixel_scale"):
        read_cutout([bare])
    cutout = read_cutout([bare], pixel_scale=0.03)
    assert "plain slice" in cutout.history[0]
    assert cutout.wcs is None
    assert not cutout.header
    assert "resampled from pixels of 0.06" in read_cutout([bare], pixel_scale=0.06).history[0]
    with pytest.raises(PixelGridError, match="no celestial WCS"):
        read_cutout([bare], pixel_scale=0.03, position=SkyCoord(RA, DEC, unit="deg"))
    for nonsense in (-0.03, 0.0, "wide"):
        with pytest.raises(PixelGridError, match="nor a positive number in PIXSCALE"):
            read_cutout([Upload("f277w.fits", image_file(scale=None, PIXSCALE=nonsense))])
    keyword = read_cutout([Upload("f277w.fits", image_file(scale=None, PIXSCALE=0.03))])
    assert np.array_equal(keyword.pixels, cutout.pixels)


def test_small_images_are_refused(image_file: ImageFile) -> None:
    with pytest.raises(PixelGridError, match="8x8 pixels of 0.03 arcsec; a cutout needs at least 32x32"):
        read_cutout([Upload("f277w.fits", image_file(blob(8)))])


def test_bands_are_cut_on_the_same_sky(image_file: ImageFile) -> None:
    whole = Upload("f277w.fits", image_file())
    shifted = Upload("f356w.fits", image_file(blob(x=34.5), CRPIX1=35.5))
    cutout = read_cutout([whole, shifted])
    assert "plain slice of 32x32 pixels from x=19, y=16 of 64x64" in cutout.history[1]
    assert cutout.pixels[..., 1].argmax() == cutout.pixels[..., 0].argmax()
    with pytest.raises(PixelGridError, match=r"at pixel \(51\.5, 31\.5\) does not lie inside f356w"):
        read_cutout([whole, Upload("f356w.fits", image_file(CRPIX1=52.5))])
    larger = Upload("f356w.fits", image_file(blob(70)))
    assert read_cutout([Upload("f277w.fits", image_file()), larger]).bands == THREE[:2]


def test_a_position_cuts_bands_on_different_windows_alike(image_file: ImageFile) -> None:
    data = blob(64, x=30, y=35)
    whole = Upload("f277w.fits", image_file(data))
    header = tan_header(64)
    header["BUNIT"] = "nJy"
    header["CRPIX1"] -= 8
    part = Upload("f356w.fits", as_bytes([fits.PrimaryHDU(data[:, 8:], header)]))
    cutout = read_cutout([whole, part], position=SkyCoord(RA, DEC, unit="deg"))
    assert np.array_equal(cutout.pixels[..., 0], cutout.pixels[..., 1])


def test_a_few_bad_pixels_are_filled_and_told(image_file: ImageFile) -> None:
    data = blob()
    holed = data.copy()
    holed[30, 33] = np.nan
    holed[20:22, 20:22] = np.inf
    cutout = read_cutout([Upload("f277w.fits", image_file(holed))])
    assert flags(cutout) == ["pixels_filled"]
    assert "5 bad pixels" in cutout.flags[0].message
    assert cutout.pixels[14, 17, 0] == pytest.approx(data[30, 33], rel=0.2)


@pytest.mark.parametrize(
    "bad", [np.s_[:, :], np.s_[16:48, 16:20], np.s_[30:34, 30:34]], ids=["all", "an edge", "the core"]
)
def test_too_many_bad_pixels_are_refused(image_file: ImageFile, bad: tuple[slice, slice]) -> None:
    data = blob()
    data[bad] = np.nan
    with pytest.raises(BadPixelsError, match="NaN or masked"):
        read_cutout([Upload("f277w.fits", image_file(data))])


def test_an_empty_image_is_refused(image_file: ImageFile) -> None:
    with pytest.raises(BadPixelsError, match="nothing is there"):
        read_cutout([Upload("f277w.fits", image_file(np.zeros((64, 64), dtype=np.float32)))])


def test_the_input_of_a_model_is_in_the_order_of_its_card(image_file: ImageFile) -> None:
    cutout = read_cutout(three(image_file)[::-1])
    assert cutout.bands == THREE[::-1]
    assert np.array_equal(model_input(cutout, card())["pixels"][0], joint(cutout.pixels[..., ::-1]))
    one = card(bands=("F356W",), normalisation="each-band")
    assert model_input(cutout, one)["pixels"].shape == (1, 32, 32, 1)
    with pytest.raises(BandError, match="needs F115W; the cutout has F444W, F356W, F277W. Add F115W"):
        model_input(cutout, card(bands=("F115W",)))


ANY = card(bands=tuple(BANDS), normalisation="photometric", posterior="mixture")


def with_empty_bands(image_file: ImageFile, *empty: str) -> list[Upload]:
    data = {band: np.full((64, 64), np.nan) if band in empty else blob(x=33, y=30, seed=1) for band in THREE}
    return [Upload(f"{band}.fits", image_file(data[band])) for band in THREE]


def test_a_model_of_any_bands_sees_what_is_there_and_nan_elsewhere(image_file: ImageFile) -> None:
    cutout = read_cutout(three(image_file)[::2])
    pixels = model_pixels(cutout, ANY)
    assert used_bands(cutout, ANY) == ["F277W", "F444W"]
    assert np.isnan(pixels[..., [0, 1, 2, 4, 5]]).all()
    assert np.array_equal(pixels[..., [3, 6]], cutout.pixels)
    expected = photometric(pixels[None], np.array([[7.0, 0.1]]))
    inputs = model_input(cutout, ANY, (7.0, 0.1))
    assert np.array_equal(inputs["pixels"], expected[0])
    assert np.array_equal(inputs["context"], expected[1])
    some = card(bands=("F115W", "F150W"), normalisation="photometric", posterior="mixture")
    with pytest.raises(BandError, match="takes any of F115W, F150W; the cutout has F277W, F444W"):
        model_input(cutout, some)
    with pytest.raises(UnitError, match="no BUNIT"):
        model_input(read_cutout(three(image_file, BUNIT=None)), ANY)


def test_a_band_without_pixels_is_left_aside(image_file: ImageFile) -> None:
    cutout = read_cutout(with_empty_bands(image_file, "F356W"))
    assert cutout.bands == ("F277W", "F444W")
    assert flags(cutout) == ["band_unusable"]
    assert "NaN" in cutout.unusable["F356W"]
    assert np.isnan(model_pixels(cutout, ANY)[..., 4]).all()
    with pytest.raises(BadPixelsError, match=r"F356W\.fits\[PRIMARY\] are NaN"):
        model_input(cutout, card())
    with pytest.raises(BadPixelsError, match=r"F277W.* F356W.* F444W"):
        read_cutout(with_empty_bands(image_file, *THREE))


def test_the_source_is_found_in_the_reddest_band_that_has_pixels(image_file: ImageFile) -> None:
    cutout = read_cutout(with_empty_bands(image_file, "F444W"), recentre="peak")
    assert "recentred on the peak in F356W" in cutout.history[0]
    with pytest.raises(BadPixelsError, match=r"F444W.* F277W"):
        read_cutout(with_empty_bands(image_file, *THREE), recentre="peak")


def test_the_hash_is_that_of_the_bytes(image_file: ImageFile) -> None:
    uploads = three(image_file)
    assert read_cutout(uploads).sha256 == hashlib.sha256(b"".join(upload.data for upload in uploads)).hexdigest()


@pytest.mark.parametrize("galaxy", ["JOF_36", "JOF_370", "JOF_531", "NGDEEP2_645"])
def test_real_galaxies_are_read(real_images: Path, galaxy: str) -> None:
    paths = sorted((real_images / "jwst").glob(f"{galaxy}_*.fits"))
    cutout = read_cutout([Upload(path.name, path.read_bytes()) for path in paths])
    assert cutout.bands == THREE
    assert not cutout.uncalibrated
    assert not cutout.flags
    assert min(cutout.snr.values()) > 20


def test_the_wrong_unit_in_real_headers_is_noticed(real_images: Path) -> None:
    path = real_images / "jwst" / "JOF_531_F277W.fits"
    assert flags(read_cutout([Upload(path.name, path.read_bytes())], unit="MJy/sr")) == ["unit_doubtful"]
