"""Commands that measure galaxies whose values are known: `evaluate` on mocks, `compare` on the sky."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from training.user_errors import user_errors

app = typer.Typer()


@app.command()
def evaluate(
    directories: Annotated[
        list[Path], typer.Argument(exists=True, file_okay=False, help="Runs, or models NAME/VERSION/.")
    ],
    data: Annotated[Path, typer.Option(exists=True, file_okay=False, help="Data set; its test galaxies are used.")],
    out: Annotated[
        Path | None, typer.Option(help="JSON to write, of one model; a run's is written into its directory.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Directory for a page with Table 2 and the figures of all models.")
    ] = None,
) -> None:
    """Print the errors on test galaxies, write them as JSON, and on demand a report of one or more models."""
    from rich.console import Console

    from training.evaluate import EVALUATION_FILE, measure, table
    from training.fit import NETWORK_FILE
    from training.report.write import write_report

    if out is not None and len(directories) > 1:
        raise typer.BadParameter("one JSON is of one model; leave it out, or name one model.", param_hint="--out")
    with user_errors():
        measured = [measure(directory, data) for directory in directories]
    for directory, one in zip(directories, measured, strict=True):
        evaluation = one.evaluation()
        is_run = (directory / NETWORK_FILE).exists()
        if file := out or (directory / EVALUATION_FILE if is_run else None):
            file.write_text(evaluation.model_dump_json(indent=2) + "\n", encoding="utf-8")
        Console().print(table(evaluation))
    if report is not None:
        print(write_report(measured, directories, report))


@app.command()
def compare(
    table: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="CSV, ECSV, FITS or VOTable: id, files (cutouts, separated by blanks) and, where known, z, unit, a_v, "
            "log_ssfr_10, log_ssfr_100, beta, with errors in z_err, a_v_err and so on.",
        ),
    ],
    models: Annotated[list[Path], typer.Argument(exists=True, file_okay=False, help="Runs, or models NAME/VERSION/.")],
    out: Annotated[Path, typer.Option(help="Directory for values, table, figures and page.")],
    bagpipes: Annotated[
        Literal["lognormal", "delayed", "dblplaw", "constant"] | None,
        typer.Option(help="Fit Bagpipes (extra `sed`) to the photometry too, with this star-formation history."),
    ] = None,
) -> None:
    """Measure real galaxies and compare with SED fits and with the ultraviolet slope."""
    from training.real.catalogue import read_catalogue
    from training.real.measure import measure_real
    from training.real.write import failures, summary, write_comparison

    with user_errors():
        measured = measure_real(read_catalogue(table), models, bagpipes)
        differences = write_comparison(measured, out)
    print(summary(differences))
    if failed := failures(measured, len(models)):
        print(failed)
    print(out / "index.html")
