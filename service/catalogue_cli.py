"""``redden catalogue``: many galaxies at once, measured in the background."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from redden.client import DEFAULT_URL, Client, ClientJob, Options
from redden.jobs import FORMAT_OF_ENDING, Job, Phase, ResultFormat
from service.cli_options import JsonOption, ServerOption, check_directory
from service.tables import job_table, jobs_table

commands = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Measure a catalogue: up to 1,000,000 galaxies, as a job in the background.

    From a catalogue to the same catalogue with A_V, E(B-V), R_V and sSFR:

        redden catalogue submit galaxies.csv --survey demo --wait -o measured.fits

    A job goes on when this terminal is closed, and is found again by its identifier:

        redden catalogue list

        redden catalogue fetch ID -o measured.fits
    """,
)
console = Console()
notes = Console(stderr=True)

JobArgument = Annotated[str, typer.Argument(metavar="ID", help="Identifier of the job; `redden catalogue list`.")]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", dir_okay=False, help=f"File for the results: {', '.join(FORMAT_OF_ENDING)}."),
]
FormatOption = Annotated[
    Literal["parquet", "csv", "ecsv", "votable", "fits", "jsonl"] | None,
    typer.Option("--format", help="Format of the results; by default told by the ending of the output."),
]
WaitOption = Annotated[bool, typer.Option("--wait", help="Wait until it is done, with a progress bar.")]


