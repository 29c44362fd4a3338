"""``/v1/jobs``: catalogues that are measured in the background, and ``/v1/catalogues``, which holds them for jobs."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response, status
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from redden.jobs import Job, JobList, JobRequest, JobRow, Phase, ResultFormat, StoredCatalogue
from service.catalogue_uploads import (
    is_json,
    no_options,
    options_of,
    read_json,
    received,
    request_body,
)
from service.catalogues import FORMATS
from service.dependencies import JobsDependency, SettingsDependency
from service.errors import problem_responses

router = APIRouter(prefix="/v1", tags=["jobs"])

POLL_INTERVAL: Final = 0.5
"""Seconds between two looks at a job whose progress is watched."""

EXAMPLE_ID: Final = "01a204e3dc206ef4b9522a99695e"

JobId = Annotated[
    str,  # no more than a name: it becomes part of the names of keys
    Path(max_length=100, pattern="^[0-9A-Za-z]+$", description="`id` of the job.", examples=[EXAMPLE_ID]),
]
CatalogueId = Annotated[str, Path(max_length=100, description="`id` of the catalogue.", examples=[EXAMPLE_ID])]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        description="Any text that is new for each job: a request that is sent again with it makes no second job.",
        examples=["8f2d3c9e-ceers"],
    ),
]


@router.post(
    "/jobs",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Measure a catalogue",
    response_description="The job, which is queued. `Location` is its address.",
    responses=problem_responses(400, 404, 409, 413, 415, 422, 503, 507),
    openapi_extra={"requestBody": request_body(with_options=True)},
)
async def submit(
    request: Request,
    response: Response,
    jobs: JobsDependency,
    settings: SettingsDependency,
    idempotency_key: IdempotencyKey = None,
) -> Job:
    """Send a catalogue of positions in a survey, or of images; or name one that is uploaded.

    Positions come as CSV, ECSV, VOTable, FITS or Parquet; images as an archive of FITS cutouts (zip, tar), as a cube
    of N x H x W pixels for each band, or as a table with columns of images. A row that cannot be measured keeps its
    place, with a reason in its `status`.

    ```
    curl -F catalogue=@galaxies.csv -F survey=demo http://127.0.0.1:8000/v1/jobs
    ```
    """
    if is_json(request):
        asked = await read_json(request, JobRequest)
        job = await jobs.in_thread(partial(jobs.submit_kept, asked, idempotency_key))
    else:
        async with received(request, settings.max_catalogue_bytes) as (file, fields):
            options = options_of(fields)
            job = await jobs.in_thread(partial(jobs.submit, file, options, idempotency_key))
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return job


@router.get(
    "/jobs",
    name="jobs",
    summary="List the jobs",
    response_description="Jobs, newest first.",
    responses=problem_responses(422, 503),
)
def list_jobs(
    jobs: JobsDependency,
    phase: Annotated[Phase | None, Query(description="Only jobs in this phase.", examples=["EXECUTING"])] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most jobs on a page.", examples=[50])] = 50,
    cursor: Annotated[
        str | None,
        Query(max_length=100, pattern="^[0-9a-f]+$", description="`next` of the page before.", examples=[EXAMPLE_ID]),
    ] = None,
) -> JobList:
    """A page of jobs, newest first."""
    return jobs.jobs.page(phase, limit, cursor)


def _job(job: JobId, jobs: JobsDependency) -> Job:
    return jobs.jobs.job(job)


JobDependency = Annotated[Job, Depends(_job)]


@router.get(
    "/jobs/{job}",
    name="job",
    summary="How far is a job?",
    response_description="The job.",
    responses=problem_responses(404, 422, 503),
)
def job(job: JobDependency) -> Job:
    """Phase, rows done, rate, estimated end, and what the results come from."""
    return job


@router.get(
    "/jobs/{job}/events",
    name="job_events",
    summary="Watch a job",
    response_class=EventSourceResponse,
    response_description="Events.",
    responses=problem_responses(404, 422, 503),
)
async def events(job: JobDependency, jobs: JobsDependency) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: `progress` with the job whenever it has changed, and `end` with the job when it has ended.

    ```
    curl -N http://127.0.0.1:8000/v1/jobs/ID/events
    ```
    """
    seen = None
    while not job.phase.is_final:
        if (state := (job.phase, job.rows, job.error)) != seen:
            yield ServerSentEvent(data=job, event="progress")
            seen = state
        await asyncio.sleep(POLL_INTERVAL)
        job = await run_sync(jobs.jobs.job, job.id)
    yield ServerSentEvent(data=job, event="end")


