"""A job from the side of a client: waiting for it, and getting its results."""

import asyncio
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, TYPE_CHECKING, Final

from redden import requests
from redden.connection import AsyncConnection, Connection, NoServiceError, RefusedError
from redden.errors import ReddenError
from redden.jobs import FORMAT_OF_ENDING, Job, JobRow, Phase, ResultFormat

if TYPE_CHECKING:
    from astropy.table import Table

PATIENCE: Final = 60.0
"""Seconds for which a job is waited for although the service is away: it may be starting anew."""

_PAUSE: Final = 1.0


class StoppedError(ReddenError):
    """A job that is waited for was aborted, or stopped by an error; it can be retried."""


class ClientJob:
    """A catalogue that a service measures.

    Attributes
    ----------
    state : Job
        How far it is, as far as is known here; `refresh`, `events` and `wait` bring it up to date.
    """

    def __init__(self, connection: Connection, state: Job) -> None:
        self._connection = connection
        self.state = state

    def __repr__(self) -> str:
        return f"<job {self.id}, {self.state.phase}>"

    @property
    def id(self) -> str:
        """Its identifier, with which `Client.job` finds it again."""
        return self.state.id

    def refresh(self) -> Job:
        """Ask how far it is."""
        self.state = self._connection.ask(requests.job(self.id))
        return self.state

    def events(self) -> Iterator[Job]:
        """How far it is, now and whenever that changes, until it is finished.

        Raises
        ------
        NoServiceError
            If the service is away for `PATIENCE` seconds.
        """
        gone = None
        while True:
            try:
                for state in self._connection.lines(requests.job_events(self.id)):
                    if state is not None:
                        self.state, gone = state, None
                        yield state
                if self.state.phase.is_final:
                    return
            except (NoServiceError, RefusedError) as error:
                gone = gone or time.monotonic()
                if not _may_come_back(error) or time.monotonic() - gone > PATIENCE:
                    raise
            time.sleep(_PAUSE)

    def wait(self) -> Job:
        """Wait until it is completed.

        Raises
        ------
        StoppedError
            If it was aborted or stopped; its results so far can be had.
        NoServiceError
            If the service is away for `PATIENCE` seconds.
        """
        for _ in self.events():
            pass
        return _completed(self.state)

    def results(
        self, format: ResultFormat | None = None, *, offset: int | None = None, limit: int | None = None
    ) -> Iterator[bytes]:
        """The results as a file, piece by piece; rows that are not measured yet have the status ``pending``.

        Parameters
        ----------
        format : str, optional
            ``parquet``, ``csv``, ``ecsv``, ``votable``, ``fits`` or ``jsonl``; by default as the job was submitted.
        offset, limit : int, optional
            First row, from 0, and most rows; by default all.
        """
        return self._connection.pieces(requests.job_results(self.id, format, offset, limit))

    def save(self, path: str | Path, format: ResultFormat | None = None) -> None:
        """Write the results to a file, which appears when it is complete.

        Parameters
        ----------
        path : str or Path
            The file.
        format : str, optional
            See `results`; by default told by the ending of the file, or as the job was submitted.
        """
        with _whole(Path(path)) as file:
            for piece in self.results(format or _format_of(path)):
                file.write(piece)

    def to_table(self) -> "Table":
        """The results as an astropy table, with units, UCDs and descriptions.

        It travels as FITS, which has no null in text and numbers (an empty text, NaN) and escapes what is not ASCII;
        `save` as Parquet or VOTable keeps these.
        """
        with NamedTemporaryFile(suffix=".fits") as file:
            for piece in self.results("fits"):
                file.write(piece)
            file.flush()
            return _table(file.name)

    def row(self, number: int) -> JobRow:
        """One row of the catalogue, from 0, with its results."""
        return self._connection.ask(requests.job_row(self.id, number))

    def abort(self) -> Job:
        """Stop it; what was measured is kept."""
        self.state = self._connection.ask(requests.abort(self.id))
        return self.state

    def retry(self) -> Job:
        """Measure what is missing: rows that were not reached, and rows that could not be measured."""
        self.state = self._connection.ask(requests.retry(self.id))
        return self.state

    def delete(self) -> None:
        """Delete it with its catalogue and results."""
        self._connection.ask(requests.delete(self.id))


