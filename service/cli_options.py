"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

ServerOption = Annotated[str, typer.Option("--server", help="Address of the service.", envvar="REDDEN_SERVER")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the service's answer as JSON.")]


def check_directory(file: Path) -> None:
    """Refuse a file in a directory that is not there: a mistake to tell before any work is done."""
    if not file.resolve().parent.is_dir():
        raise typer.BadParameter(f"there is no directory {file.parent} to write {file.name} to. Make it first.")
