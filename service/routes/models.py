"""``GET /v1/models``: which models answer, what they need and how good they are."""

from asyncio import gather
from typing import Annotated

from fastapi import APIRouter, Path, Query

from redden.errors import ModelServerError
from redden.modelcard import ModelCard
from redden.options import Version
from redden.served import ModelList, RefusedModel, ServedModel
from service.dependencies import MeasurementDependency
from service.errors import problem_responses
from service.inference.client import ModelServer
from service.registry import Registry

router = APIRouter(prefix="/v1", tags=["models"])


async def _served(model_server: ModelServer, card: ModelCard, registry: Registry) -> ServedModel:
    try:
        state = (await model_server.states(card.name)).get(card.version)
    except ModelServerError:
        state = None
    return ServedModel(
        name=card.name,
        version=card.version,
        labels=registry.labels_of(card),
        default=card.name == registry.default,
        available=state == "AVAILABLE",
        card=card,
    )


@router.get("/models", summary="List the models", response_description="Every model with its card.")
async def models(measurement: MeasurementDependency) -> ModelList:
    """All models with their cards. A request to `/v1/predict` names one with `model` and, if need be, a
    `version` or the label of one."""
    registry, model_server = measurement.registry, measurement.model_server
    cards = [card for versions in registry.cards.values() for card in versions.values()]
    return ModelList(
        models=await gather(*(_served(model_server, card, registry) for card in cards)),
        refused=[RefusedModel(model=model, reason=reason) for model, reason in registry.refused.items()],
    )


@router.get(
    "/models/{name}",
    summary="Describe a model",
    response_description="The model with its card.",
    responses=problem_responses(404, 422),
)
async def model(
    name: Annotated[str, Path(description="Name of the model.", examples=["redden"])],
    measurement: MeasurementDependency,
    version: Annotated[
        Version | None,
        Query(description="Version, or a label of one; by default the newest.", examples=[1, "stable"]),
    ] = None,
) -> ServedModel:
    """One model with its card."""
    registry = measurement.registry
    return await _served(measurement.model_server, registry.card(name, version), registry)
