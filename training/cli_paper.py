"""Commands that repeat what the paper did beyond a fit: the search for hyperparameters, and experiments."""

from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from training.user_errors import user_errors

app = typer.Typer()

_Model = Literal["paper-1band", "paper-3band"]
_Target = Literal["a_v", "e_bv", "log_ssfr"]
_Data = Annotated[
    Path,
    typer.Option(exists=True, file_okay=False, help="Data set of `simulate --sampling paper`, or another."),
]


@app.command()
def tune(
    name: Annotated[_Model, typer.Argument(help="Whose network is tuned.")],
    data: _Data,
    out: Annotated[Path, typer.Option(help="Directory of the search; one that was stopped goes on.")],
    target: Annotated[_Target, typer.Option(help="Which of its networks.")] = "a_v",
    trials: Annotated[int, typer.Option(min=1, help="Trials in the end, those of a stopped search included.")] = 200,
    factor: Annotated[float, typer.Option(min=1, help="Training images with copies over those without.")] = 3.8,
    epochs: Annotated[int, typer.Option(min=1, help="Most epochs of a trial.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split and of the search.")] = 0,
) -> None:
    """Search hyperparameters by Bayesian optimisation over the paper's Table 1.

    Several processes or machines share a search if they share OUT and have keras-tuner's variables: the same
    KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT, and KERASTUNER_TUNER_ID=chief for one of them, which fits nothing,
    and tuner0, tuner1, ... for the others.
    """
    from training.paper.tune import TABLE_FILE, Budget
    from training.paper.tune import tune as search

    with user_errors():
        found = search(name, target, data, out, trials=trials, budget=Budget(factor, epochs), seed=seed)
    if len(found):
        found.sort("val_loss")
        print("\n".join(found[:10].pformat(max_lines=-1, max_width=-1)))
        print(f"All {len(found)} trials: {out / TABLE_FILE}")


@app.command()
def experiments(
    data: _Data,
    out: Annotated[Path, typer.Option(help="Directory for the outcomes and their table; those there are kept.")],
    names: Annotated[list[str] | None, typer.Argument(help="Experiments; by default all of the table.")] = None,
    noise_free: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="The same data set, simulated with --noise-free; for the experiments without noise.",
        ),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="TOML of experiments in the place of ours.")
    ] = None,
    model: Annotated[_Model | None, typer.Option(help="Only this model.")] = None,
    target: Annotated[_Target, typer.Option(help="Which of its networks.")] = "a_v",
    factor: Annotated[float, typer.Option(min=1, help="Training images with copies over those without.")] = 3.8,
    epochs: Annotated[int, typer.Option(min=1, help="Most epochs.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split, the copies and the weights.")] = 0,
) -> None:
    """Repeat the paper's procedure with one thing changed at a time, to see what its errors owe to it."""
    from training.paper.experiments import TABLE_FILE, VARIANTS_FILE, ExperimentError, markdown, run, variants

    with user_errors():
        known = variants(table or VARIANTS_FILE)
        if unknown := set(names or ()) - set(known):
            raise ExperimentError(f"there is no experiment {', '.join(unknown)}; there are {', '.join(known)}.")
        chosen = names or list(known)
        if noise_free is None and (clean := [name for name in chosen if not known[name].noise]):
            raise ExperimentError(
                f"{', '.join(clean)} need the same images without noise: name them with --noise-free, or name the "
                "other experiments only."
            )
        outcomes = [
            run(
                name,
                known[name],
                which,
                target,
                noise_free if noise_free and not known[name].noise else data,
                out,
                factor=factor,
                epochs=epochs,
                seed=seed,
            )
            for which in ([model] if model else get_args(_Model))
            for name in chosen
        ]
    (out / TABLE_FILE).write_text(markdown(outcomes), encoding="utf-8")
    print(markdown(outcomes))
