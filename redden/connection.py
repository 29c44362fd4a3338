"""Sending requests to a redden service, at once or awaited, and what can go wrong on the way."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, TypeVar

import httpx

from redden.errors import ReddenError
from redden.requests import Request

if TYPE_CHECKING:
    from astropy.table import Table

T = TypeVar("T")

DEFAULT_URL: Final = "http://127.0.0.1:8000"
"""Where ``redden serve`` listens."""

_PATIENCE: Final = 600.0
"""Seconds that a service may take to read a large catalogue."""


class NoServiceError(ReddenError):
    """No redden service answers at the address."""


class RefusedError(ReddenError):
    """The service refused the request; the message is the problem's ``detail``.

    Attributes
    ----------
    status : int
        HTTP status.
    problem : dict
        The problem details (RFC 9457) as they came.
    """

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        # All members are optional, and a proxy on the way may know other ones.
        super().__init__(
            problem.get("detail") or problem.get("title") or f"the request was refused with status {status}."
        )
        self.status = status
        self.problem = problem


class Connection:
    """A connection that waits for each answer.

    Parameters
    ----------
    url : str
        Address of the service.
    timeout : float
        Seconds to wait for an answer.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self._http = httpx.Client(base_url=url, timeout=timeout)

    def ask(self, request: Request[T]) -> T:
        """The answer to a request."""
        with self._stream(request) as response:
            return request.read(response.read())

    def lines(self, request: Request[T]) -> Iterator[T]:
        """The answers to a request, a line each, as they come."""
        with self._stream(request) as response:
            for line in response.iter_lines():
                yield request.read(line.encode())

    def pieces(self, request: Request[bytes]) -> Iterator[bytes]:
        """The answer to a request as it comes."""
        with self._stream(request) as response:
            yield from response.iter_bytes()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    @contextmanager
    def _stream(self, request: Request[Any]) -> Iterator[httpx.Response]:
        """A successful response whose body has yet to come."""
        with ExitStack() as files, _in_our_words(self._http.base_url):
            content = _content(request, files, self._http.timeout)
            with self._http.stream(request.method, request.path, **content) as response:
                if not response.is_success:
                    response.read()
                    raise _refusal(response, self._http.base_url)
                yield response


class AsyncConnection:
    """A connection whose answers are awaited; parameters as of `Connection`."""

    def __init__(self, url: str, timeout: float) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout)

    async def ask(self, request: Request[T]) -> T:
        """The answer to a request."""
        async with self._stream(request) as response:
            return request.read(await response.aread())

    async def lines(self, request: Request[T]) -> AsyncIterator[T]:
        """The answers to a request, a line each, as they come."""
        async with self._stream(request) as response:
            async for line in response.aiter_lines():
                yield request.read(line.encode())

    async def pieces(self, request: Request[bytes]) -> AsyncIterator[bytes]:
        """The answer to a request as it comes."""
        async with self._stream(request) as response:
            async for piece in response.aiter_bytes():
                yield piece

    async def close(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    @asynccontextmanager
    async def _stream(self, request: Request[Any]) -> AsyncIterator[httpx.Response]:
        """A successful response whose body has yet to come."""
        with ExitStack() as files, _in_our_words(self._http.base_url):
            content = _content(request, files, self._http.timeout)
            async with self._http.stream(request.method, request.path, **content) as response:
                if not response.is_success:
                    await response.aread()
                    raise _refusal(response, self._http.base_url)
                yield response


def _path(file: "str | Path | Table", files: ExitStack) -> Path:
    """Where a file is; a table becomes one for as long as the stack is not left."""
    if isinstance(file, str | Path):
        return Path(file)
    path = Path(files.enter_context(TemporaryDirectory())) / "table.ecsv"
    file.write(path, format="ascii.ecsv")
    return path


def _content(request: Request[Any], files: ExitStack, timeout: httpx.Timeout) -> Mapping[str, Any]:
    """What httpx sends; the files are open until the stack is left."""
    content = dict(request.content)
    if request.files:
        opened = ((part, _path(file, files), kind) for part, file, kind in request.files)
        content["files"] = [
            (part, (path.name, files.enter_context(path.open("rb")), kind)) for part, path, kind in opened
        ]
    if request.patient:
        content["timeout"] = httpx.Timeout(**{**timeout.as_dict(), "read": _PATIENCE})
    return content


@contextmanager
def _in_our_words(url: httpx.URL) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise NoServiceError(f"the service at {url} did not answer in time.") from error
    except httpx.TransportError as error:
        raise NoServiceError(
            f"no redden service answers at {url} ({error}). Start one with `redden serve`, or give its address."
        ) from error


def _refusal(response: httpx.Response, url: httpx.URL) -> ReddenError:
    """What a response without success means; its body has been read."""
    if response.headers.get("content-type") == "application/problem+json":
        return RefusedError(response.status_code, _problem(response))
    return NoServiceError(f"{url} answered {response.status_code} {response.reason_phrase}; that is no redden service.")


def _problem(response: httpx.Response) -> dict[str, Any]:
    """The problem details in a response; none if it holds something else."""
    try:
        problem = response.json()
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}
