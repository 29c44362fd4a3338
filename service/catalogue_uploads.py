"""From a request body to an uploaded catalogue: a form with the file as ``catalogue``, and fields beside it."""

import shutil
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

from anyio.to_thread import run_sync
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile

from redden.jobs import JobOptions, JobRequest
from service.errors import MediaTypeError, UploadError
from service.jobs.kept import CatalogueFile
from service.uploads import FORM_TYPE, form_of, limited, media_type, receiving

Model = TypeVar("Model", bound=BaseModel)

Fields = dict[str, list[str]]
"""Text of a form by name; a name may come more than once."""

PART: Final = "catalogue"
"""Name of the part of the form that is the file."""

JSON_TYPE: Final = "application/json"

_MAX_JSON: Final = 2**20
_MAX_FIELDS: Final = 1000
_FILE: Final = {"type": "string", "format": "binary", "description": "The catalogue."}
_REFERENCE: Final = "#/components/schemas/"


def request_body(*, with_options: bool) -> dict[str, Any]:
    """The body in the words of OpenAPI; the framework cannot know it, since it does not parse it."""
    file = {"type": "object", "required": [PART], "properties": {PART: _FILE}}
    if not with_options:
        return {"required": True, "content": {FORM_TYPE: {"schema": file}}}
    form = {"allOf": [file, {"$ref": f"{_REFERENCE}{JobOptions.__name__}"}]}
    named = {"$ref": f"{_REFERENCE}{JobRequest.__name__}"}
    return {"required": True, "content": {FORM_TYPE: {"schema": form}, JSON_TYPE: {"schema": named}}}


def is_json(request: Request) -> bool:
    """Whether the body says that it is JSON."""
    return media_type(request) == JSON_TYPE


async def read_json(request: Request, model: type[Model]) -> Model:
    """The body, which is JSON, as a model.

    Raises
    ------
    TooLargeError
        If it is larger than 1 MiB.
    RequestValidationError
        If it is none of the model.
    """
    body = await limited(request, _MAX_JSON, "Name an uploaded catalogue.").body()
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _wrong(error) from None


@asynccontextmanager
async def received(request: Request, max_bytes: int) -> AsyncIterator[tuple[CatalogueFile, Fields]]:
    """The catalogue in a form, in a file that goes with the block, and the fields beside it.

    Raises
    ------
    TooLargeError
        As soon as ``Content-Length``, or what has come so far, exceeds ``max_bytes``.
    MediaTypeError
        If the body is no form.
    UploadError
        If it has no file, or several.
    StorageError
        If there is no room for it.
    """
    if media_type(request) != FORM_TYPE:
        raise MediaTypeError(
            f"the body is {media_type(request)}. Send a form with the file as `{PART}`, "
            f"e.g. `curl -F {PART}=@galaxies.csv -F survey=demo`."
        )
    request = limited(request, max_bytes, "Split the catalogue, or send fewer columns.")
    async with form_of(request, 1, _MAX_FIELDS) as form:
        file = form.get(PART)
        if not isinstance(file, UploadFile):
            raise UploadError(f"the form has no file named `{PART}`, e.g. `curl -F {PART}=@galaxies.csv`.")
        with ExitStack() as stack:
            with receiving():
                path = Path(stack.enter_context(TemporaryDirectory())) / "catalogue"
                await run_sync(_copy, file, path)
            yield CatalogueFile(path, file.filename or None, file.content_type), _texts(form)


def options_of(fields: Fields) -> JobOptions:
    """The options in the fields of a form.

    Raises
    ------
    RequestValidationError
        If a field is unknown or wrong.
    """
    given: dict[str, Any] = {name: texts[-1] for name, texts in fields.items()}
    if "columns" in fields:
        given["columns"] = [name.strip() for text in fields["columns"] for name in text.split(",") if name.strip()]
    try:
        return JobOptions.model_validate(given)
    except ValidationError as error:
        raise _wrong(error) from None


def no_options(fields: Fields) -> None:
    """Refuse fields where only a file is asked for. Raises UploadError."""
    if fields:
        raise UploadError(f"the form has fields beside the file: {', '.join(fields)}. Give them to POST /v1/jobs.")


def _texts(form: FormData) -> Fields:
    texts = {name: [value for value in form.getlist(name) if isinstance(value, str)] for name in form}
    return {name: values for name, values in texts.items() if values}


def _copy(file: UploadFile, path: Path) -> None:
    with path.open("wb") as target:
        shutil.copyfileobj(file.file, target, 2**20)


def _wrong(error: ValidationError) -> RequestValidationError:
    return RequestValidationError([{**reason, "loc": ("body", *reason["loc"])} for reason in error.errors()])
