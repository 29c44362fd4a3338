"""The table of problems, and what becomes of an unexpected exception."""

import httpx
import pytest
from fastapi import FastAPI

from redden import errors as redden_errors
from redden.errors import ModelCardError, ModelServerError, ReddenError
from service.app import create_app
from service.errors import PROBLEM_TYPES, problem_type
from service.inference.client import ModelServerTimeoutError
from service.settings import Settings

OURS = {"ReddenError", "ModelServerError", "ModelCardError", "SurveyError", "MosaicError", "MosaicAwayError"}
"""Errors of whoever runs the service; all others are those of whoever asks."""


def users_errors():
    classes = (kind for kind in vars(redden_errors).values() if isinstance(kind, type))
    return [kind for kind in classes if issubclass(kind, ReddenError) and kind.__name__ not in OURS]


@pytest.mark.parametrize("kind", users_errors())
def test_every_mistake_of_a_user_has_an_entry_of_its_own_and_is_a_4xx(kind):
    assert kind in PROBLEM_TYPES
    assert 400 <= problem_type(kind("wrong")).status < 500


def test_names_are_unique_and_a_subclass_comes_before_its_base():
    assert len({kind.name for kind in PROBLEM_TYPES.values()}) == len(PROBLEM_TYPES)
    assert problem_type(ModelServerTimeoutError("slow")).status == 504
    assert problem_type(ModelServerError("away")).status == 503
    assert problem_type(ZeroDivisionError()).status == 500


@pytest.fixture
def app():
    app: FastAPI = create_app(Settings())

    @app.get("/broken")
    async def broken():
        raise RuntimeError("password=hunter2")

    @app.get("/card")
    async def card():
        raise ModelCardError("model dust answered 2 targets; its card has 3.")

    return app


async def get(app, path):
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        return await client.get(path)


def test_an_unexpected_exception_is_a_problem_that_leaks_nothing(app, caplog):
    import asyncio

    response = asyncio.run(get(app, "/broken"))
    problem = response.json()
    assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
    assert problem["type"] == "/problems/internal"
    assert "hunter2" not in response.text
    assert "Traceback" not in response.text
    assert problem["instance"] in caplog.text


def test_a_model_that_does_not_fit_its_card_is_our_fault(app):
    import asyncio

    response = asyncio.run(get(app, "/card"))
    assert (response.status_code, response.json()["type"]) == (500, "/problems/model-card")
