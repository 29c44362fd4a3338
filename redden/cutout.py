"""From uploaded files to the 32x32 cutout that is measured, and from the cutout to the input of a model."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import astropy.units as u
import numpy as np
from astropy.convolution import Gaussian2DKernel, interpolate_replace_nans
from astropy.coordinates import SkyCoord
from astropy.io.fits import Header
from astropy.nddata import NoOverlapError, PartialOverlapError, overlap_slices
from numpy.typing import NDArray

from redden.answer import Flag
from redden.errors import BadPixelsError, BandError, PixelGridError, UnitError
from redden.fits import Image, Upload, read_images
from redden.grid import PIXEL_AREA_SR, SIZE
from redden.modelcard import ModelCard
from redden.normalise import normalisation
from redden.pixelgrid import check_aligned, check_pixel_scale, pixel_position
from redden.snr import aperture_noise, aperture_snr
from redden.units import calibration

MAX_BAD_FRACTION: Final = 0.1
"""Largest fraction of bad pixels, over the cutout and in its central 8x8, that is filled in and not refused."""

LOW_SNR: Final = 5.0
"""The paper's selection, and that of the training images."""

RECENTRE_RADIUS: Final = 0.3
"""Farthest in arcsec that a cutout is moved onto its source, unless stated otherwise."""

