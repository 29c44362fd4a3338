"""From uploaded files to the 32x32 cutout that is measured, and from the cutout to the input of a model."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io.fits import Header
from astropy.wcs import WCS
from numpy.typing import NDArray

from redden.answer import Flag
from redden.centring import centred
from redden.errors import BadPixelsError, BandError, UnitError
from redden.fits import Image, Upload, read_images
from redden.frame import Frame
from redden.modelcard import ModelCard
from redden.modelinput import Inputs, model_inputs
from redden.pixelgrid import place, reference
from redden.quality import implausible_depth, low_snr
from redden.recentre import RECENTRE_RADIUS, Recentre
from redden.snr import aperture_snr
from redden.units import calibration
from redden.window import window_of


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
    wcs: WCS | None
    """WCS of `pixels`, with y before x; None if no image has one."""
    unusable: dict[str, str] = field(default_factory=dict)
    """Bands that were sent but have no usable pixels here, with the reason why; they are not among `bands`."""

    @property
    def header(self) -> Header:
        """FITS keywords of the WCS; none if there is none."""
        return Header() if self.wcs is None else self.wcs.to_header(relax=True)


def read_cutout(
    uploads: Sequence[Upload],
    *,
    bands: Sequence[str] | None = None,
    unit: str | None = None,
    pixel_scale: float | None = None,
    position: SkyCoord | None = None,
    recentre: Recentre | None = None,
    recentre_radius: float = RECENTRE_RADIUS,
) -> Cutout:
    """Read, crop and calibrate the cutout of one galaxy.

    The cutout is centred on the centre of the image, or on a sky position. An image with pixels of 0.03 arcsec is cut
    as it is, by the rule of ``astropy.nddata.Cutout2D``: pixel coordinate c (from 0, at pixel centres) gives the
    pixels from ceil(c - 16) on. Any other image, and bands that do not share a grid with the first such image, are
    resampled, see `redden.resample`.

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
    recentre : "peak" or "centroid", optional
        Move the cutout onto its source in the reddest band, see `redden.recentre`; by default it stays.
    recentre_radius : float
        Farthest move in arcsec, at most 0.48.

    Returns
    -------
    Cutout

    Raises
    ------
    UnreadableFileError, BandError, PixelGridError
        Where the files cannot be measured; the message says what would be right.
    BadPixelsError
        If no band has usable pixels. Where some have, the others are only noted, since some models do without.
    UnitError
        If the stated `unit` is none. A missing unit in a header is only noted, since some models do without.
    """
    digest = hashlib.sha256(b"".join(upload.data for upload in uploads)).hexdigest()
    return cut(
        read_images(uploads, bands),
        digest,
        unit=unit,
        pixel_scale=pixel_scale,
        position=position,
        recentre=recentre,
        recentre_radius=recentre_radius,
    )


def cut(
    images: Sequence[Image],
    sha256: str,
    *,
    unit: str | None = None,
    pixel_scale: float | None = None,
    position: SkyCoord | None = None,
    recentre: Recentre | None = None,
    recentre_radius: float = RECENTRE_RADIUS,
) -> Cutout:
    """Crop and calibrate the images of one galaxy; what `read_cutout` does once the files are read.

    Parameters
    ----------
    images : sequence of Image
        One image, or window of a mosaic, per band.
    sha256 : str
        Hash of where the pixels came from, for the record.
    unit, pixel_scale, position, recentre, recentre_radius
        See `read_cutout`, also for the errors.

    Returns
    -------
    Cutout
    """
    frames = place(images, pixel_scale, position)
    where = "the centre of the image" if position is None else position.to_string("decimal", precision=6)
    grid, history, flags = centred(images, frames, recentre, recentre_radius)
    windows: dict[str, NDArray[np.float64]] = {}
    factors: list[float] = []
    uncalibrated: dict[str, str] = {}
    unusable: dict[str, str] = {}
    for image, frame in zip(images, frames, strict=True):
        try:
            window, bad, cutting = window_of(image, frame, grid)
        except BadPixelsError as error:
            unusable[image.band] = str(error)
            continue
        factor, calibrating = _calibrate(image, frame, unit, uncalibrated)
        filling = f"{bad} bad pixels were interpolated" if bad else ""
        windows[image.band] = window
        factors.append(factor)
        steps = (f"{image.band}: {image.source}", f"{cutting}, around {where}", filling, calibrating)
        history.append("; ".join(step for step in steps if step))
        flags += image.flags
        if filling:
            flags.append(Flag(code="pixels_filled", message=f"{image.band}: {filling}."))
    if not windows:
        raise BadPixelsError(" ".join(unusable.values()))
    flags += [Flag(code="band_unusable", message=f"{band} was left out: {why}") for band, why in unusable.items()]
    pixels, single = _calibrated(list(windows.values()), factors)
    names = tuple(windows)
    snr = {band: float(value) for band, value in zip(names, aperture_snr(pixels), strict=True)}
    flags += low_snr(snr) + implausible_depth(names, pixels, set(uncalibrated))
    return Cutout(
        bands=names,
        pixels=single,
        uncalibrated=uncalibrated,
        snr=snr,
        flags=tuple(flags),
        history=tuple(history),
        sha256=sha256,
        wcs=grid.wcs if reference(frames).on_sky else None,
        unusable=unusable,
    )


def model_input(cutout: Cutout, card: ModelCard, redshift: tuple[float, float] | None = None) -> Inputs:
    """The tensors of one galaxy.

    Parameters
    ----------
    cutout : Cutout
        The galaxy; bands that the model does not know are left aside.
    card : ModelCard
        The model.
    redshift : (float, float), optional
        Redshift and its standard error; left aside by a model that takes none.

    Returns
    -------
    dict of str to ndarray of float32, shape (1, ...)
        By input name, see `redden.modelinput`.

    Raises
    ------
    BandError
        If the model needs a band that the cutout does not have, or takes any but knows none of the cutout's.
    UnitError
        If the model compares bands and one has no usable unit.
    BadPixelsError
        If a band that the model needs is not usable, or an image is constant.
    """
    return model_inputs(model_pixels(cutout, card)[None], card, None if redshift is None else np.array([redshift]))


def model_pixels(cutout: Cutout, card: ModelCard) -> NDArray[np.float32]:
    """Pixels of the bands of a model, in its order, not normalised; a band that may be absent, and is, is NaN.

    Parameters and errors are those of `model_input`.

    Returns
    -------
    ndarray of float32, shape (32, 32, bands of the model)
    """
    _check_bands(cutout, card)
    reasons = {band: why for band, why in cutout.uncalibrated.items() if band in card.bands}
    if card.needs_flux_unit and reasons:
        why = " ".join(f"{band}: {reason}" for band, reason in reasons.items())
        raise UnitError(f"model {card.name} compares the fluxes of bands, so that each needs a flux unit. {why}")
    pixels = np.full((*cutout.pixels.shape[:2], len(card.bands)), np.nan, dtype=np.float32)
    for i, band in enumerate(card.bands):
        if band in cutout.bands:
            pixels[..., i] = cutout.pixels[..., cutout.bands.index(band)]
    return pixels


def used_bands(cutout: Cutout, card: ModelCard) -> list[str]:
    """Bands of a cutout that a model looks at, in the model's order."""
    return [band for band in card.bands if band in cutout.bands]


