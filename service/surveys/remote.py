"""Reading parts of remote files: a block cache that all requests share, behind the file interface that astropy reads.

A window of a mosaic is a few hundred bytes from each of some fifty rows that lie a megabyte apart. The blocks of all
rows are fetched at once, so that a window costs about one round trip and not fifty.
"""

import io
import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final

import fsspec
from aiohttp import ClientError, ClientResponseError, ClientTimeout

from redden.errors import MosaicAwayError, MosaicError, ReddenError

log = logging.getLogger(__name__)

BLOCK: Final = 16 * 1024
"""Bytes of a block. A window needs a few hundred bytes of a row; the header of a mosaic fills a few blocks."""

MAX_READ_AHEAD: Final = 64
"""Most blocks that are fetched at once while a file is read on and on."""

TIMEOUT: Final = 20
"""Seconds that a server may stay silent."""

ATTEMPTS: Final = 2

REQUESTS: Final = 16
"""Requests for parts of a file that are under way at the same time."""

_WEB: Final = {"client_kwargs": {"timeout": ClientTimeout(total=None, sock_connect=TIMEOUT, sock_read=TIMEOUT)}}
_S3: Final = {
    "config_kwargs": {"connect_timeout": TIMEOUT, "read_timeout": TIMEOUT, "retries": {"max_attempts": ATTEMPTS}}
}
_OPTIONS: Final[dict[str, dict[str, Any]]] = {"http": _WEB, "https": _WEB, "s3": _S3}


@dataclass(slots=True)
class BlockCache:
    """Blocks of remote files, the least recently used of which go first.

    Attributes
    ----------
    capacity : int
        Bytes to keep.
    """

    capacity: int
    _blocks: OrderedDict[tuple[str, int], bytes] = field(default_factory=OrderedDict)
    _size: int = 0
    _lock: Any = field(default_factory=Lock)

    def get(self, path: str, number: int) -> bytes | None:
        """A block of a file, if it is there."""
        with self._lock:
            block = self._blocks.get((path, number))
            if block is not None:
                self._blocks.move_to_end((path, number))
            return block

    def put(self, path: str, number: int, block: bytes) -> None:
        """Keep a block."""
        with self._lock:
            self._size += len(block) - len(self._blocks.pop((path, number), b""))
            self._blocks[path, number] = block
            while self._size > self.capacity:
                self._size -= len(self._blocks.popitem(last=False)[1])


