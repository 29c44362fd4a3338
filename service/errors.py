"""From exceptions to answers: one table, and ``application/problem+json`` (RFC 9457) for everything that goes wrong."""

import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import uuid4

from astropy.io.fits import VerifyError
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from redden.errors import (
    BadPixelsError,
    BandError,
    CatalogueError,
    ModelCardError,
    ModelServerError,
    MosaicAwayError,
    MosaicError,
    NoCatalogueError,
    OffFootprintError,
    PixelGridError,
    ReddenError,
    UnitError,
    UnknownModelError,
    UnknownSurveyError,
    UnreadableFileError,
)
from service.inference.client import ModelServerTimeoutError
from service.jobs.state import JobPhaseError, UnknownJobError
from service.jobs.store import StorageError

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"


class UploadError(ReddenError):
    """The request carries no files, or not in the way that is asked for."""


class TooLargeError(ReddenError):
    """The request body is larger than the service takes."""


class MediaTypeError(ReddenError):
    """The request body is of a media type that the service does not take."""


class UnknownCatalogueError(ReddenError):
    """There is no such uploaded catalogue, or no longer."""


class UnknownRowError(ReddenError):
    """A job's catalogue has no such row."""


class IdempotencyError(ReddenError):
    """An ``Idempotency-Key`` was used for something else before, or is in use right now."""


@dataclass(frozen=True, slots=True)
class ProblemType:
    """What one class of exception means over HTTP."""

    status: HTTPStatus
    name: str
    title: str


PROBLEM_TYPES: Final[dict[type[Exception], ProblemType]] = {
    UploadError: ProblemType(HTTPStatus.BAD_REQUEST, "upload", "The request carries no usable files"),
    ClientDisconnect: ProblemType(HTTPStatus.BAD_REQUEST, "disconnected", "The upload was broken off"),
    UnknownModelError: ProblemType(HTTPStatus.NOT_FOUND, "unknown-model", "There is no such model"),
    UnknownSurveyError: ProblemType(HTTPStatus.NOT_FOUND, "unknown-survey", "There is no such survey"),
    NoCatalogueError: ProblemType(HTTPStatus.NOT_FOUND, "no-catalogue", "The survey has no catalogue"),
    OffFootprintError: ProblemType(HTTPStatus.NOT_FOUND, "off-footprint", "The survey has no data there"),
    UnknownJobError: ProblemType(HTTPStatus.NOT_FOUND, "unknown-job", "There is no such job"),
    UnknownCatalogueError: ProblemType(HTTPStatus.NOT_FOUND, "unknown-catalogue", "There is no such catalogue"),
    UnknownRowError: ProblemType(HTTPStatus.NOT_FOUND, "unknown-row", "There is no such row"),
    JobPhaseError: ProblemType(HTTPStatus.CONFLICT, "job-phase", "The job cannot do that now"),
    IdempotencyError: ProblemType(HTTPStatus.CONFLICT, "idempotency-key", "The idempotency key is in use"),
    TooLargeError: ProblemType(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", "The upload is too large"),
    MediaTypeError: ProblemType(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "media-type", "The upload is of the wrong type"),
    RequestValidationError: ProblemType(HTTPStatus.UNPROCESSABLE_ENTITY, "parameter", "A parameter is wrong"),
    CatalogueError: ProblemType(HTTPStatus.UNPROCESSABLE_ENTITY, "catalogue", "The catalogue cannot be used"),
    UnreadableFileError: ProblemType(HTTPStatus.UNPROCESSABLE_ENTITY, "unreadable-file", "A file is not a FITS image"),
    VerifyError: ProblemType(HTTPStatus.UNPROCESSABLE_ENTITY, "broken-header", "A FITS header is broken"),
    BandError: ProblemType(HTTPStatus.UNPROCESSABLE_ENTITY, "band", "The bands do not fit"),
    UnitError: ProblemType(HTTPStatus.UNPROCESSABLE_ENTITY, "unit", "The pixels have no usable flux unit"),
    PixelGridError: ProblemType(HTTPStatus.UNPROCESSABLE_ENTITY, "pixel-grid", "The pixel grid cannot be used"),
    BadPixelsError: ProblemType(HTTPStatus.UNPROCESSABLE_ENTITY, "bad-pixels", "The pixels cannot be measured"),
    ModelServerError: ProblemType(HTTPStatus.SERVICE_UNAVAILABLE, "model-server", "The model server cannot answer"),
    ModelServerTimeoutError: ProblemType(HTTPStatus.GATEWAY_TIMEOUT, "timeout", "The model server is too slow"),
    RedisError: ProblemType(HTTPStatus.SERVICE_UNAVAILABLE, "queue", "The queue of the jobs is away"),
    StorageError: ProblemType(HTTPStatus.INSUFFICIENT_STORAGE, "storage", "The results cannot be stored"),
    MosaicError: ProblemType(HTTPStatus.BAD_GATEWAY, "mosaic", "A mosaic of the survey cannot be read"),
    MosaicAwayError: ProblemType(HTTPStatus.SERVICE_UNAVAILABLE, "mosaic-away", "A mosaic cannot be read now"),
    ModelCardError: ProblemType(HTTPStatus.INTERNAL_SERVER_ERROR, "model-card", "The model does not fit its card"),
    Exception: ProblemType(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "An error inside redden"),
}
"""What each exception means; a class that is not here counts as its nearest base class."""


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: Annotated[
        str, Field(description="Which kind of problem, a stable reference such as `/problems/unit`, or `about:blank`.")
    ]
    title: Annotated[str, Field(description="The kind of problem in words.")]
    status: Annotated[int, Field(description="HTTP status.")]
    detail: Annotated[str, Field(description="What is wrong here, and what would be right.")]
    instance: Annotated[str, Field(description="Name of this occurrence, which the log holds too.")]


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Problems of these statuses, in the words of OpenAPI."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {
            "description": "; ".join(kind.title for kind in PROBLEM_TYPES.values() if kind.status == status) + ".",
            "content": content,
        }
        for status in statuses
    }


