from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino
import pytest
from astropy.wcs import WCS
from numpy.typing import NDArray
from reproject import reproject_adaptive, reproject_exact

from redden.cutout import Cutout, cut, model_input
from redden.errors import BadPixelsError, PixelGridError
from redden.fits import Image, Upload, read_images
from redden.modelcard import ModelCard
from redden.normalise import joint
from redden.posterior import quantiles
from tests.redden.conftest import blob, tan_header

THREE = ("F277W", "F356W", "F444W")
MODELS = Path(__file__).parents[2] / "models" / "gaussian-3band"

Predict = Callable[[Cutout], dict[str, NDArray[np.float64]]]


@pytest.fixture(scope="module")
def predict() -> Predict:
    """Quantiles that the default model answers."""
    newest = max(MODELS.iterdir(), key=lambda version: int(version.name))
    card = ModelCard.read(newest)
    network = openvino.compile_model(newest, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def answer(cutout: Cutout) -> dict[str, NDArray[np.float64]]:
        outputs = {name: value for tensor, value in network(model_input(cutout, card)).items() for name in tensor.names}
        return {name: values[0] for name, values in quantiles(card, outputs).items()}

    return answer


def picture(scale: float, width: float = 0.1, unit: str = "nJy") -> Image:
    """A galaxy of 2 pi width^2 nJy per (0.03 arcsec)^2 times 20, without noise, in pixels of any size."""
    size = round(1.6 / scale)
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    data = 20 * np.exp(-(np.hypot(rows, columns) ** 2) / (2 * (width / scale) ** 2)) * (scale / 0.03) ** 2
    header = tan_header(size, scale)
    header["BUNIT"] = unit
    return Image("F277W", data, header, "f277w.fits")


def copy(image: Image, scale: float, angle: float) -> Image:
    """The image in other pixels, each the flux of what it covers."""
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    size = int(min(image.data.shape) * 0.03 / scale / (cos + sin)) - 1
    wcs = WCS(tan_header(size, scale))
    wcs.wcs.crval = WCS(image.header).pixel_to_world_values(*(np.array(image.data.shape[::-1]) - 1) / 2)
    wcs.wcs.pc = [[cos, -sin], [sin, cos]]
    data = reproject_exact((image.data, WCS(image.header)), wcs, shape_out=(size, size), return_footprint=False)
    header = wcs.to_header()
    header["BUNIT"] = image.header["BUNIT"]
    return Image(image.band, data * (scale / 0.03) ** 2, header, image.source)


@pytest.mark.parametrize("scale", [0.015, 0.02, 0.04, 0.063])
def test_flux_is_conserved_in_all_units(scale: float) -> None:
    plain = picture(scale)
    truth = 2 * np.pi * 20 * (0.1 / 0.03) ** 2
    cutout = cut([plain], "")
    assert f"resampled from pixels of {scale} to 32x32 of 0.03 arcsec, flux conserved" in cutout.history[0]
    assert cutout.pixels.sum() == pytest.approx(truth, rel=0.01)
    surface = picture(scale, unit="MJy/sr")
    surface.data[:] /= np.radians(scale / 3600) ** 2 * 1e15
    assert cut([surface], "").pixels == pytest.approx(cutout.pixels, rel=1e-4, abs=1e-4)


def test_white_noise_of_finer_pixels_adds_up() -> None:
    noise = picture(0.015)
    noise.data[:] = np.random.default_rng(2).normal(0, 1, noise.data.shape)
    # Every pixel covers one whole pixel, four halves and four quarters; taken as samples they would have four times 1.
    assert cut([noise], "").pixels.std() == pytest.approx(1.5, rel=0.1)


def test_coarse_pixels_are_not_blurred_by_another_pixel() -> None:
    coarse = picture(0.06, width=0.06)
    sharp = cut([coarse], "")
    assert sharp.wcs is not None
    y, x = np.mgrid[:32, :32] - 15.5
    truth = 20 * np.exp(-(np.hypot(x, y) ** 2) / (2 * 2**2))

    def error(pixels: NDArray[np.floating]) -> float:
        return float(np.sqrt(np.mean((pixels - truth) ** 2)))

    for method in (reproject_exact, reproject_adaptive):
        blurred = method((coarse.data / 4, WCS(coarse.header)), sharp.wcs, shape_out=(32, 32), return_footprint=False)
        assert error(sharp.pixels[..., 0]) < 0.2 * error(blurred)


def test_images_need_only_cover_the_cutout() -> None:
    header = tan_header(24, 0.04)
    header["BUNIT"] = "nJy"
    covering = Image("F277W", blob(24).astype(np.float64), header.copy(), "f277w.fits")
    assert np.isfinite(cut([covering], "").pixels).all()
    header["CRPIX1"] += 0.2
    other = Image("F356W", covering.data, header.copy(), "f356w.fits")
    assert np.isfinite(cut([covering, other], "").pixels).all()
    header["CRPIX1"] += 3
    with pytest.raises(PixelGridError, match=r"0\.96 arcsec at pixel \(14\.7, 11\.5\) does not lie inside f444w"):
        cut([covering, Image("F444W", covering.data, header, "f444w.fits")], "")
    with pytest.raises(PixelGridError, match=r"20x20 pixels of 0\.04 arcsec; a cutout needs at least 24x24"):
        cut([Image("F277W", blob(20).astype(np.float64), tan_header(20, 0.04), "f277w.fits")], "")


@pytest.mark.parametrize("scale", [0.02, 0.05])
def test_bad_pixels_are_filled_before_resampling(scale: float) -> None:
    holed = picture(scale)
    middle = holed.data.shape[0] // 2
    holed.data[middle, middle - 5] = np.nan
    holed.data[middle - 3, middle + 1] = np.inf
    holed.data[:2] = np.nan  # outside of the cutout
    cutout = cut([holed], "")
    assert "pixels_filled" in [flag.code for flag in cutout.flags]
    assert f"; {np.ceil(2 * (scale / 0.03) ** 2):.0f} bad pixels were interpolated; " in cutout.history[0]
    assert cutout.pixels == pytest.approx(cut([picture(scale)], "").pixels, abs=1)
    holed.data[middle - 3 : middle + 3, middle - 3 : middle + 3] = np.nan
    with pytest.raises(BadPixelsError, match="NaN or masked"):
        cut([holed], "")


@pytest.mark.parametrize("galaxy", ["JOF_36", "JOF_370", "JOF_531", "NGDEEP2_645"])
@pytest.mark.parametrize(
    ("scale", "angle", "lost"), [(0.02, 0, 0.25), (0.03, 30, 0.25), (0.04, 30, 0.35), (0.063, 0, 0.55)]
)
def test_a_resampled_copy_of_a_real_galaxy(
    real_images: Path, predict: Predict, galaxy: str, scale: float, angle: float, lost: float
) -> None:
    paths = sorted((real_images / "jwst").glob(f"{galaxy}_*.fits"))
    originals = read_images([Upload(path.name, path.read_bytes()) for path in paths])
    for image in originals:
        image.data[~np.isfinite(image.data)] = 0
    copies = [copy(image, scale, angle) for image in originals]
    # The grid of the first original, so that the same pixels are compared.
    anchor = Image("F115W", originals[0].data, originals[0].header, "grid")
    original = cut(originals, "")
    resampled = cut([anchor, *copies], "")
    assert [("resampled" in line) for line in resampled.history] == [False, True, True, True]
    y, x = np.mgrid[:32, :32] - 15.5
    inside = np.hypot(x, y) < 15
    flux = [cutout.pixels[inside][:, -3:].sum(axis=0) for cutout in (original, resampled)]
    assert flux[1] == pytest.approx(flux[0], rel=0.01)
    expected, answer = predict(original), predict(resampled)
    for name, values in expected.items():
        low, high = values[[1, 3]]
        assert abs(answer[name] - values)[2] < 0.1 * (high - low), name
        # The posterior of dust lives in logarithms, and so do its intervals.
        there, here = (answer[name], values) if name == "log_ssfr" else (np.log(answer[name]), np.log(values))
        moved = np.abs(there - here)
        assert moved[1:4].max() < 0.1 * (here[3] - here[1]), name
        assert moved.max() < 0.1 * (here[4] - here[0]), name
    # The model above may be blunt; what any model sees must also change little beside the noise in it;
    # the larger the pixels of the copy, the more detail is lost.
    before, after = joint(original.pixels), joint(resampled.pixels[..., -3:])
    assert np.sqrt(np.mean((after - before) ** 2)) < lost * before[np.hypot(x, y) > 14].std()
