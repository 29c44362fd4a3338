"""A scene on the sky is drawn into images of all geometries; whatever these are, the cutout must show the scene."""

from collections.abc import Sequence

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Galactic, SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from redden.cutout import Cutout, cut
from redden.errors import PixelGridError
from redden.fits import Image

RA, DEC = 53.15, -27.8
BLOBS = ((0.0, 0.0, 100.0, 0.08), (0.2, 0.05, 60.0, 0.07), (-0.05, -0.25, 40.0, 0.075))
"""Offsets to the east and north in arcsec, surface brightness in nJy per 0.03 arcsec pixel, sigma in arcsec."""


def scene(galaxy: SkyCoord, where: SkyCoord) -> NDArray[np.float64]:
    """Surface brightness in nJy per (0.03 arcsec)^2."""
    offsets = galaxy.spherical_offsets_to(SkyCoord(where.icrs.ra, where.icrs.dec))
    east, north = (np.asarray(offset.arcsec) for offset in offsets)
    return sum(
        (peak * np.exp(-((east - x) ** 2 + (north - y) ** 2) / (2 * sigma**2)) for x, y, peak, sigma in BLOBS),
        start=np.zeros_like(east),
    )


def image(galaxy: SkyCoord, cards: dict[str, object], band: str = "F277W", size: int = 80) -> Image:
    """An image of the scene in MJy/sr; cards may leave CRPIX out."""
    header = fits.Header(
        {"CRPIX1": (size + 1) / 2, "CRPIX2": (size + 1) / 2, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}
    )
    header.update({"CRVAL1": galaxy.ra.deg, "CRVAL2": galaxy.dec.deg, **cards})
    header["BUNIT"] = "MJy/sr"
    rows, columns = np.mgrid[:size, :size]
    brightness = scene(galaxy, WCS(header).pixel_to_world(columns, rows)) * u.nJy / (0.03 * u.arcsec) ** 2
    return Image(band, brightness.to_value(u.MJy / u.sr), header, f"{band}.fits")


def assert_shows_the_scene(cutout: Cutout, galaxy: SkyCoord, tolerance: float = 0.005) -> None:
    """Brightness at every pixel within a fraction of the peak, and the flux within 1 %."""
    assert cutout.wcs is not None
    rows, columns = np.mgrid[:32, :32]
    truth = scene(galaxy, cutout.wcs.pixel_to_world(columns, rows))[..., None]
    assert cutout.pixels == pytest.approx(np.broadcast_to(truth, cutout.pixels.shape), abs=tolerance * truth.max())
    assert cutout.pixels.sum(axis=(0, 1)) == pytest.approx(truth.sum(), rel=0.01)


def cd(scale: float, angle: float = 0.0, parity: int = -1) -> dict[str, object]:
    """A CD matrix for pixels in arcsec, turned by an angle in degrees."""
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.diag([parity, 1]) * scale / 3600
    return {f"CD{i + 1}_{j + 1}": matrix[i, j] for i in range(2) for j in range(2)}


def pc(scale: float, angle: float) -> dict[str, object]:
    turn = {key.replace("CD", "PC"): value * 3600 for key, value in cd(1.0, angle, parity=1).items()}
    return {**turn, "CDELT1": -scale / 3600, "CDELT2": scale / 3600}


