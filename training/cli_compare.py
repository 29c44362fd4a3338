"""Commands that say how good a model is: calibration, and the comparison with other methods."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from training.user_errors import user_errors

app = typer.Typer()

_Data = Annotated[Path, typer.Option(exists=True, file_okay=False, help="Data set of `scenes`.")]
_Out = Annotated[Path, typer.Option(help="Directory for tables and pictures.")]
_Scenes = Annotated[int, typer.Option(min=1, help="Most scenes to look at.")]
_TrainScenes = Annotated[int, typer.Option(min=8, help="Most scenes to fit the gradient boosting to.")]
_Seed = Annotated[int, typer.Option(min=0, help="Seed of the observations.")]


@app.command()
def calibrate(
    run: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Run of the redden model.")],
    data: _Data,
    seed: _Seed = 1,
    scenes: _Scenes = 20_000,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Use all galaxies: the data set has another seed than that of the fit.")
    ] = False,
) -> None:
    """Fit the levels at which a run's quantiles are taken, so that its intervals hold; its network answers them then.

    To the validation galaxies of the data set that it was fitted to, or to all galaxies of another.
    """
    from training.levels_run import calibrate as fit_levels

    with user_errors():
        found = fit_levels(run, data, seed=seed, scenes=scenes, fresh=fresh).trained_with["levels"]
    print(f"Mean levels of {found['images']} images of {found['galaxies']} galaxies, each in several sets of bands:")
    for quantity, levels in found["mean"].items():
        print(f"{quantity}: {' '.join(f'{level:.4f}' for level in levels)}")


@app.command()
def coverage(
    directory: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Run, or model NAME/VERSION/.")],
    data: _Data,
    out: _Out,
    seed: _Seed = 2,
    scenes: _Scenes = 20_000,
    looks: Annotated[
        int, typer.Option(min=1, help="How often each is looked at, with another depth, noise and sharpness.")
    ] = 1,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Test on all galaxies: the data set has another seed than fit and levels had."),
    ] = False,
) -> None:
    """Report what the intervals hold on galaxies that were not fitted to: coverage in bins, PIT, TARP; pictures."""
    from training.coverage_report import CALIBRATION_FILE, TABLE_FILE, report
    from training.figures import draw_calibration

    with user_errors():
        found = report(directory, data, seed=seed, scenes=scenes, looks=looks, fresh=fresh)
    out.mkdir(parents=True, exist_ok=True)
    (out / CALIBRATION_FILE).write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    found.table().write(out / TABLE_FILE, overwrite=True)
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
    train_scenes: _TrainScenes = 20_000,
    depth: Annotated[
        list[float], typer.Option(help="5 sigma AB magnitude in circles of 0.1 arcsec radius; may be repeated.")
    ] = [28.6, 29.8],  # noqa: B006  # typer does not change it
) -> None:
    """Compare models with gradient boosting, a chi2 grid of SEDs and Meurer's relation on the same test galaxies.

    What the rivals answer is kept in OUT/rivals: another model is compared without asking them again.
    """
    from training.assess import ACCURACY_FILE, assess, markdown
    from training.figures import draw_accuracy

    with user_errors():
        found = assess(
            models,
            data,
            out / "rivals",
            seed=seed,
            test_scenes=test_scenes,
            train_scenes=train_scenes,
            depths=depth,
        )
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
    galaxies: Annotated[int, typer.Option(min=2, help="Test galaxies; each takes some seconds.")] = 20,
    train_scenes: _TrainScenes = 20_000,
    history: Annotated[
        Literal["lognormal", "delayed", "dblplaw", "constant"], typer.Option(help="Star-formation history.")
    ] = "lognormal",
) -> None:
    """Compare models and all rivals with Bagpipes (extra `sed`) on a few test galaxies, in three and in seven bands.

    What all but the models answer is kept in OUT/rivals, of Bagpipes galaxy by galaxy: a run that was stopped goes on
    where it was.
    """
    from training.assess import assess_slow, markdown
    from training.rivals.bagpipes import Bagpipes

    with user_errors():
        found = assess_slow(
            models,
            data,
            Bagpipes(history),
            out / "rivals",
            seed=seed,
            galaxies=galaxies,
            train_scenes=train_scenes,
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / f"bagpipes-{history}.json").write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (out / f"bagpipes-{history}.md").write_text(markdown(found), encoding="utf-8")
    print(markdown(found))


@app.command()
def draw_sizes(
    sizes: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Directory that `fit-sizes` wrote.")],
    rates: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="JSON of `benchmarks/models.py`.")],
    shipped: Annotated[str, typer.Option(help="Name of the size that is shipped.")],
    out: _Out,
) -> None:
    """Draw accuracy against cost for networks of several sizes."""
    from training.figures import draw_sizes as draw
    from training.sizes import SIZES_FILE, Size

    found = [Size.model_validate(size) for size in json.loads((sizes / SIZES_FILE).read_text(encoding="utf-8"))]
    with user_errors():
        for file in draw(found, json.loads(rates.read_text(encoding="utf-8")), shipped, out):
            print(file)


@app.command()
def fit_sizes(
    data: _Data,
    out: Annotated[Path, typer.Option(help="Directory for the networks, each a SavedModel NAME/1/, and sizes.json.")],
    looks: Annotated[int | None, typer.Option(min=1, help="Observed galaxies; by default as many as for one.")] = None,
) -> None:
    """Fit the redden network in six sizes to the same observations, to see what accuracy costs.

    Then `python benchmarks/models.py models/paper-3band/1 OUT/*/1 --json OUT/speed.json` and `redden-train draw-sizes`.
    """
    from training.configs import config_file
    from training.fit_redden import Config
    from training.sizes import fit_sizes as fit_all

    with user_errors():
        path = config_file("redden")
        assert path is not None
        config = Config.read(path)
        if looks is not None:
            config = config.model_copy(update={"looks": looks})
        found = fit_all(config, data, out, print)
    for size in found:
        r2 = ", ".join(f"{bands} {by_quantity['a_v'].value:.3f}" for bands, by_quantity in size.r2.items())
        print(f"{size.name}: {size.parameters} parameters, R2 of A_V by bands {r2}")
