import gzip
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from redden.bands import BANDS
from redden.errors import BandError, PixelGridError, ReddenError, UnreadableFileError
from redden.fits import Upload, read_images
from tests.redden.conftest import as_bytes, blob, tan_header

ImageFile = Callable[..., bytes]
THREE = ("F277W", "F356W", "F444W")


def extension(name: str, data: object = None, kind: type = fits.ImageHDU, **keywords: object) -> object:
    header = tan_header(64)
    header.update({"BUNIT": "nJy", **keywords})
    return kind(blob() if data is None else data, header, name=name)


def bands_of(*uploads: Upload, bands: tuple[str, ...] | None = None) -> list[str]:
    return [image.band for image in read_images(uploads, bands)]


def test_one_file_per_band_named_by_header_or_file_name(image_file: ImageFile) -> None:
    by_header = Upload(None, image_file(FILTER="F277W"))
    by_name = Upload("jades_f356w_drz.fits", image_file())
    by_pupil = Upload(None, image_file(FILTER="F444W", PUPIL="F410M"))
    behind_clear = Upload(None, image_file(FILTER="F444W", PUPIL="CLEAR"))
    assert bands_of(by_header, by_name, by_pupil, behind_clear) == ["F277W", "F356W", "F410M", "F444W"]


@pytest.mark.parametrize("kind", [fits.ImageHDU, fits.CompImageHDU])
def test_a_multi_extension_file(kind: type) -> None:
    data = as_bytes([fits.PrimaryHDU(), *(extension(band, kind=kind) for band in THREE)])
    assert bands_of(Upload("galaxy.fits", data)) == list(THREE)
    assert bands_of(Upload("galaxy.fits.gz", gzip.compress(data))) == list(THREE)


def test_extensions_named_by_their_filter_keyword() -> None:
    data = as_bytes([fits.PrimaryHDU(), *(extension("SCI", FILTER=band) for band in THREE)])
    assert bands_of(Upload(None, data)) == list(THREE)


@pytest.mark.parametrize("key", ["FILTER", "BAND", "EXT"])
def test_a_cube_with_band_names_in_the_header(key: str) -> None:
    header = tan_header(64)
    header.update({f"{key}{number}": band for number, band in enumerate(("F250M", *THREE), start=1)})
    cube = np.stack([blob(seed=seed) for seed in range(4)])
    images = read_images([Upload(None, as_bytes([fits.PrimaryHDU(cube, header)]))])
    assert [image.band for image in images] == list(THREE)
    assert np.array_equal(images[1].data, cube[2])


def test_a_cube_whose_planes_the_user_names() -> None:
    cube = np.stack([blob(seed=seed) for seed in range(3)])
    upload = Upload("cube.fits", as_bytes([fits.PrimaryHDU(cube, tan_header(64))]))
    assert bands_of(upload, bands=("f444w", "F356W", "F277W")) == ["F444W", "F356W", "F277W"]
    with pytest.raises(BandError, match="2 bands are stated.*3 images"):
        bands_of(upload, bands=("F277W", "F356W"))
    with pytest.raises(BandError, match="plane 1 names no band.*bands="):
        bands_of(upload)


def test_stated_bands_must_exist(image_file: ImageFile) -> None:
    with pytest.raises(BandError, match="'F999W'"):
        bands_of(Upload(None, image_file()), bands=("F999W",))


def test_integers_and_degenerate_axes_are_images_too(image_file: ImageFile) -> None:
    counts = np.arange(64 * 64, dtype=np.int16).reshape(1, 1, 64, 64)
    image = read_images([Upload("f277w.fits", image_file(counts))])[0]
    assert image.data.shape == (64, 64)
    assert image.data[0, 1] == 1


def test_what_companions_call_bad_becomes_nan() -> None:
    error, weight, quality = np.ones((64, 64)), np.ones((64, 64)), np.zeros((64, 64), dtype=np.int32)
    error[0, 0], weight[1, 1], quality[2, 2], quality[3, 3] = 0, 0, 1, 4
    data = as_bytes(
        [
            fits.PrimaryHDU(),
            extension("SCI", FILTER="F277W"),
            extension("ERR", error),
            extension("WHT", weight),
            extension("DQ", quality),
        ]
    )
    bad = np.argwhere(np.isnan(read_images([Upload(None, data)])[0].data))
    assert bad.tolist() == [[0, 0], [1, 1], [2, 2]]


