"""Many galaxies in one FITS file: a cube N x H x W per band, or a table with image columns.

Either is taken apart once, into a small FITS file for each galaxy, so that all images are read by `redden.fits`.
"""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from astropy.io import fits
from numpy.typing import NDArray

from redden.bands import find_bands
from redden.errors import CatalogueError
from service.catalogues.catalogue import FILES, Catalogue, Images
from service.catalogues.fits_table import find_table, from_fits

MIN_SIDE: Final = 8
"""Smallest side in pixels of what counts as an image in a column of a table."""

_AT_ONCE: Final = 256
"""Galaxies whose pixels are in memory together."""
_NO_IMAGE: Final = re.compile(
    r"(SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|[PG]COUNT|BSCALE|BZERO|BLANK|CHECKSUM|DATASUM|NEXTEND|WCSAXES|"
    r"(CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CROTA)3|(CD|PC)(3_\d|\d_3)|T[A-Z]{4}\d+|TFIELDS|THEAP|COMMENT|HISTORY|)"
)
"""Keywords of a cube or a table that do not belong to the image of one galaxy."""


class Planes:
    """The images of many galaxies in one band, or their errors or masks.

    Parameters
    ----------
    header : Header
        What the file says of them; ``EXTNAME``, ``FILTER`` and ``BUNIT`` are what matters.
    pixels : array-like, shape (N, H, W)
        A thing that gives an array when it is sliced, and then reads no more than that.
    shape : (int, int, int)
        N, H and W.
    """

    def __init__(self, header: fits.Header, pixels: Any, shape: tuple[int, ...]) -> None:
        self._pixels = pixels
        self.shape = shape
        sample = np.asarray(pixels[:1])
        if sample.dtype.kind not in "iuf":
            raise CatalogueError(f"{header.get('EXTNAME', 'a cube')} holds {sample.dtype}, not pixels.")
        kind = "f8" if sample.dtype.itemsize > 4 else "f4" if sample.dtype.kind == "f" else "i4"
        self._dtype = np.dtype(f">{kind}")
        image = fits.ImageHDU(np.zeros(shape[1:], self._dtype), _kept(header))
        self._header = image.header.tostring().encode("ascii")
        self.bands = [band for key in ("PUPIL", "FILTER", "EXTNAME") for band in find_bands(str(header.get(key, "")))]

    def hdus(self, start: int, stop: int) -> Iterator[bytes]:
        """The extensions of some galaxies, as they stand in a FITS file."""
        for plane in np.asarray(self._pixels[start:stop]).astype(self._dtype):
            data = plane.tobytes()
            yield self._header + data + bytes(-len(data) % 2880)


def read_cubes(hdus: fits.HDUList, folder: Path) -> Catalogue:
    """The galaxies of a file with a cube per band; a table in it with a row for each galaxy comes back with them.

    Parameters
    ----------
    hdus : HDUList
        The file.
    folder : Path
        Where the images are put, in a file without a name.

    Raises
    ------
    CatalogueError
        If a cube names no band, or the cubes are not of equally many galaxies.
    """
    cubes = [hdu for hdu in hdus if hdu.is_image and len(hdu.shape) == 3 and min(hdu.shape) > 0]
    if not cubes:
        raise CatalogueError(
            "the FITS file holds neither a table nor cubes N x H x W, one per band. Send the images of a single galaxy "
            "to /v1/predict."
        )
    planes = [Planes(cube.header, cube.section, cube.shape) for cube in cubes]
    for cube, plane in zip(cubes, planes, strict=True):
        if not plane.bands:
            raise CatalogueError(f"cube {cube.name or hdus.index_of(cube)} names no band in FILTER or EXTNAME.")
        if plane.shape[0] != planes[0].shape[0]:
            raise CatalogueError(
                f"cube {cubes[0].name} has {planes[0].shape[0]} galaxies and cube {cube.name} has {plane.shape[0]}; "
                "each cube must hold the same galaxies."
            )
    number = planes[0].shape[0]
    found: Any = find_table(hdus)
    if found is not None and len(found.data) != number:
        raise CatalogueError(
            f"the table {found.name or hdus.index_of(found)} has {len(found.data)} rows and the cubes have {number} "
            "galaxies. It must have a row for each galaxy, in their order; if it is about something else, remove it."
        )
    table = pa.table({"object": np.arange(1, number + 1)}) if found is None else from_fits(hdus)
    return Catalogue(table, images=_taken_apart(hdus[0].header, planes, folder))


def image_columns(hdus: fits.HDUList) -> list[str]:
    """Columns of the table of a file that hold images: two axes a row, and at least one of them names a band."""
    table: Any = find_table(hdus)
    found = [
        column.name
        for column in (table.columns if table is not None else ())
        if len(shape := table.data.dtype[column.name].shape) == 2 and min(shape) >= MIN_SIDE
    ]
    return found if any(find_bands(name) for name in found) else []


def read_image_columns(hdus: fits.HDUList, folder: Path) -> Catalogue:
    """The galaxies of a table with image columns; its other columns come back. Parameters as of `read_cubes`."""
    table: Any = find_table(hdus)
    planes = []
    for name in image_columns(hdus):
        header = table.header.copy(strip=True)
        header["EXTNAME"] = name
        if unit := table.columns[name].unit:
            header["BUNIT"] = unit
        pixels: NDArray[Any] = table.data[name]
        planes.append(Planes(header, pixels, pixels.shape))
    return Catalogue(
        from_fits(hdus, frozenset(image_columns(hdus))), images=_taken_apart(hdus[0].header, planes, folder)
    )


def _kept(header: fits.Header) -> fits.Header:
    return fits.Header([card for card in header.cards if not _NO_IMAGE.fullmatch(card.keyword)])


def _taken_apart(primary: fits.Header, planes: Sequence[Planes], folder: Path) -> Images:
    head = fits.PrimaryHDU(header=_kept(primary)).header.tostring().encode("ascii")
    number = planes[0].shape[0]
    sizes = np.empty(number, np.int64)
    with ExitStack() as stack:
        pixels = stack.enter_context(tempfile.TemporaryFile(dir=folder))
        for start in range(0, number, _AT_ONCE):
            stop = min(start + _AT_ONCE, number)
            for row, parts in enumerate(zip(*(plane.hdus(start, stop) for plane in planes), strict=True), start=start):
                sizes[row] = pixels.write(b"".join((head, *parts)))
        stack.pop_all()  # the catalogue keeps it
    offsets = np.cumsum(sizes) - sizes
    names = [f"galaxy {row}.fits" for row in range(1, number + 1)]
    columns = [pa.array(names), pa.array(offsets), pa.array(sizes)]
    files = pa.StructArray.from_arrays(columns, fields=list(FILES.value_type))
    return Images(pa.ListArray.from_arrays(pa.array(np.arange(number + 1), pa.int32()), files, type=FILES), pixels)
