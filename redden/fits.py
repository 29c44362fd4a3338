"""Reading images out of uploaded FITS files: which extensions are science images, and of which band.

Understood are one file per band, a multi-extension file, and a cube with one plane per band; plain, gzipped or
tile-compressed.
"""

import gzip
import io
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from redden.answer import Flag
from redden.bands import BANDS, find_bands, known_band
from redden.errors import BadPixelsError, BandError, PixelGridError, ReddenError, UnreadableFileError

MAX_UNZIPPED: Final = 64 * 2**20
"""Most bytes that the gzipped files of one call may unfold to, together."""

MAX_PIXELS: Final = 16 * 2**20
"""Most pixels of the images of one call, together; they take 8 bytes each."""

MAX_HDUS: Final = 64
"""Most header-data units of a file: seven bands with eight companions each."""

_WEIGHTS: Final = frozenset({"ERR", "ERROR", "RMS", "SIGMA", "STD", "WHT", "WEIGHT", "WEIGHTS", "IVAR"})
"""Companions that are positive where a pixel is good."""
_MASKS: Final = _WEIGHTS | {"DQ", "MASK", "BADPIX"}
"""Companions that tell which pixels are bad."""
_COMPANIONS: Final = _MASKS | {"NOISE", "VAR", "CON", "CTX", "SEG", "SEGMAP", "PSF", "MODEL", "EXP", "AREA"}
_BAND_OF_PLANE: Final = ("FILTER", "BAND", "EXT", "PLANE", "CHANNEL")
"""Header keywords, followed by the number of the plane from 1, that may name the band of a plane of a cube."""
_COUNTS: Final = (re.compile(rb"NAXIS *= *(\d{4,20})"), re.compile(rb"TFIELDS *= *(\d{4,20})"))
"""Cards that say how many others follow, above 999; astropy would look for all of them, however many. Two patterns,
since only one that starts with a word is searched for quickly."""
_DO_NOT_USE: Final = 1
"""Bit of a JWST data-quality plane that marks a pixel as not to be used."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as the user gave it."""

    name: str | None
    """File name, if there is one."""
    data: bytes
    """Its content."""

    @property
    def label(self) -> str:
        """What to call the file in a message."""
        return self.name or "the uploaded file"


@dataclass(frozen=True, slots=True)
class Image:
    """A science image in one band."""

    band: str
    """Name of the band."""
    data: NDArray[np.float64]
    """Pixels in the file's unit, shape (ny, nx); NaN where the file marks a pixel as bad."""
    header: fits.Header
    """Header of the extension, with what it lacks taken from the primary header."""
    source: str
    """File and extension, for messages."""
    flags: tuple[Flag, ...] = ()
    """What the user should know of where the pixels come from."""


@dataclass(slots=True)
class _Budget:
    """What the files of one call may still unfold to; a few kB of zeros, compressed, are gigabytes."""

    unzipped: int = MAX_UNZIPPED
    pixels: int = MAX_PIXELS


def read_images(uploads: Sequence[Upload], bands: Sequence[str] | None = None) -> list[Image]:
    """All science images of the uploaded files, in order.

    The band of an image is told from ``PUPIL`` and ``FILTER``, then ``EXTNAME``; for a file with a single image also
    from its name; for a plane of a cube from ``FILTERn``, ``BANDn`` or ``EXTn``. Images in bands that redden does not
    measure are left out.

    Parameters
    ----------
    uploads : sequence of Upload
        The files.
    bands : sequence of str, optional
        Band of every image, in order, as the user states it; then nothing else is asked.

    Returns
    -------
    list of Image
        At least one, each of another band.

    Raises
    ------
    UnreadableFileError
        If a file is not FITS, truncated, or without an image.
    PixelGridError
        If the files hold more than is read at once: `MAX_UNZIPPED`, `MAX_PIXELS`, `MAX_HDUS`.
    BandError
        If a band is unknown, cannot be told, is contradictory, or is given twice.
    BadPixelsError
        If pixels are complex or otherwise no numbers.
    """
    if bands is not None:
        bands = [known_band(band).name for band in bands]
    images = read_any_band(uploads, bands)
    measured = [image for image in images if image.band in BANDS]
    if not measured:
        raise BandError(
            f"none of the images is in a band that redden measures ({', '.join(BANDS)}); "
            f"found: {', '.join(image.band for image in images)}."
        )
    sources: dict[str, str] = {}
    for image in measured:
        if image.band in sources:
            raise BandError(
                f"{image.band} is given twice, by {sources[image.band]} and {image.source}. Send each band once, "
                "or state the bands of the images in order with `bands`."
            )
        sources[image.band] = image.source
    return measured


