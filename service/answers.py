"""From the outputs of a model to the answer of a request."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from redden import __version__
from redden.answer import (
    Answer,
    Exceedance,
    Flag,
    ModelReference,
    Provenance,
    Quantities,
    Quantity,
    Redshift,
)
from redden.cutout import Cutout, used_bands
from redden.domain import OUT_OF_DOMAIN, REDSHIFT_OUTSIDE, domain_scores, redshift_outside, warning
from redden.modelcard import ModelCard
from redden.posterior import UNITS, exceedance, quantiles
from redden.quality import BANDS_IGNORED, REDSHIFT_IGNORED

Outputs = Mapping[str, NDArray[np.float32]]


def make_answer(
    cutout: Cutout,
    card: ModelCard,
    outputs: Outputs,
    redshift: tuple[float, float] | None = None,
    a_v_above: float | None = None,
) -> Answer:
    """The answer about one galaxy.

    Parameters
    ----------
    cutout : Cutout
        The galaxy.
    card : ModelCard
        The model that was asked.
    outputs : mapping of str to ndarray of float32, shape (1, ...)
        What it answered.
    redshift : (float, float), optional
        What is known of the galaxy's redshift, and its standard error.
    a_v_above : float, optional
        A_V whose exceedance is wanted, in mag.

    Raises
    ------
    ModelCardError
        If the outputs are not those that the card promises.
    """
    quantities = {name: _quantity(values[0].tolist(), UNITS[name]) for name, values in quantiles(card, outputs).items()}
    told = redshift if card.takes_redshift else None
    scores = domain_scores(card, outputs)
    score = None if scores is None else float(scores[0])
    above = None if a_v_above is None else _exceedance(card, outputs, a_v_above)
    return Answer(
        quantities=Quantities.model_validate(quantities),
        a_v_above=above,
        bands=used_bands(cutout, card),
        redshift=None if told is None else Redshift(value=told[0], error=told[1]),
        snr=cutout.snr,
        flags=[
            *_domain_flags(card, score),
            *cutout.flags,
            *_left_aside(cutout, card, redshift, above),
            *_redshift_flags(card, told),
        ],
        in_domain=None if score is None else warning(card, score) is None,
        domain_score=score,
        model=ModelReference(name=card.name, version=card.version),
        provenance=Provenance(
            input_sha256=cutout.sha256, pixels=list(cutout.history), software=f"redden {__version__}"
        ),
    )


def _domain_flags(card: ModelCard, score: float | None) -> list[Flag]:
    message = None if score is None else warning(card, score)
    return [] if message is None else [Flag(code=OUT_OF_DOMAIN, message=message)]


def _redshift_flags(card: ModelCard, redshift: tuple[float, float] | None) -> list[Flag]:
    if redshift is None or card.redshift_range is None or not redshift_outside(card, np.array([redshift])).all():
        return []
    (low, high), (value, error) = card.redshift_range, redshift
    message = (
        f"{card.name} was trained on galaxies at redshift {low:g} to {high:g}; this one is said to be at {value:g}"
        f"{f' ± {error:g}' if error else ''}. The numbers are extrapolated."
    )
    return [Flag(code=REDSHIFT_OUTSIDE, message=message)]


def _left_aside(
    cutout: Cutout, card: ModelCard, redshift: tuple[float, float] | None, above: Exceedance | None
) -> list[Flag]:
    """What the request said or asked that the model cannot make use of."""
    flags = []
    others = [band for band in cutout.bands if band not in card.bands]
    if others:
        message = f"{card.name} looks at {', '.join(card.bands)} alone; {', '.join(others)} did not count."
        flags.append(Flag(code=BANDS_IGNORED, message=message))
    if redshift is not None and not card.takes_redshift:
        flags.append(Flag(code=REDSHIFT_IGNORED, message=f"{card.name} takes no redshift; the stated did not count."))
    if above is not None and above.probability is None:
        message = f"{card.name} gives point estimates only, so no probability that A_V is above {above.value:g}."
        flags.append(Flag(code="no_probability", message=message))
    return flags


def _exceedance(card: ModelCard, outputs: Outputs, value: float) -> Exceedance:
    probability = float(exceedance(card, outputs, "a_v", value)[0])
    return Exceedance(value=value, probability=probability if np.isfinite(probability) else None)


def _quantity(values: Sequence[float], unit: str) -> Quantity:
    """A quantity of its five quantiles (`redden.posterior.PROBABILITIES`); what is not finite becomes null."""
    low_95, low_68, median, high_68, high_95 = (value if np.isfinite(value) else None for value in values)
    return Quantity(
        median=median,
        unit=unit,
        interval_68=None if low_68 is None or high_68 is None else (low_68, high_68),
        interval_95=None if low_95 is None or high_95 is None else (low_95, high_95),
    )
