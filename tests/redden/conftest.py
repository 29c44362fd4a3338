"""FITS files of all layouts, made in memory."""

from collections.abc import Callable, Sequence
from io import BytesIO

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

RA, DEC = 53.15, -27.8


def tan_header(size: int, scale: float = 0.03) -> fits.Header:
    """TAN WCS of a square image, centred on (RA, DEC), north up."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crpix = [(size + 1) / 2] * 2
    wcs.wcs.crval = [RA, DEC]
    wcs.wcs.cdelt = [-scale / 3600, scale / 3600]
    return wcs.to_header()


def blob(
    size: int = 64,
    peak: float = 20.0,
    width: float = 2.5,
    x: float | None = None,
    y: float | None = None,
    seed: int = 1,
) -> NDArray[np.float32]:
    """A round Gaussian galaxy in noise of 0.3, at the centre or at pixel (x, y) from 0."""
    rows, columns = np.mgrid[:size, :size]
    middle = (size - 1) / 2
    squared = (columns - (middle if x is None else x)) ** 2 + (rows - (middle if y is None else y)) ** 2
    noise = np.random.default_rng(seed).normal(0, 0.3, (size, size))
    return np.asarray(peak * np.exp(-squared / (2 * width**2)) + noise, dtype=np.float32)


def as_bytes(hdus: Sequence[object]) -> bytes:
    """The bytes of a FITS file."""
    stream = BytesIO()
    fits.HDUList(list(hdus)).writeto(stream)
    return stream.getvalue()


@pytest.fixture
def image_file() -> Callable[..., bytes]:
    """Make a single-image FITS file; keywords beyond `data` and `scale` go into the header."""

    def make(data: NDArray[np.generic] | None = None, scale: float | None = 0.03, **keywords: object) -> bytes:
        pixels = blob() if data is None else data
        header = tan_header(pixels.shape[-1], scale) if scale else fits.Header()
        header.update({"BUNIT": "nJy", **keywords})
        for key in [key for key, value in keywords.items() if value is None]:
            del header[key]
        return as_bytes([fits.PrimaryHDU(pixels, header)])

    return make
