"""Positions on the sky in the words of a request: degrees, sexagesimal, or both in one."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self

import astropy.units as u
from astropy.coordinates import SkyCoord
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, model_validator

from redden.options import Centring
from service.angles import EXAMPLES, Declination, RightAscension, parse_position
from service.parameters import Explaining, KnownRedshift, Question

MAX_POSITIONS: Final = 1000
"""Most positions in one request."""


class Place(BaseModel):
    """A position, as `ra` and `dec` or as `pos`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ra: RightAscension = None
    dec: Declination = None
    pos: Annotated[
        str | None,
        Field(
            max_length=80,
            description="Both in one, in place of `ra` and `dec`: `29.99903,12.00498` or `01:59:59.767 +12:00:17.93`.",
            examples=["29.99903,12.00498"],
        ),
    ] = None

    @model_validator(mode="after")
    def _on_the_sky(self) -> Self:
        self._degrees()
        return self

    @property
    def position(self) -> SkyCoord:
        """The position."""
        ra, dec = self._degrees()
        return SkyCoord(ra * u.deg, dec * u.deg)

    def _degrees(self) -> tuple[float, float]:
        if self.pos is not None and self.ra is None and self.dec is None:
            return parse_position(*_halves(self.pos))
        if self.pos is None and self.ra is not None and self.dec is not None:
            return parse_position(self.ra, self.dec)
        raise ValueError("give ra and dec, or pos in their place")


class SurveyRequest(Question, Centring):
    """What is asked of a survey, wherever."""

    survey: Annotated[str, Field(description="Name of the survey; `GET /v1/surveys` lists them.", examples=["demo"])]


class At(SurveyRequest, Place, KnownRedshift):
    """What is asked of a survey at one position."""


class Measure(At, Explaining):
    """What is asked of a survey at one position, and how it is written."""


class NamedPlace(Place, KnownRedshift):
    """One of many positions."""

    id: Annotated[
        str | None,
        Field(max_length=100, coerce_numbers_to_str=True, description="Name to find the answer by.", examples=["17"]),
    ] = None


@dataclass(frozen=True, slots=True)
class WrongPlace:
    """One of many positions that cannot be read, which must not stop the others."""

    id: str | None
    error: RequestValidationError


def _read_place(given: object) -> NamedPlace | WrongPlace:
    try:
        return NamedPlace.model_validate(given)
    except ValidationError as error:
        reasons = [{**reason, "loc": ("position", *reason["loc"])} for reason in error.errors()]
        name = given.get("id") if isinstance(given, dict) else None
        return WrongPlace(None if name is None else str(name)[:100], RequestValidationError(reasons))


class CutoutRequest(At):
    """Which cutout is asked for, and how it is written."""

    format: Annotated[
        Literal["fits", "png"],
        Field(description="FITS with WCS, units and history; or a picture in three colours.", examples=["png"]),
    ] = "fits"


class ManyPositions(SurveyRequest):
    """What is asked of a survey at many positions."""

    positions: Annotated[
        list[Annotated[NamedPlace | WrongPlace, PlainValidator(_read_place, json_schema_input_type=NamedPlace)]],
        Field(min_length=1, max_length=MAX_POSITIONS, description="Where to measure."),
    ]


def _halves(text: str) -> tuple[str, str]:
    """Right ascension and declination of a position in one, split at a comma, or at half of the words."""
    parts = text.split(",") if "," in text else text.split()
    if not parts or len(parts) % 2 or ("," in text and len(parts) != 2):
        raise ValueError(f"pos {text!r} cannot be read; give right ascension and declination, {EXAMPLES}")
    half = len(parts) // 2
    return " ".join(parts[:half]), " ".join(parts[half:])
