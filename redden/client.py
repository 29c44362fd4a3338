"""A client of a redden service: ``Client().predict(["F277W.fits", "F356W.fits", "F444W.fits"])``.

`Client` waits for its answers; in an ``async`` function `AsyncClient` gives the same to ``await``.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, Unpack

from redden import requests
from redden.answer import Answer, PositionAnswer
from redden.client_jobs import AsyncClientJob, ClientJob, StoppedError
from redden.connection import DEFAULT_URL, AsyncConnection, Connection, NoServiceError, RefusedError
from redden.jobs import JobList, Phase
from redden.requests import Angle, Choice, FilesQuestion, Options, Place, Question
from redden.served import ModelList, SurveyList

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = [
    "DEFAULT_URL",
    "Angle",
    "AsyncClient",
    "AsyncClientJob",
    "Choice",
    "Client",
    "ClientJob",
    "FilesQuestion",
    "NoServiceError",
    "Options",
    "Place",
    "Question",
    "RefusedError",
    "StoppedError",
]


class Client:
    """A connection to a redden service; close it, or use it in a ``with`` block.

    Parameters
    ----------
    url : str
        Address of the service.
    timeout : float
        Seconds to wait for an answer.
    """

    def __init__(self, url: str = DEFAULT_URL, timeout: float = 60.0) -> None:
        self._connection = Connection(url, timeout)

    def predict(self, files: Sequence[str | Path], **question: Unpack[FilesQuestion]) -> Answer:
        """Measure one galaxy in files.

        Parameters
        ----------
        files : sequence of path
            FITS files, one per band or with several bands each; a string is one file.
        **question
            See `FilesQuestion`, `Question` and `Choice`.

        Returns
        -------
        Answer

        Raises
        ------
        NoServiceError
            If no service answers.
        RefusedError
            If the service refuses; the message says what would be right.
        OSError
            If a file cannot be read.
        """
        return self._connection.ask(requests.predict(files, question))

    def explanation(self, files: Sequence[str | Path], **question: Unpack[FilesQuestion]) -> bytes:
        """A PNG picture of what moved the answer about a galaxy in files; parameters and errors as of `predict`."""
        return self._connection.ask(requests.explanation(files, question))

    def predict_position(self, survey: str, ra: Angle, dec: Angle, **question: Unpack[Question]) -> Answer:
        """Measure the galaxy at a position of a survey.

        Parameters
        ----------
        survey : str
            A survey that the service has, see `surveys`.
        ra, dec : float or str
            Position (ICRS).
        **question
            See `Question` and `Choice`; and see `predict` for the errors.
        """
        return self._connection.ask(requests.predict_position(survey, ra, dec, question))

    def explanation_at(self, survey: str, ra: Angle, dec: Angle, **question: Unpack[Question]) -> bytes:
        """A PNG picture of what moved the answer at a position; parameters and errors as of `predict_position`."""
        return self._connection.ask(requests.explanation_at(survey, ra, dec, question))

    def predict_positions(
        self,
        survey: str,
        positions: Sequence[Place],
        *,
        a_v_above: float | None = None,
        **choice: Unpack[Choice],
    ) -> Iterator[PositionAnswer]:
        """Measure at many positions of a survey.

        Parameters
        ----------
        survey : str
            A survey that the service has, see `surveys`.
        positions : sequence of (ra, dec), (ra, dec, redshift) or (ra, dec, redshift, redshift_error)
            At most 1,000; `submit` takes more.
        a_v_above : float, optional
            Answer also the probabilities that A_V is above this, in mag.
        **choice
            See `Choice`; and see `predict` for the errors.

        Yields
        ------
        PositionAnswer
            For each position, as soon as it is measured: `index` tells which one it is. What is wrong at one position
            is its `problem`, and no exception.
        """
        return self._connection.lines(requests.predict_positions(survey, positions, a_v_above, choice))

    def cutout(
        self, survey: str, ra: Angle, dec: Angle, *, format: Literal["fits", "png"] = "fits", **choice: Unpack[Choice]
    ) -> bytes:
        """The pixels that `predict_position` measures, as a FITS file or as a PNG picture; parameters as there."""
        return self._connection.ask(requests.cutout(survey, ra, dec, format, choice))

    def submit(
        self, catalogue: "str | Path | Table", *, idempotency_key: str | None = None, **options: Unpack[Options]
    ) -> ClientJob:
        """Have a catalogue of up to a million galaxies measured in the background.

        Parameters
        ----------
        catalogue : path or astropy.table.Table
            Positions as a table, or a file with one: CSV, ECSV, VOTable, FITS or Parquet; or images: FITS cutouts in a
            zip or tar archive, a cube per band, or a FITS table with image columns.
        idempotency_key : str, optional
            A text that is new for each job: sent again with it, the same catalogue makes no second job.
        **options
            ``survey``, which a catalogue of positions needs; ``model`` and ``version``; ``ra``, ``dec``, ``redshift``
            and ``redshift_error``, the names of columns; ``columns`` to give back; ``name``, ``format``, ``recentre``;
            of images ``unit`` and ``pixel_scale``. See `redden.requests.Options` and `Choice`.

        Returns
        -------
        ClientJob
            Ask it to `wait`, and for its results `to_table`. See `predict` for the errors.
        """
        job = self._connection.ask(requests.submit(catalogue, idempotency_key, options))
        return ClientJob(self._connection, job)

    def job(self, identifier: str) -> ClientJob:
        """A job that was submitted earlier, by its identifier. Raises RefusedError if there is none."""
        return ClientJob(self._connection, self._connection.ask(requests.job(identifier)))

    def jobs(self, phase: Phase | str | None = None, *, limit: int = 50, cursor: str | None = None) -> JobList:
        """A page of the jobs of the service, newest first; only those in a phase if one is given.

        `next` of a page is the `cursor` of the one that follows.
        """
        return self._connection.ask(requests.jobs(phase, limit, cursor))

    def surveys(self) -> SurveyList:
        """All surveys of the service. Raises NoServiceError if no service answers."""
        return self._connection.ask(requests.surveys())

    def models(self) -> ModelList:
        """All models of the service. Raises NoServiceError if no service answers."""
        return self._connection.ask(requests.models())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class AsyncClient:
    """`Client` for ``async`` functions: the same methods, to be awaited, or used in ``async for``.

    Parameters
    ----------
    url : str
        Address of the service.
    timeout : float
        Seconds to wait for an answer.
    """

    def __init__(self, url: str = DEFAULT_URL, timeout: float = 60.0) -> None:
        self._connection = AsyncConnection(url, timeout)

    async def predict(self, files: Sequence[str | Path], **question: Unpack[FilesQuestion]) -> Answer:
        """See `Client.predict`."""
        return await self._connection.ask(requests.predict(files, question))

    async def explanation(self, files: Sequence[str | Path], **question: Unpack[FilesQuestion]) -> bytes:
        """See `Client.explanation`."""
        return await self._connection.ask(requests.explanation(files, question))

    async def predict_position(self, survey: str, ra: Angle, dec: Angle, **question: Unpack[Question]) -> Answer:
        """See `Client.predict_position`."""
        return await self._connection.ask(requests.predict_position(survey, ra, dec, question))

    async def explanation_at(self, survey: str, ra: Angle, dec: Angle, **question: Unpack[Question]) -> bytes:
        """See `Client.explanation_at`."""
        return await self._connection.ask(requests.explanation_at(survey, ra, dec, question))

    def predict_positions(
        self,
        survey: str,
        positions: Sequence[Place],
        *,
        a_v_above: float | None = None,
        **choice: Unpack[Choice],
    ) -> AsyncIterator[PositionAnswer]:
        """See `Client.predict_positions`; for ``async for``."""
        return self._connection.lines(requests.predict_positions(survey, positions, a_v_above, choice))

    async def cutout(
        self, survey: str, ra: Angle, dec: Angle, *, format: Literal["fits", "png"] = "fits", **choice: Unpack[Choice]
    ) -> bytes:
        """See `Client.cutout`."""
        return await self._connection.ask(requests.cutout(survey, ra, dec, format, choice))

    async def submit(
        self, catalogue: "str | Path | Table", *, idempotency_key: str | None = None, **options: Unpack[Options]
    ) -> AsyncClientJob:
        """See `Client.submit`."""
        job = await self._connection.ask(requests.submit(catalogue, idempotency_key, options))
        return AsyncClientJob(self._connection, job)

    async def job(self, identifier: str) -> AsyncClientJob:
        """See `Client.job`."""
        return AsyncClientJob(self._connection, await self._connection.ask(requests.job(identifier)))

    async def jobs(self, phase: Phase | str | None = None, *, limit: int = 50, cursor: str | None = None) -> JobList:
        """See `Client.jobs`."""
        return await self._connection.ask(requests.jobs(phase, limit, cursor))

    async def surveys(self) -> SurveyList:
        """See `Client.surveys`."""
        return await self._connection.ask(requests.surveys())

    async def models(self) -> ModelList:
        """See `Client.models`."""
        return await self._connection.ask(requests.models())

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()