def problem_type(error: Exception) -> ProblemType:
    """The entry of `PROBLEM_TYPES` for this exception."""
    return next(PROBLEM_TYPES[kind] for kind in type(error).__mro__ if kind in PROBLEM_TYPES)


def _detail(error: Exception, kind: ProblemType) -> str:
    if isinstance(error, RequestValidationError):
        return " ".join(
            f"{_parameter(part['loc'])}{part['msg'].removeprefix('Value error, ')}." for part in error.errors()
        )
    if isinstance(error, ClientDisconnect):
        return "The connection was closed before the body was complete."
    if isinstance(error, RedisError):
        return "The state of jobs cannot be read or changed now; try again in a moment."
    if isinstance(error, VerifyError):
        return f"A FITS header cannot be understood: {error} Write or download the file again."
    if isinstance(error, ReddenError):
        text = str(error)
        # A sentence begins with a capital, unless it begins with the name of a file.
        return text[:1].upper() + text[1:] if text.partition(" ")[0].isalpha() else text
    return f"This is a fault of redden, not yours ({kind.name}). Its log tells more."


def _parameter(location: tuple[str | int, ...]) -> str:
    name = ".".join(str(part) for part in location[1:])
    return f"{name}: " if name else ""


def _respond(request: Request, problem: Problem, headers: dict[str, str]) -> Response:
    level = logging.ERROR if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO
    where = f"{request.method} {request.url.path}"
    # One line, whatever is in it: it may quote a header or a file name.
    log.log(level, "%s %d %s %s %r", where, problem.status, problem.type, problem.instance, problem.detail)
    return Response(problem.model_dump_json(), problem.status, headers, MEDIA_TYPE)


def make_problem(error: Exception) -> Problem:
    """Problem details of an exception of `PROBLEM_TYPES`."""
    kind = problem_type(error)
    return Problem(
        type=f"/problems/{kind.name}",
        title=kind.title,
        status=kind.status,
        detail=_detail(error, kind),
        instance=uuid4().urn,
    )


async def on_exception(request: Request, error: Exception) -> Response:
    """Answer an exception of `PROBLEM_TYPES`."""
    problem = make_problem(error)
    headers = {"Retry-After": "1"} if problem.status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    if isinstance(error, TooLargeError):
        headers["Connection"] = "close"  # the rest of the body is not read
    return _respond(request, problem, headers)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Answer what the framework raises: an unknown path, a wrong method, a malformed multipart body."""
    if not isinstance(error, HTTPException):
        raise error
    problem = Problem(
        type="about:blank",
        title=HTTPStatus(error.status_code).phrase,
        status=error.status_code,
        detail=f"{error.detail}. The API is described at /docs.",
        instance=uuid4().urn,
    )
    return _respond(request, problem, dict(error.headers or {}))


def add_error_handlers(app: FastAPI) -> None:
    """Answer every exception of this application with a problem."""
    app.add_exception_handler(HTTPException, on_http_exception)
    for kind in PROBLEM_TYPES:
        app.add_exception_handler(kind, on_exception)