@commands.command()
def submit(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="Catalogue of positions (CSV, ECSV, VOTable, FITS, Parquet), or of images (FITS files in a zip or "
            "tar, cubes, or a table with columns of images).",
        ),
    ],
    survey: Annotated[str | None, typer.Option(help="Survey to look at, for a catalogue of positions.")] = None,
    model: Annotated[str | None, typer.Option(help="Name of the model; `redden models` lists them.")] = None,
    version: Annotated[str | None, typer.Option(help="Version of the model, or a label such as stable.")] = None,
    name: Annotated[str | None, typer.Option(help="A name to know the job by.")] = None,
    ra: Annotated[
        str | None, typer.Option(help="Column of the right ascension; by default found by UCD or name.")
    ] = None,
    dec: Annotated[str | None, typer.Option(help="Column of the declination.")] = None,
    redshift: Annotated[str | None, typer.Option(help="Column of the redshift, for models that take one.")] = None,
    redshift_error: Annotated[str | None, typer.Option(help="Column of the redshift's standard error.")] = None,
    keep: Annotated[
        list[str] | None, typer.Option(help="A column to give back; again for more. By default all.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="Unit of the pixels of all images, in place of what their headers say.")
    ] = None,
    pixel_scale: Annotated[
        float | None, typer.Option(help="Side of a pixel in arcsec, for images whose headers do not tell it.")
    ] = None,
    recentre: Annotated[
        Literal["peak", "centroid"] | None, typer.Option(help="Move each cutout onto its source.")
    ] = None,
    recentre_radius: Annotated[float | None, typer.Option(help="How far it may move, arcsec.")] = None,
    wait: WaitOption = False,
    output: OutputOption = None,
    format: FormatOption = None,
    server: ServerOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Have a catalogue measured. With an output it waits for the results.

    Examples:

        redden catalogue submit galaxies.csv --survey demo --wait -o measured.fits

        redden catalogue submit deep.vot --survey jades-gs --ra ALPHA_J2000 --dec DELTA_J2000 --keep ID --keep z_phot

        redden catalogue submit cutouts.zip --name "my galaxies"
    """
    chosen = _format(output, format)
    options = Options(
        survey=survey,
        model=model,
        version=version,
        name=name,
        format=chosen,
        ra=ra,
        dec=dec,
        redshift=redshift,
        redshift_error=redshift_error,
        unit=unit,
        pixel_scale=pixel_scale,
        columns=keep or None,
        recentre=recentre,
        recentre_radius=recentre_radius,
    )
    with Client(server) as client:
        with notes.status(f"Sending {file.name}"):
            job = client.submit(file, **options)
        notes.print(f"Job {job.id}")
        _finish(job, wait or output is not None, output, chosen, as_json)


@commands.command()
def status(job: JobArgument, server: ServerOption = DEFAULT_URL, as_json: JsonOption = False) -> None:
    """Show how far a job is.

    Example:

        redden catalogue status 019a2c...
    """
    with Client(server) as client:
        _show_whole(client.job(job), as_json)


@commands.command("list")
def list_(
    phase: Annotated[Phase | None, typer.Option(case_sensitive=False, help="Only jobs in this phase.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most jobs.")] = 50,
    server: ServerOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """List the jobs of the service, newest first.

    Example:

        redden catalogue list --phase executing
    """
    with Client(server) as client:
        page = client.jobs(phase, limit=limit)
    if as_json:
        typer.echo(page.model_dump_json(indent=2))
    else:
        console.print(jobs_table(page.jobs))


@commands.command()
def fetch(
    job: JobArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", dir_okay=False, help=f"File to write: {', '.join(FORMAT_OF_ENDING)}.")
    ],
    format: FormatOption = None,
    wait: WaitOption = False,
    server: ServerOption = DEFAULT_URL,
) -> None:
    """Write the results of a job to a file; what is not measured yet has the status `pending`.

    Example:

        redden catalogue fetch 019a2c... -o measured.parquet
    """
    with Client(server) as client:
        _finish(client.job(job), wait, output, _format(output, format), as_json=False)


@commands.command()
def abort(job: JobArgument, server: ServerOption = DEFAULT_URL, as_json: JsonOption = False) -> None:
    """Stop a job. What was measured is kept, and `retry` goes on.

    Example:

        redden catalogue abort 019a2c...
    """
    with Client(server) as client:
        _show(client.job(job).abort(), as_json)
    notes.print(f"What was measured is kept; [bold]redden catalogue retry {job}[/] goes on.")


@commands.command()
def retry(
    job: JobArgument,
    wait: WaitOption = False,
    output: OutputOption = None,
    format: FormatOption = None,
    server: ServerOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Measure what is missing of a job: rows that were not reached, and rows that could not be measured.

    Example:

        redden catalogue retry 019a2c... --wait
    """
    chosen = _format(output, format)
    with Client(server) as client:
        found = client.job(job)
        found.retry()
        _finish(found, wait or output is not None, output, chosen, as_json)


@commands.command()
def delete(job: JobArgument, server: ServerOption = DEFAULT_URL) -> None:
    """Delete a job with its catalogue and results; it is stopped first if it runs.

    Example:

        redden catalogue delete 019a2c...
    """
    with Client(server) as client:
        client.job(job).delete()
    notes.print(f"Deleted {job}.")


def _format(output: Path | None, format: ResultFormat | None) -> ResultFormat | None:
    """The format that is asked for; an output that cannot be written is a mistake to tell before any work is done."""
    if output is not None:
        check_directory(output)
    if output is None or format is not None:
        return format
    if output.suffix.lower() not in FORMAT_OF_ENDING:
        raise typer.BadParameter(
            f"{output.name} does not tell the format. End it in {', '.join(FORMAT_OF_ENDING)}, or give --format."
        )
    return FORMAT_OF_ENDING[output.suffix.lower()]


def _finish(job: ClientJob, wait: bool, output: Path | None, format: ResultFormat | None, as_json: bool) -> None:
    """Wait for a job and write its results, as far as is asked for."""
    if wait:
        _wait(job)
    if output is not None:
        with notes.status(f"Writing {output.name}"):
            job.save(output, format)
    _show_whole(job, as_json)
    if output is not None:
        notes.print(f"Results are in [bold]{output}[/].")
    elif not job.state.phase.is_final:
        notes.print(f"It goes on in the background: [bold]redden catalogue fetch {job.id} --wait -o measured.fits[/]")


def _wait(job: ClientJob) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=notes) as progress:
            task = progress.add_task("", total=job.state.rows.total, rate="")
            for state in job.events():
                rate = "" if state.rate is None else f"{state.rate:,.0f} rows/s"
                progress.update(
                    task, description=escape(state.error or state.phase), completed=state.rows.done, rate=rate
                )
        job.wait()
    except KeyboardInterrupt:
        notes.print(
            f"\nThe job goes on. [bold]redden catalogue fetch {job.id} --wait -o measured.fits[/] gets its results, "
            f"[bold]redden catalogue abort {job.id}[/] stops it."
        )
        raise typer.Exit(130) from None


def _show(job: Job, as_json: bool) -> None:
    if as_json:
        typer.echo(job.model_dump_json(indent=2))
    else:
        console.print(job_table(job))


def _show_whole(job: ClientJob, as_json: bool) -> None:
    """A job, and why its rows could not be measured, as far as one row tells it."""
    _show(job.state, as_json)
    rows = job.state.rows
    if job.state.phase is Phase.COMPLETED and rows.failed == rows.total > 0:
        *_, why = job.row(0).values.values()  # `status` is the last column
        notes.print(f"No row could be measured. The first: {escape(str(why))}")
    elif rows.failed:
        notes.print("The column `status` of the results says of each row why it could not be measured.")
