"""Rows that are cut together have the pixels, S/N and flags that each has when it is cut alone."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from redden.cutout import cut, model_pixels
from redden.errors import BandError, ReddenError
from redden.modelcard import ModelCard, Target
from service.bulk.cutouts import Cutouts
from service.bulk.cutting import Cutter

BANDS = ("F277W", "F444W")
SIDE = 400


def card(normalisation="joint", bands=BANDS):
    return ModelCard(
        name="test",
        version=1,
        description="",
        bands=bands,
        normalisation=normalisation,
        targets=(Target(name="a_v"), Target(name="e_bv"), Target(name="log_ssfr")),
        posterior="point",
        interval_scale={},
        trained_on={},
        trained_with={},
        figures_of_merit={},
        intended_use="",
    )


def all_cutouts(survey, model, ra, dec, **options):
    return Cutouts.joined(list(Cutter(survey, model, np.asarray(ra), np.asarray(dec), **options).cutouts()))


def one_by_one(survey, model, ra, dec):
    """Cutouts by the path of a single position; why there is none in their place."""
    for position in SkyCoord(ra, dec, unit=u.deg):
        try:
            cutout = cut(survey.windows(position, bands=model.bands), "", position=position)
            yield cutout, model_pixels(cutout, model)
        except ReddenError as error:
            yield error, None


def assert_equal(survey, model, ra, dec):
    """All rows are as when they are cut alone."""
    cutouts = all_cutouts(survey, model, ra, dec)
    found = {row: i for i, row in enumerate(cutouts.rows.tolist())}
    assert set(found) | set(cutouts.refused) == set(range(len(ra)))
    assert not set(found) & set(cutouts.refused)
    for row, (cutout, pixels) in enumerate(one_by_one(survey, model, ra, dec)):
        if pixels is None:
            assert row in cutouts.refused, cutout
            continue
        i = found[row]
        np.testing.assert_allclose(cutouts.pixels[i], pixels, rtol=1e-6)
        snr = [cutout.snr.get(band, np.nan) for band in model.bands]
        np.testing.assert_allclose(cutouts.snr[i], snr, rtol=1e-5)
        assert cutouts.flags[i].split() == list(dict.fromkeys(flag.code for flag in cutout.flags))
    return cutouts


def scattered(seed, count=30, half=0.0018):
    rng = np.random.default_rng(seed)
    return 53.1 + rng.uniform(-half, half, count) / np.cos(np.radians(27.8)), -27.8 + rng.uniform(-half, half, count)


def _plain(header, data):
    pass


def _rotated(header, data):
    angle, scale = np.radians(-49.7), 0.03 / 3600
    del header["CDELT1"], header["CDELT2"]
    header.update({"CD1_1": -scale * np.cos(angle), "CD1_2": scale * np.sin(angle)})
    header.update({"CD2_1": scale * np.sin(angle), "CD2_2": scale * np.cos(angle)})


def _brightness(header, data):
    header["BUNIT"] = "MJy/sr"
    header["CDELT1"] *= 1.004


def _fk5(header, data):
    header["RADESYS"], header["EQUINOX"] = "FK5", 2000.0


def _holes(header, data):
    rng = np.random.default_rng(5)
    data[rng.integers(0, SIDE, 40), rng.integers(0, SIDE, 40)] = np.nan
    data[rng.integers(0, SIDE, 20), rng.integers(0, SIDE, 20)] = 0
    data[:70] = 0
    data[:, 330:] = np.nan
    data[150:200, 200:250] = 7


def _wrong_unit(header, data):
    header["BUNIT"] = "Jy"


def _coarse(header, data):
    header["CDELT1"], header["CDELT2"] = -0.05 / 3600, 0.05 / 3600


def _distorted(header, data):
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    header.update({"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 2e-6, "A_0_2": -1e-6, "B_1_1": 3e-6, "B_2_0": 1e-6})


@pytest.fixture
def survey_of(tmp_path, make_surveys, write_mosaic, make_wcs, noise):
    """A survey with one mosaic per band; the second band is shifted by whole pixels."""

    def survey(change, shift=7.0, **companions):
        for seed, band in enumerate(BANDS):
            data, header = 3 * noise(seed, SIDE), make_wcs(side=SIDE)
            y, x = np.mgrid[:SIDE, :SIDE]
            data += (40 * np.exp(-(((x % 40) - 20) ** 2 + ((y % 40) - 20) ** 2) / 20)).astype(np.float32)
            change(header, data)
            header["CRPIX1"] += shift * seed
            write_mosaic(tmp_path / f"{band}.fits", data, header, **companions)
        text = "\n".join(f'[bands.{band}]\nmosaics = [{{ path = "{band}.fits"{maps(companions)} }}]' for band in BANDS)
        return make_surveys(test=text).get("test")

    return survey


def maps(companions):
    return "".join(f', weight = {{ hdu = "{name}" }}' for name in companions)


@pytest.mark.parametrize(
    ("change", "normalisation"),
    [
        (_plain, "joint"),
        (_rotated, "joint"),
        (_brightness, "joint"),
        (_fk5, "each-band"),
        (_wrong_unit, "joint"),
        (_holes, "joint"),
        (_holes, "photometric"),
    ],
)
def test_rows_cut_together_are_those_cut_alone(change, normalisation, survey_of):
    cutouts = assert_equal(survey_of(change), card(normalisation), *scattered(1))
    assert len(cutouts.rows) >= 10
    assert cutouts.refused


@pytest.mark.parametrize("change", [_coarse, _distorted])
def test_what_has_to_be_resampled_is(change, survey_of):
    assert_equal(survey_of(change), card(), *scattered(2, 5, 0.001))


def test_bands_that_do_not_share_a_grid_are_resampled(survey_of):
    assert_equal(survey_of(_plain, shift=0.4), card(), *scattered(2, 5, 0.001))


def test_weights_tell_where_there_is_data(survey_of):
    weight = np.ones((SIDE, SIDE), dtype=np.float32)
    weight[:200] = 0
    weight[300, 300] = np.nan
    cutouts = assert_equal(survey_of(_plain, WHT=weight), card(), *scattered(3))
    assert any("incomplete_tile" in flags for flags in cutouts.flags)


def test_positions_at_the_edge_of_a_pixel_are_cut_as_one_by_one(survey_of, make_wcs):
    x, y = np.meshgrid(np.arange(100, 102, 0.25), np.arange(150, 152, 0.5))
    sky = WCS(make_wcs(side=SIDE)).pixel_to_world(x.ravel(), y.ravel())
    assert_equal(survey_of(_plain), card(), sky.ra.deg, sky.dec.deg)


@pytest.fixture
def tiles(tmp_path, make_surveys, write_mosaic, make_wcs, noise):
    """Two tiles per band that overlap, one of them in part without data, and compressed."""
    text = ""
    for number, band in enumerate(BANDS):
        for name, offset in (("west", -170), ("east", 170)):
            header, data = make_wcs(side=SIDE), noise(number + offset, SIDE) if offset > 0 else noise(number, SIDE)
            header["CRPIX1"] += offset
            if name == "east":
                data[:200] = 0
            file = tmp_path / f"{name}_{band}.fits"
            if number:
                hdu = fits.CompImageHDU(data, header, compression_type="GZIP_2", quantize_level=0, tile_shape=(64, 64))
                fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(file)
            else:
                write_mosaic(file, data, header)
        text += f'[bands.{band}]\nmosaics = ["west_{band}.fits", "east_{band}.fits"]\n'
    return make_surveys(test=text).get("test")


def test_the_tile_that_holds_all_of_the_cutout_is_taken(tiles):
    ra, dec = scattered(4, 40, 0.0033)
    cutouts = assert_equal(tiles, card(), ra, dec)
    assert len(cutouts.rows) >= 10


def test_rows_without_a_place_on_the_sky_or_far_from_it_are_refused(survey_of):
    ra = [np.nan, 53.1, 400.0, -1.0, 53.1, 53.1, 233.1, 53.1]
    dec = [-27.8, np.nan, -27.8, -27.8, -91.0, np.inf, 27.8, -27.8]
    cutouts = all_cutouts(survey_of(_plain), card(), ra, dec)
    assert cutouts.rows.tolist() == [7]
    assert set(cutouts.refused) == set(range(7))
    assert "no position" in cutouts.refused[0]
    assert "does not have data here" in cutouts.refused[6]


def test_a_model_that_takes_any_bands_gets_those_that_are_there(survey_of):
    survey, model = survey_of(_plain), card("photometric", ("F150W", *BANDS))
    cutouts = all_cutouts(survey, model, *scattered(5, 20, 0.001))
    assert len(cutouts.rows) == 20
    assert np.isnan(cutouts.pixels[..., 0]).all()
    assert np.isnan(cutouts.snr[:, 0]).all()
    assert np.isfinite(cutouts.pixels[..., 1:]).all()
    with pytest.raises(BandError, match="needs F150W"):
        all_cutouts(survey, card("joint", ("F150W", *BANDS)), [53.1], [-27.8])


def test_recentred_rows_are_those_recentred_alone(survey_of):
    survey, model = survey_of(_plain), card()
    ra, dec = scattered(6, 6, 0.0008)
    cutouts = all_cutouts(survey, model, ra, dec, recentre="peak", recentre_radius=0.2)
    for row, pixels, flags in zip(cutouts.rows, cutouts.pixels, cutouts.flags, strict=True):
        position = SkyCoord(ra[row], dec[row], unit=u.deg)
        images = survey.windows(position, 0.96 + 0.4, model.bands)
        cutout = cut(images, "", position=position, recentre="peak", recentre_radius=0.2)
        np.testing.assert_array_equal(pixels, model_pixels(cutout, model))
        assert flags.split() == [flag.code for flag in cutout.flags]


def test_a_broken_mosaic_is_the_reason_of_its_rows(survey_of, tmp_path):
    survey = survey_of(_plain)
    content = (tmp_path / "F444W.fits").read_bytes()
    (tmp_path / "F444W.fits").write_bytes(content[: len(content) // 2])
    cutouts = all_cutouts(survey, card(), *scattered(7, 5, 0.001))
    assert set(cutouts.refused) == set(range(5))
    assert all("broken FITS" in why for why in cutouts.refused.values())


def test_a_mosaic_that_is_cut_short_meanwhile_is_the_reason_of_the_rows_that_are_left(survey_of, tmp_path):
    parts = Cutter(survey_of(_plain), card(), *scattered(8, 600, 0.001)).cutouts()
    done = [next(part for part in parts if len(part.rows))]
    with (tmp_path / "F444W.fits").open("r+b") as file:
        file.truncate(10_000)
    done += parts
    assert sorted(row for part in done for row in [*part.rows.tolist(), *part.refused]) == list(range(600))
    assert sum(len(part.rows) for part in done) == len(done[0].rows) == 256
    assert all("broken FITS" in why for part in done for why in part.refused.values())


def test_a_model_that_compares_bands_needs_a_unit_of_each(survey_of):
    def no_unit(header, data):
        del header["BUNIT"]

    survey = survey_of(no_unit)
    ra, dec = scattered(8, 5, 0.001)
    assert all("no BUNIT" in why for why in all_cutouts(survey, card(), ra, dec).refused.values())
    assert len(all_cutouts(survey, card(), ra, dec).refused) == 5
    assert_equal(survey, card("each-band"), ra, dec)
