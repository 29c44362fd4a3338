"""Give the network of a finished run its domain score: draw the cutouts, fit, set the threshold, and test."""

from pathlib import Path
from typing import Annotated, Final

import keras
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from redden.modelcard import Domain, ModelCard
from redden.photometric import context_columns
from redden.signature import DOMAIN
from training.domain import BATCH, FALSE_ALARMS, evidence, fit_head, look, with_domain
from training.domain_data import draw_inliers, draw_outliers
from training.domain_report import DomainReport, domain_report, heads_without
from training.fit import NETWORK_FILE, read_run_card
from training.observe import ObservationPrior
from training.outliers import FITTED, KINDS
from training.scene_set import SceneSet, load_scenes

REPORT_FILE: Final = "domain.json"


class DomainSettings(BaseModel):
    """How much is drawn for the domain score."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scenes: Annotated[int, Field(ge=1)] = 24000
    """Most scenes of each part of the split that are looked at, once each."""
    outliers: Annotated[int, Field(ge=1)] = 2500
    """Strange cutouts of each kind to fit to."""
    tests: Annotated[int, Field(ge=1)] = 600
    """Strange cutouts of each kind to test with."""
    repeats: Annotated[int, Field(ge=1)] = 2
    """How often each cutout is shown, in other bands each time, and each held-out scene observed."""
    epochs: Annotated[int, Field(ge=1)] = 12
    """How often the fit of the score sees each cutout."""
    seed: Annotated[int, Field(ge=0)] = 0


def add_domain(run: Path, data: Path, settings: DomainSettings) -> DomainReport:
    """Fit a domain score to the network of a run; network and card are replaced, ``domain.json`` is added.

    The head is fitted to training galaxies, the usual level and the threshold to validation galaxies, and the report
    is of test galaxies.

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
    network = _without_domain(keras.models.load_model(run / NETWORK_FILE))
    _, scenes = load_scenes(data)
    prior = ObservationPrior.model_validate(card.trained_on["observation"])
    split_seed = card.trained_on["split_seed"]
    train, validation, test = (
        _some(scenes.part(part, split_seed), settings) for part in ("train", "validation", "test")
    )

    # Evidence is kept, cutouts are not: they would take ten times the memory.
    sees, rng = evidence(network), np.random.default_rng(settings.seed)
    outliers = draw_outliers(train, prior, kinds=FITTED, count=settings.outliers, seed=settings.seed)
    strange = {
        kind: look(sees, each.shown_repeatedly(card.bands, settings.repeats, rng)) for kind, each in outliers.items()
    }
    del outliers
    inliers = draw_inliers(train, prior, looks=1, seed=settings.seed)
    known = look(sees, inliers.shown_repeatedly(card.bands, settings.repeats, rng))
    held_out = draw_inliers(validation, prior, looks=settings.repeats, seed=settings.seed + 100)
    calibration = look(sees, held_out.shown_in_every_set(card.bands, rng))
    del inliers, held_out

    columns = context_columns(len(card.bands))
    head = fit_head(known, strange, calibration, columns, epochs=settings.epochs, seed=settings.seed)
    scored = with_domain(network, head)
    usual = head.predict(calibration, batch_size=BATCH, verbose=0)
    threshold = float(np.quantile(usual, 1 - FALSE_ALARMS))
    unseen = heads_without(known, strange, calibration, columns, epochs=settings.epochs, seed=settings.seed)
    del known, strange, calibration

    tests = draw_outliers(test, prior, kinds=tuple(KINDS), count=settings.tests, seed=settings.seed + 1000)
    report = domain_report(
        scored,
        card.bands,
        threshold,
        draw_inliers(test, prior, looks=settings.repeats, seed=settings.seed + 200),
        tests,
        unseen,
    )
    _write(run, scored, card.model_copy(update={"domain": Domain(threshold=threshold)}), report)
    return report


def _some(scenes: SceneSet, settings: DomainSettings) -> SceneSet:
    return scenes.rows(np.arange(min(len(scenes), settings.scenes)))


def _without_domain(network: keras.Model) -> keras.Model:
    """The network as it was before a domain score, so that another can take its place."""
    outputs = {name: tensor for name, tensor in network.output.items() if name != DOMAIN}
    return keras.Model(network.inputs, outputs, name=network.name)


def _write(run: Path, network: keras.Model, card: ModelCard, report: DomainReport) -> None:
    network.save(run / NETWORK_FILE)
    card.write(run)
    (run / REPORT_FILE).write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