class AsyncClientJob:
    """`ClientJob` for ``async`` functions: the same methods, to be awaited, or used in ``async for``.

    Attributes
    ----------
    state : Job
        How far it is, as far as is known here.
    """

    def __init__(self, connection: AsyncConnection, state: Job) -> None:
        self._connection = connection
        self.state = state

    def __repr__(self) -> str:
        return f"<job {self.id}, {self.state.phase}>"

    @property
    def id(self) -> str:
        """Its identifier, with which `AsyncClient.job` finds it again."""
        return self.state.id

    async def refresh(self) -> Job:
        """See `ClientJob.refresh`."""
        self.state = await self._connection.ask(requests.job(self.id))
        return self.state

    async def events(self) -> AsyncIterator[Job]:
        """See `ClientJob.events`; for ``async for``."""
        gone = None
        while True:
            try:
                async for state in self._connection.lines(requests.job_events(self.id)):
                    if state is not None:
                        self.state, gone = state, None
                        yield state
                if self.state.phase.is_final:
                    return
            except (NoServiceError, RefusedError) as error:
                gone = gone or time.monotonic()
                if not _may_come_back(error) or time.monotonic() - gone > PATIENCE:
                    raise
            await asyncio.sleep(_PAUSE)

    async def wait(self) -> Job:
        """See `ClientJob.wait`."""
        async for _ in self.events():
            pass
        return _completed(self.state)

    def results(
        self, format: ResultFormat | None = None, *, offset: int | None = None, limit: int | None = None
    ) -> AsyncIterator[bytes]:
        """See `ClientJob.results`; for ``async for``."""
        return self._connection.pieces(requests.job_results(self.id, format, offset, limit))

    async def save(self, path: str | Path, format: ResultFormat | None = None) -> None:
        """See `ClientJob.save`."""
        with _whole(Path(path)) as file:
            async for piece in self.results(format or _format_of(path)):
                file.write(piece)

    async def to_table(self) -> "Table":
        """See `ClientJob.to_table`."""
        with NamedTemporaryFile(suffix=".fits") as file:
            async for piece in self.results("fits"):
                file.write(piece)
            file.flush()
            return await asyncio.to_thread(_table, file.name)

    async def row(self, number: int) -> JobRow:
        """See `ClientJob.row`."""
        return await self._connection.ask(requests.job_row(self.id, number))

    async def abort(self) -> Job:
        """See `ClientJob.abort`."""
        self.state = await self._connection.ask(requests.abort(self.id))
        return self.state

    async def retry(self) -> Job:
        """See `ClientJob.retry`."""
        self.state = await self._connection.ask(requests.retry(self.id))
        return self.state

    async def delete(self) -> None:
        """See `ClientJob.delete`."""
        await self._connection.ask(requests.delete(self.id))


def _may_come_back(error: NoServiceError | RefusedError) -> bool:
    """Whether the service, or its queue, is only away for now."""
    return not isinstance(error, RefusedError) or error.status == HTTPStatus.SERVICE_UNAVAILABLE


def _format_of(path: str | Path) -> ResultFormat | None:
    return FORMAT_OF_ENDING.get(Path(path).suffix.lower())


def _completed(job: Job) -> Job:
    if job.phase is Phase.COMPLETED:
        return job
    reason = job.error or "somebody asked for it"
    raise StoppedError(
        f"job {job.id} is in phase {job.phase} after {job.rows.done:,} of {job.rows.total:,} rows: {reason}"
    )


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, which takes its name when the block ends well."""
    with NamedTemporaryFile(dir=path.absolute().parent, prefix=f".{path.name}.", delete=False) as file:
        part = Path(file.name)
        try:
            yield file
        except BaseException:
            part.unlink()
            raise
    part.chmod(0o644)
    part.replace(path)


def _table(file: str) -> "Table":
    """A table of results in a FITS file."""
    import astropy.units as u
    import numpy as np
    from astropy.io import fits
    from astropy.table import MaskedColumn, Table
    from astropy.utils.exceptions import AstropyWarning

    with warnings.catch_warnings():  # of units that FITS does not have, and of nulls
        warnings.simplefilter("ignore", AstropyWarning)
        table = Table.read(file, format="fits", memmap=False, character_as_bytes=False, mask_invalid=False)
    for column in table.itercols():
        _, _, words = (column.description or "").rpartition(", in ")
        if column.unit is None and words.startswith("dex("):  # FITS has no units of logarithms: redden says it in words
            column.unit = u.Unit(words)
    with fits.open(file, memmap=False) as hdus:
        for column in hdus[1].columns:
            if column.format == "L":  # whose nulls astropy takes for false
                missing = np.asarray(hdus[1].data)[column.name] == 0
                if missing.any():
                    table[column.name] = MaskedColumn(table[column.name], mask=missing)
    for column in table.itercols():
        if isinstance(column.unit, u.UnrecognizedUnit):  # logarithms are written as in VizieR's tables: [yr-1]
            column.unit = u.Unit(column.unit.to_string(), format="cds", parse_strict="silent")
    for key in [key for key in table.meta if key.startswith(("TUCD", "TCOMM", "TUTYP"))]:
        del table.meta[key]  # the columns have them
    return table
