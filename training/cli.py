"""`redden-train`: from a forward model to a served network, step by step."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from training import cli_compare, cli_evaluate, cli_import, cli_paper
from training.user_errors import user_errors

app = typer.Typer(help=__doc__, no_args_is_help=True)


def main() -> None:
    """The command, which says what to install where an extra is missing."""
    try:
        app()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in ("redden", "service", "training"):
            raise  # a mistake of ours, for which nothing can be installed
        raise SystemExit(
            f"{error.name} is not installed: redden-train needs the extras `training` and `sed`, "
            "as in `pip install 'redden[training,sed]'`."
        ) from None


# --- simulate: the forward model -----------------------------------------------------------------------------------


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="New directory for the data set.")],
    galaxies: Annotated[int, typer.Option(min=1, help="Galaxies to simulate; about one in five is bright enough.")],
    seed: Annotated[int, typer.Option(min=0, help="Equal options and seed give equal data.")] = 0,
    bands: Annotated[str, typer.Option(help="NIRCam bands, separated by commas.")] = "F277W,F356W,F444W",
    sampling: Annotated[
        Literal["varied", "paper"],
        typer.Option(help="Two random dust-to-metal ratios per galaxy, or the paper's 4 orientations times 11 ratios."),
    ] = "varied",
    redshifts: Annotated[
        Literal["continuous", "snapshots"], typer.Option(help="Uniform in 6-8.5, or the paper's TNG50 snapshots.")
    ] = "continuous",
    depth: Annotated[
        tuple[float, float],
        typer.Option(help="Range of depths to draw from: 5 sigma AB magnitude in circles of 0.1 arcsec radius."),
    ] = (28.6, 28.6),
    noise_free: Annotated[
        bool, typer.Option("--noise-free", help="Leave the noise out of the images that are chosen with it.")
    ] = False,
    processes: Annotated[int, typer.Option(min=1, help="Worker processes.")] = os.cpu_count() or 1,
) -> None:
    """Simulate mock galaxies and write those bright enough as a data set."""
    from training.simulate.run import simulate as run
    from training.simulate.settings import SAMPLINGS, Observation, Population, Settings

    with user_errors():
        settings = Settings(
            seed=seed,
            galaxies=galaxies,
            population=Population(redshifts=redshifts),
            observation=Observation(bands=tuple(bands.split(",")), depth=depth, keep_noise=not noise_free),
            sampling=SAMPLINGS[sampling],
        )
        card = run(settings, out, processes)
    print(f"{card.images} images of {card.galaxies_kept} galaxies in {out}; {card.images_rejected} were too faint.")
    if not card.images:
        print(f"Too few galaxies for a bright one: simulate more than {galaxies} into a new directory.")
        return
    model = "paper-1band" if sampling == "paper" else "gaussian-3band"
    print(f"Next: redden-train fit {model} --data {out} --out runs/{model}")


@app.command()
def scenes(
    out: Annotated[Path, typer.Argument(help="New directory for the data set.")],
    galaxies: Annotated[int, typer.Option(min=1, help="Galaxies to simulate, two views of each.")],
    seed: Annotated[int, typer.Option(min=0, help="Equal options and seed give equal data.")] = 0,
    settings: Annotated[
        Path | None, typer.Option(help="JSON with other settings, as in the card of a data set of scenes.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Worker processes.")] = os.cpu_count() or 1,
) -> None:
    """Simulate noiseless galaxies in seven bands, with varied stars, dust and geometry, to be observed in training."""
    from training.simulate.scenes import simulate_scenes
    from training.simulate.settings import Scenes

    try:
        with user_errors():
            base = Scenes() if settings is None else Scenes.model_validate_json(settings.read_text(encoding="utf-8"))
            card = simulate_scenes(base.model_copy(update={"seed": seed, "galaxies": galaxies}), out, processes)
    except OSError as error:
        raise typer.BadParameter(str(error)) from error
    print(f"{card.images} scenes of {card.galaxies_kept} galaxies in {out}; {card.images_rejected} were too faint.")


@app.command()
def demo(
    out: Annotated[Path, typer.Argument(help="FITS file to write; an old one is replaced.")],
    seed: Annotated[int, typer.Option(min=0, help="Which galaxy.")] = 9,
) -> None:
    """Write one mock galaxy as a multi-extension FITS file, with the truth in its primary header."""
    from training.simulate.demo import demo_galaxy

    demo_galaxy(seed).writeto(out, overwrite=True)
    print(f"Next: redden predict {out}")


# --- survey: mosaics of a mock sky ---------------------------------------------------------------------------------


@app.command()
def survey(
    out: Annotated[Path, typer.Argument(help="New directory for the mosaics, the catalogue and the survey file.")],
    name: Annotated[str, typer.Option(help="Name of the survey.")] = "demo",
    side: Annotated[int, typer.Option(help="Side of the mosaics in pixels of 0.03 arcsec.")] = 3072,
    galaxies: Annotated[int, typer.Option(min=1, help="Galaxies, each bright enough to be measured.")] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Equal options and seed give equal files.")] = 0,
    ra: Annotated[float, typer.Option(help="Right ascension of the centre, degrees.")] = 30.0,
    dec: Annotated[float, typer.Option(help="Declination of the centre, degrees.")] = 12.0,
    depth: Annotated[
        float, typer.Option(help="5 sigma AB magnitude in circles of 0.1 arcsec radius, in every band.")
    ] = 29.2,
) -> None:
    """Simulate a survey: a mosaic per band, the catalogue of the truth, and a survey file that serving reads."""
    from training.demo_survey import MockSurvey, make_survey

    with user_errors():
        asked = MockSurvey(name=name, side=side, galaxies=galaxies, seed=seed, ra=ra, dec=dec, depth=depth)
        make_survey(asked, out)
    print(f"Next: redden survey add {out / name}.toml")


# --- fit, ensemble, domain, export: the networks ---------------------------------------------------------------------
# Imports of tensorflow stand inside the commands, so that --help answers at once.


def _new_run(out: Path) -> Path:
    """Refuse a directory with a run, which may have taken hours."""
    from redden.modelcard import CARD_FILE

    if (out / CARD_FILE).exists():
        raise typer.BadParameter(f"{out} holds a run: name a new directory, or remove it.")
    return out


@app.command()
def fit(
    name: Annotated[
        str,
        typer.Argument(
            help="Model: redden, paper-1band, paper-3band or gaussian-3band; "
            "or a file like training/configs/redden.toml."
        ),
    ],
    data: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="Data set of `simulate`; of `scenes` for redden.")
    ],
    out: Annotated[Path, typer.Option(callback=_new_run, help="Directory of the run: weights, history, card.")],
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Seed of weights, observations and order; and of the split, which for redden is in its configuration. "
            "By default that of the configuration, or 0.",
        ),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="For redden: run or ensemble, fitted to the same data set, whose posteriors are learned too.",
        ),
    ] = None,
) -> None:
    """Fit a network to a data set."""
    from training.configs import config_file

    if (config := config_file(name)) is not None:
        from training.fit_redden import Config, fit_one

        with user_errors():
            asked = Config.read(config) if seed is None else Config.read(config).model_copy(update={"seed": seed})
            fit_one(asked, data, out, print, teacher)
        print(f"Next: redden-train domain {out} --data {data}")
        return
    from training.fit import fit as fit_network
    from training.networks import RECIPES

    if name not in RECIPES:
        raise typer.BadParameter(
            f"there is no model {name!r}; there are redden, {', '.join(RECIPES)}.", param_hint="NAME"
        )
    if teacher is not None:
        raise typer.BadParameter("only redden networks have teachers.", param_hint="--teacher")
    with user_errors():
        fit_network(name, data, out, seed=seed or 0)
    print(f"Next: redden-train evaluate {out} --data {data}")


@app.command()
def ensemble(
    runs: Annotated[list[Path], typer.Argument(exists=True, file_okay=False, help="Runs of the redden model.")],
    out: Annotated[Path, typer.Option(callback=_new_run, help="Directory of the run that is written.")],
) -> None:
    """Join runs that were fitted with other seeds or shapes into one, whose posterior is the mean of theirs."""
    from training.ensemble import ensemble as join_runs

    with user_errors():
        join_runs(runs, out)
    print(f"Next: redden-train domain {out} --data DATA")


@app.command()
def domain(
    run: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Run of the redden model.")],
    data: Annotated[Path, typer.Option(exists=True, file_okay=False, help="Data set of scenes that it was fitted to.")],
    tests: Annotated[int, typer.Option(min=50, help="Strange cutouts of each kind to test with.")] = 600,
    scene_count: Annotated[int, typer.Option("--scenes", min=1, help="Most validation and most test scenes.")] = 24000,
    seed: Annotated[int, typer.Option(min=0, help="Equal options and seed give equal scores.")] = 0,
) -> None:
    """Complete the domain score of a run, and print how well it tells strange cutouts from galaxies."""
    from training.domain_run import DomainSettings, add_domain

    with user_errors():
        settings = DomainSettings(scenes=scene_count, tests=tests, seed=seed)
        print(add_domain(run, data, settings).markdown())


@app.command()
def export(
    run: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Run that was fitted and evaluated.")],
    models: Annotated[Path, typer.Argument(help="Directory of the models, in TensorFlow Serving's layout.")],
    version: Annotated[int | None, typer.Option(min=1, help="By default the next free one.")] = None,
) -> None:
    """Write a run as models/NAME/VERSION/ with its card, ready to be served."""
    from training.export import export as export_model

    with user_errors():
        print(export_model(run, models, version=version))


# --- evaluate, compare: on mocks and on the sky --------------------------------------------------------------------

app.add_typer(cli_evaluate.app)

# --- calibrate, coverage, compare-rivals: how good a model is -------------------------------------------------------

app.add_typer(cli_compare.app)

# --- import-skirt, import-particles, measure-scenes: galaxies that others have simulated ------------------------------

app.add_typer(cli_import.app)

# --- tune, experiments: what the paper did ----------------------------------------------------------------------------

app.add_typer(cli_paper.app)
