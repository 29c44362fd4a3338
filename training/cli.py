"""`redden-train`: from a forward model to a served network, step by step."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help=__doc__, no_args_is_help=True)


# --- simulate: the forward model -----------------------------------------------------------------------------------


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="New directory for the data set.")],
    galaxies: Annotated[int, typer.Option(min=1, help="Galaxies to simulate; about one in four is bright enough.")],
    seed: Annotated[int, typer.Option(min=0, help="Equal settings and seed give equal data.")] = 0,
) -> None:
    """Simulate mock galaxies and write them as a data set."""
