"""From a request body to uploaded files: a raw FITS body, or a multipart form whose parts are all named ``files``."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.types import Message

from redden.fits import Upload
from service.errors import MediaTypeError, TooLargeError, UploadError
from service.jobs.store import StorageError

MAX_FILES: Final = 7
"""One file per band."""

PART: Final = "files"
"""Name of every part of a multipart form."""

RAW_TYPES: Final = ("application/fits", "image/fits", "application/octet-stream")
"""Media types of a body that is one file. FITS has the first two (RFC 4047)."""

FORM_TYPE: Final = "multipart/form-data"

_BINARY: Final = {"type": "string", "format": "binary"}

REQUEST_BODY: Final[dict[str, Any]] = {
    "required": True,
    "description": "One FITS file as it is, or a form with one file per band.",
    "content": {
        RAW_TYPES[0]: {"schema": {**_BINARY, "description": "A FITS file, which may hold several bands."}},
        FORM_TYPE: {
            "schema": {
                "type": "object",
                "required": [PART],
                "properties": {
                    PART: {
                        "type": "array",
                        "items": _BINARY,
                        "minItems": 1,
                        "maxItems": MAX_FILES,
                        "description": f"One to {MAX_FILES} FITS files, every part named `{PART}`.",
                    }
                },
            }
        },
    },
}
"""The body in the words of OpenAPI; the framework cannot know it, since it does not parse it."""


async def read_uploads(request: Request, max_bytes: int) -> list[Upload]:
    """Read the files of a request, never more than ``max_bytes`` of it.

    Raises
    ------
    TooLargeError
        As soon as ``Content-Length``, or what has come so far, exceeds ``max_bytes``.
    MediaTypeError
        If the body is neither a FITS file nor a form.
    UploadError
        If there is no file, or a part that is none of ours.
    """
    request = limited(request, max_bytes, "Send cutouts, at most a few hundred pixels a side.")
    kind = media_type(request) or RAW_TYPES[0]
    if kind == FORM_TYPE:
        return [upload async for upload in _parts(request)]
    if kind in RAW_TYPES:
        body = await request.body()
        if not body:
            raise UploadError(
                f"the request has no body. Send a FITS file as {RAW_TYPES[0]}, or several as {FORM_TYPE}."
            )
        return [Upload(None, body)]
    raise MediaTypeError(
        f"the body is {kind}. Send one FITS file with `Content-Type: {RAW_TYPES[0]}`, or several as "
        f"{FORM_TYPE}, e.g. `curl -F {PART}=@F277W.fits -F {PART}=@F444W.fits`."
    )


async def _parts(request: Request) -> AsyncIterator[Upload]:
    async with form_of(request, MAX_FILES, MAX_FILES) as form:
        parts = form.multi_items()
        if not parts:
            raise UploadError(f"the form has no files. Send 1 to {MAX_FILES} FITS files in parts named `{PART}`.")
        for name, part in parts:
            if not isinstance(part, UploadFile):
                raise UploadError(
                    f"the part `{name}` of the form is text. Send files in parts named `{PART}`, "
                    "and parameters in the URL, e.g. `?model=paper-1band`."
                )
            if name != PART:
                raise UploadError(f"a part of the form is named `{name}`. Name every part `{PART}`.")
            yield Upload(part.filename, await part.read())


@asynccontextmanager
async def form_of(request: Request, max_files: int, max_fields: int) -> AsyncIterator[FormData]:
    """The form of a request, whose files go with the block.

    Raises
    ------
    StorageError
        If there is no room for files that are too large for the memory.
    """
    with receiving():
        form = await request.form(max_files=max_files, max_fields=max_fields)
    try:
        yield form
    finally:
        await form.close()


@contextmanager
def receiving() -> Iterator[None]:
    """Turn what the operating system says, when it keeps an upload that is larger than the memory for it."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            f"the upload cannot be kept while it is read: {reason}. Try again later; the service needs more room."
        ) from error


def media_type(request: Request) -> str:
    """Media type of the body, as the request states it; empty if it does not."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def limited(request: Request, max_bytes: int, advice: str) -> Request:
    """The request, whose body is read up to ``max_bytes``.

    Raises
    ------
    TooLargeError
        If ``Content-Length`` exceeds ``max_bytes``; while it is read, as soon as what has come does. ``advice`` says
        what to do.
    """
    too_large = TooLargeError(f"the upload is larger than {max_bytes / 2**20:g} MiB. {advice}")
    if int(request.headers.get("content-length", 0)) > max_bytes:
        raise too_large
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > max_bytes:
            raise too_large
        return message

    return Request(request.scope, receive)
