"""A job as Redis holds it, and as clients see it."""

from datetime import UTC, datetime

from pydantic import BaseModel

from redden.jobs import Job, JobOptions, JobProvenance, Phase, Rows


class JobDescription(BaseModel):
    """What is known of a job from the beginning."""

    name: str | None
    options: JobOptions
    provenance: JobProvenance
    created: datetime
    rows: int
    chunks: int


def job_of(job: str, state: dict[str, str], pace: list[str], now: float) -> Job:
    """A job as it is stored.

    Parameters
    ----------
    job : str
        The job.
    state : dict of str to str
        What its key holds.
    pace : list of str
        When its last chunks were done, in seconds since 1970, and how many rows then were; newest first.
    now : float
        Seconds since 1970.
    """
    description = JobDescription.model_validate_json(state["about"])
    phase = Phase(state["phase"])
    done = int(state["done"])
    rate = None if phase.is_final else _rate(pace)
    return Job(
        id=job,
        name=description.name,
        phase=phase,
        created=description.created,
        started=_time(state.get("started")),
        ended=_time(state.get("ended")),
        expires=_time(state.get("expires")),
        rows=Rows(total=description.rows, done=done, failed=int(state["failed"])),
        rate=rate,
        estimated_end=_time(str(now + (description.rows - done) / rate)) if rate else None,
        error=state.get("error") or None,
        options=description.options,
        provenance=description.provenance,
    )


def _rate(pace: list[str]) -> float | None:
    """Rows per second of the last chunks, from times and counts, newest first."""
    if len(pace) < 2:
        return None
    (last, done), (first, done_then) = (map(float, point.split()) for point in (pace[0], pace[-1]))
    return (done - done_then) / (last - first) if last > first and done > done_then else None


def _time(text: str | None) -> datetime | None:
    return datetime.fromtimestamp(float(text), UTC) if text else None
