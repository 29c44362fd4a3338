"""Mistakes of a user are one line on the command line, without a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from redden.errors import ReddenError


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn redden's errors into messages of the command line."""
    try:
        yield
    except ReddenError as error:
        raise typer.BadParameter(str(error)) from error
