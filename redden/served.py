"""What the gateway says about its models, the same for the gateway and its client."""

from typing import Annotated

from pydantic import BaseModel, Field

from redden.modelcard import ModelCard


class ServedModel(BaseModel):
    """One version of a model."""

    name: str
    version: int
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
