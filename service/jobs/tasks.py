"""The task of a worker: one chunk."""

import asyncio
import logging
from functools import cache
from typing import Any, Final

from redden.errors import ModelServerError, MosaicAwayError, ReddenError
from redden.jobs import Phase
from service.jobs.celery_app import app
from service.jobs.chunk import Tools, UnwantedError, folder_of, measure_chunk
from service.jobs.queue import TASK
from service.jobs.state import LEASE, JobPhaseError, Part, UnknownJobError
from service.settings import read_settings

log = logging.getLogger(__name__)

_WAITS: Final = (1, 2, 4)
"""Seconds before new attempts to reach a model server, or a mosaic, that is away; then the sweep sees to the chunk."""


@cache
def _tools() -> Tools:
    """The tools of this process: made after the fork, since channels and threads do not survive one."""
    return Tools.of(read_settings())


@app.task(name=TASK, bind=True, ignore_result=True)
def measure(self: Any, job: str, chunk: int, attempt: int) -> None:
    """Measure a chunk of a job. It may run twice at once, and be killed at any time."""
    tools, part = _tools(), Part(chunk, attempt)
    before = tools.jobs.begin(job, part)
    if before is False:
        return
    try:
        asyncio.run(measure_chunk(tools, job, part, before))
    except UnwantedError:
        log.info("chunk %d of job %s is not wanted any more", chunk, job)
    except UnknownJobError:
        tools.store.remove(folder_of(job))  # it was deleted, and the part has made its folder anew
    except (ModelServerError, MosaicAwayError) as error:
        retries: int = self.request.retries
        if retries == len(_WAITS):
            # Not heard of for a lease it is queued anew, by one worker: messages that wait cannot pile up.
            tools.jobs.beat(job, part, LEASE, waits_for=str(error))
            return
        tools.jobs.beat(job, part, _WAITS[retries] + LEASE, waits_for=str(error))
        raise self.retry(countdown=_WAITS[retries], max_retries=len(_WAITS)) from error
    except ReddenError as error:
        _give_up(tools, job, str(error))
    except Exception as error:
        log.exception("chunk %d of job %s", chunk, job)
        _give_up(tools, job, f"a fault of redden, not yours: {type(error).__name__}. The worker's log tells more.")


def _give_up(tools: Tools, job: str, reason: str) -> None:
    """Stop a job, which can be tried again when the reason is gone."""
    log.error("job %s is stopped: %s", job, reason)
    _tools.cache_clear()  # the reason may be a model or survey that this process does not know yet
    try:
        tools.jobs.stop(job, Phase.ERROR, f"{reason} What was done is kept: retry the job when this is corrected.")
    except (UnknownJobError, JobPhaseError):
        log.info("job %s had ended before", job)