@router.get(
    "/jobs/{job}/results",
    name="job_results",
    summary="Get the results of a job",
    response_class=Response,
    responses={
        200: {"description": "The rows.", "content": {written.media_type: {} for written in FORMATS.values()}},
        **problem_responses(404, 422, 503, 507),
    },
)
def results(
    job: JobDependency,
    jobs: JobsDependency,
    format: Annotated[
        ResultFormat | None,
        Query(description="Format; by default that which the job was asked for.", examples=["votable"]),
    ] = None,
    offset: Annotated[int, Query(ge=0, description="First row, from 0.", examples=[0])] = 0,
    limit: Annotated[
        int | None, Query(ge=1, description="Most rows; by default all that follow.", examples=[1000])
    ] = None,
) -> StreamingResponse:
    """The rows of the catalogue in their order, with A_V, E(B-V), R_V, sSFR and their intervals.

    While the job runs, rows that are not measured yet have the status `pending`.

    ```
    curl -OJ 'http://127.0.0.1:8000/v1/jobs/ID/results?format=votable'
    ```
    """
    table = jobs.results(job, format or job.options.format, offset, limit)
    return StreamingResponse(
        table.content,
        media_type=table.media_type,
        headers={
            "Content-Disposition": f'attachment; filename="{table.name}"',
            "X-Total-Count": str(job.rows.total),
        },
    )


@router.get(
    "/jobs/{job}/rows/{row}",
    name="job_row",
    summary="Get one row of the results of a job",
    response_description="The row.",
    responses=problem_responses(404, 422, 503),
)
def row(
    job: JobDependency,
    row: Annotated[int, Path(ge=0, description="Number of the row, from 0.", examples=[17])],
    jobs: JobsDependency,
) -> JobRow:
    """One row, as in the results; numbers that are not known are null."""
    return jobs.row(job, row)


@router.post(
    "/jobs/{job}/abort",
    name="abort_job",
    summary="Stop a job",
    response_description="The job, which is aborted.",
    responses=problem_responses(404, 409, 422, 503),
)
def abort(job: JobId, jobs: JobsDependency) -> Job:
    """Its results so far stay until it expires, and it can be retried."""
    return jobs.abort(job)


@router.post(
    "/jobs/{job}/retry",
    name="retry_job",
    summary="Go on with a job",
    status_code=status.HTTP_202_ACCEPTED,
    response_description="The job, which is queued again.",
    responses=problem_responses(404, 409, 422, 503),
)
def retry(job: JobId, jobs: JobsDependency) -> Job:
    """Measures only what is missing: rows that were not reached, and rows that could not be measured."""
    return jobs.retry(job)


@router.delete(
    "/jobs/{job}",
    name="delete_job",
    summary="Delete a job",
    status_code=status.HTTP_204_NO_CONTENT,
    response_class=Response,
    response_description="It is deleted.",
    responses=problem_responses(404, 422, 503),
)
def delete(job: JobId, jobs: JobsDependency) -> None:
    """Deletes it with its catalogue and results; it is stopped first if it runs."""
    jobs.delete(job)


@router.post(
    "/catalogues",
    name="upload_catalogue",
    status_code=status.HTTP_201_CREATED,
    summary="Upload a catalogue for jobs to name",
    response_description="The catalogue. `Location` is its address.",
    responses=problem_responses(400, 413, 415, 422, 507),
    openapi_extra={"requestBody": request_body(with_options=False)},
)
async def upload_catalogue(
    request: Request, response: Response, jobs: JobsDependency, settings: SettingsDependency
) -> StoredCatalogue:
    """For several jobs on one catalogue, such as with several models: `POST /v1/jobs` takes its `id`.

    ```
    curl -F catalogue=@galaxies.csv http://127.0.0.1:8000/v1/catalogues
    curl http://127.0.0.1:8000/v1/jobs -H 'Content-Type: application/json' -d '{"catalogue": "ID", "survey": "demo"}'
    ```
    """
    async with received(request, settings.max_catalogue_bytes) as (file, fields):
        no_options(fields)
        stored = await jobs.in_thread(partial(jobs.kept.keep, file))
    response.headers["Location"] = f"/v1/catalogues/{stored.id}"
    return stored


@router.get(
    "/catalogues/{catalogue}",
    name="uploaded_catalogue",
    summary="Describe an uploaded catalogue",
    response_description="The catalogue.",
    responses=problem_responses(404, 422),
)
def uploaded_catalogue(catalogue: CatalogueId, jobs: JobsDependency) -> StoredCatalogue:
    """What is known of the file; it is read when a job is made of it."""
    return jobs.kept.about(catalogue)


@router.delete(
    "/catalogues/{catalogue}",
    name="delete_catalogue",
    summary="Delete an uploaded catalogue",
    status_code=status.HTTP_204_NO_CONTENT,
    response_class=Response,
    response_description="It is deleted.",
    responses=problem_responses(404, 422),
)
def delete_catalogue(catalogue: CatalogueId, jobs: JobsDependency) -> None:
    """Jobs that were made of it do not need it any more."""
    jobs.kept.forget(catalogue)
