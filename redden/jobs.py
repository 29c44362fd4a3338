"""What the gateway and its clients say to each other about jobs: many galaxies, measured in the background."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field

from redden.answer import ModelReference
from redden.options import Centring, ModelChoice, Pixels

ResultFormat = Literal["parquet", "csv", "ecsv", "votable", "fits", "jsonl"]
"""How results are written."""

FORMAT_OF_ENDING: Final[dict[str, ResultFormat]] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".ecsv": "ecsv",
    ".vot": "votable",
    ".votable": "votable",
    ".xml": "votable",
    ".fits": "fits",
    ".jsonl": "jsonl",
}
"""Formats of results by the ending of a file's name, in small letters."""

MAX_COLUMN_NAME: Final = 200
"""Longest name of a column that a request may give, in characters."""

_Column = Annotated[str, Field(min_length=1, max_length=MAX_COLUMN_NAME)]


class Phase(StrEnum):
    """Where a job stands, in the words of the IVOA's Universal Worker Service."""

    QUEUED = "QUEUED"
    """It is stored, and no row has been begun yet."""
    EXECUTING = "EXECUTING"
    """Its rows are being measured."""
    COMPLETED = "COMPLETED"
    """Every row has been measured, or has a reason why not."""
    ERROR = "ERROR"
    """It was stopped by what `Job.error` says; what was done is kept."""
    ABORTED = "ABORTED"
    """It was stopped by a request; what was done is kept."""

    @property
    def is_final(self) -> bool:
        """Whether the job stays as it is until it is retried, deleted or expired."""
        return self in (Phase.COMPLETED, Phase.ERROR, Phase.ABORTED)


class JobOptions(ModelChoice, Centring, Pixels):
    """What is asked of a catalogue: the fields of a form beside the file, or a JSON object."""

    survey: Annotated[
        str | None,
        Field(
            max_length=100,
            description="Survey to look at, for a catalogue of positions; none for a catalogue of images.",
            examples=["demo"],
        ),
    ] = None
    name: Annotated[
        str | None, Field(max_length=200, description="A name for people to know the job by.", examples=["CEERS z > 3"])
    ] = None
    format: Annotated[
        ResultFormat, Field(description="Format in which the results are given when none is asked for.")
    ] = "parquet"
    ra: Annotated[
        _Column | None,
        Field(description="Column of the right ascension; by default found by its UCD, then by the usual names."),
    ] = None
    dec: Annotated[_Column | None, Field(description="Column of the declination; found like `ra`.")] = None
    redshift: Annotated[
        _Column | None, Field(description="Column of the redshift, for models that take one.", examples=["z_phot"])
    ] = None
    redshift_error: Annotated[
        _Column | None, Field(description="Column of the standard error of the redshift.", examples=["z_phot_err"])
    ] = None
    columns: Annotated[
        list[_Column] | None,
        Field(description="Columns of the catalogue that come back with the results; by default all of them."),
    ] = None


class JobRequest(JobOptions):
    """A job on a catalogue that was uploaded before, by `POST /v1/catalogues`."""

    catalogue: Annotated[str, Field(max_length=100, description="Its `id`.")]


class StoredCatalogue(BaseModel):
    """An uploaded file, for jobs to name."""

    id: str
    name: Annotated[str | None, Field(description="Name of the file, as it was uploaded.")]
    content_type: Annotated[str | None, Field(description="Media type, as it was uploaded.")]
    bytes: int
    sha256: str
    expires: Annotated[datetime, Field(description="When it is deleted; jobs that were made of it do not need it.")]


class Rows(BaseModel):
    """How far a job is."""

    total: Annotated[int, Field(description="Rows of the catalogue.")]
    done: Annotated[int, Field(description="Rows that are finished, those that cannot be measured among them.")]
    failed: Annotated[int, Field(description="Rows that cannot be measured; their `status` tells why.")]


class JobProvenance(BaseModel):
    """What a job's results come from."""

    software: Annotated[str, Field(description="Software and version.")]
    model: ModelReference
    survey: Annotated[str | None, Field(description="Survey whose mosaics are read; null for a catalogue of images.")]
    catalogue: Annotated[str | None, Field(description="Name of the file, as it was uploaded.")]
    catalogue_sha256: Annotated[str, Field(description="SHA-256 of the uploaded file.")]
    columns: Annotated[
        dict[Literal["ra", "dec", "redshift", "redshift_error"], str],
        Field(
            description="Columns of the catalogue that say where the galaxies are, by what they were taken for.",
            examples=[{"ra": "RA_ICRS", "dec": "DE_ICRS", "redshift": "z_phot"}],
        ),
    ] = {}


class Job(BaseModel):
    """A catalogue that is measured in the background."""

    id: str
    name: Annotated[str | None, Field(description="As the request gave it.")]
    phase: Phase
    created: datetime
    started: Annotated[datetime | None, Field(description="When the first rows were begun.")]
    ended: Annotated[datetime | None, Field(description="When it was completed or stopped.")]
    expires: Annotated[
        datetime | None, Field(description="When it is deleted with its results; null while it is not finished.")
    ]
    rows: Rows
    rate: Annotated[float | None, Field(description="Rows per second of late; null if not known.")]
    estimated_end: Annotated[datetime | None, Field(description="When it will be completed at this rate.")]
    error: Annotated[str | None, Field(description="What stopped it, or what it waits for; null if nothing did.")]
    options: Annotated[JobOptions, Field(description="What was asked, with the model and version that were chosen.")]
    provenance: JobProvenance


class JobList(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[Job]
    next: Annotated[str | None, Field(description="`cursor` of the next page; null on the last one.")]


class JobRow(BaseModel):
    """One row of a catalogue with its results."""

    row: Annotated[int, Field(description="Number of the row, from 0.")]
    values: Annotated[
        dict[str, Any], Field(description="Columns of the catalogue and of the results, as in the results' tables.")
    ]
