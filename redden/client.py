"""A client of a redden service: ``Client().predict(["F277W.fits", "F356W.fits", "F444W.fits"])``."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Literal, Self, TypedDict, Unpack

import httpx

from redden.answer import Answer, PositionAnswer
from redden.errors import ReddenError
from redden.recentre import Recentre
from redden.served import ModelList, SurveyList

Angle = float | str
"""An angle in degrees, or sexagesimal: ``12:34:56.7`` is hours for a right ascension, degrees for a declination."""

Place = tuple[Angle, Angle] | tuple[Angle, Angle, float] | tuple[Angle, Angle, float, float]
"""Right ascension, declination and, if known, redshift and its standard error."""

DEFAULT_URL: Final = "http://127.0.0.1:8000"
"""Where ``redden serve`` listens."""


_PICTURE: Final = {"explain": True, "format": "png"}


class Choice(TypedDict, total=False):
    """Which model measures, and whether the cutout is moved onto its source; what is None counts as not stated."""

    model: str | None
    """Name of the model; by default the service's default model."""
    version: int | None
    """Version of the model; by default the newest."""
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


class NoServiceError(ReddenError):
    """No redden service answers at the address."""


class RefusedError(ReddenError):
    """The service refused the request; the message is the problem's ``detail``.

    Attributes
    ----------
    status : int
        HTTP status.
    problem : dict
        The problem details (RFC 9457) as they came.
    """

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        # All members are optional, and a proxy on the way may know other ones.
        super().__init__(
            problem.get("detail") or problem.get("title") or f"the request was refused with status {status}."
        )
        self.status = status
        self.problem = problem


