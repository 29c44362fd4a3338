"""The search for hyperparameters: Bayesian optimisation over the paper's Table 1, resumable and on several workers."""

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import keras_tuner
import numpy as np
from astropy.table import Table
from keras_tuner.oracles import BayesianOptimizationOracle

from redden.modelcard import TargetName
from training.fit import fit_network
from training.networks import RECIPES, Recipe, paper
from training.paper.augment import FACTOR, Augmentation
from training.samples import Samples, load

TABLE_FILE: Final = "trials.ecsv"
CURVE_FILE: Final = "search.png"
_PROJECT: Final = "trials"
_OBJECTIVE: Final = "val_loss"
_DEEPEST: Final = 4
"""Most convolutions, and most dense layers."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a trial may cost.

    Attributes
    ----------
    factor : float
        Training images with their copies over those without; all hyperparameters see the same.
    epochs : int
        Most epochs.
    """

    factor: float = FACTOR
    epochs: int = 60


def space() -> keras_tuner.HyperParameters:
    """The paper's Table 1."""
    space = keras_tuner.HyperParameters()
    for layers, units, least in (("convolutions", "filters", 4), ("dense_layers", "units", 8)):
        space.Int(layers, 1, _DEEPEST)
        for number in range(1, _DEEPEST + 1):
            with space.conditional_scope(layers, list(range(number, _DEEPEST + 1))):
                space.Int(f"{units}_{number}", least, 64, step=least)
    space.Float("learning_rate", 1e-4, 1e-2, sampling="log")
    space.Int("batch_size", 16, 64, step=16)
    return space


def chosen(values: dict[str, Any]) -> paper.Hyperparameters:
    """Hyperparameters from values of the search's `space`."""
    return paper.Hyperparameters(
        filters=tuple(values[f"filters_{number}"] for number in range(1, values["convolutions"] + 1)),
        dense=tuple(values[f"units_{number}"] for number in range(1, values["dense_layers"] + 1)),
        learning_rate=values["learning_rate"],
        batch_size=values["batch_size"],
    )


class Oracle(BayesianOptimizationOracle):  # type: ignore[misc]  # keras-tuner has no types
    """Its state is replaced whole: a process that is killed while it writes leaves the state before."""

    def save(self) -> None:
        """Write the state of the search."""
        _replace(Path(self._get_oracle_fname()), self.get_state())

    def _save_trial(self, trial: Any) -> None:
        path = Path(self._get_trial_dir(trial.trial_id)) / "trial.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, trial.get_state())


def _replace(path: Path, state: dict[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(state), encoding="utf-8")
    partial.replace(path)


class Search(keras_tuner.Tuner):  # type: ignore[misc]  # keras-tuner has no types
    """A trial is a fit of one network by the paper's procedure; its score is the least validation loss.

    Networks are not kept: a winner is used by writing its hyperparameters into `training.networks`.
    """

    def run_trial(self, trial: Any, train: Samples, validation: Samples, recipe: Recipe) -> dict[str, float]:
        """Fit with a trial's hyperparameters."""
        found = chosen(trial.hyperparameters.values)
        tried = replace(recipe, build=partial(paper.build, hyperparameters=found), batch_size=found.batch_size)
        _, history = fit_network(tried, train, validation, seed=0)
        losses = history[recipe.targets[0].name][_OBJECTIVE]
        # A network whose loss left the numbers has lost, but must not stop the search.
        return {_OBJECTIVE: float(np.nan_to_num(np.nanmin(losses), nan=1e9, posinf=1e9))}


def tune(name: str, target: TargetName, data: Path, out: Path, *, trials: int, budget: Budget, seed: int) -> Table:
    """Search the hyperparameters of one network, and write the trials as a table and as a picture.

    A search that was stopped goes on where it was when it is started again with the same directory. With
    ``KERASTUNER_TUNER_ID``, ``KERASTUNER_ORACLE_IP`` and ``KERASTUNER_ORACLE_PORT`` set, this process is the chief or
    one of the workers of a search on several processes or machines, which share the directory.

    Parameters
    ----------
    name : str
        ``paper-1band`` or ``paper-3band``.
    target : str
        Quantity whose network is tuned.
    data : Path
        Data set.
    out : Path
        Directory of the search.
    trials : int
        How many trials there are in the end.
    budget : Budget
        Of each trial.
    seed : int
        Of the split and of the search.

    Returns
    -------
    Table
        Finished trials in order, see `table`; empty for a worker, which does not know them all.

    Raises
    ------
    DatasetError
        If the data set cannot be used.
    """
    recipe = replace(
        RECIPES[name],
        targets=tuple(each for each in RECIPES[name].targets if each.name == target),
        batches=Augmentation(factor=budget.factor).batches,
        epochs=budget.epochs,
    )
    _, samples = load(data, recipe.bands, recipe.normalisation)
    train, validation = (samples.part(part, seed, recipe.split) for part in ("train", "validation"))
    oracle = Oracle(
        objective=keras_tuner.Objective(_OBJECTIVE, "min"),
        max_trials=trials,
        hyperparameters=space(),
        allow_new_entries=False,
        seed=seed,
    )
    search = Search(oracle, directory=str(out), project_name=_PROJECT)
    search.search(train, validation, recipe)
    if search.tuner_id not in ("chief", "tuner0") or oracle is not search.oracle:
        return Table()
    found = table(out)
    found.meta |= {"model": name, "target": target, "factor": budget.factor, "epochs": budget.epochs, "seed": seed}
    found.write(out / TABLE_FILE, overwrite=True)
    draw(found, out / CURVE_FILE)
    return found


def table(out: Path) -> Table:
    """The finished trials of a search, in order.

    Returns
    -------
    Table
        ``trial``; ``val_loss``, in percent; ``best``, the least loss up to there; and the hyperparameters: ``filters``
        and ``dense`` as text, ``learning_rate``, ``batch_size``.
    """
    rows: list[dict[str, Any]] = []
    for path in sorted((out / _PROJECT).glob("trial_*/trial.json")):
        with suppress(json.JSONDecodeError):  # half-written, as a killed process leaves it
            state = json.loads(path.read_text(encoding="utf-8"))
            if state["status"] == "COMPLETED":
                found = chosen(state["hyperparameters"]["values"])
                rows.append(
                    {
                        "trial": int(state["trial_id"]),
                        "val_loss": round(float(state["score"]), 3),
                        "filters": " ".join(map(str, found.filters)),
                        "dense": " ".join(map(str, found.dense)),
                        "learning_rate": float(f"{found.learning_rate:.3g}"),
                        "batch_size": found.batch_size,
                    }
                )
    found_rows = Table(sorted(rows, key=lambda row: row["trial"]))
    if rows:
        found_rows.add_column(np.minimum.accumulate(found_rows["val_loss"]), name="best", index=2)
    return found_rows


def draw(trials: Table, path: Path) -> None:
    """The loss of each trial and the best so far, as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(trials["trial"], trials["val_loss"], "o", color="0.6", label="trial")
    axes.step(trials["trial"], trials["best"], where="post", color="C3", label="best so far")
    low, high = np.percentile(trials["val_loss"], [0, 90])
    axes.set(xlabel="trial", ylabel="validation loss [%]", ylim=(low - 0.05 * (high - low), high + 0.3 * (high - low)))
    axes.set_title(f"{trials.meta.get('model', '')}, {trials.meta.get('target', '')}")
    axes.legend()
    figure.savefig(path, dpi=100)
