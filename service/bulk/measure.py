"""Measuring the rows of a catalogue: cutouts are made while the model works on those before."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from redden.cutout import read_cutout
from redden.domain import OUT_OF_DOMAIN, REDSHIFT_OUTSIDE, domain_scores, in_domain, redshift_outside
from redden.errors import ReddenError
from redden.fits import Upload
from redden.modelcard import ModelCard
from redden.modelinput import Inputs, model_inputs
from redden.posterior import quantiles
from redden.quality import REDSHIFT_IGNORED
from redden.recentre import RECENTRE_RADIUS, Recentre
from service.bulk.columns import OK, QUANTILES, result_columns, schema
from service.bulk.cutouts import Cutouts
from service.bulk.cutting import BATCH, Cutter, cut_uploads
from service.surveys.survey import Survey

Tensors = Mapping[str, NDArray[np.float32]]
Predict = Callable[[Tensors], Awaitable[Tensors]]

IN_FLIGHT: Final = 2
"""Batches that the model server has at once from one worker: one is computed while the next travels, or both are."""


async def measure_positions(
    survey: Survey,
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    card: ModelCard,
    predict: Predict,
    *,
    redshift: NDArray[np.float64] | None = None,
    recentre: Recentre | None = None,
    recentre_radius: float = RECENTRE_RADIUS,
) -> pa.Table:
    """Measure the galaxies at many positions of a survey.

    A row gets the same numbers whatever other rows it is measured with, since every call of the model has the same
    number of galaxies.

    Parameters
    ----------
    survey : Survey
        Where the pixels are.
    ra, dec : ndarray, shape (N,)
        ICRS degrees; NaN where there is no position.
    card : ModelCard
        The model.
    predict : callable
        Asks the model, as ``ModelServer.predict`` does once model and version are bound.
    redshift : ndarray, shape (N, 2), optional
        Redshift and its standard error, NaN where unknown. A redshift of unknown error is left aside, with a flag: it
        could be exact or a guess.
    recentre : "peak" or "centroid", optional
        Move the cutouts onto their sources, see `redden.recentre`.
    recentre_radius : float
        Farthest move in arcsec.

    Returns
    -------
    pyarrow.Table
        A row for each position, in the same order, with the columns of `service.bulk.columns`; what cannot be measured
        is null, and its ``status`` says why.

    Raises
    ------
    BandError
        If the survey does not have the bands of the model.
    MosaicAwayError
        If a mosaic cannot be read now, but perhaps later.
    ModelServerError
        If the model server is away, or answers with an error.
    ModelCardError
        If the model answers something else than its card says.
    """
    cutter = Cutter(survey, card, ra, dec, recentre, recentre_radius)
    return await measure_cutouts(cutter.cutouts(), len(ra), card, predict, redshift)


async def measure_images(
    uploads: Iterable[Sequence[Upload]],
    rows: int,
    card: ModelCard,
    predict: Predict,
    *,
    redshift: NDArray[np.float64] | None = None,
    unit: str | None = None,
    pixel_scale: float | None = None,
    recentre: Recentre | None = None,
    recentre_radius: float = RECENTRE_RADIUS,
) -> pa.Table:
    """Measure the galaxies in files.

    Parameters
    ----------
    uploads : iterable of sequence of Upload
        For each row the files of its galaxy, which are read only when it is their turn.
    rows : int
        How many rows there are.
    card, predict, redshift
        See `measure_positions`, also for the result and the errors.
    unit, pixel_scale, recentre, recentre_radius
        See `redden.cutout.read_cutout`; they hold for all files.
    """
    read = partial(read_cutout, unit=unit, pixel_scale=pixel_scale, recentre=recentre, recentre_radius=recentre_radius)
    return await measure_cutouts(cut_uploads(uploads, card, read), rows, card, predict, redshift)


async def measure_cutouts(
    cutouts: Iterator[Cutouts],
    rows: int,
    card: ModelCard,
    predict: Predict,
    redshift: NDArray[np.float64] | None = None,
) -> pa.Table:
    """Measure cutouts, which are made in a thread while the model works on those before.

    Parameters
    ----------
    cutouts : iterator of Cutouts
        All rows of the catalogue, each once, in any order.
    rows : int
        Rows of the catalogue.
    card, predict, redshift
        See `measure_positions`, also for the result and the errors.
    """
    results = _Results(card, rows, _redshift_flags(card, redshift))
    batches = _batches(cutouts, results)
    inputs = _inputs(batches, card, redshift, results)
    flying: deque[tuple[NDArray[np.int64], asyncio.Task[Tensors]]] = deque()
    try:
        while (batch := await asyncio.to_thread(next, inputs, None)) is not None:
            flying.append((batch[0], asyncio.create_task(_ask(predict, batch[1]))))
            if len(flying) > IN_FLIGHT:
                results.add(flying[0][0], await flying[0][1])
                flying.popleft()
        while flying:
            results.add(flying[0][0], await flying[0][1])
            flying.popleft()
    finally:
        for _, task in flying:
            task.cancel()
    return await asyncio.to_thread(results.table)


async def _ask(predict: Predict, inputs: Tensors) -> Tensors:
    return await predict(inputs)


def _batches(cutouts: Iterator[Cutouts], results: "_Results") -> Iterator[Cutouts]:
    """The same cutouts in batches of `BATCH`, the last of which is smaller; why rows have none goes to the results."""
    waiting: list[Cutouts] = []
    for some in cutouts:
        results.refuse(some.refused)
        if not len(some.rows):
            continue
        waiting.append(some)
        if sum(len(each.rows) for each in waiting) >= BATCH:
            joined = Cutouts.joined(waiting) if len(waiting) > 1 else some
            yield joined.cut(0, BATCH)
            waiting = [joined.cut(BATCH, len(joined.rows))] if len(joined.rows) > BATCH else []
    if waiting:
        yield Cutouts.joined(waiting)


def _inputs(
    batches: Iterator[Cutouts], card: ModelCard, redshift: NDArray[np.float64] | None, results: "_Results"
) -> Iterator[tuple[NDArray[np.int64], Inputs]]:
    """Rows and tensors of each batch, filled up to `BATCH` galaxies: runtimes round differently for other sizes."""
    for batch in batches:
        cutouts = batch
        try:
            inputs = _tensors(cutouts, card, redshift)
        except ReddenError:
            cutouts = Cutouts.joined([_alone(batch.cut(i, i + 1), card, redshift) for i in range(len(batch.rows))])
            results.refuse(cutouts.refused)
            if not len(cutouts.rows):
                continue
            inputs = _tensors(cutouts, card, redshift)
        results.describe(cutouts)
        if len(cutouts.rows) < BATCH:
            filled = np.arange(BATCH).clip(max=len(cutouts.rows) - 1)
            inputs = {name: values[filled] for name, values in inputs.items()}
        yield cutouts.rows, inputs


def _tensors(cutouts: Cutouts, card: ModelCard, redshift: NDArray[np.float64] | None) -> Inputs:
    told = None if redshift is None else redshift[cutouts.rows]
    if told is not None:
        told[np.isnan(told[:, 1])] = np.nan
    return model_inputs(cutouts.pixels, card, told)


def _alone(cutout: Cutouts, card: ModelCard, redshift: NDArray[np.float64] | None) -> Cutouts:
    """The cutout of one row, or why it cannot be normalised."""
    try:
        _tensors(cutout, card, redshift)
    except ReddenError as error:
        return Cutouts.none(card, cutout.rows, str(error))
    return cutout


def _redshift_flags(card: ModelCard, redshift: NDArray[np.float64] | None) -> dict[int, str]:
    """What there is to say of the redshifts of rows: that one does not count, or is not among those of the training."""
    if redshift is None:
        return {}
    value, error = redshift.T
    ignored = np.isfinite(value) & (np.isnan(error) | (not card.takes_redshift))
    outside = redshift_outside(card, redshift) & ~ignored
    return dict.fromkeys(np.flatnonzero(outside).tolist(), REDSHIFT_OUTSIDE) | dict.fromkeys(
        np.flatnonzero(ignored).tolist(), REDSHIFT_IGNORED
    )


@dataclass(slots=True)
class _Results:
    """What is known of each row so far."""

    card: ModelCard
    rows: int
    redshift_flags: Mapping[int, str]
    """What there is to say of the redshifts of some rows."""
    _snr: NDArray[np.float32] = field(init=False)
    _flags: list[str | None] = field(init=False)
    _status: list[str | None] = field(init=False)
    _measured: list[NDArray[np.int64]] = field(default_factory=list)
    _outputs: list[Tensors] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._snr = np.full((self.rows, len(self.card.bands)), np.nan, dtype=np.float32)
        self._flags = [None] * self.rows
        self._status = [None] * self.rows

    def refuse(self, reasons: Mapping[int, str]) -> None:
        """Take note of why rows cannot be measured."""
        for row, why in reasons.items():
            self._status[row] = why

    def describe(self, cutouts: Cutouts) -> None:
        """Take note of what cutouts look like."""
        self._snr[cutouts.rows] = cutouts.snr
        for row, flags in zip(cutouts.rows.tolist(), cutouts.flags, strict=True):
            self._flags[row] = f"{flags} {self.redshift_flags.get(row, '')}".strip()
            self._status[row] = OK

    def add(self, rows: NDArray[np.int64], outputs: Tensors) -> None:
        """Take note of what the model says of these rows, and of others after them that only filled the batch."""
        self._measured.append(rows)
        self._outputs.append({name: values[: len(rows)] for name, values in outputs.items()})

    def table(self) -> pa.Table:
        """All rows as a table."""
        measured = np.concatenate([np.empty(0, dtype=np.int64), *self._measured])
        outputs = self._joined()
        columns = self._quantities(measured, outputs) | self._verdicts(measured, outputs)
        columns |= {f"snr_{band}": _array(self._snr[:, i]) for i, band in enumerate(self.card.bands)}
        columns |= {"flags": pa.array(self._flags, pa.string()), "status": pa.array(self._status, pa.string())}
        target = schema(result_columns(self.card))
        return pa.table([columns.get(field.name, pa.nulls(self.rows, field.type)) for field in target], schema=target)

    def _joined(self) -> dict[str, NDArray[np.float32]]:
        """The outputs of all rows that were measured; none if no row was."""
        names = self._outputs[0] if self._outputs else ()
        return {name: np.concatenate([each[name] for each in self._outputs]) for name in names}

    def _quantities(self, measured: NDArray[np.int64], outputs: Tensors) -> dict[str, pa.Array]:
        columns: dict[str, pa.Array] = {}
        for name, values in (quantiles(self.card, outputs) if outputs else {}).items():
            numbers = np.full((self.rows, len(QUANTILES)), np.nan, dtype=np.float32)
            numbers[measured] = values
            columns |= {f"{name}{end}": _array(numbers[:, i]) for i, end in enumerate(QUANTILES)}
        return columns

    def _verdicts(self, measured: NDArray[np.int64], outputs: Tensors) -> dict[str, pa.Array]:
        """Domain score and verdict, if the model gives them; who is out of the domain gets the flag first."""
        found = domain_scores(self.card, outputs) if outputs else None
        if found is None:
            return {}
        scores = np.full(self.rows, np.nan)
        scores[measured] = found
        like = in_domain(self.card, scores)
        for row in measured[~like[measured]].tolist():
            self._flags[row] = f"{OUT_OF_DOMAIN} {self._flags[row]}".rstrip()
        return {
            "domain_score": _array(scores.astype(np.float32)),
            "in_domain": pa.array(like, pa.bool_(), mask=np.isnan(scores)),
        }


def _array(values: NDArray[np.float32]) -> pa.Array:
    """A column in which what is not finite is null."""
    return pa.array(values, pa.float32(), mask=~np.isfinite(values))
