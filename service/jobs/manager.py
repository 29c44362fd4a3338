"""From an uploaded catalogue to a queued job, and what can be done with it then."""

import hashlib
import logging
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Final, Self, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from redden import __version__
from redden.answer import ModelReference
from redden.errors import BandError, CatalogueError
from redden.jobs import Job, JobOptions, JobProvenance, JobRequest, JobRow, Phase, ResultFormat
from redden.modelcard import ModelCard
from service.bulk.columns import result_columns
from service.catalogues import Catalogue, read, results_schema
from service.errors import IdempotencyError, UnknownRowError
from service.jobs.celery_app import make_celery
from service.jobs.chunk import CATALOGUE, PARTS, folder_of
from service.jobs.description import JobDescription
from service.jobs.kept import CatalogueFile, KeptCatalogues
from service.jobs.plan import write_plan
from service.jobs.queue import Queue
from service.jobs.results import ResultFile, result_file, row_values, write_schema
from service.jobs.state import Jobs, Part, UnknownJobError
from service.jobs.store import Store, new_id, storing
from service.jobs.sweep import delete
from service.registry import Registry
from service.settings import Settings
from service.surveys.registry import Surveys

Result = TypeVar("Result")

log = logging.getLogger(__name__)

_READERS: Final = 2
"""Catalogues that are read at the same time."""

_MAKING: Final = 600
"""Seconds that a request may take to make a job of a catalogue; then its idempotency key is free again."""


