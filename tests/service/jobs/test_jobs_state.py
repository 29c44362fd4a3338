"""State of jobs in Redis: each change counts once, whatever is repeated or comes late."""

from datetime import UTC, datetime
from time import sleep

import pytest

from redden.answer import ModelReference
from redden.jobs import JobOptions, JobProvenance, Phase
from service.jobs import state
from service.jobs.description import JobDescription
from service.jobs.state import JobPhaseError, Part, UnknownJobError


def description(chunks, name=None):
    return JobDescription(
        name=name,
        options=JobOptions(),
        provenance=JobProvenance(
            software="", model=ModelReference(name="m", version=1), survey=None, catalogue=None, catalogue_sha256=""
        ),
        created=datetime.now(UTC),
        rows=10 * chunks,
        chunks=chunks,
    )


@pytest.fixture
def job(jobs):
    jobs.add("a", description(2))
    return "a"


def do(jobs, job, chunk, measured=10, failed=0, attempt=0):
    part = Part(chunk, attempt)
    before = jobs.begin(job, part)
    assert before is not False
    jobs.finish(job, part, measured, failed)
    return before


def test_a_job_goes_through_its_phases(jobs, job):
    assert jobs.job(job).phase is Phase.QUEUED
    assert jobs.begin(job, Part(0, 0)) is None
    begun = jobs.job(job)
    assert (begun.phase, begun.rows.done, begun.ended) == (Phase.EXECUTING, 0, None)
    assert begun.started is not None
    sleep(0.01)  # no time, no rate
    jobs.finish(job, Part(0, 0), 9, 1)
    half = jobs.job(job)
    assert (half.phase, half.rows.done, half.rows.failed, half.rows.total) == (Phase.EXECUTING, 10, 1, 20)
    assert half.rate > 0
    assert half.estimated_end > half.created
    do(jobs, job, 1)
    ended = jobs.job(job)
    assert (ended.phase, ended.rows.done, ended.rows.failed) == (Phase.COMPLETED, 20, 1)
    assert (ended.expires - ended.ended).total_seconds() == pytest.approx(3600, abs=0.01)
    assert jobs.active() == []


def test_a_part_counts_once(jobs, job):
    for part in (Part(0, 0), Part(1, 0)):
        jobs.begin(job, part)
    for _ in range(3):
        jobs.finish(job, Part(0, 0), 8, 2)
    assert (jobs.job(job).rows.done, jobs.job(job).rows.failed) == (10, 2)
    assert jobs.begin(job, Part(0, 0)) is False


def test_what_was_stopped_stays_as_it_is(jobs, job):
    do(jobs, job, 0)
    jobs.begin(job, Part(1, 0))
    jobs.stop(job, Phase.ABORTED)
    jobs.finish(job, Part(1, 0), 10, 0)
    assert not jobs.beat(job, Part(1, 0))
    stopped = jobs.job(job)
    assert (stopped.phase, stopped.rows.done) == (Phase.ABORTED, 10)
    assert stopped.expires is not None
    jobs.stop(job, Phase.ABORTED)
    with pytest.raises(JobPhaseError, match="ABORTED"):
        jobs.stop(job, Phase.ERROR, "too late")


def test_a_retry_does_what_is_missing_and_what_failed(jobs, job):
    do(jobs, job, 0, measured=7, failed=3)
    jobs.begin(job, Part(1, 0))
    with pytest.raises(JobPhaseError, match="EXECUTING"):
        jobs.retry(job)
    jobs.stop(job, Phase.ERROR, "the disk is full.")
    assert jobs.job(job).error == "the disk is full."

    assert jobs.retry(job) == [Part(0, 1), Part(1, 1)]
    again = jobs.job(job)
    assert (again.phase, again.rows.done, again.rows.failed, again.error) == (Phase.QUEUED, 7, 0, None)
    assert (again.ended, again.expires) == (None, None)
    assert jobs.active() == [job]
    assert jobs.begin(job, Part(0, 0)) is False  # of the first attempt
    jobs.finish(job, Part(1, 0), 10, 0)
    assert jobs.job(job).rows.done == 7

    assert do(jobs, job, 0, measured=9, failed=1, attempt=1) == Part(0, 0)
    assert do(jobs, job, 1, attempt=1) is None
    ended = jobs.job(job)
    assert (ended.phase, ended.rows.done, ended.rows.failed) == (Phase.COMPLETED, 20, 1)
    assert jobs.parts(job) == {0: Part(0, 1), 1: Part(1, 1)}


