"""What can be asked of a redden service: one function per question, for `redden.client` to send and to await."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypedDict, TypeVar
from urllib.parse import quote
from uuid import uuid4

from redden.answer import Answer, PositionAnswer
from redden.jobs import Job, JobList, JobRow, Phase, ResultFormat
from redden.recentre import Recentre
from redden.served import ModelList, SurveyList

if TYPE_CHECKING:
    from astropy.table import Table

T = TypeVar("T")

Angle = float | str
"""An angle in degrees, or sexagesimal: ``12:34:56.7`` is hours for a right ascension, degrees for a declination."""

Place = tuple[Angle, Angle] | tuple[Angle, Angle, float] | tuple[Angle, Angle, float, float]
"""Right ascension, declination and, if known, redshift and its standard error."""

_PICTURE: Final = {"explain": True, "format": "png"}


class Choice(TypedDict, total=False):
    """Which model measures, and whether the cutout is moved onto its source; what is None counts as not stated."""

    model: str | None
    """Name of the model; by default the service's default model."""
    version: int | str | None
    """Version of the model, or a label of one, such as ``stable``; by default the newest."""
    recentre: Recentre | None
    """Move the cutout onto the ``peak`` or the ``centroid`` of its source; by default it stays."""
    recentre_radius: float | None
    """How far it may move, in arcsec."""


class Question(Choice, total=False):
    """What is known of the galaxy, and what else is asked about it."""

    redshift: float | None
    """Redshift of the galaxy; models that take one answer more narrowly."""
    redshift_error: float | None
    """Its standard error; by default 0, as of a spectroscopic redshift."""
    a_v_above: float | None
    """Answer also the probability that A_V is above this, in mag."""
    explain: bool
    """Tell also which pixels and bands moved the answer."""


class FilesQuestion(Question, total=False):
    """What is said about files."""

    bands: Sequence[str]
    """Band of each image in order; by default told from the files."""
    unit: str | None
    """Unit of the pixels, in place of what the headers say."""
    pixel_scale: float | None
    """Side of a pixel in arcsec, for images whose headers do not tell."""
    ra: Angle | None
    """Right ascension of the galaxy (ICRS); by default, with `dec`, the centre of the image."""
    dec: Angle | None
    """Declination of the galaxy."""


class Options(Choice, total=False):
    """What is asked of a catalogue; see `redden.jobs.JobOptions`."""

    survey: str | None
    """Survey to look at, for a catalogue of positions; none for a catalogue of images."""
    name: str | None
    """A name for people to know the job by."""
    format: ResultFormat | None
    """Format in which the results are given when none is asked for."""
    ra: str | None
    """Column of the right ascension; by default found by its UCD, then by the usual names."""
    dec: str | None
    """Column of the declination."""
    redshift: str | None
    """Column of the redshift, for models that take one."""
    redshift_error: str | None
    """Column of the standard error of the redshift."""
    unit: str | None
    """Unit of the pixels of all images, in place of what their headers say."""
    pixel_scale: float | None
    """Side of a pixel in arcsec, for images whose headers do not tell."""
    columns: Sequence[str] | None
    """Columns of the catalogue that come back with the results; by default all of them."""


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """A question to a service.

    Attributes
    ----------
    method, path : str
        Of the HTTP request.
    read : callable
        Makes the answer from the body; where the body comes in lines, from each of them.
    content : dict
        ``params``, ``json``, ``data`` and ``headers`` as httpx takes them.
    files : sequence of (str, path, str)
        Files to send: name of the part, path and media type.
    patient : bool
        Whether the service may take minutes to answer.
    """

    method: str
    path: str
    read: Callable[[bytes], T]
    content: dict[str, Any] = field(default_factory=dict)
    files: "Sequence[tuple[str, str | Path | Table, str]]" = ()
    patient: bool = False


def predict(files: Sequence[str | Path], question: FilesQuestion) -> Request[Answer]:
    """Measure one galaxy in files."""
    return _files("/v1/predict", files, _parameters(question), Answer.model_validate_json)


def explanation(files: Sequence[str | Path], question: FilesQuestion) -> Request[bytes]:
    """A picture of what moved the answer about files."""
    return _files("/v1/predict", files, {**_parameters(question), **_PICTURE}, bytes)


def predict_position(survey: str, ra: Angle, dec: Angle, question: Question) -> Request[Answer]:
    """Measure at a position."""
    parameters = _stated(survey=survey, ra=ra, dec=dec, **question)
    return Request("GET", "/v1/predict", Answer.model_validate_json, {"params": parameters})


