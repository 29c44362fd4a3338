"""Measuring a chunk: from its rows of the plan to a stored part of the results."""

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from redden.jobs import JobOptions
from redden.modelcard import ModelCard
from service.bulk.columns import OK
from service.bulk.measure import Predict, measure_images, measure_positions
from service.catalogues import CatalogueFolder
from service.inference.client import ModelServer
from service.jobs.plan import Chunk, read_chunk
from service.jobs.state import LEASE, Jobs, Part
from service.jobs.store import StorageError, Store, storing
from service.memory import keep_freed_memory
from service.registry import Registry
from service.settings import Settings
from service.surveys.registry import Surveys

ROW: Final = "row"
"""Column of a part with the number of the row in the catalogue."""

CATALOGUE: Final = "catalogue"
"""Folder of a job with its catalogue."""

PARTS: Final = "parts"
"""Folder of a job with what its chunks gave."""

_HEARTBEAT: Final = LEASE / 4

_REDIS_PATIENCE: Final = 60
"""Attempts, a second apart in the end, that a worker makes to reach a queue that is away."""


class UnwantedError(Exception):
    """The job of a chunk was aborted, deleted, or begun anew."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a worker's process measures with; it opens files and channels only when it needs them."""

    settings: Settings
    store: Store
    jobs: Jobs
    registry: Registry
    surveys: Surveys = field(repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The tools that the settings name."""
        keep_freed_memory()
        redis = Redis.from_url(
            str(settings.redis_url), decode_responses=True, retry=Retry(ExponentialBackoff(1, 0.05), _REDIS_PATIENCE)
        )
        return cls(
            settings,
            Store.at(settings.jobs_url),
            Jobs(redis, settings.job_lifetime),
            Registry.read(settings.models_dir, settings.default_model),
            Surveys.read(settings),
        )


async def measure_chunk(tools: Tools, job: str, part: Part, before: Part | None) -> None:
    """Measure the rows of a chunk, store its part, and take note of it.

    Parameters
    ----------
    tools : Tools
        What to measure with.
    job : str
        The job.
    part : Part
        The part that is made.
    before : Part, optional
        Part of an earlier attempt: the rows that it has measured are taken over.

    Raises
    ------
    UnwantedError
        If the job does not want the chunk any more.
    ReddenError
        If the part cannot be made or stored now.
    """
    measurement = asyncio.create_task(_measured(tools, job, part, before))
    beating = asyncio.create_task(_beat(tools.jobs, job, part, measurement))
    try:
        table = await measurement
    except asyncio.CancelledError:
        raise UnwantedError from None
    finally:
        beating.cancel()
    measured = pc.sum(pc.equal(table.column("status"), OK)).as_py() or 0
    content = pa.BufferOutputStream()
    pq.write_table(table, content)
    with storing("the results"):
        tools.store.write(folder_of(job), f"{PARTS}/{part.name}", content.getvalue().to_pybytes())
    tools.jobs.finish(job, part, measured, table.num_rows - measured)


def folder_of(job: str) -> str:
    """The folder of a job in the store."""
    return f"jobs/{job}"


def read_part(store: Store, job: str, part: Part) -> pa.Table:
    """A stored part: the columns of the results, and `ROW`, by which it is sorted."""
    with store.open(folder_of(job), f"{PARTS}/{part.name}") as file:
        return pq.read_table(file)


async def _beat(jobs: Jobs, job: str, part: Part, measurement: asyncio.Task[Any]) -> None:
    """Let the job know that the chunk is in hand, until it is not wanted any more."""
    while await asyncio.to_thread(jobs.beat, job, part):
        await asyncio.sleep(_HEARTBEAT)
    measurement.cancel()


async def _measured(tools: Tools, job: str, part: Part, before: Part | None) -> pa.Table:
    try:
        chunk = read_chunk(tools.store, folder_of(job), part.chunk)
    except FileNotFoundError:
        raise StorageError(
            f"the worker does not find the catalogue in {tools.settings.jobs_url}; "
            "REDDEN_JOBS_URL must be one place for gateways and workers."
        ) from None
    kept = []
    if before is not None:
        table = read_part(tools.store, job, before)
        kept = [table.filter(pc.equal(table.column("status"), OK))]
        chunk = chunk.without(kept[0].column(ROW).to_numpy())
    results = await _measure(tools, job, chunk)
    results = results.append_column(ROW, pa.array(chunk.rows))
    return pa.concat_tables([*kept, results]).sort_by(ROW)


async def _measure(tools: Tools, job: str, chunk: Chunk) -> pa.Table:
    options = tools.jobs.description(job).options
    card = tools.registry.card(options.model, options.version)
    model_server = ModelServer(tools.settings.model_server, tools.settings.predict_deadline)
    try:
        return await _results(partial(model_server.predict, card.name, card.version), tools, job, options, card, chunk)
    finally:
        await model_server.close()


async def _results(
    predict: Predict, tools: Tools, job: str, options: JobOptions, card: ModelCard, chunk: Chunk
) -> pa.Table:
    redshift, recentre, radius = chunk.redshift, options.recentre, options.recentre_radius
    if options.survey is None:
        catalogue = CatalogueFolder.open(tools.store.copy(f"{folder_of(job)}/{CATALOGUE}"))
        return await measure_images(
            catalogue.uploads(chunk.rows),
            len(chunk.rows),
            card,
            predict,
            redshift=redshift,
            unit=options.unit,
            pixel_scale=options.pixel_scale,
            recentre=recentre,
            recentre_radius=radius,
        )
    survey = tools.surveys.get(options.survey)
    assert chunk.ra is not None
    assert chunk.dec is not None
    return await measure_positions(
        survey, chunk.ra, chunk.dec, card, predict, redshift=redshift, recentre=recentre, recentre_radius=radius
    )
