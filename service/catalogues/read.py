"""From an uploaded file to a catalogue: what it is, where its galaxies are, and what of it comes back."""

import gzip
import re
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pyarrow as pa
from astropy.io import fits

from redden.errors import CatalogueError, ReddenError
from service.catalogues.archive import read_tar, read_zip
from service.catalogues.catalogue import Catalogue
from service.catalogues.fits_table import find_table, from_fits
from service.catalogues.parquet import read_parquet
from service.catalogues.pixels import image_columns, read_cubes, read_image_columns
from service.catalogues.sky import Columns, near, positions, redshifts
from service.catalogues.text import read_csv, read_ecsv
from service.catalogues.votable import read_votable

MAX_BYTES: Final = 16 * 2**30
"""Most bytes that a compressed file or an archive may unfold to."""

MAX_TABLE: Final = 4 * 2**30
"""Most bytes of a table when it is unzipped, which is read into memory; images stay in files."""

_PIECE: Final = 2**20
_HEAD: Final = 512
_FOREIGN: Final = (b"\x89HDF", b"%PDF", b"{", b"BZh", b"<html", b"<!doctype", b"7z\xbc\xaf")
_TAKEN: Final = "CSV, ECSV, VOTable, a FITS table, Parquet, or images in FITS files, zipped or in a tar"


def read(
    path: Path,
    *,
    name: str | None = None,
    content_type: str | None = None,
    ra: str | None = None,
    dec: str | None = None,
    redshift: str | None = None,
    redshift_error: str | None = None,
    keep: Sequence[str] | None = None,
    max_bytes: int = MAX_BYTES,
) -> Catalogue:
    """Read a file of many galaxies; what it is, it tells by its first bytes.

    Parameters
    ----------
    path : Path
        The file. Beside it, files without a name may take up to `max_bytes`.
    name, content_type : str, optional
        What the user calls it, for messages.
    ra, dec, redshift, redshift_error : str, optional
        Columns of the positions and redshifts; by default found, see `service.catalogues.sky`.
    keep : sequence of str, optional
        Columns to give back with the results, in the order of the file; by default all.
    max_bytes : int
        Most bytes that a compressed file or an archive may unfold to.

    Returns
    -------
    Catalogue

    Raises
    ------
    CatalogueError
        If it cannot be read or used; the message names the row, from 1, and the column, where there is one.
    """
    with _unzipped(path, max_bytes) as plain:
        found = _read(plain, name or content_type or "the file", max_bytes)
    columns = Columns(ra, dec, redshift, redshift_error).found_in(found.table.schema, positions=found.images is None)
    if not len(found):
        raise CatalogueError("the catalogue has no rows.")
    if found.images is None:
        degrees = positions(found.table, columns)
        found = replace(found, ra=degrees[0], dec=degrees[1])
    return replace(found, table=_kept(found.table, keep), columns=columns, redshift=redshifts(found.table, columns))


def _read(path: Path, label: str, max_bytes: int) -> Catalogue:
    """The galaxies of a file that is not compressed as a whole."""
    with path.open("rb") as file:
        start = file.read(_HEAD)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise CatalogueError(f"{label} is empty. Send {_TAKEN}.")
    if start.startswith(b"SIMPLE  ="):
        return _read_fits(path)
    if start.startswith(b"PK\x03\x04"):
        return read_zip(path, path.parent, max_bytes)
    if start[257:262] == b"ustar":
        return read_tar(path, path.parent, max_bytes)
    if (size := path.stat().st_size) > MAX_TABLE:
        raise CatalogueError(
            f"{label} is a table of {size >> 20} MiB; {MAX_TABLE >> 20} MiB are taken. "
            "Send it in parts, or fewer columns."
        )
    if start.startswith(b"PAR1"):
        return Catalogue(read_parquet(path))
    if re.match(rb"<(\?xml|!--|!DOCTYPE|([A-Za-z]+:)?VOTABLE)|<\x00|\xff\xfe<|\xfe\xff\x00<", text):
        return Catalogue(read_votable(path))
    if re.match(rb"# %ECSV ", text):
        return Catalogue(read_ecsv(path))
    if b"\x00" in start or text.startswith(_FOREIGN):
        raise CatalogueError(f"{label} is none of the formats that are read. Send {_TAKEN}.")
    return Catalogue(read_csv(path))


def _read_fits(path: Path) -> Catalogue:
    try:
        with path.open("rb") as file, fits.open(file, memmap=True) as hdus:
            if image_columns(hdus):
                return read_image_columns(hdus, path.parent)
            if find_table(hdus) is not None and not any(hdu.is_image and len(hdu.shape) == 3 for hdu in hdus):
                return Catalogue(from_fits(hdus))
            return read_cubes(hdus, path.parent)
    except ReddenError:
        raise
    except Exception as error:  # on broken bytes astropy raises nearly any exception there is
        reason = str(error) or type(error).__name__
        raise CatalogueError(f"the FITS file is broken: {reason}. Make or download it again.") from error


@contextmanager
def _unzipped(path: Path, max_bytes: int) -> Iterator[Path]:
    """The file, or what it unfolds to if it is gzipped."""
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            yield path
            return
    with tempfile.NamedTemporaryFile(dir=path.parent) as plain:
        try:
            with gzip.open(path) as zipped:
                while piece := zipped.read(_PIECE):
                    if plain.tell() + len(piece) > max_bytes:
                        raise CatalogueError(f"the file unzips to more than {max_bytes >> 20} MiB. Send it in parts.")
                    plain.write(piece)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise CatalogueError(f"the file is broken gzip: {error}. Make or download it again.") from error
        plain.flush()
        yield Path(plain.name)


def _kept(table: pa.Table, keep: Sequence[str] | None) -> pa.Table:
    if keep is None:
        return table
    if missing := next((name for name in keep if name not in table.column_names), None):
        raise CatalogueError(f"the catalogue has no column {missing!r} to keep.{near(missing, table.schema)}")
    return table.select([name for name in table.column_names if name in set(keep)])
