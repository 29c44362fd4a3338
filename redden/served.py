"""What the gateway says about its models and surveys, the same for the gateway and its client."""

from typing import Annotated

from pydantic import BaseModel, Field

from redden.modelcard import ModelCard


class ServedModel(BaseModel):
    """One version of a model."""

    name: str
    version: int
    labels: Annotated[list[str], Field(description="Labels that requests may give in place of the version.")] = []
    default: Annotated[bool, Field(description="Whether this model answers when a request names none.")]
    available: Annotated[bool, Field(description="Whether the model server serves it now.")]
    card: Annotated[ModelCard, Field(description="Bands, training data, errors and intended use.")]


class RefusedModel(BaseModel):
    """A model that the gateway cannot use."""

    model: Annotated[str, Field(description="`NAME/VERSION`.")]
    reason: str


class ModelList(BaseModel):
    """All models."""

    models: Annotated[list[ServedModel], Field(description="Usable models, newest version first.")]
    refused: Annotated[list[RefusedModel], Field(description="Models whose card this version of redden cannot use.")]


class ServedBand(BaseModel):
    """A band of a survey."""

    mosaics: Annotated[int, Field(description="Number of mosaics.")]
    psf_fwhm: Annotated[
        float | None, Field(description="Full width at half maximum of the PSF in arcsec; null if not stated.")
    ]


class ServedSurvey(BaseModel):
    """A registered survey."""

    name: Annotated[str, Field(description="As requests give it.")]
    title: str
    description: str
    reference: Annotated[str | None, Field(description="Web page or DOI of the release.")]
    citation: Annotated[str | None, Field(description="Article to cite.")]
    checked: Annotated[
        bool, Field(description="Whether who wrote the survey file has opened the mosaics at their addresses.")
    ]
    bands: Annotated[dict[str, ServedBand], Field(description="Its bands by name.")]
    catalogue: Annotated[bool, Field(description="Whether `GET /v1/surveys/NAME/catalogue` has a table.")]
    models: Annotated[list[str], Field(description="Models whose bands the survey has.")]


class SurveyList(BaseModel):
    """All surveys."""

    surveys: list[ServedSurvey]
    refused: Annotated[dict[str, str], Field(description="Survey files that cannot be used, and why.")]
