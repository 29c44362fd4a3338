"""The Celery application: ``redden worker``, or ``celery --app service.jobs.celery_app worker``."""

from typing import Final

from celery import Celery

from service.settings import Settings, read_settings

VISIBILITY_TIMEOUT: Final = 3600
"""Seconds after which Redis' transport gives an unfinished task to another worker.

Far more than a chunk takes, or tasks would be run again and again. The chunks of a killed worker do not wait for it:
`service.jobs.sweep` misses them within seconds.
"""


def make_celery(settings: Settings) -> Celery:
    """A Celery application over Redis that loses no task when a worker is killed.

    Tasks are acknowledged when done, so they may run twice and must be safe to repeat.
    """
    app = Celery("redden", broker=str(settings.redis_url), backend=str(settings.redis_url))
    app.conf.update(
        imports=["service.jobs.tasks", "service.jobs.sweep"],
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        # A worker whose queue is away finishes what it is at, and stores it.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        # A worker that loses its queue waits for it, also while it starts, and does not give up after a hundred times.
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT,
            # Look for the tasks of lost workers every second, not every 100.
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
        },
    )
    return app


app = make_celery(read_settings())


@app.task(name="redden.ping")
def ping() -> str:
    """Answer, so that a health check sees the whole way through the queue."""
    return "pong"