def test_companions_belong_to_their_own_band() -> None:
    error = np.ones((64, 64))
    error[5, 6] = np.nan
    data = as_bytes([fits.PrimaryHDU(), extension("F277W"), extension("F356W"), extension("F356W_ERR", error)])
    images = read_images([Upload(None, data)])
    assert [int(np.isnan(image.data).sum()) for image in images] == [0, 1]


@pytest.mark.parametrize("name", ["F356W_ERR", "ERR_F356W", "F356W-ERR", "err f356w", "F356W_WHT", "WHT-F356W"])
def test_the_role_stands_at_either_end_of_the_name(name: str) -> None:
    weight = np.ones((64, 64))
    weight[5, 6] = 0
    data = as_bytes([fits.PrimaryHDU(), extension("F277W"), extension("F356W"), extension(name, weight)])
    assert [int(np.isnan(image.data).sum()) for image in read_images([Upload(None, data)])] == [0, 1]


@pytest.mark.parametrize("told", ["EXTVER", "FILTER"])
def test_pairs_of_image_and_error_are_told_apart(told: str) -> None:
    hdus: list[object] = [fits.PrimaryHDU()]
    for number, band in enumerate(THREE, start=1):
        error = np.ones((64, 64))
        error[0, :number] = 0
        own: dict[str, Any] = {"FILTER": band} if told == "FILTER" else {"EXTVER": number}
        hdus += [extension("SCI", FILTER=band, EXTVER=own.get("EXTVER", 1)), extension("ERR", error, **own)]
    images = read_images([Upload(None, as_bytes(hdus))])
    assert [int(np.isnan(image.data).sum()) for image in images] == [1, 2, 3]


def test_an_image_matched_to_a_psf_is_no_psf() -> None:
    data = as_bytes([fits.PrimaryHDU(), extension("PSF_MATCHED_F277W"), extension("PSF_F277W"), extension("F277W_CON")])
    image = read_images([Upload(None, data)])[0]
    assert image.source == "the uploaded file[PSF_MATCHED_F277W]"


def test_a_band_given_twice_is_refused(image_file: ImageFile) -> None:
    upload = Upload("a.fits", image_file(FILTER="F277W"))
    with pytest.raises(BandError, match="F277W is given twice"):
        bands_of(upload, Upload("b.fits", image_file(FILTER="F277W")))


def test_bands_that_cannot_be_told_are_asked_for(image_file: ImageFile) -> None:
    with pytest.raises(BandError, match="names no band.*State the band"):
        bands_of(Upload("galaxy.fits", image_file()))
    with pytest.raises(BandError, match="names F277W and F356W"):
        bands_of(Upload("f277w_minus_f356w.fits", image_file()))
    with pytest.raises(BandError, match=r"found: F300M"):
        bands_of(Upload("f300m.fits", image_file()))


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>404</html>", "a web page"),
        (b"\x89PNG\r\n\x1a\n....", "a PNG picture"),
        (b"hello", "not FITS"),
        (b"\x1f\x8b\x08garbage", "broken gzip"),
        (b"SIMPLE  =" + b"\x00" * 5000, "broken FITS"),
    ],
)
def test_what_is_not_fits_is_named(content: bytes, hint: str) -> None:
    with pytest.raises(UnreadableFileError, match=hint):
        bands_of(Upload("f277w.fits", content))


