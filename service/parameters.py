"""What a request for a measurement may say, besides where the galaxy is."""

from typing import Annotated, Literal, Self

from astropy import units as u
from astropy.coordinates import SkyCoord
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from redden.options import HIGHEST_REDSHIFT, Centring, ModelChoice, Pixels
from service.angles import Declination, RightAscension, parse_position


class Question(ModelChoice):
    """Which model is asked, and what."""

    a_v_above: Annotated[
        float | None,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="Answer also the probability that A_V is above this, in mag.",
            examples=[1.0],
        ),
    ] = None


class KnownRedshift(BaseModel):
    """What is known of the redshift of a galaxy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    redshift: Annotated[
        float | None,
        Field(
            ge=0,
            le=HIGHEST_REDSHIFT,
            allow_inf_nan=False,
            description="Redshift of the galaxy; models that take one answer more narrowly.",
            examples=[7.1],
        ),
    ] = None
    redshift_error: Annotated[
        float | None,
        Field(
            ge=0,
            le=HIGHEST_REDSHIFT,
            allow_inf_nan=False,
            description="Standard error of `redshift`; by default 0, as of a spectroscopic redshift. State it for a "
            "photometric one.",
            examples=[0.2],
        ),
    ] = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.redshift is None and self.redshift_error is not None:
            raise ValueError("redshift_error needs a redshift; give both, or the redshift alone if it is spectroscopic")
        return self

    @property
    def z(self) -> tuple[float, float] | None:
        """Redshift and its standard error; None if unknown."""
        return None if self.redshift is None else (self.redshift, self.redshift_error or 0.0)


class Explaining(BaseModel):
    """Whether the answer is explained, and how it is written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    explain: Annotated[
        bool,
        Field(
            description="Tell also which pixels and which bands moved the answer; takes some 230 predictions.",
            examples=[True],
        ),
    ] = False
    format: Annotated[
        Literal["json", "png"] | None,
        Field(
            description="`png`, or `Accept: image/png`, draws the explanation beside the image; otherwise it is JSON.",
            examples=["png"],
        ),
    ] = None

    @model_validator(mode="after")
    def _drawable(self) -> Self:
        if self.format == "png" and not self.explain:
            raise ValueError("format=png draws an explanation; add explain=true")
        return self


class Parameters(Question, Centring, Pixels, KnownRedshift, Explaining):
    """What a request may say about its files."""

    bands: Annotated[
        tuple[str, ...],
        Field(
            description="Band of each image in order, repeated or with commas; by default told from `FILTER`, "
            "`EXTNAME` or the file name.",
            examples=[["F277W", "F356W", "F444W"]],
        ),
    ] = ()
    ra: RightAscension = None
    dec: Declination = None

    @field_validator("bands", mode="after")
    @classmethod
    def _split_at_commas(cls, bands: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name.strip() for band in bands for name in band.split(",") if name.strip())

    @model_validator(mode="after")
    def _on_the_sky(self) -> Self:
        self._degrees()
        return self

    @property
    def position(self) -> SkyCoord | None:
        """The position to cut at; by default the centre of the image."""
        degrees = self._degrees()
        return None if degrees is None else SkyCoord(*degrees, unit=u.deg)

    def _degrees(self) -> tuple[float, float] | None:
        if self.ra is not None and self.dec is not None:
            return parse_position(self.ra, self.dec)
        if self.ra is not None or self.dec is not None:
            raise ValueError("ra and dec go together; give both or none")
        return None
