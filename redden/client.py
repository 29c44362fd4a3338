"""A client of a redden service: ``Client().predict(["F277W.fits", "F356W.fits", "F444W.fits"])``."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

import httpx

from redden.answer import Answer
from redden.errors import ReddenError
from redden.served import ModelList

DEFAULT_URL: Final = "http://127.0.0.1:8000"
"""Where ``redden serve`` listens."""


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
        super().__init__(problem["detail"])
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

    def predict(
        self,
        files: Sequence[str | Path],
        *,
        model: str | None = None,
        version: int | None = None,
        bands: Sequence[str] = (),
        unit: str | None = None,
        pixel_scale: float | None = None,
        ra: float | None = None,
        dec: float | None = None,
    ) -> Answer:
        """Measure one galaxy.

        Parameters
        ----------
        files : sequence of path
            FITS files, one per band or with several bands each.
        model, version : str, int, optional
            The model; by default the service's default model, newest version.
        bands : sequence of str, optional
            Band of each image in order; by default told from the files.
        unit : str, optional
            Unit of the pixels, in place of what the headers say.
        pixel_scale : float, optional
            Side of a pixel in arcsec, for images whose headers do not tell.
        ra, dec : float, optional
            Position of the galaxy in degrees (ICRS); by default the centre of the image.

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
        stated = {
            "model": model,
            "version": version,
            "bands": ",".join(bands) or None,
            "unit": unit,
            "pixel_scale": pixel_scale,
            "ra": ra,
            "dec": dec,
        }
        parameters = {name: value for name, value in stated.items() if value is not None}
        with ExitStack() as stack:
            parts = [
                ("files", (Path(path).name, stack.enter_context(Path(path).open("rb")), "application/fits"))
                for path in files
            ]
            response = self._request("POST", "/v1/predict", params=parameters, files=parts)
        return Answer.model_validate_json(response.content)

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

    def _request(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **content)
        except httpx.TimeoutException as error:
            raise NoServiceError(f"the service at {self._http.base_url} did not answer in time.") from error
        except httpx.TransportError as error:
            raise NoServiceError(
                f"no redden service answers at {self._http.base_url} ({error}). "
                "Start one with `redden serve`, or give its address."
            ) from error
        if response.headers.get("content-type") == "application/problem+json":
            raise RefusedError(response.status_code, response.json())
        if not response.is_success:
            raise NoServiceError(
                f"{self._http.base_url} answered {response.status_code} {response.reason_phrase}; "
                "that is no redden service."
            )
        return response
