"""Child processes that start together, and of which none survives: used by ``redden serve``."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Final, Self

from redden.errors import ReddenError

STOP_TIMEOUT: Final = 10.0
"""Seconds that a child has to stop by itself."""

LOG_LINES: Final = 15
"""Lines of its log that are shown when a child dies."""

_DIE_WITH_PARENT: Final = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG, which outlives exec
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""A program that becomes another one, to which the kernel sends SIGTERM when its parent dies."""


class ChildDiedError(ReddenError):
    """A child process ended by itself."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running child process."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def last_lines(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])


@dataclass(slots=True)
class Children:
    """Processes that are stopped one after the other, the last one first, when the ``with`` block ends.

    On Linux the kernel also ends them when this process is killed, so that no orphan is left.

    Attributes
    ----------
    log_dir : Path
        Each child writes to ``NAME.log`` there.
    environment : mapping of str to str
        Environment variables that all children get in addition.
    """

    log_dir: Path
    environment: Mapping[str, str]
    _children: list[Child] = field(default_factory=list)

    def start(self, name: str, command: Sequence[str | Path], stdin: str = "") -> Child:
        """Start a child. It is the leader of a process group, so that Ctrl-C reaches only this process."""
        wrapper = (sys.executable, "-ISc", _DIE_WITH_PARENT) if sys.platform == "linux" else ()
        log = self.log_dir / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(part) for part in (*wrapper, *command)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        child = Child(name, process, log)
        self._children.append(child)
        assert process.stdin is not None
        with process.stdin as pipe, suppress(BrokenPipeError):
            pipe.write(stdin.encode())
        return child

    def check(self) -> None:
        """Raise `ChildDiedError` if a child has ended."""
        for child in self._children:
            if (status := child.process.poll()) is not None:
                raise ChildDiedError(f"the {child.name} stopped with status {status}:\n{child.last_lines()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for child in reversed(self._children):  # each while those that it needs are still there
            child.process.terminate()
            deadline = monotonic() + STOP_TIMEOUT
            while child.process.poll() is None and monotonic() < deadline:
                sleep(0.02)
            with suppress(ProcessLookupError):  # grandchildren too, such as a worker's pool
                os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()


def free_port() -> int:
    """A free TCP port on the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there."""
    try:
        socket.create_server((host, port)).close()
    except OSError:
        return False
    return True
