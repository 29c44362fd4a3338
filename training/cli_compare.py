"""Commands that say how good a model is: calibration, and the comparison with other methods."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from training.user_errors import user_errors

app = typer.Typer()

_Data = Annotated[Path, typer.Option(exists=True, file_okay=False, help="Data set of `scenes`.")]
_Out = Annotated[Path, typer.Option(help="Directory for tables and pictures.")]
_Seed = Annotated[int, typer.Option(min=0, help="Seed of the observations.")]


@app.command()
def calibrate(
    run: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Run with a posterior.")],
    data: _Data,
    seed: _Seed = 1,
    scenes: Annotated[int, typer.Option(min=1, help="Most validation scenes to look at.")] = 20_000,
) -> None:
    """Fit the levels of a run's quantiles on validation galaxies, so that its intervals hold; they go into its card."""
    from training.calibrate import calibrate as fit_levels

    with user_errors():
        card = fit_levels(run, data, seed=seed, scenes=scenes)
    for quantity, levels in card.levels.items():
        print(f"{quantity}: {' '.join(f'{level:.4f}' for level in levels)}")


@app.command()
def coverage(
    directory: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Run, or model NAME/VERSION/.")],
    data: _Data,
    out: _Out,
    seed: _Seed = 2,
    scenes: Annotated[int, typer.Option(min=1, help="Most test scenes to look at.")] = 20_000,
) -> None:
    """Report what the intervals hold on test galaxies: coverage in bins, PIT and TARP, as JSON and pictures."""
    from training.calibrate import CALIBRATION_FILE, report
    from training.figures import draw_calibration

    with user_errors():
        found = report(directory, data, seed=seed, scenes=scenes)
    out.mkdir(parents=True, exist_ok=True)
    (out / CALIBRATION_FILE).write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    draw_calibration(found, out)
    for quantity, bins in found.coverage.items():
        every = bins["all"][""]
        print(
            f"{quantity}: 68 % intervals hold {every.held_68.value:.1%} ± {every.held_68.error:.1%}, "
            f"95 % intervals {every.held_95.value:.1%} ± {every.held_95.error:.1%}"
        )


@app.command()
def compare_rivals(
    models: Annotated[
        list[Path],
        typer.Argument(exists=True, file_okay=False, help="Runs or models; the others are compared to the first."),
    ],
    data: _Data,
    out: _Out,
    seed: _Seed = 3,
    test_scenes: Annotated[int, typer.Option(min=1, help="Most test scenes to look at.")] = 4_000,
    train_scenes: Annotated[int, typer.Option(min=8, help="Most scenes to fit the gradient boosting to.")] = 20_000,
) -> None:
    """Compare models with gradient boosting, a chi2 grid of SEDs and Meurer's relation on the same test galaxies."""
    from training.assess import ACCURACY_FILE, assess, markdown
    from training.figures import draw_accuracy

    with user_errors():
        found = assess(models, data, seed=seed, test_scenes=test_scenes, train_scenes=train_scenes)
    out.mkdir(parents=True, exist_ok=True)
    (out / ACCURACY_FILE).write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (out / "accuracy.md").write_text(markdown(found), encoding="utf-8")
    draw_accuracy(found, out)
    print(markdown(found))


@app.command()
def compare_bagpipes(
    models: Annotated[
        list[Path],
        typer.Argument(exists=True, file_okay=False, help="Runs or models; the others are compared to the first."),
    ],
    data: _Data,
    out: _Out,
    seed: _Seed = 4,
    galaxies: Annotated[int, typer.Option(min=2, help="Test galaxies; each takes minutes.")] = 4,
    history: Annotated[
        Literal["lognormal", "delayed", "dblplaw", "constant"], typer.Option(help="Star-formation history.")
    ] = "lognormal",
) -> None:
    """Compare models with Bagpipes (extra `sed`) on a few test galaxies, in three and in seven bands."""
    from training.assess import assess_slow, markdown
    from training.rivals.bagpipes import Bagpipes

    with user_errors():
        found = assess_slow(models, data, Bagpipes(history), seed=seed, galaxies=galaxies)
    out.mkdir(parents=True, exist_ok=True)
    (out / "bagpipes.json").write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (out / "bagpipes.md").write_text(markdown(found), encoding="utf-8")
    print(markdown(found))
