"""The command line: ``redden``."""

import atexit
import gc
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape

from redden.client import DEFAULT_URL, Client, FilesQuestion, Question
from redden.errors import ReddenError
from service.catalogue_cli import commands as catalogue
from service.cli_options import JsonOption, ServerOption, check_directory
from service.settings import read_settings
from service.surveys.cli import commands as surveys

commands = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Dust in distant galaxies, measured from their pictures.

    Start a service, and measure a galaxy from another terminal:

        redden serve

        redden predict F277W.fits F356W.fits F444W.fits
    """,
)
commands.add_typer(surveys, name="survey")
commands.add_typer(catalogue, name="catalogue")
console = Console()

ModelsOption = Annotated[
    Path,
    typer.Option(
        "--models",
        help="Directory of the models, with its models.config.",
        default_factory=lambda: read_settings().models_dir,
        show_default="REDDEN_MODELS_DIR, or models",
    ),
]


@commands.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    *,
    models: ModelsOption,
    data_dir: Annotated[
        Path | None, typer.Option(help="Directory for jobs and logs; by default one per port in your home.")
    ] = None,
) -> None:
    """Start everything on this machine: gateway, model server, worker and queue. Ctrl-C stops it all.

    Examples:

        redden serve

        redden serve --port 8080 --models ~/models
    """
    from service.embedded import Embedded, running, stay, stopped_by_signals

    read_settings()  # which the parts read too: what is wrong is said here
    data_dir = data_dir or Path(typer.get_app_dir("redden")) / str(port)
    embedded = Embedded(host, port, models.resolve(), data_dir.resolve())
    with (
        stopped_by_signals(),
        console.status("Starting redden") as status,
        running(embedded, lambda what: status.update(f"Waiting for {what}")) as children,
    ):
        status.stop()
        _welcome(embedded.url, embedded.log_dir)
        stay(children)
    console.print("Stopped.")


def _welcome(url: str, log_dir: Path) -> None:
    redden = "redden" if shutil.which("redden") else sys.argv[0]
    server = "" if url == DEFAULT_URL else f" --server {url}"
    console.print(
        f"""
[bold]redden is ready[/] at {url}   (Ctrl-C stops it, logs are in {log_dir})

Try, in another terminal:
  curl -o galaxy.fits {url}/demo/galaxy.fits
  curl --data-binary @galaxy.fits -H 'Content-Type: application/fits' {url}/v1/predict
  curl '{url}/v1/predict?survey=demo&ra=29.99903&dec=12.00498'
  {redden} predict galaxy.fits{server}