def read_any_band(uploads: Sequence[Upload], bands: Sequence[str] | None = None) -> list[Image]:
    """All science images of the uploaded files, in order, also in bands that redden does not measure.

    Parameters
    ----------
    uploads, bands
        See `read_images`, also for the errors.

    Returns
    -------
    list of Image
        At least one.
    """
    budget = _Budget()
    planes = [plane for upload in uploads for plane in _planes(upload, budget)]
    if bands is None:
        bands = [_told_band(plane) for plane in planes]
    elif len(bands) != len(planes):
        raise BandError(
            f"{len(bands)} bands are stated ({', '.join(bands)}) for {len(planes)} images "
            f"({', '.join(plane.source for plane in planes)}). State one band for each image, in this order."
        )
    return [Image(band, plane.data, plane.header, plane.source) for plane, band in zip(planes, bands, strict=True)]


@dataclass(frozen=True, slots=True)
class _Plane:
    """A science image before its band is known; `hints` are the texts that may name it, best first."""

    data: NDArray[np.float64]
    header: fits.Header
    source: str
    hints: tuple[str, ...]
    fallback: str


def _told_band(plane: _Plane) -> str:
    told = [found for hint in plane.hints if (found := find_bands(hint))]
    if not told:
        told = [find_bands(plane.fallback)]
    # A pupil filter stands behind a wide filter in the beam (F444W behind F405N), so the first hint decides alone.
    if len(told[0]) != 1:
        seen = f"names {' and '.join(told[0])}" if told[0] else "names no band in FILTER, EXTNAME or file name"
        raise BandError(
            f"{plane.source} {seen}. State the band of each image in order with `bands`, e.g. bands=F277W,F356W,F444W."
        )
    return told[0][0]


def _planes(upload: Upload, budget: _Budget) -> list[_Plane]:
    """The science images of one file."""
    try:
        with _open(upload, budget) as hdus:
            images = [hdu for hdu in hdus if hdu.is_image and len(hdu.shape) >= 2 and math.prod(hdu.shape) > 0]
            science = [hdu for hdu in images if not _role(hdu)]
            _charge(budget, [hdu for hdu in images if _role(hdu) in {"", *_MASKS}], upload)
            if not science:
                tables = any(not hdu.is_image for hdu in hdus)
                raise UnreadableFileError(
                    f"{upload.label} holds {'a table but no image' if tables else 'no image'}. "
                    "Send FITS images, one per band, or a file with an image extension per band."
                )
            return [plane for hdu in science for plane in _planes_of(hdu, upload, hdus, science)]
    except ReddenError:
        raise
    except Exception as error:  # on broken bytes astropy raises nearly any exception there is
        raise UnreadableFileError(f"{upload.label} is broken FITS: {error}. Make or download it again.") from error


def _planes_of(hdu: Any, upload: Upload, hdus: fits.HDUList, science: Sequence[Any]) -> Iterator[_Plane]:
    alone = len(science) == 1
    source = f"{upload.label}[{hdu.name or hdus.index_of(hdu)}]"
    header = hdu.header.copy()
    header.extend(hdus[0].header, unique=True)
    data = _pixels(hdu, source)
    _mask(
        data, [other for other in hdus if other.is_image and other.shape == hdu.shape and _belongs(other, hdu, science)]
    )
    data = data.reshape([side for side in data.shape[:-2] if side > 1] + list(data.shape[-2:]))
    own = header if alone else hdu.header
    fallback = upload.name or "" if alone else ""
    if data.ndim == 2:
        hints = tuple(str(text) for text in (own.get("PUPIL", ""), own.get("FILTER", ""), hdu.name))
        yield _Plane(data, header, source, hints, fallback)
    elif data.ndim == 3:
        for number, plane in enumerate(data, start=1):
            hints = tuple(str(header.get(f"{key}{number}", "")) for key in _BAND_OF_PLANE)
            yield _Plane(plane, header, f"{source} plane {number}", hints, "")
    else:
        raise UnreadableFileError(
            f"{source} has {data.ndim} axes longer than 1. Send images (2 axes) or a cube with one plane per band (3)."
        )


def _open(upload: Upload, budget: _Budget) -> fits.HDUList:
    data = _unzipped(upload, budget)
    if not data.startswith(b"SIMPLE  ="):
        raise UnreadableFileError(f"{upload.label} is {_what(data)}. Send a FITS image, which starts with SIMPLE.")
    if count := next((card for pattern in _COUNTS for card in pattern.finditer(data) if card.start() % 80 < 2), None):
        raise UnreadableFileError(
            f"{upload.label} is broken FITS: {count[0].decode()}, where the standard allows 999. "
            "Make or download it again."
        )
    hdus = fits.open(io.BytesIO(data), memmap=False, lazy_load_hdus=True)
    for number, _ in enumerate(hdus, start=1):  # which reads one header after the other
        if number > MAX_HDUS:
            raise PixelGridError(
                f"{upload.label} has more than {MAX_HDUS} header-data units. "
                "Send the images of one galaxy, with one extension per band."
            )
    ends = [info["datLoc"] + info["datSpan"] for hdu in hdus if (info := hdu.fileinfo())]
    # Writers may leave out the padding of the last block, but never data: fileinfo counts the padding.
    if max(ends) - len(data) >= 2880:
        raise UnreadableFileError(
            f"{upload.label} is truncated: its headers promise {max(ends)} bytes, but it has {len(data)}. "
            "Download it again."
        )
    return hdus


