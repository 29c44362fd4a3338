"""How far jobs are, in Redis. Every change is one script or transaction, so that it can be repeated after a fault."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final, Literal

from redis import Redis
from redis.commands.core import Script

from redden.errors import ReddenError
from redden.jobs import Job, JobList, Phase
from service.jobs.description import JobDescription, job_of

LEASE: Final = 10.0
"""Seconds after which a chunk counts as lost if its worker has not been heard of."""

_PAGE: Final = 200
"""Jobs that are looked at in one step when a list is filtered."""


class UnknownJobError(ReddenError):
    """There is no such job, or no longer."""


class JobPhaseError(ReddenError):
    """A job is not in a phase in which it can do what is asked."""


@dataclass(frozen=True, slots=True)
class Part:
    """Results of a chunk."""

    chunk: int
    attempt: int
    """Which attempt at the job it is from."""

    @property
    def name(self) -> str:
        """Name of its file."""
        return f"{self.chunk:06d}-{self.attempt}.parquet"


class Jobs:
    """The state of all jobs.

    Parameters
    ----------
    redis : redis.Redis
        Connection, which may be shared by threads; it must decode responses.
    lifetime : float
        Seconds after its end when a job expires.
    """

    def __init__(self, redis: "Redis", lifetime: float) -> None:
        self._redis: Any = redis  # its types know only half of what it takes
        self._lifetime = lifetime
        scripts = files("service.jobs") / "scripts"
        self._begin, self._beat, self._finish, self._stop, self._retry, self._overdue = (
            self._script((scripts / f"{name}.lua").read_text(encoding="utf-8"))
            for name in ("begin", "beat", "finish", "stop", "retry", "overdue")
        )

    def _script(self, text: str) -> Script:
        script: Script = self._redis.register_script(text)
        return script

    def add(self, job: str, description: JobDescription, key: str | None = None) -> None:
        """Begin a job; ``key`` is an idempotency key that is to be remembered as long as the job may live."""
        with self._redis.pipeline(transaction=True) as together:
            together.hset(
                _of(job),
                mapping={
                    "about": description.model_dump_json(),
                    "phase": Phase.QUEUED.value,
                    "attempt": 0,
                    "done": 0,
                    "failed": 0,
                },
            )
            together.sadd(_of(job, "todo"), *range(description.chunks))
            together.zadd("redden:jobs", {job: 0})
            together.sadd("redden:jobs:active", job)
            if key is not None:
                together.expire(_key(key), int(2 * self._lifetime))
            together.execute()

    def claim(self, key: str, job: str, fingerprint: str, seconds: int) -> tuple[str, str] | None:
        """Take an idempotency key for a job that is being made; job and fingerprint of who had it before, if any."""
        before = self._redis.set(_key(key), f"{job} {fingerprint}", nx=True, ex=seconds, get=True)
        if before is None:
            return None
        first_job, first_fingerprint = before.split()
        return first_job, first_fingerprint

    def release(self, key: str) -> None:
        """Give an idempotency key back, since its job was not made."""
        self._redis.delete(_key(key))

    def description(self, job: str) -> JobDescription:
        """What is known of a job from the beginning.

        Raises
        ------
        UnknownJobError
            If there is no such job.
        """
        about = self._redis.hget(_of(job), "about")
        if about is None:
            raise _unknown(job)
        return JobDescription.model_validate_json(about)

    def job(self, job: str) -> Job:
        """How far a job is.

        Raises
        ------
        UnknownJobError
            If there is no such job.
        """
        found = self._jobs([job])
        if not found:
            raise _unknown(job)
        return found[0]

    def page(self, phase: Phase | None, limit: int, cursor: str | None) -> JobList:
        """Jobs from the newest on, after the job ``cursor``."""
        found: list[Job] = []
        start = "+" if cursor is None else f"({cursor}"
        while ids := self._redis.zrange("redden:jobs", start, "-", desc=True, bylex=True, offset=0, num=_PAGE):
            found += [job for job in self._jobs(ids) if phase is None or job.phase is phase]
            if len(found) > limit:
                return JobList(jobs=found[:limit], next=found[limit - 1].id)
            start = f"({ids[-1]}"
        return JobList(jobs=found, next=None)

    def parts(self, job: str) -> dict[int, Part]:
        """The parts that are there, by chunk."""
        stored = self._redis.hgetall(_of(job, "parts"))
        return {int(chunk): Part(int(chunk), int(part.split()[0])) for chunk, part in stored.items()}

    def begin(self, job: str, part: Part) -> Part | Literal[False] | None:
        """Take a chunk in hand.

        Returns
        -------
        Part, None or False
            The part of an earlier attempt, whose measured rows stay; None if there is none; False if the chunk is
            not wanted, or no longer.
        """
        answer = self._begin([_of(job)], [part.chunk, part.attempt, LEASE])
        if answer is None:
            return False
        return Part(part.chunk, int(answer)) if int(answer) >= 0 else None

    def beat(self, job: str, part: Part, seconds: float = LEASE, waits_for: str = "") -> bool:
        """Say that a chunk will be heard of again within some seconds; whether it is still wanted."""
        return bool(self._beat([_of(job)], [part.chunk, part.attempt, seconds, waits_for]))

    def finish(self, job: str, part: Part, measured: int, failed: int) -> None:
        """Take note that a part is stored; nothing is counted twice.

        Raises
        ------
        UnknownJobError
            If the job has been deleted meanwhile.
        """
        keys = [_of(job), "redden:jobs:active", "redden:jobs:expiring"]
        answer = self._finish(keys, [job, part.chunk, part.attempt, measured, failed, self._lifetime])
        if answer is None:
            raise _unknown(job)

    def stop(self, job: str, phase: Phase, error: str = "") -> None:
        """End a job before it is complete.

        Raises
        ------
        UnknownJobError, JobPhaseError
            If there is no such job, or it has come to an end of another kind.
        """
        keys = [_of(job), "redden:jobs:active", "redden:jobs:expiring"]
        answer = self._stop(keys, [job, phase.value, error, self._lifetime])
        if answer is None:
            raise _unknown(job)
        if answer != phase.value:
            raise JobPhaseError(f"job {job} is {answer}, and cannot be stopped any more.")

    def retry(self, job: str) -> list[Part]:
        """Go on with what a job has not measured; the parts to queue.

        Raises
        ------
        UnknownJobError, JobPhaseError
            If there is no such job, it has not ended, or there is nothing to try again.
        """
        keys = [_of(job), "redden:jobs:active", "redden:jobs:expiring"]
        answer = self._retry(keys, [job])
        if answer is None:
            raise _unknown(job)
        if not isinstance(answer, list):
            if answer == Phase.COMPLETED:
                raise JobPhaseError(f"job {job} has measured every row; there is nothing to try again.")
            raise JobPhaseError(f"job {job} is {answer}. Abort it, or wait for its end, before trying again.")
        attempt, *chunks = map(int, answer)
        return [Part(chunk, attempt) for chunk in sorted(chunks)]

    def overdue(self, job: str, waiting: Iterable[int]) -> list[Part]:
        """The parts of a job that nobody works on and that do not wait in the queue, and so have been lost."""
        attempt, *chunks = map(int, self._overdue([_of(job)], [LEASE, *waiting]) or [0])
        return [Part(chunk, attempt) for chunk in sorted(chunks)]

    def active(self) -> list[str]:
        """Jobs that have not ended."""
        return sorted(self._redis.smembers("redden:jobs:active"))

    def expired(self) -> list[str]:
        """Jobs whose time is over."""
        return list(self._redis.zrangebyscore("redden:jobs:expiring", 0, self._now()))

    def unknown(self, jobs: Iterable[str]) -> list[str]:
        """Those of the jobs that do not exist."""
        return [job for job in jobs if not self._redis.exists(_of(job))]

    def delete(self, job: str) -> None:
        """Forget a job.

        Raises
        ------
        UnknownJobError
            If there is no such job.
        """
        with self._redis.pipeline(transaction=True) as together:
            together.delete(_of(job), *(_of(job, part) for part in ("todo", "parts", "due", "pace")))
            together.zrem("redden:jobs", job)
            together.srem("redden:jobs:active", job)
            together.zrem("redden:jobs:expiring", job)
            forgotten, *_ = together.execute()
        if not forgotten:
            raise _unknown(job)

    def _now(self) -> float:
        seconds, microseconds = self._redis.time()
        return float(seconds + microseconds / 1e6)

    def _jobs(self, ids: list[str]) -> list[Job]:
        with self._redis.pipeline(transaction=True) as together:
            for job in ids:
                together.hgetall(_of(job))
                together.lrange(_of(job, "pace"), 0, -1)
            together.time()
            *stored, (seconds, microseconds) = together.execute()
        now = seconds + microseconds / 1e6
        pairs = zip(ids, stored[::2], stored[1::2], strict=True)
        return [job_of(job, state, pace, now) for job, state, pace in pairs if state]


def _of(job: str, part: str = "") -> str:
    """Key of a job, or of a part of its state; the scripts make the latter from the former."""
    return f"redden:job:{job}:{part}" if part else f"redden:job:{job}"


def _key(key: str) -> str:
    return f"redden:idempotency:{key}"


def _unknown(job: str) -> UnknownJobError:
    return UnknownJobError(f"there is no job {job!r}; it was deleted or has expired. GET /v1/jobs lists all.")
