"""The parts of a service as processes of a test's own, and the jobs that they do."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Self

import httpx
import pyarrow as pa
import pyarrow.parquet as pq

from service.embedded import redis_binary
from service.processes import Child, Children, free_port

PATIENCE = 150
"""Seconds that anything may take on a busy machine."""
PARTS = ("redis", "model-server", "gateway", "worker")
ROWS = 120
CHUNK_ROWS = 20
NOWHERE = (17, 110)
"""Rows off the footprint."""
BLANK = 50
"""A row without a position."""


class System:
    """The parts of a service, each a process that may be killed and started again.

    Parameters
    ----------
    folder : Path
        For data and logs.
    environment : str
        Settings of the parts, besides those of the system.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        (folder / "logs").mkdir()
        self._ports = {name: free_port() for name in ("gateway", "redis", "model-server")}
        self._folder = folder
        self.running: dict[str, Child] = {}
        self.jobs_dir = folder / "jobs"
        settings = {
            "REDDEN_MODEL_SERVER": f"127.0.0.1:{self._ports['model-server']}",
            "REDDEN_REDIS_URL": f"redis://127.0.0.1:{self._ports['redis']}/0",
            "REDDEN_JOBS_URL": str(self.jobs_dir),
            "REDDEN_CHUNK_ROWS": str(CHUNK_ROWS),
            "REDDEN_PREDICT_DEADLINE": "120",
        }
        self._children = Children(folder / "logs", settings | environment)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self._ports['gateway']}", timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.client.close()
        self._children.__exit__(*exception)

    def start(self, name: str, *prefix: str | Path) -> None:
        """Start a part; ``prefix`` is a command that starts its command."""
        kind = name.partition(".")[0]
        command, stdin = self._command(kind)
        self.running[name] = self._children.start(name, (*prefix, *command), stdin=stdin)

    def _command(self, kind: str) -> tuple[tuple[str | Path, ...], str]:
        python = (sys.executable, "-m")
        port = self._ports.get(kind)
        if kind == "redis":
            config = (
                f'bind 127.0.0.1\nport {port}\ndir "{self._folder}"\nsave ""\nappendonly yes\nappendfsync everysec\n'
            )
            return (redis_binary(), "-"), config
        if kind == "gateway":
            return (*python, "uvicorn", "--factory", "service.app:create_app", "--port", str(port)), ""
        return (*python, "service", kind), ""

    def kill(self, name: str) -> None:
        """SIGKILL a part, with its children."""
        child = self.running.pop(name)
        self._children._children.remove(child)
        os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a part and its children."""
        os.killpg(self.running[name].process.pid, number)

    def pool_children(self, name: str) -> list[int]:
        """Process ids of a worker's children."""
        pid = self.running[name].process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def log(self, name: str) -> str:
        """What a part has said."""
        return (self._folder / "logs" / f"{name}.log").read_text()

    def restore(self) -> None:
        """Start what a test has left killed or stopped, and end the workers that it started besides the first."""
        for name in PARTS:
            if name in self.running:
                self.signal(name, signal.SIGCONT)
            else:
                self.start(name)
        for name in self.running.keys() - set(PARTS):
            self.kill(name)
        self.ready()

    def ready(self) -> None:
        """Wait until the gateway answers, and model server and queue are there."""

        def there() -> bool:
            with suppress(httpx.TransportError):
                parts = self.client.get("/readyz").json()
                return bool(parts["ready"] and parts["queue"] == "AVAILABLE")
            return False

        eventually(there)

    def submit(self, catalogue: bytes) -> str:
        """Begin a job."""
        answer = self.client.post("/v1/jobs", files={"catalogue": ("galaxies.csv", catalogue)}, data={"survey": "demo"})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def job(self, job: str) -> dict[str, Any]:
        """How far a job is."""
        answer = self.client.get(f"/v1/jobs/{job}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def begun(self, catalogue: bytes) -> str:
        """A job that has done some of its rows, and waits for a model server that was stopped: a chunk is in flight."""
        job = self.submit(catalogue)
        eventually(lambda: self.job(job)["rows"]["done"] > 0)
        self.signal("model-server", signal.SIGSTOP)
        done = -1
        while (now := self.job(job)["rows"]["done"]) != done:
            done = now
            sleep(0.7)
        assert 0 < done < ROWS
        return job

    def ended(self, job: str, phase: str = "COMPLETED") -> dict[str, Any]:
        """Wait for the end of a job."""
        eventually(lambda: self.job(job)["phase"] in ("COMPLETED", "ERROR", "ABORTED"))
        state = self.job(job)
        assert state["phase"] == phase, state
        return state

    def results(self, job: str) -> pa.Table:
        """The results of a job."""
        answer = self.client.get(f"/v1/jobs/{job}/results", params={"format": "parquet"})
        assert answer.status_code == 200, answer.text
        return pq.read_table(BytesIO(answer.content))


def eventually(condition: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Wait for something to become true."""
    deadline = monotonic() + patience
    while not condition():
        assert monotonic() < deadline
        sleep(0.02)


def check(system: System, job: str, undisturbed: pa.Table) -> None:
    """A job ends, each of its rows is counted once, and its results are what they should be."""
    state = system.ended(job)
    assert state["rows"] == {"total": ROWS, "done": ROWS, "failed": len(NOWHERE) + 1}
    assert system.results(job).equals(undisturbed)