class Client:
    """A connection to a redden service; close it, or use it in a ``with`` block.

    Parameters
    ----------
    url : str
        Address of the service.
    timeout : float
        Seconds to wait for an answer.
    """

    def __init__(self, url: str = DEFAULT_URL, timeout: float = 60.0) -> None:
        self._http = httpx.Client(base_url=url, timeout=timeout)

    def predict(self, files: Sequence[str | Path], **question: Unpack[FilesQuestion]) -> Answer:
        """Measure one galaxy in files.

        Parameters
        ----------
        files : sequence of path
            FITS files, one per band or with several bands each.
        **question
            See `FilesQuestion`, `Question` and `Choice`.

        Returns
        -------
        Answer

        Raises
        ------
        NoServiceError
            If no service answers.
        RefusedError
            If the service refuses; the message says what would be right.
        OSError
            If a file cannot be read.
        """
        return Answer.model_validate_json(self._send(files, _parameters(question)).content)

    def explanation(self, files: Sequence[str | Path], **question: Unpack[FilesQuestion]) -> bytes:
        """A PNG picture of what moved the answer about a galaxy in files; parameters and errors as of `predict`."""
        return self._send(files, {**_parameters(question), **_PICTURE}).content

    def predict_position(self, survey: str, ra: Angle, dec: Angle, **question: Unpack[Question]) -> Answer:
        """Measure the galaxy at a position of a survey.

        Parameters
        ----------
        survey : str
            A survey that the service has, see `surveys`.
        ra, dec : float or str
            Position (ICRS).
        **question
            See `Question` and `Choice`; and see `predict` for the errors.
        """
        parameters = _stated(survey=survey, ra=ra, dec=dec, **question)
        return Answer.model_validate_json(self._request("GET", "/v1/predict", params=parameters).content)

    def explanation_at(self, survey: str, ra: Angle, dec: Angle, **question: Unpack[Question]) -> bytes:
        """A PNG picture of what moved the answer at a position; parameters and errors as of `predict_position`."""
        parameters = _stated(survey=survey, ra=ra, dec=dec, **question)
        return self._request("GET", "/v1/predict", params={**parameters, **_PICTURE}).content

    def predict_positions(
        self,
        survey: str,
        positions: Sequence[Place],
        *,
        a_v_above: float | None = None,
        **choice: Unpack[Choice],
    ) -> Iterator[PositionAnswer]:
        """Measure at many positions of a survey.

        Parameters
        ----------
        survey : str
            A survey that the service has, see `surveys`.
        positions : sequence of (ra, dec), (ra, dec, redshift) or (ra, dec, redshift, redshift_error)
            At most 1,000.
        a_v_above : float, optional
            Answer also the probabilities that A_V is above this, in mag.
        **choice
            See `Choice`; and see `predict` for the errors.

        Yields
        ------
        PositionAnswer
            For each position, as soon as it is measured: `index` tells which one it is. What is wrong at one position
            is its `problem`, and no exception.
        """
        places = [_place(*position) for position in positions]
        asked = _stated(survey=survey, positions=places, a_v_above=a_v_above, **choice)
        with self._stream("POST", "/v1/predict/positions", json=asked) as response:
            for line in response.iter_lines():
                yield PositionAnswer.model_validate_json(line)

    def cutout(
        self, survey: str, ra: Angle, dec: Angle, *, format: Literal["fits", "png"] = "fits", **choice: Unpack[Choice]
    ) -> bytes:
        """The pixels that `predict_position` measures, as a FITS file or as a PNG picture; parameters as there."""
        parameters = _stated(survey=survey, ra=ra, dec=dec, format=format, **choice)
        return self._request("GET", "/v1/cutout", params=parameters).content

    def surveys(self) -> SurveyList:
        """All surveys of the service.

        Raises
        ------
        NoServiceError
            If no service answers.
        """
        return SurveyList.model_validate_json(self._request("GET", "/v1/surveys").content)

    def models(self) -> ModelList:
        """All models of the service.

        Raises
        ------
        NoServiceError
            If no service answers.
        """
        return ModelList.model_validate_json(self._request("GET", "/v1/models").content)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _send(self, files: Sequence[str | Path], parameters: dict[str, Any]) -> httpx.Response:
        """The response to these files."""
        with ExitStack() as stack:
            parts = [
                ("files", (Path(path).name, stack.enter_context(Path(path).open("rb")), "application/fits"))
                for path in files
            ]
            return self._request("POST", "/v1/predict", params=parameters, files=parts)

    def _request(self, method: str, path: str, **content: Any) -> httpx.Response:
        with self._stream(method, path, **content) as response:
            response.read()
        return response

    @contextmanager
    def _stream(self, method: str, path: str, **content: Any) -> Iterator[httpx.Response]:
        """A successful response whose body has yet to come."""
        try:
            with self._http.stream(method, path, **content) as response:
                if response.headers.get("content-type") == "application/problem+json":
                    response.read()
                    raise RefusedError(response.status_code, _problem(response))
                if not response.is_success:
                    raise NoServiceError(
                        f"{self._http.base_url} answered {response.status_code} {response.reason_phrase}; "
                        "that is no redden service."
                    )
                yield response
        except httpx.TimeoutException as error:
            raise NoServiceError(f"the service at {self._http.base_url} did not answer in time.") from error
        except httpx.TransportError as error:
            raise NoServiceError(
                f"no redden service answers at {self._http.base_url} ({error}). "
                "Start one with `redden serve`, or give its address."
            ) from error


def _problem(response: httpx.Response) -> dict[str, Any]:
    """The problem details in a response; none if it holds something else."""
    try:
        problem = response.json()
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _place(ra: Angle, dec: Angle, redshift: float | None = None, redshift_error: float | None = None) -> dict[str, Any]:
    return _stated(ra=str(ra), dec=str(dec), redshift=redshift, redshift_error=redshift_error)


def _parameters(question: FilesQuestion) -> dict[str, Any]:
    return _stated(**{**question, "bands": ",".join(question.get("bands", ())) or None})


def _stated(**parameters: Any) -> dict[str, Any]:
    """Those parameters that have a value."""
    return {name: value for name, value in parameters.items() if value is not None}
