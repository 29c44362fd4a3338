"""A running ``redden serve`` over the project's own models, and a service of separate processes."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

import httpx
import numpy as np
import pyarrow as pa
import pytest
from astropy.table import Table

from service.processes import free_port

pytest.register_assert_rewrite("tests.e2e.system")
from tests.e2e.system import BLANK, NOWHERE, ROWS, System  # noqa: E402

ROOT = Path(__file__).parents[2]


@dataclass
class Serve:
    """A ``redden serve`` process that is ready."""

    process: subprocess.Popen[str]
    url: str
    greeting: str

    def descendants(self) -> dict[int, str]:
        """Command lines of all its children and theirs, by process id."""
        there = processes()
        found = {self.process.pid}
        while more := {pid for pid, process in there.items() if process.parent in found} - found:
            found |= more
        return {pid: there[pid].command for pid in found - {self.process.pid}}


class Listed(NamedTuple):
    """A process of this machine."""

    state: str
    """One letter; Z has ended and waits for its parent."""
    parent: int
    command: str


def processes() -> dict[int, Listed]:
    """All processes by id, from Linux's ``/proc``, which needs no program."""
    if sys.platform != "linux":
        pytest.skip("processes are listed from Linux's /proc")
    listed = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            # "pid (name) state parent ...", where the name may hold spaces and parentheses
            state, parent, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            listed[int(folder.name)] = Listed(state, int(parent), command)
    return listed


def redden(*arguments: str | Path) -> tuple[str, ...]:
    """The command line of this checkout."""
    return (sys.executable, "-m", "service", *map(str, arguments))


def start(data_dir: Path) -> Serve:
    """Start ``redden serve`` on a free port and wait until it says that it is ready."""
    port = free_port()
    command = redden("serve", "--port", str(port), "--data-dir", data_dir)
    environment = {**os.environ, "COLUMNS": "200"}
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    assert process.stdout is not None
    greeting = ""
    while "/docs" not in greeting:
        line = process.stdout.readline()
        assert line, f"redden serve ended: {greeting}"
        greeting += line
    return Serve(process, f"http://127.0.0.1:{port}", greeting)


def alive(pids: set[int]) -> set[int]:
    """Those of the processes that still run."""
    return {pid for pid, process in processes().items() if pid in pids and process.state != "Z"}


@pytest.fixture
def survivors() -> Callable[[set[int]], set[int]]:
    """Wait for processes to end; those that do not are returned."""

    def survivors(pids: set[int]) -> set[int]:
        deadline = monotonic() + 15
        while alive(pids) and monotonic() < deadline:
            sleep(0.05)
        return alive(pids)

    return survivors


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A ``redden serve`` of the test's own."""
    served = start(tmp_path)
    yield served
    stop(served)


@pytest.fixture
def serve_again(tmp_path: Path) -> Iterator[Callable[[], Serve]]:
    """Start a ``redden serve`` of the test's own, each time with the same data."""
    started: list[Serve] = []

    def again() -> Serve:
        started.append(start(tmp_path))
        return started[-1]

    yield again
    for served in started:
        stop(served)


@pytest.fixture(scope="session")
def shared_serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A ``redden serve`` for tests that leave it as it is."""
    served = start(tmp_path_factory.mktemp("serve"))
    yield served
    stop(served)


def stop(served: Serve) -> None:
    """End it, unless the test did."""
    served.process.terminate()
    served.process.communicate(timeout=60)


@pytest.fixture(scope="session")
def gateway(shared_serve: Serve) -> Iterator[httpx.Client]:
    """A client of the shared gateway."""
    with httpx.Client(base_url=shared_serve.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a ``redden`` command."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "COLUMNS": "120"}
        return subprocess.run(
            redden(*arguments), cwd=ROOT, capture_output=True, text=True, check=False, env=environment, timeout=60
        )

    return run


@pytest.fixture(scope="session")
def real_galaxies(real_images: Path) -> dict[str, Sequence[Path]]:
    """The files of real galaxies, by name."""
    names = ("JOF_36", "JOF_370", "JOF_531", "NGDEEP2_645")
    found = {name: sorted((real_images / "jwst").glob(f"{name}_F*.fits")) for name in names}
    if missing := [name for name, files in found.items() if not files]:
        pytest.skip(f"the folder of real images lacks {', '.join(missing)}")
    return found


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The parts, of which tests kill some."""
    if sys.platform != "linux":
        pytest.skip("processes are looked up in Linux's /proc")
    with System(tmp_path_factory.mktemp("system")) as system:
        yield system


@pytest.fixture
def system(started: System) -> System:
    """A service with all its parts, and one worker."""
    started.restore()
    return started


@pytest.fixture(scope="session")
def catalogue() -> bytes:
    """Galaxies of the demo survey, with some rows that cannot be measured."""
    demo = Table.read(ROOT / "service/demo/survey/catalogue.ecsv")
    lines = ["id,ra,dec"]
    for number in range(ROWS):
        galaxy = demo[number * 7 % len(demo)]
        ra, dec = galaxy["ra"], galaxy["dec"] + (1 if number in NOWHERE else 0)
        lines.append(f"{number},," if number == BLANK else f"{number},{ra:.7f},{dec:.7f}")
    return "\n".join(lines).encode()


@pytest.fixture(scope="module")
def undisturbed(started: System, catalogue: bytes) -> pa.Table:
    """Results of a job that nothing happens to."""
    started.restore()
    job = started.submit(catalogue)
    state = started.ended(job)
    results = started.results(job)
    assert results["id"].to_pylist() == list(range(ROWS))
    failed = {row for row, status in enumerate(results["status"].to_pylist()) if status != "ok"}
    assert failed == {*NOWHERE, BLANK}
    assert state["rows"] == {"total": ROWS, "done": ROWS, "failed": len(failed)}
    measured = np.delete(results["a_v"].to_numpy(), sorted(failed))
    assert np.isfinite(measured).all()
    return results
