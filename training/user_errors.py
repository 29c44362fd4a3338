"""Mistakes of a user are one line on the command line, without a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from pydantic import ValidationError

from redden.errors import ReddenError


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn redden's errors, and settings that cannot be, into messages of the command line."""
    try:
        yield
    except ReddenError as error:
        raise typer.BadParameter(str(error)) from error
    except ValidationError as error:
        places = (".".join(map(str, each["loc"])) for each in error.errors())
        sayings = (each["msg"].removeprefix("Value error, ") for each in error.errors())
        wrong = (f"{place}: {said}" if place else said for place, said in zip(places, sayings, strict=True))
        raise typer.BadParameter("; ".join(wrong)) from error