@dataclass(frozen=True, slots=True)
class JobManager:
    """The gateway's side of jobs; safe to use from several threads.

    Attributes
    ----------
    settings : Settings
        The settings.
    store : Store
        Where catalogues and results are.
    jobs : Jobs
        State of the jobs.
    queue : Queue
        The workers' queue.
    registry : Registry
        The models.
    surveys : Surveys
        The surveys.
    """

    settings: Settings
    store: Store
    jobs: Jobs
    queue: Queue
    registry: Registry
    surveys: Surveys
    _threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_READERS))

    @classmethod
    def of(cls, settings: Settings, registry: Registry, surveys: Surveys) -> Self:
        """Open the store and the connections that the settings name."""
        redis = Redis.from_url(str(settings.redis_url), decode_responses=True, socket_timeout=5)
        jobs = Jobs(redis, settings.job_lifetime)
        queue = Queue(make_celery(settings), redis)
        return cls(settings, Store.at(settings.jobs_url), jobs, queue, registry, surveys)

    @property
    def kept(self) -> KeptCatalogues:
        """Uploaded catalogues, for jobs to name."""
        return KeptCatalogues(self.store, self.settings.job_lifetime)

    async def in_thread(self, work: Callable[[], Result]) -> Result:
        """Read or store a catalogue in a thread, a few at a time."""
        return await run_sync(work, limiter=self._threads)

    def close(self) -> None:
        """Close the connections."""
        self.queue.celery.close()
        self.queue.redis.close()

    def submit_kept(self, asked: JobRequest, key: str | None) -> Job:
        """Queue a job on an uploaded catalogue; errors and answer of `submit`."""
        options = JobOptions.model_validate(asked.model_dump(exclude={"catalogue"}))
        return self.submit(self.kept.file(asked.catalogue), options, key)

    def submit(self, file: CatalogueFile, options: JobOptions, key: str | None) -> Job:
        """Queue a job.

        Parameters
        ----------
        file : CatalogueFile
            The catalogue.
        options : JobOptions
            What is asked.
        key : str, optional
            A second request with the same key, for the same, is answered with the first one's job.

        Raises
        ------
        ReddenError
            A subclass says what is wrong with the catalogue or the options; nothing is queued then.
        """
        job, digest = new_id(), file.sha256()
        if key is not None:
            fingerprint = hashlib.sha256(f"{digest} {options.model_dump_json()}".encode()).hexdigest()
            if first := self._first_of(key, job, fingerprint):
                return first
        try:
            parts = self._add(job, file, digest, options, key)
        except BaseException:
            if key is not None:
                self.jobs.release(key)
            raise
        self._put(job, parts)
        return self.jobs.job(job)

    def abort(self, job: str) -> Job:
        """Stop a job; what was done is kept."""
        self.jobs.stop(job, Phase.ABORTED)
        return self.jobs.job(job)

    def retry(self, job: str) -> Job:
        """Go on with what a job has not measured, rows that failed among them."""
        self._put(job, self.jobs.retry(job))
        return self.jobs.job(job)

    def delete(self, job: str) -> None:
        """Delete a job with its catalogue and results."""
        delete(self.jobs, self.store, job)

    def results(self, job: Job, format: ResultFormat, offset: int, limit: int | None) -> ResultFile:
        """Rows of a job in a format."""
        stop = job.rows.total if limit is None else min(offset + limit, job.rows.total)
        return result_file(self.store, job, self.jobs.parts(job.id), format, min(offset, stop), stop)

    def row(self, job: Job, row: int) -> JobRow:
        """A row of a job.

        Raises
        ------
        UnknownRowError
            If the catalogue is shorter.
        """
        if row >= job.rows.total:
            raise UnknownRowError(f"job {job.id} has {job.rows.total} rows, from 0 to {job.rows.total - 1}.")
        return JobRow(row=row, values=row_values(self.store, job.id, self.jobs.parts(job.id), row))

    def _first_of(self, key: str, job: str, fingerprint: str) -> Job | None:
        """The job that an earlier request with this key made."""
        first = self.jobs.claim(key, job, fingerprint, _MAKING)
        if first is None:
            return None
        first_job, first_fingerprint = first
        if first_fingerprint != fingerprint:
            raise IdempotencyError("this Idempotency-Key came with another catalogue or other options before.")
        try:
            return self.jobs.job(first_job)
        except UnknownJobError:
            raise IdempotencyError(
                "a request with this Idempotency-Key is being worked on: try again in a moment. "
                "If its job was deleted, take another key."
            ) from None

    def _add(self, job: str, file: CatalogueFile, digest: str, options: JobOptions, key: str | None) -> list[Part]:
        card = self.registry.card(options.model, options.version)
        if options.survey is not None:
            self._check_survey(options.survey, card)
        rows, chunks, columns = self._plan(job, file, options, card)
        description = JobDescription(
            name=options.name,
            options=options.model_copy(update={"model": card.name, "version": card.version}),
            provenance=JobProvenance(
                software=f"redden {__version__}",
                model=ModelReference(name=card.name, version=card.version),
                survey=options.survey,
                catalogue=file.name,
                catalogue_sha256=digest,
                columns=columns,
            ),
            created=datetime.now(UTC),
            rows=rows,
            chunks=chunks,
        )
        try:
            self.jobs.add(job, description, key)
        except BaseException:
            with suppress(UnknownJobError, RedisError):  # it may be there, and only Redis' answer was lost
                self.jobs.delete(job)
            self.store.remove(folder_of(job))
            raise
        return [Part(chunk, 0) for chunk in range(chunks)]

    def _plan(
        self, job: str, file: CatalogueFile, options: JobOptions, card: ModelCard
    ) -> tuple[int, int, dict[str, str]]:
        """Make the folder of a job; its numbers of rows and chunks, and which columns were read, by what they hold."""
        with storing("the catalogue"), ExitStack() as stack:
            catalogue = read(
                file.path,
                name=file.name,
                content_type=file.content_type,
                ra=options.ra,
                dec=options.dec,
                redshift=options.redshift,
                redshift_error=options.redshift_error,
                keep=options.columns,
            )
            if catalogue.images is not None:
                stack.enter_context(catalogue.images.pixels)
            _check_kind(catalogue, options)
            folder = stack.enter_context(self.store.new(folder_of(job)))
            for part in (CATALOGUE, PARTS):
                (folder / part).mkdir()
            catalogue.write(folder / CATALOGUE)
            write_schema(folder, results_schema(catalogue.table.schema, result_columns(card)))
            rows, sky = len(catalogue), (catalogue.ra, catalogue.dec, catalogue.redshift)
            columns = {
                what: name
                for what, name in asdict(catalogue.columns).items()
                if name is not None and (card.takes_redshift or what in ("ra", "dec"))
            }
            return rows, write_plan(folder, rows, self.settings.chunk_rows, *sky), columns

    def _check_survey(self, name: str, card: ModelCard) -> None:
        bands = self.surveys.get(name).mosaics
        missing = [band for band in card.bands if band not in bands]
        if missing and (not card.takes_any_bands or len(missing) == len(card.bands)):
            fitting = [other.name for other in self.registry.newest if set(other.bands) <= set(bands)]
            advice = f"These models do without: {', '.join(fitting)}." if fitting else "No model does without."
            raise BandError(f"survey {name} does not have {', '.join(missing)}, which {card.name} needs. {advice}")

    def _put(self, job: str, parts: list[Part]) -> None:
        try:
            self.queue.put(job, parts)
        except OperationalError:
            log.exception("job %s is not in the queue; a worker will put it there", job)


def _check_kind(catalogue: Catalogue, options: JobOptions) -> None:
    if catalogue.ra is not None and options.survey is None:
        raise CatalogueError("this is a catalogue of positions. Say with `survey` whose mosaics to look at.")
    if catalogue.ra is not None and (options.unit is not None or options.pixel_scale is not None):
        raise CatalogueError(
            "`unit` and `pixel_scale` are said of images; this is a catalogue of positions. Leave them out."
        )
    if catalogue.ra is None and options.survey is not None:
        raise CatalogueError("this is a catalogue of images, which needs no `survey`. Leave it out.")
