"""The queue of chunks: Celery messages that carry ids and small numbers only."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from celery import Celery
from redis import Redis

from service.jobs.state import Part

TASK: Final = "redden.measure_chunk"
"""Name of the task that measures a chunk."""


@dataclass(frozen=True, slots=True)
class Queue:
    """Puts chunks into the queue, and tells which ones are there.

    Attributes
    ----------
    celery : celery.Celery
        Application whose broker holds the queue.
    redis : redis.Redis
        The same broker; it must decode responses.
    """

    celery: Celery
    redis: "Redis"

    def put(self, job: str, parts: Iterable[Part]) -> None:
        """Queue chunks of a job. A chunk that gets lost on the way is put again by `service.jobs.sweep`."""
        with self.celery.producer_or_acquire() as producer:
            for part in parts:
                self.celery.send_task(
                    TASK, (job, part.chunk, part.attempt), task_id=f"{job}/{part.chunk}", producer=producer
                )

    def waiting(self) -> dict[str, set[int]]:
        """Chunks that no worker has taken yet, by job."""
        waiting: dict[str, set[int]] = defaultdict(set)
        messages: Any = self.redis.lrange(self.celery.conf.task_default_queue, 0, -1)
        for message in messages:
            job, _, chunk = json.loads(message)["headers"]["id"].rpartition("/")
            if job:
                waiting[job].add(int(chunk))
        return waiting