def _check_bands(cutout: Cutout, card: ModelCard) -> None:
    missing = [band for band in card.bands if band not in cutout.bands]
    if not missing or (card.takes_any_bands and used_bands(cutout, card)):
        return
    unusable = [why for band, why in cutout.unusable.items() if band in missing]
    if unusable:
        raise BadPixelsError(" ".join(unusable))
    has = ", ".join(cutout.bands)
    if card.takes_any_bands:
        raise BandError(f"model {card.name} takes any of {', '.join(card.bands)}; the cutout has {has}. Add one.")
    raise BandError(
        f"model {card.name} needs {', '.join(card.bands)}; the cutout has {has}. "
        f"Add {', '.join(missing)}, or choose another model."
    )


def _calibrate(image: Image, frame: Frame, unit: str | None, uncalibrated: dict[str, str]) -> tuple[float, str]:
    """Factor to nJy per pixel and where it came from; a header without a usable unit is noted in `uncalibrated`."""
    try:
        found = calibration(image.header, frame.pixel_area * u.arcsec**2, unit)
    except UnitError as error:
        if unit is not None:
            raise
        uncalibrated[image.band] = str(error)
        return 1.0, "no usable flux unit, numbers kept as they are"
    return found.factor, f"{found.source}: times {found.factor:.6g} to nJy per pixel"


def _calibrated(
    windows: Sequence[NDArray[np.float64]], factors: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """All bands times their factors, in double and in single precision."""
    with np.errstate(over="ignore"):  # what overflows is refused right below
        pixels = np.stack(windows, axis=-1) * np.array(factors)
        single = pixels.astype(np.float32)
    if not np.isfinite(single).all():
        brightest = max(float(np.abs(window).max()) for window in windows)
        raise BadPixelsError(
            f"pixels of up to {brightest:.3g} in the file are too large for 32-bit numbers in nJy. Correct the image "
            "or its unit."
        )
    return pixels, single
