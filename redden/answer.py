"""The answer of a measurement, the same from the gateway, the command line and the Python client."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

Interval = tuple[float, float]


class Quantity(BaseModel):
    """One measured quantity."""

    median: Annotated[
        float | None,
        Field(description="Median of the posterior, or the estimate of a point-estimate model; null if undefined."),
    ]
    unit: Annotated[str, Field(description="Unit: `mag`, `1` for R_V, `log10(1/yr)` for the specific SFR.")]
    interval_68: Annotated[
        Interval | None, Field(description="Central 68 % interval; null if the model gives point estimates only.")
    ]
    interval_95: Annotated[
        Interval | None, Field(description="Central 95 % interval; null if the model gives point estimates only.")
    ]


class Quantities(BaseModel):
    """Everything that is measured."""

    a_v: Annotated[Quantity, Field(description="Attenuation in the rest-frame V band, A_V.")]
    e_bv: Annotated[Quantity, Field(description="Colour excess E(B-V) = A_B - A_V.")]
    r_v: Annotated[Quantity, Field(description="R_V = A_V / E(B-V), from the joint posterior of both.")]
    log_ssfr: Annotated[
        Quantity, Field(description="log10 of the specific star-formation rate, averaged over 100 Myr, in 1/yr.")
    ]


class Exceedance(BaseModel):
    """How likely a quantity is above a value."""

    value: Annotated[float, Field(description="The value, as the request gave it.")]
    probability: Annotated[
        float | None, Field(description="Probability of more; null if the model gives point estimates only.")
    ]


class Redshift(BaseModel):
    """The redshift that the model was told."""

    value: float
    error: Annotated[float, Field(description="Standard error.")]


class Influence(BaseModel):
    """What moved one quantity."""

    unit: Annotated[
        str,
        Field(description="Unit of the numbers: `sigma`, half of the 68 % interval; or that of a point estimate."),
    ]
    pixels: Annotated[
        list[list[float | None]],
        Field(
            description="Map of 16x16 cells of 0.06 arcsec, first row at the bottom (y first): how much higher the "
            "median is with what is there than with sky in its place, mean of the patches of 0.12 arcsec over a cell."
        ),
    ]
    bands: Annotated[
        dict[str, float | None],
        Field(
            description="How much higher the median is with a band than without it; if the model needs all of its "
            "bands, than with sky in the place of the galaxy. Empty if there is only one that cannot be left out."
        ),
    ]


class Explanation(BaseModel):
    """Which pixels and bands moved the answer, by hiding them one after the other."""

    a_v: Influence
    e_bv: Influence
    r_v: Influence
    log_ssfr: Influence


class Flag(BaseModel):
    """Something the user should know before using the numbers."""

    code: Annotated[str, Field(description="Short name, stable between versions, such as `low_snr`.")]
    message: Annotated[str, Field(description="What it means here, in a sentence.")]


class ModelReference(BaseModel):
    """Which model answered."""

    name: str
    version: int


class Provenance(BaseModel):
    """How the answer came about."""

    input_sha256: Annotated[
        str,
        Field(description="SHA-256 of the uploaded bytes, in the order of upload; of a survey, of the pixels read."),
    ]
    pixels: Annotated[list[str], Field(description="What was done to the pixels, in order.")]
    software: Annotated[str, Field(description="Software and version.")]


class Answer(BaseModel):
    """The measurement of one galaxy."""

    quantities: Quantities
    a_v_above: Annotated[
        Exceedance | None, Field(description="Probability that A_V is above what the request asked about.")
    ] = None
    bands: Annotated[list[str], Field(description="Bands that the model looked at.")]
    redshift: Annotated[Redshift | None, Field(description="Redshift that the model was told; null if none.")] = None
    snr: Annotated[
        dict[str, float], Field(description="Signal-to-noise ratio in a circle of 0.16 arcsec radius, by band.")
    ]
    flags: Annotated[list[Flag], Field(description="Empty when there is nothing to warn of.")]
    in_domain: Annotated[
        bool | None, Field(description="Whether the cutout resembles the training galaxies; null if not known.")
    ] = None
    domain_score: Annotated[
        float | None, Field(description="Score behind `in_domain`: the larger, the stranger; null if not known.")
    ] = None
    explanation: Annotated[Explanation | None, Field(description="Given if the request asks for it.")] = None
    model: ModelReference
    provenance: Provenance


class PositionAnswer(BaseModel):
    """What came of one of many positions: an answer, or the problem that stood in its way."""

    index: Annotated[int, Field(description="Number of the position in the request, from 0.")]
    id: Annotated[str | None, Field(description="Name of the position, as the request gave it.")]
    ra: Annotated[float | None, Field(description="Right ascension in degrees (ICRS); null if unreadable.")] = None
    dec: Annotated[float | None, Field(description="Declination in degrees (ICRS); null if unreadable.")] = None
    answer: Annotated[Answer | None, Field(description="The measurement; null if there is a problem.")] = None
    problem: Annotated[
        dict[str, Any] | None, Field(description="Problem details (RFC 9457); null if there is an answer.")
    ] = None
