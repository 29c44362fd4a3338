"""A file that is read while it is written, so that it need never be whole."""

import io
from collections.abc import Callable, Iterator
from queue import Queue
from threading import Event, Thread
from typing import IO, Any, Final

_BLOCK: Final = 2**18
"""Bytes that travel together."""

_AHEAD: Final = 8
"""Blocks that may wait for their reader."""


class _Pipe(io.RawIOBase):
    """The end that is written to."""

    def __init__(self, blocks: "Queue[bytes | None]", abandoned: Event) -> None:
        self._blocks = blocks
        self._abandoned = abandoned

    def writable(self) -> bool:
        return True

    def write(self, block: Any) -> int:
        if self._abandoned.is_set():
            raise BrokenPipeError("nobody reads any more")
        self._blocks.put(bytes(block))
        return len(block)


def streamed(write: Callable[[IO[bytes]], None]) -> Iterator[bytes]:
    """What a function writes into a file, while it writes it in another thread.

    Parameters
    ----------
    write : callable
        Takes a file that can be written to but not sought in. What it raises is raised here.

    Yields
    ------
    bytes
        The next bytes of the file.
    """
    blocks: Queue[bytes | None] = Queue(_AHEAD)
    abandoned, failures = Event(), []

    def work() -> None:
        try:
            with io.BufferedWriter(_Pipe(blocks, abandoned), _BLOCK) as file:
                write(file)
        except BaseException as error:  # noqa: BLE001  # raised in the thread of the reader
            failures.append(error)
        finally:
            blocks.put(None)

    thread = Thread(target=work, name="results")
    thread.start()
    try:
        while (block := blocks.get()) is not None:
            yield block
    finally:
        abandoned.set()
        while thread.is_alive():  # it may be waiting for room
            _drain(blocks)
            thread.join(0.05)
    if failures:
        raise failures[0]


def _drain(blocks: "Queue[bytes | None]") -> None:
    while not blocks.empty():
        blocks.get_nowait()
