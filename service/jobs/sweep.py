"""What workers see to now and then: chunks that were lost go back into the queue, and what has expired is deleted."""

import logging
import time
from contextlib import suppress
from typing import Any, Final

from celery import bootsteps
from redis import Redis

from service.jobs.celery_app import app
from service.jobs.chunk import folder_of
from service.jobs.queue import Queue
from service.jobs.state import Jobs, UnknownJobError
from service.jobs.store import INCOMING, Store, made_before
from service.settings import Settings, read_settings

log = logging.getLogger(__name__)

INTERVAL: Final = 2.0
"""Seconds between two looks for lost chunks."""

_TIDY_INTERVAL: Final = 60.0
"""Seconds between two looks for what has expired."""

CATALOGUES: Final = "catalogues"
"""Folder of the store with uploaded catalogues."""


def put_back_lost(jobs: Jobs, queue: Queue) -> None:
    """Queue the chunks that are not done, not in the queue and in nobody's hands.

    They were a killed worker's, or those of a gateway that was killed before it had queued them, or Redis lost the
    last second of its log. That a chunk is queued twice does no harm.
    """
    active = jobs.active()
    if not active:
        return
    waiting = queue.waiting()
    for job in active:
        if lost := jobs.overdue(job, waiting.get(job, ())):
            log.warning("job %s: %d lost chunks are queued again", job, len(lost))
            queue.put(job, lost)


def tidy(jobs: Jobs, store: Store, lifetime: float) -> None:
    """Delete expired jobs and catalogues, and old folders that nobody knows or that were never completed."""
    for job in jobs.expired():
        log.info("job %s has expired", job)
        with suppress(UnknownJobError):
            delete(jobs, store, job)
    old = time.time() - lifetime
    for folder in (CATALOGUES, INCOMING):
        for name in made_before(store.folders(folder), old):
            store.remove(f"{folder}/{name}")
    for name in jobs.unknown(made_before(store.folders("jobs"), old)):
        store.remove(folder_of(name))


def delete(jobs: Jobs, store: Store, job: str) -> None:
    """Delete a job with all that it has stored.

    Raises
    ------
    UnknownJobError
        If there is no such job.
    """
    jobs.delete(job)
    store.remove(folder_of(job))


class Sweep(bootsteps.StartStopStep):
    """Runs both in the worker's parent process, which does no other work."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._timers: list[Any] = []

    def start(self, parent: Any) -> None:
        """Begin when the worker does."""
        settings: Settings = read_settings()
        redis = Redis.from_url(str(settings.redis_url), decode_responses=True, socket_timeout=5)
        jobs, store = Jobs(redis, settings.job_lifetime), Store.at(settings.jobs_url)
        queue = Queue(app, redis)
        self._timers = [
            parent.timer.call_repeatedly(INTERVAL, put_back_lost, (jobs, queue)),
            parent.timer.call_repeatedly(_TIDY_INTERVAL, tidy, (jobs, store, settings.job_lifetime)),
        ]

    def stop(self, parent: Any) -> None:
        """End when the worker does."""
        for timer in self._timers:
            timer.cancel()


app.steps["worker"].add(Sweep)
