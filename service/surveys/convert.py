"""Bringing mosaics to a disk, unzipped: gzipped files cannot be read in parts."""

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import error as ZlibError

from redden.errors import MosaicError, SurveyError
from service.surveys.definition import Definition, is_remote
from service.surveys.remote import file_system, remote_error

_CHUNK = 2**22


def all_files(definition: Definition) -> list[str]:
    """Paths of all mosaics of a survey with their error and weight maps, and of its catalogue, each once."""
    tiles = [tile for band in definition.bands.values() for tile in band.mosaics]
    maps = [each.path for tile in tiles for each in (tile.error, tile.weight) if each and each.path]
    catalogue = [definition.catalogue] if definition.catalogue else []
    return list(dict.fromkeys([*(tile.path for tile in tiles), *maps, *catalogue]))


def place_under(path: str, base: str, directory: Path) -> Path:
    """Where a file of a survey comes to lie: as far below `directory` as it is below `base`, its location.

    Raises
    ------
    SurveyError
        If it is not below `base`.
    """
    relative = path.removeprefix(f"{base}/").removesuffix(".gz")
    if f"{base}/{relative}" != path.removesuffix(".gz") or ".." in Path(relative).parts:
        raise SurveyError(f"{path} is not below the survey's location {base}. Bring it to the disk by hand.")
    return directory / relative


def copy_unzipped(path: str, target: Path, storage: dict[str, Any], progress: Callable[[int], None]) -> None:
    """Copy a file, which may be remote, and unzip it if its name ends in ``.gz``.

    Parameters
    ----------
    path : str
        Path or URL.
    target : Path
        File to write. Until it is complete it has another name.
    storage : dict
        Options of fsspec's file system.
    progress : callable
        Told of the number of bytes that were just written.

    Raises
    ------
    MosaicError
        If the file cannot be read, or is no gzip.
    """
    partial = target.with_name(f"{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _source(path, storage) as stream, partial.open("wb") as output:
            while chunk := stream.read(_CHUNK):
                output.write(chunk)
                progress(len(chunk))
    except (gzip.BadGzipFile, EOFError, ZlibError) as error:
        raise MosaicError(f"{path} is broken gzip: {error}. Make or download it again.") from error
    except Exception as error:  # fsspec lets through whatever the protocol's library raises
        raise remote_error(path, error) from error
    partial.replace(target)


@contextmanager
def _source(path: str, storage: dict[str, Any]) -> Iterator[Any]:
    """The file's content, unzipped."""
    with file_system(path, storage).open(path, "rb") if is_remote(path) else Path(path).open("rb") as packed:
        if path.endswith(".gz"):
            with gzip.open(packed) as stream:
                yield stream
        else:
            yield packed