class Remote(io.RawIOBase):
    """A remote file that can be read at any place; by one thread at a time, but for `prefetch`.

    Parameters
    ----------
    path : str
        URL.
    options : dict
        Options of fsspec's file system.
    cache : BlockCache
        Where its blocks are kept.

    Raises
    ------
    MosaicError
        If there is no such file, it is not to be read by us, or its server does not give parts of files.
    MosaicAwayError
        If the server cannot be reached.
    """

    def __init__(self, path: str, options: dict[str, Any], cache: BlockCache) -> None:
        self.path = path
        self._cache = cache
        self._position = 0
        self._read_ahead = 1
        self._next_miss = -1
        try:
            self._files = file_system(path, options)
            with self._files.open(path, block_size=BLOCK, cache_type="none") as file:
                # One byte from within: a server that sends the whole file instead is found out before it does.
                file.seek(1)
                file.read(1)
                self.size = int(file.size)
        except Exception as error:  # fsspec lets through whatever the protocol's library raises
            raise remote_error(path, error) from error

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the cache, and from the server where the cache lacks a block."""
        stop = min(self._position + len(buffer), self.size)
        data = self._bytes(self._position, stop) if stop > self._position else b""
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Fetch the blocks of many (start, stop) ranges at once."""
        numbers = {number for start, stop in ranges for number in range(start // BLOCK, -(-stop // BLOCK))}
        self._fetch(sorted(number for number in numbers if self._cache.get(self.path, number) is None))

    def _bytes(self, start: int, stop: int) -> bytes:
        first = start // BLOCK
        blocks = [self._block(number) for number in range(first, -(-stop // BLOCK))]
        return b"".join(blocks)[start - first * BLOCK : stop - first * BLOCK]

    def _block(self, number: int) -> bytes:
        block = self._cache.get(self.path, number)
        if block is None:
            # Tiles of a compressed mosaic follow each other, and are asked for one by one.
            self._read_ahead = min(2 * self._read_ahead, MAX_READ_AHEAD) if number == self._next_miss else 1
            self._next_miss = number + self._read_ahead
            block = self._fetch(range(number, min(self._next_miss, -(-self.size // BLOCK))))[number]
        return block

    def _fetch(self, numbers: Sequence[int]) -> dict[int, bytes]:
        """Get blocks from the server and keep them; neighbours are one request, all requests are sent at once."""
        if not numbers:
            return {}
        runs = list(_runs(numbers))
        starts = [first * BLOCK for first, _ in runs]
        stops = [min(last * BLOCK, self.size) for _, last in runs]
        blocks: dict[int, bytes] = {}
        for start, stop, data in zip(starts, stops, self._ranges(starts, stops), strict=True):
            if len(data) != stop - start:
                raise MosaicError(
                    f"{short_name(self.path)} gave {len(data)} bytes where {stop - start} were asked for."
                )
            for offset in range(0, stop - start, BLOCK):
                blocks[(start + offset) // BLOCK] = data[offset : offset + BLOCK]
        for number, block in blocks.items():
            self._cache.put(self.path, number, block)
        return blocks

    def _ranges(self, starts: list[int], stops: list[int]) -> list[bytes]:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return list(
                    self._files.cat_ranges(
                        [self.path] * len(starts), starts, stops, batch_size=REQUESTS, on_error="raise"
                    )
                )
            except Exception as error:  # as above
                reason = remote_error(self.path, error)
                if attempt == ATTEMPTS or not isinstance(reason, MosaicAwayError):
                    raise reason from error
        raise AssertionError("unreachable")


def file_system(path: str, options: dict[str, Any]) -> Any:
    """The fsspec file system of a URL, with time-outs."""
    protocol = path.partition("://")[0]
    return fsspec.filesystem(protocol, **{**_OPTIONS[protocol], **options})


def remote_error(path: str, error: BaseException) -> ReddenError:
    """What an exception of fsspec means: the file cannot be had at all, or not now."""
    if isinstance(error, ReddenError):
        return error
    cause = error.__cause__
    # fsspec calls every failure to find out the size of a file on the web a missing file.
    if isinstance(error, FileNotFoundError) and isinstance(cause, (ClientError, TimeoutError, ConnectionError)):
        error = cause
    status = error.status if isinstance(error, ClientResponseError) else None
    name = short_name(path)
    log.warning("%s cannot be read: %r", path, error)
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return missing(path)
    if isinstance(error, PermissionError) or status in (401, 403):
        return MosaicError(f"{name} is not public. Give credentials in the environment, or another location.")
    if isinstance(error, ImportError):
        return MosaicError(f"{name} needs a library that is not installed: {error}. For S3: pip install 'redden[s3]'.")
    if isinstance(error, ValueError):
        return MosaicError(
            f"the server of {name} does not give parts of files, which is how windows are read. "
            "Copy the file to a disk and give that location."
        )
    return MosaicAwayError(f"{name} cannot be read now ({type(error).__name__}). Try again in a while.")


def missing(path: str) -> MosaicError:
    """There is no such file."""
    return MosaicError(f"there is no {short_name(path)}. Correct the survey file, or give another location.")


def short_name(path: str) -> str:
    """The name of a file without where it is, which may be nobody's business or hold a password."""
    return path.rpartition("/")[2].partition("?")[0]


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ascending numbers as ranges (first, last + 1) without gaps."""
    first = 0
    for index in range(1, len(numbers) + 1):
        if index == len(numbers) or numbers[index] != numbers[index - 1] + 1:
            yield numbers[first], numbers[index - 1] + 1
            first = index