def _unzipped(upload: Upload, budget: _Budget) -> bytes:
    if not upload.data.startswith(b"\x1f\x8b"):
        return upload.data
    try:
        with gzip.open(io.BytesIO(upload.data)) as stream:
            data = stream.read(budget.unzipped + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableFileError(f"{upload.label} is broken gzip: {error}. Make or download it again.") from error
    budget.unzipped -= len(data)
    if budget.unzipped < 0:
        raise PixelGridError(
            f"with {upload.label}, the files unzip to more than {MAX_UNZIPPED >> 20} MiB. Send cutouts of the galaxy."
        )
    return data


def _what(data: bytes) -> str:
    """A guess at what a file is that is not FITS."""
    start = data[:512].lstrip().lower()
    if not data:
        return "empty"
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<")):
        return "a web page or XML, perhaps an error page or a log-in form that was saved in place of the file"
    for magic, name in ((b"\x89png", "a PNG picture"), (b"\xff\xd8", "a JPEG picture"), (b"\x89hdf", "an HDF5 file")):
        if start.startswith(magic):
            return name
    if start.startswith((b"pk\x03\x04", b"bzh", b"\xfd7zxz")):
        return "an archive in a compression other than gzip"
    return "not FITS"


def _charge(budget: _Budget, images: Sequence[Any], upload: Upload) -> None:
    """Refuse images that would not fit, by their headers; compressed ones unfold only when their pixels are read."""
    budget.pixels -= sum(math.prod(hdu.shape) for hdu in images)
    if budget.pixels < 0:
        largest = max((hdu.shape for hdu in images), key=math.prod)
        raise PixelGridError(
            f"with {upload.label}, whose largest image has {'x'.join(str(side) for side in largest)} pixels, the "
            f"images have more than {MAX_PIXELS:,} pixels. Send cutouts of the galaxy, a few hundred pixels a side."
        )


def _role(hdu: Any) -> str:
    """What an extension is beside the science image: ``ERR``, ``WHT``, ``DQ`` ...; empty for a science image.

    The word stands at the end of the name, or at its start (``ERR_F277W``); some begin the names of science images too
    (``PSF_MATCHED``), so that there only masks are looked for.
    """
    words = [word for word in re.split(r"[_\- ]+", hdu.name.upper()) if not find_bands(word)] or [""]
    if "VAR" in words:
        return "VAR"
    return words[-1] if words[-1] in _COMPANIONS else words[0] if words[0] in _MASKS else ""


def _own_band(hdu: Any) -> list[str]:
    """The band that an extension names itself, as `_told_band` tells it."""
    hints = (find_bands(str(hint)) for hint in (hdu.header.get("PUPIL"), hdu.header.get("FILTER"), hdu.name))
    return next((found for found in hints if found), [])


def _belongs(companion: Any, hdu: Any, science: Sequence[Any]) -> bool:
    """Whether a companion is that of this science image: the only one of its band, or else of that and its EXTVER."""
    band = _own_band(companion)
    kin = [other for other in science if not band or _own_band(other) in ([], band)]
    if len(kin) > 1:
        kin = [other for other in kin if other.ver == companion.ver]
    return len(kin) == 1 and kin[0] is hdu


def _pixels(hdu: Any, source: str) -> NDArray[np.float64]:
    data = hdu.data
    if data is None or not np.issubdtype(data.dtype, np.number) or np.issubdtype(data.dtype, np.complexfloating):
        raise BadPixelsError(f"{source} has no real numbers as pixels. Send an image in a unit of flux.")
    return np.array(data, dtype=np.float64)


def _mask(data: NDArray[np.float64], companions: Sequence[Any]) -> None:
    """Set to NaN, in place, the pixels that the companions of a science image call bad."""
    for companion in companions:
        role = _role(companion)
        if role not in _MASKS:
            continue
        values = _pixels(companion, companion.name)
        if role in _WEIGHTS:
            data[~(np.isfinite(values) & (values > 0))] = np.nan
        elif role == "DQ":
            data[(values.astype(np.int64) & _DO_NOT_USE) > 0] = np.nan
        else:
            data[values != 0] = np.nan