SIP = {
    **{"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 2e-5, "B_1_1": -1e-5},
    **{"B_0_2": 1e-5, "CRPIX1": -800.0, "CRPIX2": 500.0},
}
GEOMETRIES = {
    "turned": cd(0.03, 37.0),
    "mirrored": cd(0.03, parity=1),
    "mirrored and turned": cd(0.03, 100.0, parity=1),
    "PC matrix": pc(0.03, 20.0),
    "CROTA": {"CDELT1": -0.03 / 3600, "CDELT2": 0.03 / 3600, "CROTA2": 25.0},
    "0.04 arcsec": cd(0.04),
    "0.04 arcsec, turned": cd(0.04, 37.0),
    "0.04 arcsec, mirrored and turned": cd(0.04, 100.0, parity=1),
    "0.04 arcsec, PC matrix": pc(0.04, -70.0),
    "0.04 arcsec, CROTA": {"CDELT1": -0.04 / 3600, "CDELT2": 0.04 / 3600, "CROTA2": 25.0},
    "oblong pixels": {"CDELT1": -0.03 / 3600, "CDELT2": 0.05 / 3600},
    "0.05 arcsec": cd(0.05),
}


@pytest.mark.parametrize("galaxy", [(RA, DEC), (0.00001, -60.0), (12.0, 90.0)], ids=str)
@pytest.mark.parametrize("cards", GEOMETRIES.values(), ids=GEOMETRIES)
def test_every_geometry(cards: dict[str, object], galaxy: tuple[float, float]) -> None:
    centre = SkyCoord(*galaxy, unit="deg")
    picture = image(centre, cards)
    assert_shows_the_scene(cut([picture], ""), centre)
    assert_shows_the_scene(
        cut([picture], "", position=centre.directional_offset_by(0.7 * u.rad, 0.1 * u.arcsec)), centre
    )


@pytest.mark.parametrize(
    "cards", [cd(0.015), cd(0.02, 37.0), cd(0.02, 200.0, parity=1)], ids=["0.015", "0.02", "mirror"]
)
def test_finer_pixels_are_shared_out(cards: dict[str, object]) -> None:
    centre = SkyCoord(RA, DEC, unit="deg")
    cutout = cut([image(centre, cards, size=100)], "")
    # Added up in pixels of 0.03 arcsec, the image is blurred by these.
    assert_shows_the_scene(cutout, centre, tolerance=0.03)


def test_coarse_pixels_lose_little() -> None:
    centre = SkyCoord(RA, DEC, unit="deg")
    assert_shows_the_scene(cut([image(centre, cd(0.063, 20.0))], ""), centre, tolerance=0.02)


def assert_on_sky(pictures: Sequence[Image], galaxy: SkyCoord, words: str) -> None:
    cutout = cut(pictures, "", position=galaxy)
    assert words in cutout.history[0]
    assert_shows_the_scene(cutout, galaxy)


def test_distortion() -> None:
    # Away from its reference pixel the distorted image has pixels of 0.031 and 0.0415 arcsec.
    for scale in (0.03, 0.04):
        reference = fits.Header({**SIP, "CRVAL1": RA, "CRVAL2": DEC, **cd(scale, 15.0)})
        galaxy = WCS(reference).pixel_to_world(42, 37)
        assert_on_sky([image(galaxy, {**SIP, "CRVAL1": RA, "CRVAL2": DEC, **cd(scale, 15.0)})], galaxy, "resampled")


def test_a_plain_slice_keeps_a_small_distortion() -> None:
    cards = {**SIP, "A_2_0": 1e-6, "B_1_1": 1e-6, "B_0_2": 0.0, "CRVAL1": RA, "CRVAL2": DEC, **cd(0.03, 15.0)}
    galaxy = WCS(fits.Header(cards)).pixel_to_world(42, 37)
    assert_on_sky([image(galaxy, cards)], galaxy, "plain slice")


def test_a_position_far_off_is_not_folded_back_by_distortion() -> None:
    cards = {**SIP, "CRVAL1": RA, "CRVAL2": DEC, **cd(0.03)}
    galaxy = WCS(fits.Header(cards)).pixel_to_world(42, 37)
    for away in (0.01, 0.1, 1.0, 10.0, 120.0):
        with pytest.raises(PixelGridError, match="does not lie inside|not on the sky"):
            cut([image(galaxy, cards)], "", position=galaxy.directional_offset_by(1 * u.rad, away * u.deg))


def test_right_ascension_wraps() -> None:
    reference = {"CRVAL1": 0.0, "CRVAL2": 10.0, **cd(0.03)}
    galaxy = SkyCoord(360 - 0.1 / 3600, 10.0, unit="deg")
    assert_on_sky([image(galaxy, reference)], galaxy, "plain slice")
    assert_on_sky([image(galaxy, {**reference, **cd(0.04)})], galaxy, "resampled")


def test_axes_may_be_swapped() -> None:
    galaxy = SkyCoord(RA, DEC, unit="deg")
    swapped = {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": DEC, "CRVAL2": RA}
    for scale, words in ((0.03, "plain slice"), (0.04, "resampled")):
        pixels = {"CDELT1": scale / 3600, "CDELT2": -scale / 3600}
        assert_on_sky([image(galaxy, {**swapped, **pixels})], galaxy, words)


def test_other_frames_and_projections() -> None:
    galaxy = SkyCoord(RA, 60.0, unit="deg")
    plane = galaxy.transform_to(Galactic())
    galactic = {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN", "CRVAL1": plane.l.deg, "CRVAL2": plane.b.deg}
    assert_on_sky([image(galaxy, {**galactic, **cd(0.04)})], galaxy, "resampled")
    assert_on_sky([image(galaxy, {"RADESYS": "FK5", "EQUINOX": 2000.0, **cd(0.04)})], galaxy, "resampled")
    # In a plate carrée at declination 60 a degree of right ascension is half as wide as on the equator.
    carree = {"CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR", "CRVAL2": 0.0, "CRPIX2": 40.5 - 60 * 3600 / 0.03}
    wide = {"CDELT1": -0.06 / 3600, "CDELT2": 0.03 / 3600}
    assert_on_sky([image(galaxy, {**carree, **wide})], galaxy, "plain slice")
    square = {"CDELT1": -0.03 / 3600, "CDELT2": 0.03 / 3600}
    assert_on_sky([image(galaxy, {**carree, **square}, size=120)], galaxy, "resampled from pixels of 0.0225")


def test_bands_on_different_grids_come_onto_one() -> None:
    galaxy = SkyCoord(RA, DEC, unit="deg")
    pictures = [
        image(galaxy, cd(0.04, 30.0), "F277W"),
        image(galaxy, {**cd(0.03), "CRPIX1": 40.2}, "F356W"),
        image(galaxy, {**cd(0.03), "CRPIX1": 38.8, "RADESYS": "FK5"}, "F410M"),
        image(galaxy, {**cd(0.03), "CRPIX1": 35.2, "CRPIX2": 41.5}, "F444W"),
    ]
    cutout = cut(pictures, "", position=galaxy)
    ways = ["resampled" if "resampled" in line else "plain slice" for line in cutout.history]
    assert ways == ["resampled", "plain slice", "resampled", "plain slice"]
    assert_shows_the_scene(cutout, galaxy)
    assert_shows_the_scene(cut(pictures, ""), galaxy)
    # None on the models' grid: all come onto one that is centred on the galaxy.
    cutout = cut([image(galaxy, cd(0.04, 30.0)), image(galaxy, cd(0.05, parity=1), "F444W")], "", position=galaxy)
    assert cutout.wcs is not None
    assert cutout.wcs.pixel_to_world(15.5, 15.5).separation(galaxy).arcsec < 1e-6
    assert_shows_the_scene(cutout, galaxy)


def test_an_image_without_wcs_is_taken_to_show_the_same_sky() -> None:
    galaxy = SkyCoord(RA, DEC, unit="deg")
    for scale in (0.03, 0.04):
        located = image(galaxy, cd(scale, 30.0))
        bare = image(galaxy, cd(0.05, 30.0), "F444W")
        header = fits.Header({"BUNIT": "MJy/sr", "PIXSCALE": 0.05})
        assert_shows_the_scene(cut([located, Image("F444W", bare.data, header, "bare")], ""), galaxy)


@pytest.mark.parametrize(
    "cards",
    [
        {"CD1_1": 0.0, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.0},
        {"CTYPE1": "RA---TAN", "CTYPE2": "RA---TAN"},
        {"CD1_1": 1e-5, "CD1_2": 1e-5, "CD2_1": 1e-5, "CD2_2": 1e-5},
        {"CPDIS1": "LOOKUP", "CPDIS2": "LOOKUP"},
        {"CUNIT1": "parsec"},
    ],
    ids=str,
)
def test_a_broken_wcs_is_a_refusal(cards: dict[str, object]) -> None:
    picture = image(SkyCoord(RA, DEC, unit="deg"), cd(0.03))
    for key, value in cards.items():
        picture.header[key] = value
    with pytest.raises(PixelGridError):
        cut([picture], "")
