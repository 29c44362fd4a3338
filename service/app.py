"""The gateway: ``uvicorn --factory service.app:create_app``."""

import logging
import os

# Before numpy is loaded: spinning BLAS threads would take the cores from small requests.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi_offline import FastAPIOffline

from redden import __version__
from redden.jobs import JobRequest
from service.dependencies import lifespan
from service.errors import Problem, add_error_handlers
from service.routes import health, jobs, models, pages, positions, predict, surveys
from service.settings import Settings, read_settings

DESCRIPTION = """\
Measures the dust in a distant galaxy from its JWST/NIRCam images: A_V, E(B-V), R_V and the specific star-formation
rate, with intervals where the model gives them.

Problems come as `application/problem+json` (RFC 9457) whose `detail` says what to do.
"""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The gateway as an ASGI application; ``settings`` come from the environment unless given."""
    settings = settings or read_settings()
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    app = FastAPIOffline(
        redoc_url=None,
        title="redden",
        version=__version__,
        summary="Dust in distant galaxies, measured from their pictures",
        description=DESCRIPTION,
        license_info={"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.settings = settings
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["*"],
    )
    add_error_handlers(app)
    for group in (predict, positions, jobs, surveys, models, health, pages):
        app.include_router(group.router)
    _complete_description(app)
    return app


def _complete_description(app: FastAPI) -> None:
    """Add to the API description the schemas that no endpoint takes or returns, and that of a line of JSON."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        description = generate()
        schemas = description["components"]["schemas"]
        schemas["Problem"] = Problem.model_json_schema()
        schemas["JobRequest"] = JobRequest.model_json_schema()
        stream = description["paths"]["/v1/predict/positions"]["post"]["responses"]["200"]["content"]
        # The schema of an item is a word of OpenAPI 3.2; in 3.1 it can only stand for the whole.
        stream["application/jsonl"] = {"schema": {"$ref": "#/components/schemas/PositionAnswer"}}
        events = description["paths"]["/v1/jobs/{job}/events"]["get"]["responses"]["200"]["content"]
        events["text/event-stream"] = {"schema": {"type": "string", "description": "`data` of each event is a Job."}}
        return description

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the description