def test_a_truncated_file_is_refused(image_file: ImageFile) -> None:
    whole = image_file(FILTER="F277W")
    with pytest.raises(UnreadableFileError, match="truncated: its headers promise"):
        bands_of(Upload("half.fits", whole[: len(whole) // 2]))


def test_a_table_is_refused() -> None:
    table = fits.BinTableHDU.from_columns([fits.Column("ra", "D", array=[1.0])])
    with pytest.raises(UnreadableFileError, match="a table but no image"):
        bands_of(Upload("catalogue.fits", as_bytes([fits.PrimaryHDU(), table])))


def test_a_spectrum_and_a_hypercube_are_refused(image_file: ImageFile) -> None:
    spectrum = as_bytes([fits.PrimaryHDU(np.ones(100))])
    with pytest.raises(UnreadableFileError, match="no image"):
        bands_of(Upload("f277w.fits", spectrum))
    hypercube = as_bytes([fits.PrimaryHDU(np.ones((2, 2, 64, 64)))])
    with pytest.raises(UnreadableFileError, match="4 axes"):
        bands_of(Upload("f277w.fits", hypercube))


def test_bombs_are_refused_before_they_unfold() -> None:
    zipped = Upload("f277w.fits.gz", gzip.compress(bytes(65 * 2**20), compresslevel=9))
    with pytest.raises(PixelGridError, match="unzip to more than 64 MiB"):
        bands_of(zipped)
    compressed = fits.CompImageHDU(np.zeros((64, 64), dtype=np.float32), name="F277W")
    honest = as_bytes([fits.PrimaryHDU(), compressed])
    bomb = honest.replace(b"ZNAXIS1 =                   64", b"ZNAXIS1 =               999999")
    assert bomb != honest
    with pytest.raises(PixelGridError, match="999999 pixels|x999999"):
        bands_of(Upload(None, bomb))


def test_images_that_fit_one_by_one_must_fit_together() -> None:
    large = np.zeros((3000, 3000), dtype=np.uint8)
    one_file = as_bytes([fits.PrimaryHDU(), *(extension(band, large) for band in THREE)])
    with pytest.raises(PixelGridError, match="3000x3000 pixels, the images have more than"):
        bands_of(Upload("galaxy.fits.gz", gzip.compress(one_file, compresslevel=1)))
    files = [Upload(f"{band}.fits", as_bytes([fits.PrimaryHDU(large)])) for band in THREE]
    assert bands_of(files[0]) == ["F277W"]
    with pytest.raises(PixelGridError, match=r"with F356W\.fits"):
        bands_of(*files)


def test_gzipped_files_that_unzip_one_by_one_must_unzip_together(image_file: ImageFile) -> None:
    padded = [gzip.compress(image_file(FILTER=band) + bytes(30 * 2**20), compresslevel=1) for band in THREE]
    assert bands_of(Upload("a.fits.gz", padded[0]), Upload("b.fits.gz", padded[1])) == ["F277W", "F356W"]
    with pytest.raises(PixelGridError, match=r"with c\.fits\.gz, the files unzip to more than 64 MiB"):
        bands_of(*(Upload(f"{name}.fits.gz", data) for name, data in zip("abc", padded, strict=True)))


def test_a_file_of_very_many_extensions_is_refused() -> None:
    empty = as_bytes([fits.PrimaryHDU(), fits.ImageHDU()])
    many = empty + empty[2880:] * 2998
    with pytest.raises(PixelGridError, match="more than 64 header-data units"):
        bands_of(Upload("f277w.fits.gz", gzip.compress(many, compresslevel=1)))


def test_seven_bands_of_512_pixels_with_their_errors_are_read() -> None:
    data, error = np.ones((512, 512), dtype=np.float32), np.full((512, 512), 0.1, dtype=np.float32)
    pairs = [extension(name, part) for band in BANDS for name, part in ((band, data), (f"{band}_ERR", error))]
    assert bands_of(Upload("galaxy.fits", as_bytes([fits.PrimaryHDU(), *pairs]))) == list(BANDS)


def test_broken_compression_is_refused() -> None:
    data = as_bytes([fits.PrimaryHDU(), extension("F277W", kind=fits.CompImageHDU)])
    broken = data.replace(b"RICE_1  ", b"RICE_7  ")
    assert broken != data
    with pytest.raises(UnreadableFileError, match="broken FITS"):
        bands_of(Upload(None, broken))


@settings(max_examples=200, phases=[Phase.explicit, Phase.generate])
@given(data=st.data())
def test_bytes_changed_at_random_give_an_image_or_an_error_of_ours(data: st.DataObject) -> None:
    base = as_bytes([fits.PrimaryHDU(), extension("F277W", blob(32)), extension("F356W", blob(32))])
    content = bytearray(base[: data.draw(st.integers(0, len(base)))] if data.draw(st.booleans()) else base)
    for _ in range(data.draw(st.integers(0, 8))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        images = read_images([Upload("wild.fits", bytes(content))])
    except ReddenError as error:
        assert str(error)
    else:
        assert all(image.data.ndim == 2 for image in images)
