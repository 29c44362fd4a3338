"""Measure real galaxies with models, with Meurer's relation, and with Bagpipes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from redden.bands import BANDS
from redden.cutout import Cutout, model_input, read_cutout
from redden.domain import domain_scores, in_domain
from redden.dust import a_v_from_beta
from redden.errors import ReddenError
from redden.posterior import PROBABILITIES, quantiles
from training.predict import open_model
from training.real.catalogue import RealGalaxy
from training.rivals.bagpipes import Bagpipes, UnfittableError
from training.rivals.meurer import slope
from training.rivals.mocks import ALL_BANDS, Mocks
from training.rivals.photometry import fluxes

Array = NDArray[np.float64]

_NOTHING = np.full(len(PROBABILITIES), np.nan)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one method says of one galaxy."""

    method: str
    a_v: Array
    """At `redden.posterior.PROBABILITIES`, as is `log_ssfr`; NaN what it does not say."""
    log_ssfr: Array
    in_domain: bool | None = None
    """Whether the galaxy is like those that the model was trained on; None if it cannot tell."""
    problem: str = ""
    """Why there is no answer."""


@dataclass(frozen=True, slots=True)
class MeasuredGalaxy:
    """A real galaxy with what all methods say of it."""

    galaxy: RealGalaxy
    cutout: Cutout | None
    """None if the files cannot be measured."""
    beta: tuple[float, float]
    """Ultraviolet slope and its error: of the table, or else of the bands; NaN if neither has it."""
    measurements: tuple[Measurement, ...]


def measure_real(galaxies: Sequence[RealGalaxy], models: Sequence[Path], bagpipes: str | None) -> list[MeasuredGalaxy]:
    """Measure galaxies one after the other, by the code with which a service measures an upload.

    Parameters
    ----------
    galaxies : sequence of RealGalaxy
    models : sequence of Path
        Runs or exported models.
    bagpipes : str, optional
        History with which Bagpipes fits the photometry of the cutouts too, see `training.rivals.bagpipes.HISTORIES`.

    Returns
    -------
    list of MeasuredGalaxy
        What cannot be measured has a `problem`, and stops nothing.

    Raises
    ------
    ModelCardError, MissingBagpipesError
        If a model cannot be used, or Bagpipes is not installed.
    """
    opened = [open_model(model) for model in models]
    fitter = None if bagpipes is None else Bagpipes(bagpipes)
    measured = []
    for galaxy in galaxies:
        try:
            cutout = read_cutout(galaxy.uploads(), unit=galaxy.unit)
        except ReddenError as error:
            failed = Measurement("", _NOTHING, _NOTHING, problem=str(error))
            measured.append(MeasuredGalaxy(galaxy, None, (np.nan, np.nan), (failed,)))
            continue
        found = []
        for card, predict in opened:
            try:
                outputs = predict(model_input(cutout, card, galaxy.redshift))
            except ReddenError as error:
                found.append(Measurement(card.name, _NOTHING, _NOTHING, problem=str(error)))
                continue
            answer = quantiles(card, outputs)
            scores = domain_scores(card, outputs)
            like = None if scores is None else bool(in_domain(card, scores)[0])
            found.append(Measurement(card.name, answer["a_v"][0], answer["log_ssfr"][0], like))
        beta = _beta(galaxy, cutout)
        found.append(_meurer(beta))
        if fitter is not None:
            found.append(_fitted(fitter, galaxy, cutout))
        measured.append(MeasuredGalaxy(galaxy, cutout, beta, tuple(found)))
    return measured


def _photometry(cutout: Cutout) -> tuple[Array, Array]:
    """Flux and standard error in nJy, shape (7,); NaN in bands that are absent or have no usable unit."""
    pixels = np.full((1, *cutout.pixels.shape[:2], len(BANDS)), np.nan, dtype=np.float32)
    for place, band in enumerate(cutout.bands):
        if band not in cutout.uncalibrated:
            pixels[0, ..., ALL_BANDS.index(band)] = cutout.pixels[..., place]
    unknown = np.full((1, 2), np.nan)
    flux, error = fluxes(Mocks(pixels, unknown, {}, np.zeros(1, np.int64), np.zeros((1, len(BANDS)), np.float32)))
    return flux[0], error[0]


def _beta(galaxy: RealGalaxy, cutout: Cutout) -> tuple[float, float]:
    if np.isfinite(galaxy.references["beta"][0]) or galaxy.redshift is None:
        return galaxy.references["beta"]
    flux, error = _photometry(cutout)
    value, deviation = slope(flux[None], error[None], np.array([galaxy.z]))
    return float(value[0]), float(deviation[0])


def _meurer(beta: tuple[float, float]) -> Measurement:
    a_v = _NOTHING.copy()
    value, error = beta
    if np.isfinite(value):
        reach = np.array([-1.96, -1.0, 0.0, 1.0, 1.96]) * error
        a_v = a_v_from_beta(
            value + np.where(np.isfinite(reach), reach, [np.nan, np.nan, 0.0, np.nan, np.nan]), "Calzetti"
        )
    problem = "" if np.isfinite(value) else "no slope is given, and fewer than two bands are ultraviolet and bright"
    return Measurement("Meurer", a_v, _NOTHING, problem=problem)


def _fitted(fitter: Bagpipes, galaxy: RealGalaxy, cutout: Cutout) -> Measurement:
    flux, error = _photometry(cutout)
    if galaxy.redshift is None or np.isfinite(flux).sum() < 3:
        return Measurement(
            fitter.name, _NOTHING, _NOTHING, problem="a redshift and three bands in a flux unit are needed"
        )
    try:
        a_v, log_ssfr = fitter.fit(flux, error, galaxy.z)
    except UnfittableError as refused:
        return Measurement(fitter.name, _NOTHING, _NOTHING, problem=str(refused))
    return Measurement(fitter.name, a_v, log_ssfr)
