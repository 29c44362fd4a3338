"""What requests for one galaxy and for a catalogue of them have in common."""

import re
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from redden.recentre import MAX_RECENTRE_RADIUS, RECENTRE_RADIUS, Recentre

_LABEL: Final = re.compile(r"(?=.*[A-Za-z_-])[A-Za-z0-9_.][A-Za-z0-9_.-]{0,99}")


def _number_or_label(value: object) -> object:
    text = str(value).strip()
    if text.isdecimal() and int(text) > 0:
        return int(text)
    if isinstance(value, str) and _LABEL.fullmatch(text):
        return text
    raise ValueError("a version is a number from 1 on, or a label such as `stable`")


HIGHEST_REDSHIFT: Final = 20
"""Largest redshift that is believed; a larger number is a slip, such as 71 for 7.1."""

Version = Annotated[int | str, BeforeValidator(_number_or_label)]
"""A version of a model: its number, or one of the labels that ``GET /v1/models`` lists."""


class ModelChoice(BaseModel):
    """Which model is asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[
        str | None,
        Field(
            max_length=100,
            description="Name of the model; by default the service's default model. `GET /v1/models` lists them.",
            examples=["redden"],
        ),
    ] = None
    version: Annotated[
        Version | None,
        Field(
            description="Version of the model, or a label of one, such as `stable`; by default the newest.",
            examples=[1, "stable"],
        ),
    ] = None


class Centring(BaseModel):
    """Whether a cutout is moved onto its source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recentre: Annotated[
        Recentre | None,
        Field(
            description="Move the cutout onto the brightest pixel, or onto the centroid, of the source at the "
            "position; by default it stays where it was asked for.",
            examples=["centroid"],
        ),
    ] = None
    recentre_radius: Annotated[
        float,
        Field(
            gt=0,
            le=MAX_RECENTRE_RADIUS,
            description="How far in arcsec `recentre` may move the cutout.",
            examples=[RECENTRE_RADIUS],
        ),
    ] = RECENTRE_RADIUS


class Pixels(BaseModel):
    """What is said about the pixels of files, in place of their headers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unit: Annotated[
        str | None,
        Field(
            max_length=40,
            description="Unit of the pixels of all images, in place of what the headers say: `MJy/sr`, `nJy`, `uJy`, "
            "`10 nJy`, `Jy`.",
            examples=["uJy"],
        ),
    ] = None
    pixel_scale: Annotated[
        float | None,
        Field(
            gt=0,
            allow_inf_nan=False,
            description="Side of a pixel in arcsec, for images whose headers do not tell it.",
            examples=[0.03],
        ),
    ] = None
