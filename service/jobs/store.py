"""Where catalogues and results are kept: a directory, or any URL that fsspec knows, such as ``s3://bucket/jobs``."""

import errno
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, Self, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from redden.errors import ReddenError

INCOMING: Final = "incoming"
"""Directory of folders that are not complete yet."""

_ID: Final = re.compile(r"[0-9a-f]{28}(-.*)?")

_WITH_BUCKETS: Final = frozenset({"s3", "gs", "abfs"})
"""Object stores, whose paths begin with the name of a bucket."""

_COPIES: Final = 4
"""Folders of a remote store that a process keeps a copy of."""


class StorageError(ReddenError):
    """Catalogues or results cannot be kept: the disk is full, or the store is away."""


@contextmanager
def storing(what: str) -> Iterator[None]:
    """Turn what the operating system says in the block into a `StorageError`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(f"{what} cannot be stored: {reason}. Make room, or correct REDDEN_JOBS_URL.") from error


def new_id() -> str:
    """A name that begins with the time, so that names sort by age, and that nobody can guess."""
    return f"{int(time.time() * 1000):012x}{secrets.token_hex(8)}"


def made_before(names: Iterable[str], moment: float) -> set[str]:
    """Those names that begin with a `new_id` of before a moment, in seconds since 1970; others are left aside."""
    ours = (name for name in names if _ID.fullmatch(name))
    return {name for name in ours if int(name[:12], 16) < moment * 1000}


@dataclass(frozen=True, slots=True)
class Store:
    """Folders with files in them, which other machines may write at the same time.

    Attributes
    ----------
    fs : fsspec.AbstractFileSystem
        Its file system.
    root : str
        Its path there.
    """

    fs: Any
    root: str

    @classmethod
    def at(cls, url: str) -> Self:
        """The store at a directory or URL, which need not exist yet.

        Raises
        ------
        StorageError
            If no file system knows such URLs.
        """
        try:
            fs, root = fsspec.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise StorageError(f"REDDEN_JOBS_URL {url!r} cannot be used: {error}.") from error
        return cls(fs, root.rstrip("/"))

    @property
    def is_local(self) -> bool:
        """Whether its files are those of this machine."""
        return isinstance(self.fs, LocalFileSystem)

    def path(self, *parts: str) -> str:
        """Path of a file or folder on the file system."""
        return str(PurePosixPath(self.root, *parts))

    @contextmanager
    def new(self, folder: str) -> Iterator[Path]:
        """A directory of this machine to fill; it becomes the folder, all at once if local, when the block ends."""
        with tempfile.TemporaryDirectory(prefix=f"{new_id()}-", dir=self._incoming()) as name:
            filled = Path(name) / "folder"
            filled.mkdir()
            yield filled
            if self.is_local:
                Path(self.path(folder)).parent.mkdir(parents=True, exist_ok=True)
                filled.replace(self.path(folder))
            else:
                self._check_bucket()
                self.fs.put(f"{filled}/", f"{self.path(folder)}/", recursive=True)

    def _check_bucket(self) -> None:
        """Refuse a bucket that is not there, or what is put would make one of a mistyped name."""
        protocols = (self.fs.protocol,) if isinstance(self.fs.protocol, str) else self.fs.protocol
        bucket = self.root.partition("/")[0]
        if _WITH_BUCKETS.intersection(protocols) and not self.fs.exists(bucket):
            raise FileNotFoundError(errno.ENOENT, f"there is no bucket {bucket}")

    def _incoming(self) -> str | None:
        """Directory of unfinished folders: beside the finished ones if these are local, so that they can be moved."""
        if not self.is_local:
            return None
        incoming = Path(self.path(INCOMING))
        incoming.mkdir(parents=True, exist_ok=True)
        return str(incoming)

    def write(self, folder: str, name: str, content: bytes) -> None:
        """Write a file so that it is there as a whole or not at all; one of this name is replaced.

        Raises
        ------
        OSError
            If there is no room for it, or no folder.
        """
        path = self.path(folder, name)
        if not self.is_local:
            self.fs.pipe_file(path, content)  # object stores show an object when it is complete
            return
        with tempfile.NamedTemporaryFile(dir=Path(path).parent, prefix=".", delete=False) as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise

    def open(self, folder: str, name: str) -> BinaryIO:
        """Open a file for reading. Raises OSError if it is not there."""
        return cast(BinaryIO, self.fs.open(self.path(folder, name), "rb"))

    def copy(self, folder: str) -> Path:
        """The folder as a directory of this machine: itself if it is local, otherwise a copy, which is kept a while.

        Only for folders that do not change.
        """
        if self.is_local:
            return Path(self.path(folder))
        return _copy(self, folder).path

    def folders(self, within: str) -> list[str]:
        """Names of the folders in a folder; none if it is not there."""
        with suppress(FileNotFoundError):
            return [PurePosixPath(path).name for path in self.fs.ls(self.path(within), detail=False, refresh=True)]
        return []

    def remove(self, folder: str) -> None:
        """Remove a folder with all in it, if it is there."""
        if self.is_local:
            shutil.rmtree(self.path(folder), ignore_errors=True)
            return
        with suppress(FileNotFoundError):
            self.fs.rm(self.path(folder), recursive=True)


@dataclass(frozen=True, slots=True)
class _Copy:
    path: Path
    directory: tempfile.TemporaryDirectory[str]
    """Removes itself when nobody has it any more."""


@lru_cache(_COPIES)
def _copy(store: Store, folder: str) -> _Copy:
    directory = tempfile.TemporaryDirectory()
    path = Path(directory.name) / "folder"
    store.fs.get(f"{store.path(folder)}/", f"{path}/", recursive=True)
    return _Copy(path, directory)