API documentation: {url}/docs
""",
        soft_wrap=True,  # commands must survive being copied
    )


@commands.command("model-server")
def model_server(
    address: Annotated[
        str,
        typer.Option(
            help="HOST:PORT to listen on.",
            default_factory=lambda: read_settings().model_server,
            show_default="REDDEN_MODEL_SERVER, or 127.0.0.1:8500",
        ),
    ],
    models: ModelsOption,
) -> None:
    """Serve SavedModels over TensorFlow Serving's gRPC protocol, without tensorflow.

    Example:

        redden model-server --address 127.0.0.1:8500 --models models
    """
    from service.inference.local_server import serve as serve_models

    serve_models(models, address)


@commands.command()
def worker(
    concurrency: Annotated[int, typer.Option(help="Tasks at once.")] = 1,
) -> None:
    """Start a worker for jobs; REDDEN_REDIS_URL tells where the queue is.

    Example:

        REDDEN_REDIS_URL=redis://127.0.0.1:6379/0 redden worker --concurrency 2
    """
    from service.jobs.celery_app import app as celery

    # Without a last look for cycles among all objects of astropy, a worker ends in a sixth of the time.
    atexit.register(gc.freeze)
    celery.worker_main(
        ["worker", "--without-gossip", "--without-mingle", "--loglevel=INFO", f"--concurrency={concurrency}"]
    )


def _png(file: Path | None) -> Path | None:
    """Refuse what a picture cannot be drawn into, before anything is measured."""
    if file is not None:
        check_directory(file)
        if file.suffix.lower() != ".png":
            raise typer.BadParameter(f"{file.name} is drawn as PNG: let its name end in .png.")
    return file


@commands.command()
def predict(
    files: Annotated[
        list[Path] | None, typer.Argument(exists=True, dir_okay=False, help="FITS files of one galaxy.")
    ] = None,
    server: ServerOption = DEFAULT_URL,
    survey: Annotated[
        str | None, typer.Option(help="Name of a survey to look at, with --ra and --dec, in place of files.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Name of the model; `redden models` lists them.")] = None,
    version: Annotated[str | None, typer.Option(help="Version of the model, or a label such as stable.")] = None,
    bands: Annotated[str, typer.Option(help="Band of each image in order, with commas.")] = "",
    unit: Annotated[
        str | None, typer.Option(help="Unit of the pixels, in place of the headers': uJy, MJy/sr ...")
    ] = None,
    pixel_scale: Annotated[
        float | None, typer.Option(help="Side of a pixel in arcsec, if headers do not tell.")
    ] = None,
    ra: Annotated[str | None, typer.Option(help="Right ascension of the galaxy: degrees, or 01:59:59.767.")] = None,
    dec: Annotated[str | None, typer.Option(help="Declination of the galaxy: degrees, or +12:00:17.93.")] = None,
    recentre: Annotated[
        Literal["peak", "centroid"] | None, typer.Option(help="Move the cutout onto its source.")
    ] = None,
    recentre_radius: Annotated[float | None, typer.Option(help="How far it may move, arcsec.")] = None,
    redshift: Annotated[
        float | None, typer.Option(help="Redshift of the galaxy; models that take one answer more narrowly.")
    ] = None,
    redshift_error: Annotated[float | None, typer.Option(help="Its standard error; by default 0.")] = None,
    a_v_above: Annotated[float | None, typer.Option(help="Tell the probability that A_V is above this, mag.")] = None,
    explain: Annotated[
        Path | None,
        typer.Option(dir_okay=False, callback=_png, help="PNG file to draw into what moved the answer."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the dust in one galaxy: from one file per band, from one file with all bands, or in a survey.

    Examples:

        redden predict F277W.fits F356W.fits F444W.fits

        redden predict --survey demo --ra 29.99903 --dec 12.00498

        redden predict mosaic.fits --ra 53.16 --dec -27.78 --unit uJy --model paper-1band

        redden predict F277W.fits --redshift 7.1 --redshift-error 0.2 --a-v-above 1 --explain why.png
    """
    from service.tables import answer_table

    question = Question(
        model=model,
        version=version,
        recentre=recentre,
        recentre_radius=recentre_radius,
        redshift=redshift,
        redshift_error=redshift_error,
        a_v_above=a_v_above,
    )
    with Client(server) as client:
        if survey is not None:
            if files or bands or unit or pixel_scale or ra is None or dec is None:
                raise typer.BadParameter("a survey needs --ra and --dec, and no files or what is said about them")
            answer = client.predict_position(survey, ra, dec, **question)
            if explain is not None:
                explain.write_bytes(client.explanation_at(survey, ra, dec, **question))
        elif files:
            named = [band.strip() for band in bands.split(",") if band.strip()]
            said = FilesQuestion(**question, bands=named, unit=unit, pixel_scale=pixel_scale, ra=ra, dec=dec)
            answer = client.predict(files, **said)
            if explain is not None:
                explain.write_bytes(client.explanation(files, **said))
        else:
            raise typer.BadParameter("give FITS files, or a --survey with --ra and --dec")
    if as_json:
        typer.echo(answer.model_dump_json(indent=2))
    else:
        console.print(answer_table(answer))
        if explain is not None:
            console.print(f"What moved the answer is drawn in {escape(str(explain))}.")


@commands.command()
def models(server: ServerOption = DEFAULT_URL, as_json: JsonOption = False) -> None:
    """List the models of a service.

    Example:

        redden models --server http://127.0.0.1:8000
    """
    from service.tables import models_table

    with Client(server) as client:
        served = client.models()
    if as_json:
        typer.echo(served.model_dump_json(indent=2))
    else:
        console.print(models_table(served))


@commands.command()
def openapi(file: Annotated[Path, typer.Argument(help="File to write.")] = Path("openapi/openapi.json")) -> None:
    """Write the API description (OpenAPI 3.1).

    Example:

        redden openapi openapi/openapi.json
    """
    from service.app import create_app

    file.write_text(json.dumps(create_app().openapi(), indent=2) + "\n", encoding="utf-8")


def app() -> None:
    """Run the command line; an error of redden is a message and status 1, not a traceback."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        commands()
    except (ReddenError, OSError) as error:
        Console(stderr=True).print(f"[bold red]Error:[/] {escape(str(error))}")
        sys.exit(1)
