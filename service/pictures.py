"""A cutout as a file: FITS with everything that is known of it, or a picture for the eye."""

from io import BytesIO
from typing import Final

import numpy as np
from astropy.io import fits
from astropy.visualization import make_lupton_rgb
from numpy.typing import NDArray
from PIL import Image

from redden import __version__
from redden.bands import BANDS
from redden.cutout import Cutout
from redden.grid import PIXEL_AREA_SR
from redden.snr import aperture_noise

ENLARGEMENT: Final = 8
"""Pixels of the picture along a pixel of the cutout."""
_NOISE_RADIUS: Final = 0.03
_SOFTENING: Final = 3.0
_SATURATION: Final = 3.2
"""Brightness that becomes white with this softening, in units of the stretch."""
_LEAST_PEAK: Final = 10.0
"""Standard deviations of the noise that are white at least, so that empty sky stays dark."""


def fits_file(cutout: Cutout, survey: str) -> bytes:
    """The cutout as FITS: an image per band, named after it, with unit, WCS and history.

    Parameters
    ----------
    cutout : Cutout
        The pixels.
    survey : str
        Where they are from.
    """
    primary = fits.PrimaryHDU()
    primary.header["ORIGIN"] = f"redden {__version__}"
    primary.header["SURVEY"] = survey
    primary.header["SHA256"] = cutout.sha256
    for line in cutout.history:
        primary.header.add_history(_ascii(line))
    for flag in cutout.flags:
        primary.header.add_comment(_ascii(f"{flag.code}: {flag.message}"))
    hdus = [primary]
    for i, band in enumerate(cutout.bands):
        header = cutout.header
        header["FILTER"] = (band, "NIRCam filter")
        if band not in cutout.uncalibrated:
            header["BUNIT"] = ("nJy", "flux density per pixel")
        header["PIXAR_SR"] = (PIXEL_AREA_SR, "[sr] solid angle of a pixel")
        header["SNR"] = (round(cutout.snr[band], 2), "in a circle of 0.16 arcsec radius")
        hdus.append(fits.ImageHDU(cutout.pixels[..., i], header, name=band))
    stream = BytesIO()
    fits.HDUList(hdus).writeto(stream)
    return stream.getvalue()


def png_file(cutout: Cutout) -> bytes:
    """`picture` as a PNG file."""
    stream = BytesIO()
    picture(cutout).save(stream, "PNG")
    return stream.getvalue()


def picture(cutout: Cutout) -> Image.Image:
    """The cutout as 256x256 pixels whose colours are its reddest, middle and bluest band, with an asinh stretch.

    The stretch keeps hues (Lupton et al. 2004, PASP 116, 133). The first row of the cutout is at the bottom.
    """
    order = sorted(range(len(cutout.bands)), key=lambda i: BANDS[cutout.bands[i]].pivot)
    layers = [_sky_subtracted(cutout, i) for i in (order[-1], order[len(order) // 2], order[0])]
    peak = max(_LEAST_PEAK, *(float(layer.max()) for layer in layers))
    rgb = make_lupton_rgb(*layers, minimum=-1.0, stretch=peak / _SATURATION, Q=_SOFTENING)
    return Image.fromarray(rgb[::-1]).resize(
        [side * ENLARGEMENT for side in rgb.shape[1::-1]], Image.Resampling.NEAREST
    )


def _ascii(text: str) -> str:
    """What FITS headers can hold of a text, which may quote a file name."""
    return text.encode("ascii", "backslashreplace").decode()


def _sky_subtracted(cutout: Cutout, band: int) -> NDArray[np.float64]:
    """A band without sky, in standard deviations of the noise of all bands together, so that colours stay."""
    pixels = cutout.pixels.astype(np.float64)
    noise = float(np.mean(aperture_noise(pixels, _NOISE_RADIUS))) or 1.0
    return np.asarray((pixels[..., band] - np.median(pixels[..., band])) / noise)
