"""What the endpoints need, made once when the gateway starts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from service.inference.client import ModelServer
from service.jobs.manager import JobManager
from service.measure import Measurement
from service.registry import Registry
from service.settings import Settings
from service.surveys.registry import Surveys


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Read the models' cards and the survey files, and open the channels; close them at the end."""
    settings: Settings = app.state.settings
    registry = Registry.read(settings.models_dir, settings.default_model)
    model_server = ModelServer(settings.model_server, settings.predict_deadline)
    app.state.measurement = Measurement(registry, model_server, settings.predict_deadline)
    app.state.surveys = Surveys.read(settings)
    app.state.jobs = JobManager.of(settings, registry, app.state.surveys)
    # Only asked whether it is there, and who asks will ask again.
    app.state.redis = Redis.from_url(
        str(settings.redis_url), socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0)
    )
    yield
    await model_server.close()
    app.state.jobs.close()
    app.state.surveys.close()
    await app.state.redis.aclose()


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _measurement(request: Request) -> Measurement:
    measurement: Measurement = request.app.state.measurement
    return measurement


def _surveys(request: Request) -> Surveys:
    surveys: Surveys = request.app.state.surveys
    return surveys


def _jobs(request: Request) -> JobManager:
    jobs: JobManager = request.app.state.jobs
    return jobs


def _redis(request: Request) -> Redis:
    redis: Redis = request.app.state.redis
    return redis


SettingsDependency = Annotated[Settings, Depends(_settings)]
MeasurementDependency = Annotated[Measurement, Depends(_measurement)]
SurveysDependency = Annotated[Surveys, Depends(_surveys)]
JobsDependency = Annotated[JobManager, Depends(_jobs)]
RedisDependency = Annotated[Redis, Depends(_redis)]
