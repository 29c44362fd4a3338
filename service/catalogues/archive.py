"""Archives of FITS cutouts, zip or tar: one file per galaxy, or one file per galaxy and band.

Nothing is unpacked to where an archive says; the files are copied, one after the other, into one file without a name.
"""

import os
import re
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, Any, Final, cast

import pyarrow as pa

from redden.bands import find_bands
from redden.errors import CatalogueError
from service.catalogues.catalogue import FILES, Catalogue, Images

MAX_FILE: Final = 64 * 2**20
"""Most bytes of a file in an archive."""

_FITS: Final = re.compile(r"\.(fits|fit|fts)(\.gz|\.fz)?$", re.IGNORECASE)
_HIDDEN: Final = re.compile(r"(^|/)(\.|__MACOSX/)")
_SEPARATORS: Final = r"[\s_.\-]"


def read_zip(path: Path, folder: Path, max_bytes: int) -> Catalogue:
    """The galaxies of a zip archive; parameters and errors as of `read_tar`."""
    try:
        with zipfile.ZipFile(path) as archive, closing(_in_zip(archive)) as members:
            return _gathered(members, folder, max_bytes)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        # The middle two are what Python says of other compressions and of encryption.
        raise CatalogueError(f"the zip archive cannot be read: {error}. Make it again, without a password.") from error


def read_tar(path: Path, folder: Path, max_bytes: int) -> Catalogue:
    """The galaxies of a tar archive, in the order in which they come there.

    Parameters
    ----------
    path : Path
        The archive.
    folder : Path
        Where the files are put, in a file without a name.
    max_bytes : int
        Most bytes of all files together.

    Raises
    ------
    CatalogueError
        If it is broken, holds no FITS files, one of more than `MAX_FILE` bytes, more than `max_bytes` altogether,
        or two files of the same galaxy and band.
    """
    try:
        with path.open("rb") as file, tarfile.open(fileobj=cast(IO[bytes], _Sips(file)), mode="r:") as archive:
            return _gathered(_in_tar(archive), folder, max_bytes)
    except (tarfile.TarError, EOFError) as error:
        raise CatalogueError(f"the tar archive cannot be read: {error}. Make it again.") from error


class _Sips:
    """A file that is read in bounded pieces: the headers of a tar may ask for gigabytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell, self._read = file.seek, file.tell, file.read

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_FILE:
            raise CatalogueError(f"the archive has a header of {size:,} bytes. Make it again.")
        return self._read(size)


def _in_zip(archive: zipfile.ZipFile) -> Generator[tuple[str, int, IO[bytes]]]:
    for member in archive.infolist():
        if _is_wanted(member.filename) and not member.is_dir():
            with archive.open(member) as file:
                yield member.filename, member.file_size, file


def _in_tar(archive: tarfile.TarFile) -> Iterator[tuple[str, int, Any]]:
    for member in archive:
        if _is_wanted(member.name) and member.isreg() and not member.issparse():
            yield member.name, member.size, archive.extractfile(member)


def _is_wanted(name: str) -> bool:
    return bool(_FITS.search(name)) and not _HIDDEN.search(name)


def _gathered(members: Iterator[tuple[str, int, IO[bytes]]], folder: Path, max_bytes: int) -> Catalogue:
    """Copy the files into one, and tell which belong together."""
    with ExitStack() as stack:
        pixels = stack.enter_context(tempfile.TemporaryFile(dir=folder))
        files = _copied(members, pixels, max_bytes)
        galaxies = _by_galaxy(files)
        stack.pop_all()  # the catalogue keeps it
    table = pa.table({"object": pa.array(list(galaxies), pa.string())})
    return Catalogue(table, images=Images(pa.array([*galaxies.values()], FILES), pixels))


def _copied(members: Iterator[tuple[str, int, IO[bytes]]], pixels: IO[bytes], max_bytes: int) -> list[dict[str, Any]]:
    """Copy the files, and tell where each is."""
    files: list[dict[str, Any]] = []
    offset = 0
    for name, size, file in members:
        if size > MAX_FILE:
            raise CatalogueError(
                f"{name} in the archive has {size >> 20} MiB; {MAX_FILE >> 20} are taken. Send cutouts of the galaxies."
            )
        if offset + size > max_bytes:
            raise CatalogueError(f"the archive unpacks to more than {max_bytes >> 20} MiB. Send it in parts.")
        copied = pixels.write(file.read(size))
        files.append({"name": name, "offset": offset, "size": copied})
        offset += copied
    if not files:
        raise CatalogueError("the archive holds no FITS files (names ending in .fits, .fit or .fits.gz).")
    return files


def _by_galaxy(files: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The files of each galaxy, by the name of the galaxy: that of the file without its band and common folders."""
    told: dict[tuple[str, str], str] = {}
    galaxies: dict[str, list[dict[str, Any]]] = {}
    for file in files:
        galaxy, band = _galaxy_and_band(file["name"])
        if other := told.get((galaxy, band)):
            raise CatalogueError(f"{other} and {file['name']} in the archive are of the same galaxy and band.")
        told[galaxy, band] = file["name"]
        galaxies.setdefault(galaxy, []).append(file)
    common = os.path.commonpath([f"./{galaxy}" for galaxy in galaxies]).removeprefix(".").lstrip("/")
    prefix = f"{common}/" if common and common not in galaxies else ""
    return {galaxy.removeprefix(prefix) or "object": group for galaxy, group in galaxies.items()}


def _galaxy_and_band(name: str) -> tuple[str, str]:
    """``cutouts/17_F277W_sci.fits`` is band F277W of galaxy ``cutouts/17_sci``, as is ``cutouts/F277W/17_sci.fits``."""
    stem = _FITS.sub("", name)
    bands = find_bands(stem)
    for band in bands:
        stem = re.sub(rf"(?i)(?<![a-z0-9]){band}(?![a-z0-9])", "", stem)
    stem = re.sub(rf"({_SEPARATORS}){_SEPARATORS}+", r"\1", stem)
    stem = re.sub(rf"{_SEPARATORS}*/[\s_.\-/]*", "/", stem).strip(" _.-/")
    return stem, " ".join(bands)
