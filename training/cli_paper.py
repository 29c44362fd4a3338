"""Commands that repeat what the paper did beyond a fit: the search for hyperparameters, and experiments."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from training.user_errors import user_errors

app = typer.Typer()

_Data = Annotated[
    Path,
    typer.Option(exists=True, file_okay=False, help="Data set of `simulate --sampling paper --redshifts snapshots`."),
]


@app.command()
def tune(
    name: Annotated[Literal["paper-1band", "paper-3band"], typer.Argument(help="Whose network is tuned.")],
    data: _Data,
    out: Annotated[Path, typer.Option(help="Directory of the search; one that was stopped goes on.")],
    target: Annotated[
        Literal["a_v", "e_bv", "log_ssfr"], typer.Option(help="Quantity whose network is tuned.")
    ] = "a_v",
    trials: Annotated[int, typer.Option(min=1, help="Trials in the end, those of a stopped search included.")] = 200,
    images: Annotated[int, typer.Option(min=1, help="Training images of a trial, with their copies.")] = 18_213,
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
        found = search(name, target, data, out, trials=trials, budget=Budget(images, epochs), seed=seed)
    if len(found):
        found.sort("val_loss")
        print("\n".join(found[:10].pformat(max_lines=-1, max_width=-1)))
        print(f"All {len(found)} trials: {out / TABLE_FILE}")
