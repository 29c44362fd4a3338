"""Windows of mosaics on a disk: the right pixels, at any angle, from the best tile, NaN where nothing was observed."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from redden.errors import BandError, MosaicError, OffFootprintError
from service.surveys.definition import Tile
from service.surveys.mosaic import Mosaic, OpenMosaics
from service.surveys.remote import BlockCache

HERE = SkyCoord(53.1, -27.8, unit="deg")
ONE_BAND = '[bands.F277W]\nmosaics = ["mosaic.fits"]\n'


def place(image):
    """Where the position of the window is in it, in pixels from its centre."""
    x, y = WCS(image.header).world_to_pixel(HERE)
    return x - (image.data.shape[1] - 1) / 2, y - (image.data.shape[0] - 1) / 2


def only(images):
    (image,) = images
    return image


@pytest.fixture
def survey_of(tmp_path, make_surveys, write_mosaic):
    """The survey ``test`` with one mosaic."""

    def survey(data, header, text=ONE_BAND, **companions):
        write_mosaic(tmp_path / "mosaic.fits", data, header, **companions)
        return make_surveys(test=text).get("test")

    return survey


def test_a_window_is_a_slice_of_the_mosaic_with_its_wcs(mosaics, make_surveys):
    survey = make_surveys(test=f'location = "{mosaics}"\n[bands.F277W]\nmosaics = ["F277W.fits"]\n').get("test")
    position = SkyCoord(53.1011, -27.7987, unit="deg")
    image = only(survey.windows(position, 1.2))
    with fits.open(mosaics / "F277W.fits") as hdus:
        x, y = (round(float(value)) for value in WCS(hdus[1].header).world_to_pixel(position))
        half = image.data.shape[0] // 2
        np.testing.assert_array_equal(image.data, hdus[1].data[y - half : y + half + 1, x - half : x + half + 1])
    found = WCS(image.header).world_to_pixel(position)
    assert np.abs(np.subtract(found, half)).max() <= 0.5
    assert image.data.shape[0] * 0.03 >= 1.2 * np.sqrt(2)
    assert image.header["BUNIT"] == "nJy"
    assert image.band == "F277W"
    assert "F277W.fits" in image.source
    assert image.flags == ()


@pytest.mark.parametrize("kind", ["scaled", "rice", "gzip", "cube-hdu"])
def test_scaled_and_compressed_pixels_are_those_of_astropy(kind, tmp_path, make_surveys, make_wcs, noise):
    data, header = noise(3, 400), make_wcs(side=400)
    if kind == "scaled":
        hdu = fits.ImageHDU(data, header)
        hdu.scale("int16", bscale=0.001, bzero=0.5)
    elif kind == "cube-hdu":
        hdu = fits.ImageHDU(data.astype(np.float64), header, name="SCI")
    else:
        hdu = fits.CompImageHDU(data, header, compression_type={"rice": "RICE_1", "gzip": "GZIP_2"}[kind])
    file = tmp_path / "mosaic.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 3, 4)), name="CUBE"), hdu]).writeto(file)
    text = ONE_BAND.replace('"mosaic.fits"', '{ path = "mosaic.fits", hdu = 2 }')
    image = only(make_surveys(test=text).get("test").windows(HERE))
    half = image.data.shape[0] // 2
    with fits.open(file) as hdus:
        expected = hdus[2].data[199 - half : 201 + half, 199 - half : 201 + half]
        assert any(
            np.array_equal(image.data, expected[y : y + 2 * half + 1, x : x + 2 * half + 1])
            for y in (0, 1)
            for x in (0, 1)
        )


def _sip(header):
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    header.update({"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 2e-5, "A_0_2": -1e-5, "B_1_1": 3e-5, "B_2_0": 1e-5})


def _cd(header):
    angle, scale = np.radians(-49.7), 0.03 / 3600
    for key in ("CDELT1", "CDELT2"):
        del header[key]
    header.update({"CD1_1": -scale * np.cos(angle), "CD1_2": scale * np.sin(angle)})
    header.update({"CD2_1": scale * np.sin(angle), "CD2_2": scale * np.cos(angle)})


def _pc(header):
    angle = np.radians(30)
    header.update({"PC1_1": np.cos(angle), "PC1_2": -np.sin(angle), "PC2_1": np.sin(angle), "PC2_2": np.cos(angle)})


def _reversed(header):
    header["CDELT1"] = -header["CDELT1"]


def _swapped(header):
    for key in ("CTYPE", "CRVAL", "CUNIT", "CDELT"):
        header[f"{key}1"], header[f"{key}2"] = header[f"{key}2"], header[f"{key}1"]


def _coarse(header):
    header["CDELT1"], header["CDELT2"] = -0.063 / 3600, 0.063 / 3600


@pytest.mark.parametrize("change", [_sip, _cd, _pc, _reversed, _swapped, _coarse])
def test_a_source_is_found_whatever_its_wcs(change, survey_of, make_wcs, noise):
    header = make_wcs(side=300)
    change(header)
    data = noise(1, 300)
    position = WCS(header).pixel_to_world(171, 88)
    data[88, 171] = 1e6
    image = only(survey_of(data, header).windows(position))
    peak = np.unravel_index(np.argmax(image.data), image.data.shape)
    np.testing.assert_allclose(np.array(WCS(image.header).world_to_pixel(position))[::-1], peak, atol=1e-6)
    assert peak == (image.data.shape[0] // 2, image.data.shape[1] // 2)
    assert np.isfinite(image.data).all()


@pytest.mark.parametrize(
    ("ra", "dec"), [(0.0, 0.0), (359.9999, 45.0), (0.00001, -89.9), (12.0, 90.0), (200.0, -90.0), (180.0, 1.0)]
)
def test_a_source_is_found_at_the_poles_and_where_right_ascension_wraps(ra, dec, survey_of, make_wcs, noise):
    header = make_wcs(ra, dec, side=300)
    survey = survey_of(noise(1, 300), header)
    for x, y in ((150, 150), (60, 220), (240, 61)):
        position = WCS(header).pixel_to_world(x, y)
        image = only(survey.windows(position))
        assert WCS(image.header).world_to_pixel(position) == pytest.approx([image.data.shape[0] // 2] * 2, abs=1e-5)
        assert bool(survey.footprint.contains_skycoords(position.reshape(1))[0])
    with pytest.raises(OffFootprintError):
        survey.windows(position.directional_offset_by(70 * u.deg, 15 * u.arcsec))
    with pytest.raises(OffFootprintError):
        survey.windows(SkyCoord(ra + 180, -dec, unit="deg"))


def test_positions_of_another_frame_are_converted(survey_of, make_wcs, noise):
    header = make_wcs(side=300)
    del header["RADESYS"]
    position = SkyCoord(53.1, -27.8, unit="deg", frame="fk5")  # 0.02 arcsec from ICRS, most of a pixel
    survey = survey_of(noise(1, 300), header, f'frame = "fk5"\n{ONE_BAND}')
    image = only(survey.windows(position))
    assert image.header["RADESYS"] == "FK5"
    x, y = WCS(image.header).world_to_pixel(position)
    assert (x % 1, y % 1) == pytest.approx((0.5, 0.5), abs=1e-4)  # the middle of 300 pixels, as CRPIX has it
    galactic = position.galactic
    assert np.array_equal(only(survey.windows(galactic)).data, image.data)


def tiles(directory, write_mosaic, make_wcs, noise):
    """Two tiles that overlap by 60 pixels in right ascension; the second has 200 rows that were never exposed."""
    for name, offset, seed in (("west", -170, 1), ("east", 170, 2)):
        header = make_wcs(side=400)
        header["CRPIX1"] += offset
        data = noise(seed, 400)
        if name == "east":
            data[:200] = 0
        write_mosaic(directory / f"{name}.fits", data, header)
    return '[bands.F277W]\nmosaics = ["west.fits", "east.fits"]\n'


def offset(east, north):
    """A position some pixels off."""
    return SkyCoord(53.1, -27.8, unit="deg").spherical_offsets_by(east * 0.03 * u.arcsec, north * 0.03 * u.arcsec)


@pytest.mark.parametrize(
    ("east", "north", "tile", "flagged"),
    [
        (100, 60, "east", False),
        (-100, 60, "west", False),
        (5, 60, "east", False),
        (-25, 60, "west", False),  # cut off in the other
        (5, -60, "west", False),  # not exposed in the other
        (28, -60, "west", True),  # cut off here, not exposed there
        (300, 5, "east", True),
    ],
)
def test_the_tile_with_all_of_the_cutout_is_taken(
    east, north, tile, flagged, tmp_path, make_surveys, write_mosaic, make_wcs, noise
):
    survey = make_surveys(test=tiles(tmp_path, write_mosaic, make_wcs, noise)).get("test")
    image = only(survey.windows(offset(east, north)))
    assert f"{tile}.fits" in image.source
    assert [flag.code for flag in image.flags] == ["incomplete_tile"] * flagged
    half = image.data.shape[0] // 2
    square = image.data[half - 16 : half + 17, half - 16 : half + 17]
    assert np.isnan(square).any() == flagged


def test_off_the_tiles_and_where_none_is_exposed_there_is_no_data(
    tmp_path, make_surveys, write_mosaic, make_wcs, noise
):
    survey = make_surveys(test=tiles(tmp_path, write_mosaic, make_wcs, noise)).get("test")
    for position in (
        offset(200, -100),
        offset(0, 230),
        offset(170, 235),
        offset(-170, 235),
        offset(2000, 0),
        SkyCoord(233.1, 27.8, unit="deg"),
    ):
        with pytest.raises(OffFootprintError, match="survey test has no data at"):
            survey.windows(position)
    with pytest.raises(BandError, match="does not have F444W; it has F277W"):
        survey.windows(HERE, bands=["F444W"])


def test_a_single_zero_is_a_measured_one(survey_of, make_wcs, noise):
    data = noise(1, 200)
    data[100, 98:101] = 0
    image = only(survey_of(data, make_wcs(side=200)).windows(HERE))
    assert (image.data == 0).sum() == 3
    assert image.flags == ()


def test_where_error_and_weight_maps_are_not_positive_there_is_no_data(tmp_path, survey_of, make_wcs, noise):
    data, error, weight = noise(1, 200), np.ones((200, 200)), np.ones((200, 200))
    error[100, 100] = np.nan
    error[100, 101] = 0
    weight[101, 100] = 0
    fits.PrimaryHDU(weight).writeto(tmp_path / "weight.fits")
    text = ONE_BAND.replace(
        '"mosaic.fits"',
        '{ path = "mosaic.fits", hdu = "SCI", error = { hdu = "ERR" }, weight = { path = "weight.fits" } }',
    )
    image = only(survey_of(data, make_wcs(side=200), text, ERR=error).windows(HERE))
    assert np.isnan(image.data).sum() == 3
    assert [flag.code for flag in image.flags] == ["incomplete_tile"]


def test_stated_units_replace_those_of_the_header_and_primary_keywords_are_kept(
    tmp_path, make_surveys, make_wcs, noise
):
    header = make_wcs(side=200)
    primary = fits.PrimaryHDU()
    primary.header["PHOTMJSR"] = 0.5
    fits.HDUList([primary, fits.ImageHDU(noise(1, 200), header)]).writeto(tmp_path / "mosaic.fits")
    surveys = make_surveys(told=ONE_BAND, stated=f'{ONE_BAND}unit = "AB=28.9"\n')
    told, stated = (only(surveys.get(name).windows(HERE)).header for name in ("told", "stated"))
    assert (told["BUNIT"], told["PHOTMJSR"]) == ("nJy", 0.5)
    assert stated["BUNIT"] == "AB=28.9"


@pytest.mark.parametrize(
    ("content", "path", "message"),
    [
        (None, "mosaic.fits", "^there is no mosaic.fits"),
        (b"", "mosaic.fits", "is not FITS"),
        (b"<html>", "mosaic.fits", "is not FITS"),
        (b"SIMPLE  =                    T", "mosaic.fits", "is not FITS|has no image"),
        (b"\x1f\x8b", "mosaic.fits", "is gzipped, and cannot be read in parts"),
        (b"\x1f\x8b", "mosaic.fits.gz", "cannot be read in parts.*redden survey convert"),
    ],
)
def test_what_is_no_mosaic_is_told(content, path, message, tmp_path, make_surveys):
    if content is not None:
        (tmp_path / path).write_bytes(content)
    survey = make_surveys(test=ONE_BAND.replace("mosaic.fits", path)).get("test")
    for _ in range(2):  # and so it is when it is asked again
        with pytest.raises(MosaicError, match=message):
            survey.windows(HERE)


@pytest.mark.parametrize(
    ("hdu", "message"),
    [
        ('"SCIENCE"', "has no image 'SCIENCE'; its extensions are 0 PRIMARY, 1 SCI, 2 CUBE, 3 PLAIN"),
        ("7", "has no image 7"),
        ("0", "has no image 0"),
        ("2", "has 3 axes"),
        ('"PLAIN"', "has no celestial WCS"),
    ],
)
def test_a_wrong_extension_is_told(hdu, message, survey_of, make_wcs, noise):
    text = ONE_BAND.replace('"mosaic.fits"', f'{{ path = "mosaic.fits", hdu = {hdu} }}')
    survey = survey_of(noise(1, 100), make_wcs(side=100), text, CUBE=np.zeros((3, 4, 5)), PLAIN=np.zeros((9, 9)))
    with pytest.raises(MosaicError, match=message):
        survey.windows(HERE)


@pytest.mark.parametrize(
    "cards", [{"CRVAL2": 123.0}, {"CTYPE1": "RA---XYZ"}, {"CD1_1": 0.0}, {"CDELT1": 0.0}, {"CDELT1": 9.0}]
)
def test_a_wcs_that_cannot_be_used_is_told(cards, survey_of, make_wcs, noise):
    survey = survey_of(noise(1, 100), make_wcs(side=100, **cards))
    with pytest.raises(MosaicError, match="SCI. has"):
        survey.windows(HERE)


def test_a_map_of_another_shape_is_told(survey_of, make_wcs, noise):
    text = ONE_BAND.replace('"mosaic.fits"', '{ path = "mosaic.fits", hdu = "SCI", error = { hdu = "ERR" } }')
    survey = survey_of(noise(1, 100), make_wcs(side=100), text, ERR=np.ones((50, 50)))
    with pytest.raises(MosaicError, match="ERR.* is not of the shape of"):
        survey.windows(HERE)


def test_a_truncated_mosaic_is_told(tmp_path, survey_of, make_wcs, noise):
    survey = survey_of(noise(1, 400), make_wcs(side=400))
    file = tmp_path / "mosaic.fits"
    file.write_bytes(file.read_bytes()[:200_000])
    with pytest.raises(MosaicError, match="broken FITS|not FITS"):
        survey.windows(SkyCoord(53.1, -27.7985, unit="deg"))


def test_few_mosaics_stay_open_and_threads_get_the_right_pixels(tmp_path, write_mosaic, make_wcs, definition):
    others = OpenMosaics(limit=2)
    mosaics = []
    for value in range(1, 7):
        write_mosaic(tmp_path / f"{value}.fits", np.full((100, 100), float(value)), make_wcs(side=100))
        tile = Tile(path=str(tmp_path / f"{value}.fits"))
        mosaics.append(Mosaic("F277W", tile, None, definition, BlockCache(0), others))
    with ThreadPoolExecutor(6) as threads:
        windows = list(threads.map(lambda mosaic: mosaic.window(HERE, 0.5), mosaics * 10))
    assert [window.data.mean() for window in windows] == [1, 2, 3, 4, 5, 6] * 10
    assert sum(mosaic.is_open for mosaic in mosaics) <= 2
    others.close()
    assert not any(mosaic.is_open for mosaic in mosaics)
