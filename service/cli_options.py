"""Options that several commands have."""

from typing import Annotated

import typer

ServerOption = Annotated[str, typer.Option("--server", help="Address of the service.", envvar="REDDEN_SERVER")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the service's answer as JSON.")]