def explanation_at(survey: str, ra: Angle, dec: Angle, question: Question) -> Request[bytes]:
    """A picture of what moved the answer at a position."""
    parameters = _stated(survey=survey, ra=ra, dec=dec, **question)
    return Request("GET", "/v1/predict", bytes, {"params": {**parameters, **_PICTURE}})


def predict_positions(
    survey: str, positions: Sequence[Place], a_v_above: float | None, choice: Choice
) -> Request[PositionAnswer]:
    """Measure at many positions; a line each."""
    places = [_place(*position) for position in positions]
    asked = _stated(survey=survey, positions=places, a_v_above=a_v_above, **choice)
    return Request("POST", "/v1/predict/positions", PositionAnswer.model_validate_json, {"json": asked})


def cutout(survey: str, ra: Angle, dec: Angle, format: Literal["fits", "png"], choice: Choice) -> Request[bytes]:
    """The pixels that are measured at a position."""
    parameters = _stated(survey=survey, ra=ra, dec=dec, format=format, **choice)
    return Request("GET", "/v1/cutout", bytes, {"params": parameters})


def surveys() -> Request[SurveyList]:
    """All surveys of the service."""
    return Request("GET", "/v1/surveys", SurveyList.model_validate_json)


def models() -> Request[ModelList]:
    """All models of the service."""
    return Request("GET", "/v1/models", ModelList.model_validate_json)


def submit(catalogue: "str | Path | Table", idempotency_key: str | None, options: Options) -> Request[Job]:
    """Measure a catalogue in the background."""
    return Request(
        "POST",
        "/v1/jobs",
        Job.model_validate_json,
        {"data": _stated(**options), "headers": {"Idempotency-Key": idempotency_key or str(uuid4())}},
        [("catalogue", catalogue, "application/octet-stream")],
        patient=True,
    )


def jobs(phase: Phase | str | None, limit: int, cursor: str | None) -> Request[JobList]:
    """A page of the jobs."""
    parameters = _stated(phase=None if phase is None else str(phase).upper(), limit=limit, cursor=cursor)
    return Request("GET", "/v1/jobs", JobList.model_validate_json, {"params": parameters})


def job(identifier: str) -> Request[Job]:
    """How far a job is."""
    return Request("GET", f"/v1/jobs/{_one(identifier)}", Job.model_validate_json)


def job_events(identifier: str) -> Request[Job | None]:
    """How far a job is, whenever that changes; a line that tells nothing is None."""
    return Request("GET", f"/v1/jobs/{_one(identifier)}/events", _event)


def job_results(identifier: str, format: ResultFormat | None, offset: int | None, limit: int | None) -> Request[bytes]:
    """The results of a job as a file."""
    parameters = _stated(format=format, offset=offset, limit=limit)
    return Request("GET", f"/v1/jobs/{_one(identifier)}/results", bytes, {"params": parameters}, patient=True)


def job_row(identifier: str, row: int) -> Request[JobRow]:
    """One row of the results of a job."""
    return Request("GET", f"/v1/jobs/{_one(identifier)}/rows/{row}", JobRow.model_validate_json)


def abort(identifier: str) -> Request[Job]:
    """Stop a job."""
    return Request("POST", f"/v1/jobs/{_one(identifier)}/abort", Job.model_validate_json)


def retry(identifier: str) -> Request[Job]:
    """Go on with a job."""
    return Request("POST", f"/v1/jobs/{_one(identifier)}/retry", Job.model_validate_json)


def delete(identifier: str) -> Request[None]:
    """Delete a job."""
    return Request("DELETE", f"/v1/jobs/{_one(identifier)}", lambda _: None)


def _one(identifier: str) -> str:
    """A name as one part of a path, whatever it holds."""
    return quote(identifier, safe="")


def _event(line: bytes) -> Job | None:
    """The job in a line of server-sent events."""
    return Job.model_validate_json(line.removeprefix(b"data:")) if line.startswith(b"data:") else None


def _files(path: str, files: Sequence[str | Path], params: dict[str, Any], read: Callable[[bytes], T]) -> Request[T]:
    named = [files] if isinstance(files, str) else files  # one name is a sequence too, of letters
    return Request("POST", path, read, {"params": params}, [("files", file, "application/fits") for file in named])


def _place(ra: Angle, dec: Angle, redshift: float | None = None, redshift_error: float | None = None) -> dict[str, Any]:
    return _stated(ra=str(ra), dec=str(dec), redshift=redshift, redshift_error=redshift_error)


def _parameters(question: FilesQuestion) -> dict[str, Any]:
    return _stated(**{**question, "bands": ",".join(question.get("bands", ())) or None})


def _stated(**parameters: Any) -> dict[str, Any]:
    """Those parameters that have a value."""
    return {name: value for name, value in parameters.items() if value is not None}