_DEPTH_APERTURE: Final = 0.1
_PLAUSIBLE_DEPTH: Final = (25.5, 33.0)
"""5 sigma depths, AB mag in a circle of 0.1 arcsec radius, outside of which the unit is doubted."""
_CORE: Final = slice(SIZE // 2 - 4, SIZE // 2 + 4)
_FILL_KERNEL: Final = Gaussian2DKernel(1.0)


@dataclass(frozen=True, slots=True)
class Cutout:
    """A galaxy in 32x32 pixels of 0.03 arcsec, in one or more bands."""

    bands: tuple[str, ...]
    """Bands in the order of the last axis of `pixels`."""
    pixels: NDArray[np.float32]
    """Shape (32, 32, bands), y first; finite; nJy per pixel, but for `uncalibrated` bands."""
    uncalibrated: dict[str, str]
    """Bands that stay in the numbers of the file, with the reason why."""
    snr: dict[str, float]
    """Signal-to-noise ratio by band, see `redden.snr`."""
    flags: tuple[Flag, ...]
    """What the user should know before using the numbers."""
    history: tuple[str, ...]
    """What was done to the pixels, in order."""
    sha256: str
    """SHA-256 of the uploaded bytes, in the order of upload."""
    header: Header
    """Header of the first band, its WCS that of the cutout."""


def read_cutout(
    uploads: Sequence[Upload],
    *,
    bands: Sequence[str] | None = None,
    unit: str | None = None,
    pixel_scale: float | None = None,
    position: SkyCoord | None = None,
    recentre: Literal["peak", "centroid"] | None = None,
    recentre_radius: float = RECENTRE_RADIUS,
) -> Cutout:
    """Read, crop and calibrate the cutout of one galaxy.

    The cutout is centred on the centre of the image, or on a sky position. The window is that of
    ``astropy.nddata.Cutout2D``: pixel coordinate c (from 0, at pixel centres) gives the pixels from ceil(c - 16) on.

    Parameters
    ----------
    uploads : sequence of Upload
        One file per band, or files with several images (see `redden.fits.read_images`).
    bands : sequence of str, optional
        Band of every image in order; by default told from the files.
    unit : str, optional
        Unit of all images, in place of what their headers say (see `redden.units.calibration`).
    pixel_scale : float, optional
        Side of a pixel in arcsec, for images whose headers do not tell.
    position : SkyCoord, optional
        Position of the galaxy; by default the centre of the image.

    Returns
    -------
    Cutout

    Raises
    ------
    UnreadableFileError, BandError, PixelGridError, BadPixelsError
        Where the files cannot be measured; the message says what would be right.
    UnitError
        If the stated `unit` is none. A missing unit in a header is only noted, since some models do without.
    """
    digest = hashlib.sha256(b"".join(upload.data for upload in uploads)).hexdigest()
    return cut(read_images(uploads, bands), digest, unit=unit, pixel_scale=pixel_scale, position=position)


def cut(
    images: Sequence[Image],
    sha256: str,
    *,
    unit: str | None = None,
    pixel_scale: float | None = None,
    position: SkyCoord | None = None,
    recentre: Literal["peak", "centroid"] | None = None,
    recentre_radius: float = RECENTRE_RADIUS,
) -> Cutout:
    """Crop and calibrate the images of one galaxy; what `read_cutout` does once the files are read.

    Parameters
    ----------
    images : sequence of Image
        One image, or window of a mosaic, per band.
    sha256 : str
        Hash of where the pixels came from, for the record.
    unit, pixel_scale, position
        See `read_cutout`, also for the errors.

    Returns
    -------
    Cutout
    """
    history: list[str] = []
    flags: list[Flag] = []
    layers: list[NDArray[np.float64]] = []
    headers: list[Header] = []
    uncalibrated: dict[str, str] = {}
    for image in images:
        flags.extend(image.flags)
        check_pixel_scale(image.header, image.source, pixel_scale)
        window, header, cropping = _crop(image, position)
        filled, filling = _fill(window, image)
        factor, calibrating = _calibrate(image, unit, uncalibrated)
        layers.append(filled * factor)
        headers.append(header)
        history.append(f"{image.band}: {image.source}; {cropping}; {filling}{calibrating}")
        if filling:
            flags.append(Flag(code="pixels_filled", message=f"{image.band}: {filling.removesuffix('; ')}."))
    for image, header in zip(images[1:], headers[1:], strict=True):
        check_aligned(headers[0], header, (images[0].source, image.source))
    pixels = np.stack(layers, axis=-1)
    names = tuple(image.band for image in images)
    snr = {band: float(value) for band, value in zip(names, aperture_snr(pixels), strict=True)}
    flags += _low_snr(snr) + _implausible_depth(names, pixels, uncalibrated)
    return Cutout(names, pixels.astype(np.float32), uncalibrated, snr, tuple(flags), tuple(history), sha256, headers[0])


def model_input(cutout: Cutout, card: ModelCard) -> NDArray[np.float32]:
    """Pixels of the bands of a model, in its order, normalised as it was trained.

    Parameters
    ----------
    cutout : Cutout
        The galaxy.
    card : ModelCard
        The model.

    Returns
    -------
    ndarray of float32, shape (32, 32, bands of the model)

    Raises
    ------
    BandError
        If the model needs a band that the cutout does not have.
    UnitError
        If the model compares bands and one has no usable unit.
    BadPixelsError
        If an image is constant.
    """
    missing = [band for band in card.bands if band not in cutout.bands]
    if missing:
        raise BandError(
            f"model {card.name} needs {', '.join(card.bands)}; the cutout has {', '.join(cutout.bands)}. "
            f"Add {', '.join(missing)}, or choose another model."
        )
    reasons = {band: why for band, why in cutout.uncalibrated.items() if band in card.bands}
    if card.needs_flux_unit and reasons:
        why = " ".join(f"{band}: {reason}" for band, reason in reasons.items())
        raise UnitError(f"model {card.name} compares the fluxes of bands, so that each needs a flux unit. {why}")
    order = [cutout.bands.index(band) for band in card.bands]
    return normalisation(card.normalisation)(cutout.pixels[..., order])


def _crop(image: Image, position: SkyCoord | None) -> tuple[NDArray[np.float64], Header, str]:
    """The 32x32 window, the header with CRPIX moved along, and what was done in words."""
    height, width = image.data.shape
    if min(height, width) < SIZE:
        raise PixelGridError(
            f"{image.source} has {width}x{height} pixels; a cutout needs at least {SIZE}x{SIZE}, "
            "with the galaxy in the centre. Cut a larger window."
        )
    centre = ((width - 1) / 2, (height - 1) / 2)
    if position is not None:
        centre = pixel_position(image.header, position, image.source)
    try:
        (rows, columns), _ = overlap_slices((height, width), (SIZE, SIZE), centre[::-1], mode="strict")
    except (PartialOverlapError, NoOverlapError):
        raise PixelGridError(
            f"a {SIZE}x{SIZE} cutout at pixel ({centre[0]:.1f}, {centre[1]:.1f}) does not lie inside {image.source}, "
            f"which has {width}x{height} pixels. Choose a position farther from the edge, or a larger image."
        ) from None
    header = image.header.copy()
    for axis, start in ((1, columns.start), (2, rows.start)):
        if f"CRPIX{axis}" in header:
            header[f"CRPIX{axis}"] -= start
    where = "centre" if position is None else f"position {position.to_string('decimal', precision=6)}"
    words = f"{SIZE}x{SIZE} pixels around the {where}, from x={columns.start}, y={rows.start} of {width}x{height}"
    return image.data[rows, columns], header, words


def _fill(window: NDArray[np.float64], image: Image) -> tuple[NDArray[np.float64], str]:
    """Interpolate over bad pixels, unless there are too many."""
    bad = ~np.isfinite(window)
    worst = max(bad.mean(), bad[_CORE, _CORE].mean())
    if worst > MAX_BAD_FRACTION:
        raise BadPixelsError(
            f"{bad.sum()} of {bad.size} pixels of {image.source} are NaN or masked ({bad[_CORE, _CORE].sum()} of the "
            f"central 64); at most {MAX_BAD_FRACTION:.0%} of either can be filled. Choose another image or position."
        )
    if not bad.any():
        filled, words = window, ""
    else:
        sky = np.nanmedian(window)
        filled = np.nan_to_num(interpolate_replace_nans(np.where(bad, np.nan, window), _FILL_KERNEL), nan=sky)
        words = f"{bad.sum()} bad pixels were interpolated; "
    if np.ptp(filled) == 0:
        raise BadPixelsError(f"all pixels of {image.source} in the cutout are {filled.flat[0]:g}: nothing is there.")
    return filled, words


def _calibrate(image: Image, unit: str | None, uncalibrated: dict[str, str]) -> tuple[float, str]:
    """Factor to nJy per pixel and where it came from; a header without a usable unit is noted in `uncalibrated`."""
    try:
        found = calibration(image.header, PIXEL_AREA_SR * u.sr, unit)
    except UnitError as error:
        if unit is not None:
            raise
        uncalibrated[image.band] = str(error)
        return 1.0, "no usable flux unit, numbers kept as they are"
    return found.factor, f"{found.source}: times {found.factor:.6g} to nJy per pixel"


def _low_snr(snr: dict[str, float]) -> list[Flag]:
    low = {band: value for band, value in snr.items() if value < LOW_SNR}
    if not low:
        return []
    listed = ", ".join(f"{band} {value:.1f}" for band, value in low.items())
    return [
        Flag(code="low_snr", message=f"S/N below {LOW_SNR:g}: {listed}. The models were trained on brighter galaxies.")
    ]


def _implausible_depth(bands: tuple[str, ...], pixels: NDArray[np.float64], uncalibrated: dict[str, str]) -> list[Flag]:
    """Doubt the unit where the noise is not that of any JWST image; headers are known to state a wrong unit."""
    noise = aperture_noise(pixels, _DEPTH_APERTURE)
    depth = {
        band: float((5 * value * u.nJy).to_value(u.ABmag))
        for band, value in zip(bands, noise, strict=True)
        if value > 0 and band not in uncalibrated
    }
    odd = {band: mag for band, mag in depth.items() if not _PLAUSIBLE_DEPTH[0] < mag < _PLAUSIBLE_DEPTH[1]}
    if not odd:
        return []
    listed = ", ".join(f"{band} {mag:.1f}" for band, mag in odd.items())
    return [
        Flag(
            code="unit_doubtful",
            message=f"The noise means a 5 sigma depth in 0.1 arcsec of {listed} AB mag, which no JWST image has; "
            "the header may state a wrong unit. Check it, and state the right one with `unit`.",
        )
    ]