def test_a_retry_that_was_aborted_can_be_retried_without_counting_twice(jobs, job):
    do(jobs, job, 0, measured=7, failed=3)
    do(jobs, job, 1)
    jobs.retry(job)
    jobs.stop(job, Phase.ABORTED)
    assert jobs.retry(job) == [Part(0, 2)]
    assert (jobs.job(job).rows.done, jobs.job(job).rows.failed) == (17, 0)


def test_there_is_nothing_to_try_again_when_all_is_measured(jobs, job):
    do(jobs, job, 0)
    do(jobs, job, 1)
    with pytest.raises(JobPhaseError, match="every row"):
        jobs.retry(job)


def test_chunks_are_lost_when_they_are_neither_queued_nor_heard_of(jobs, job, monkeypatch):
    monkeypatch.setattr(state, "LEASE", 0.3)
    assert jobs.overdue(job, [0, 1]) == []
    assert jobs.overdue(job, [1]) == []  # chunk 0 has just been taken from the queue
    sleep(0.4)
    assert jobs.overdue(job, [0, 1]) == []
    assert jobs.overdue(job, [1]) == [Part(0, 0)]
    assert jobs.overdue(job, [1]) == []  # it has its time again
    jobs.begin(job, Part(0, 0))
    sleep(0.4)
    assert jobs.beat(job, Part(0, 0), seconds=60)
    assert jobs.overdue(job, [1]) == []
    jobs.finish(job, Part(0, 0), 10, 0)
    assert jobs.overdue(job, [1]) == []
    jobs.stop(job, Phase.ABORTED)
    sleep(0.4)
    assert jobs.overdue(job, []) == []


def test_a_chunk_says_what_it_waits_for_until_it_is_done(jobs, job):
    jobs.begin(job, Part(0, 0))
    jobs.beat(job, Part(0, 0), waits_for="the model server is away.")
    assert jobs.job(job).error == "the model server is away."
    jobs.finish(job, Part(0, 0), 10, 0)
    assert jobs.job(job).error is None


def test_a_deleted_job_is_unknown(jobs, job, redis):
    jobs.begin(job, Part(0, 0))
    do(jobs, job, 1)
    jobs.delete(job)
    for ask in (jobs.job, jobs.description, jobs.retry, jobs.delete, lambda job: jobs.stop(job, Phase.ABORTED)):
        with pytest.raises(UnknownJobError, match=job):
            ask(job)
    with pytest.raises(UnknownJobError):
        jobs.finish(job, Part(0, 0), 10, 0)
    assert jobs.begin(job, Part(0, 0)) is False
    assert jobs.unknown([job]) == [job]
    assert redis.keys() == []


def test_jobs_are_paged_from_the_newest_and_filtered_by_phase(jobs):
    names = [f"{number:03}" for number in range(7)]
    for name in names:
        jobs.add(name, description(1))
    for name in names[::2]:
        jobs.stop(name, Phase.ABORTED)
    first = jobs.page(None, 3, None)
    assert [job.id for job in first.jobs] == ["006", "005", "004"]
    second = jobs.page(None, 3, first.next)
    assert [job.id for job in second.jobs] == ["003", "002", "001"]
    last = jobs.page(None, 3, second.next)
    assert ([job.id for job in last.jobs], last.next) == (["000"], None)
    aborted = jobs.page(Phase.ABORTED, 4, None)
    assert ([job.id for job in aborted.jobs], aborted.next) == (["006", "004", "002", "000"], None)
    assert jobs.page(Phase.COMPLETED, 4, None).jobs == []


def test_filtering_goes_through_more_jobs_than_are_looked_at_in_one_step(jobs, monkeypatch):
    monkeypatch.setattr(state, "_PAGE", 2)
    for number in range(9):
        jobs.add(str(number), description(1))
    jobs.stop("0", Phase.ABORTED)
    assert [job.id for job in jobs.page(Phase.ABORTED, 1, None).jobs] == ["0"]
    assert jobs.page(None, 9, None).next is None


def test_an_idempotency_key_belongs_to_the_first_who_takes_it(jobs):
    assert jobs.claim("k", "a", "f", 60) is None
    assert jobs.claim("k", "b", "g", 60) == ("a", "f")
    jobs.release("k")
    assert jobs.claim("k", "b", "g", 60) is None


def test_a_job_of_very_many_chunks(jobs):
    jobs.add("large", description(20_000))
    jobs.stop("large", Phase.ERROR, "because")
    assert len(jobs.retry("large")) == 20_000
    assert jobs.overdue("large", range(20_000)) == []


def test_a_job_expires_some_time_after_its_end(redis):
    jobs = state.Jobs(redis, lifetime=0.2)
    jobs.add("a", description(1))
    jobs.add("b", description(1))
    jobs.stop("a", Phase.ABORTED)
    assert jobs.expired() == []
    sleep(0.3)
    assert jobs.expired() == ["a"]
