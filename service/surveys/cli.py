"""``redden survey``: which surveys the service reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from redden.errors import SurveyError, UnknownSurveyError
from service.settings import Settings, read_settings
from service.surveys.definition import SHIPPED_DIR, Definition, is_remote, read_text, with_location

if TYPE_CHECKING:
    from service.surveys.registry import Surveys

commands = typer.Typer(no_args_is_help=True, help="Surveys that galaxies are measured in by position.")
console = Console()
NameArgument = Annotated[str, typer.Argument(help="Name of the survey.")]


@commands.command()
def add(
    survey: Annotated[str, typer.Argument(help="A survey file, or the name of a survey that comes with redden.")],
    location: Annotated[
        str | None, typer.Option(help="Directory or URL of the mosaics, in place of that in the file.")
    ] = None,
) -> None:
    """Register a survey, or register it anew with another location.

    Examples:

        redden survey add my-survey.toml

        redden survey add jades-gs --location /data/jades
    """
    file = Path(survey) if survey.endswith(".toml") else SHIPPED_DIR / f"{survey}.toml"
    if not file.is_file():
        shipped = ", ".join(sorted(path.stem for path in SHIPPED_DIR.glob("*.toml")))
        raise UnknownSurveyError(f"there is no file {file.name}. Give a survey file, or one of {shipped}.")
    settings = read_settings()
    registered = _register(file, location, settings)
    console.print(f"Registered {registered.name} in {settings.surveys_dir}.")
    console.print(f"Next: [bold]redden survey check {registered.name}[/], then restart the service.")


@commands.command("list")
def list_() -> None:
    """List the registered surveys, and those that can be added by name.

    Example:

        redden survey list
    """
    from service.surveys.tables import surveys_table

    with _surveys() as surveys:
        states = {True: "footprint known", False: "not checked"}
        rows = [(survey.definition, states[survey.footprint_known]) for survey in surveys.surveys.values()]
        shipped = [Definition.read(file) for file in sorted(SHIPPED_DIR.glob("*.toml"))]
        rows += [(definition, "can be added") for definition in shipped if definition.name not in surveys.surveys]
        console.print(surveys_table(rows, surveys.refused))


@commands.command()
def check(name: NameArgument) -> None:
    """Open every mosaic of a survey: its WCS, pixel scale and unit, and whether the bands overlap.

    Example:

        redden survey check jades-gs
    """
    from service.surveys.check import check as check_survey
    from service.surveys.tables import report_table

    with _surveys() as surveys, console.status(f"Opening the mosaics of {name}"):
        report = check_survey(surveys.get(name))
    console.print(report_table(report))
    if report.problems:
        raise SurveyError(f"survey {name} cannot be used as it is: {len(report.problems)} problem(s), see above.")


@commands.command()
def remove(name: NameArgument) -> None:
    """Forget a survey; its mosaics stay where they are.

    Example:

        redden survey remove jades-gs
    """
    from service.surveys.footprint import outlines_file

    settings = read_settings()
    with _surveys() as surveys:
        file = surveys.get(name).file
    if file.parent != settings.surveys_dir:
        raise SurveyError(f"survey {name} comes with redden and cannot be removed.")
    file.unlink()
    outlines_file(file).unlink(missing_ok=True)
    console.print(f"Removed {name}.")


@commands.command()
def convert(
    name: Annotated[str, typer.Argument(help="Name of a survey, registered or coming with redden.")],
    to: Annotated[Path | None, typer.Option(help="Directory to bring all mosaics to; by default beside them.")] = None,
) -> None:
    """Unzip the gzipped mosaics of a survey, which cannot be read in parts; download them first if need be.

    With `--to` the survey is then read from that directory. What is there already is not brought again.

    Examples:

        redden survey convert ceers --to /data/ceers

        redden survey add ceers --location /data/ceers; redden survey convert ceers
    """
    from service.surveys.convert import all_files, copy_unzipped, place_under

    file = _survey_file(name)
    definition = Definition.read(file)
    wanted = all_files(definition) if to else [path for path in all_files(definition) if path.endswith(".gz")]
    if to is None and any(is_remote(path) for path in wanted):
        raise SurveyError(f"the mosaics of {name} are remote. Say where to bring them: --to DIRECTORY")
    directory = (to or Path(definition.location)).absolute()
    with Progress(console=console) as progress:
        for path in wanted:
            target = place_under(path, definition.location, directory)
            task = progress.add_task(target.name, total=None)
            if not target.exists():
                copy_unzipped(path, target, definition.storage, partial(progress.advance, task))
            progress.update(task, total=1, completed=1)
    if to:
        _register(file, str(directory), read_settings())
    console.print(f"{len(wanted)} files are in {directory}. Next: [bold]redden survey check {name}[/]")


def _register(file: Path, location: str | None, settings: Settings) -> Definition:
    """Write a survey file into the directory of the registered ones; relative locations become absolute."""
    text = read_text(file)
    definition = Definition.parse(text, str(file))
    if location is not None and not is_remote(location):
        location = str(Path(location).absolute())
    text = with_location(text, location or definition.resolved(file.parent).location)
    registered = Definition.parse(text, str(file))
    settings.surveys_dir.mkdir(parents=True, exist_ok=True)
    (settings.surveys_dir / f"{registered.name}.toml").write_text(text, encoding="utf-8")
    return registered


def _survey_file(name: str) -> Path:
    with _surveys() as surveys:
        shipped = SHIPPED_DIR / f"{name}.toml"
        return shipped if name not in surveys.names and shipped.is_file() else surveys.get(name).file


@contextmanager
def _surveys() -> Iterator["Surveys"]:
    from service.surveys.registry import Surveys

    surveys = Surveys.read(read_settings())
    try:
        yield surveys
    finally:
        surveys.close()
