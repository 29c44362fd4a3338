"""``/healthz`` and ``/readyz``, for orchestrators: is the process alive, and can it measure."""

from typing import Annotated

from fastapi import APIRouter, Response, status
from pydantic import BaseModel, Field
from redis.exceptions import RedisError

from redden.errors import ReddenError
from service.dependencies import MeasurementDependency, RedisDependency

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The process answers."""

    alive: bool = True


class Readiness(BaseModel):
    """What works, part by part."""

    ready: Annotated[bool, Field(description="Whether `/v1/predict` can answer; the status is 503 if not.")]
    model_server: Annotated[str, Field(description="`AVAILABLE` when the default model is served, or what is wrong.")]
    queue: Annotated[str, Field(description="`AVAILABLE` when jobs can be queued; `/v1/predict` does without.")]


@router.get("/healthz", summary="Is the process alive?", response_description="It is.")
async def healthz() -> Health:
    """Answers whenever the process runs."""
    return Health()


@router.get(
    "/readyz",
    summary="Can it measure?",
    response_description="The default model is served.",
    responses={503: {"model": Readiness, "description": "The default model is not served."}},
)
async def readyz(response: Response, measurement: MeasurementDependency, redis: RedisDependency) -> Readiness:
    """Ready when the model server serves the default model. The queue is reported but not needed to be ready."""
    model_server = await _model_server_state(measurement)
    ready = model_server == "AVAILABLE"
    if not ready:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return Readiness(ready=ready, model_server=model_server, queue=await _queue_state(redis))


async def _model_server_state(measurement: MeasurementDependency) -> str:
    try:
        card = measurement.registry.card()
        states = await measurement.model_server.states(card.name)
    except ReddenError as error:
        return str(error)
    return states.get(card.version, f"the model server does not serve {card.name}/{card.version}.")


async def _queue_state(redis: RedisDependency) -> str:
    try:
        await redis.ping()
    except (RedisError, OSError) as error:
        return f"away: {type(error).__name__}"
    return "AVAILABLE"
