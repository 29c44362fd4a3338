"""Complete the domain score of the network of a finished run: learn the usual level, set the threshold, and test."""

from pathlib import Path
from typing import Annotated, Final

import keras
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from redden.errors import ModelCardError
from redden.modelcard import Domain, ModelCard
from redden.signature import CONTEXT
from training.domain import FALSE_ALARMS, fit_usual, score, with_domain
from training.domain_data import draw_inliers, draw_outliers
from training.domain_report import DomainReport, domain_report
from training.fit import NETWORK_FILE, read_run_card
from training.networks.redden import STRANGENESS
from training.observe import LEAST_SNR, ObservationPrior
from training.outliers import KINDS
from training.scene_set import SceneSet, load_scenes

REPORT_FILE: Final = "domain.json"


class DomainSettings(BaseModel):
    """How much is drawn for the domain score."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scenes: Annotated[int, Field(ge=1)] = 24000
    """Most validation scenes, and most test scenes, that are looked at."""
    tests: Annotated[int, Field(ge=50)] = 600
    """Strange cutouts of each kind to test with; of few, none may be strange in the bands that are shown."""
    repeats: Annotated[int, Field(ge=1)] = 2
    """How often each held-out scene is observed."""
    epochs: Annotated[int, Field(ge=1)] = 12
    """How often the fit of the usual level sees each galaxy."""
    seed: Annotated[int, Field(ge=0)] = 0


def add_domain(run: Path, data: Path, settings: DomainSettings) -> DomainReport:
    """Complete the domain score of the network of a run; network and card are replaced, ``domain.json`` is added.

    The usual level and the threshold are of validation galaxies, and the report is of test galaxies.

    Parameters
    ----------
    run : Path
        Directory of a run of the redden model.
    data : Path
        The data set of scenes that it was fitted to.
    settings : DomainSettings
        How much is drawn.

    Raises
    ------
    ModelCardError, DatasetError
        If the run or the data set cannot be used.
    """
    card = read_run_card(run)
    network = with_domain(read_network(run, card))
    _, scenes = load_scenes(data)
    prior = ObservationPrior.model_validate(card.trained_on["observation"])
    split_seed = card.trained_on["split_seed"]
    validation, test = (_some(scenes.part(part, split_seed), settings) for part in ("validation", "test"))

    held_out = draw_inliers(validation, prior, looks=settings.repeats, seed=settings.seed + 100)
    shown = held_out.shown_in_every_set(card.bands, np.random.default_rng(settings.seed))
    usual = fit_usual(shown[CONTEXT], score(network, shown), epochs=settings.epochs, seed=settings.seed)
    scored = with_domain(network, usual)
    threshold = float(np.quantile(score(scored, shown), 1 - FALSE_ALARMS))
    del held_out, shown

    every = dict.fromkeys(KINDS, 1)
    tests = draw_outliers(test, prior, shares=every, count=settings.tests, min_snr=LEAST_SNR, seed=settings.seed + 1000)
    inliers = draw_inliers(test, prior, looks=settings.repeats, seed=settings.seed + 200)
    report = domain_report(scored, card.bands, threshold, inliers, tests)
    _write(run, scored, card.model_copy(update={"domain": Domain(threshold=threshold)}), report)
    return report


def read_network(run: Path, card: ModelCard) -> keras.Model:
    """The network of a run of the redden model, which has learned to tell strange cutouts.

    Raises
    ------
    ModelCardError
        If this is no run, or one of another model.
    """
    if not (run / NETWORK_FILE).exists():
        raise ModelCardError(f"{run} is no run: it has no {NETWORK_FILE}. `redden-train fit redden` makes one.")
    if card.posterior != "mixture":
        raise ModelCardError(
            f"{run} answers a {card.posterior} posterior; levels, domain scores and ensembles are for mixtures: "
            "fit one with `redden-train fit redden`."
        )
    network = keras.models.load_model(run / NETWORK_FILE)
    if all(layer.name != STRANGENESS for layer in network.layers):
        raise ModelCardError(
            f"the network of {run} has not learned to tell strange cutouts: fit one with `redden-train fit redden`."
        )
    return network


def _some(scenes: SceneSet, settings: DomainSettings) -> SceneSet:
    return scenes.rows(np.arange(min(len(scenes), settings.scenes)))


def _write(run: Path, network: keras.Model, card: ModelCard, report: DomainReport) -> None:
    network.save(run / NETWORK_FILE)
    card.write(run)
    (run / REPORT_FILE).write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
