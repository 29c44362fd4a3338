"""The published API description."""

import json
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from service.app import create_app
from service.settings import Settings

COMMITTED = Path(__file__).parents[2] / "openapi" / "openapi.json"


@pytest.fixture(scope="module")
def description():
    return create_app(Settings()).openapi()


def test_the_committed_description_is_the_current_one(description):
    assert json.loads(COMMITTED.read_text(encoding="utf-8")) == description, "run `make openapi`"


def test_it_is_valid_openapi(description):
    OpenAPIV31SpecValidator(description).validate()


def test_everything_is_described_in_prose(description):
    operations = [operation for path in description["paths"].values() for operation in path.values()]
    assert len(operations) >= 5
    for operation in operations:
        assert operation["summary"]
        assert operation["description"]
        for parameter in operation.get("parameters", []):
            assert parameter["description"], parameter["name"]
            assert parameter["schema"]["examples"] if "examples" in parameter["schema"] else parameter["examples"]
        for status, response in operation["responses"].items():
            if int(status) >= 400 and operation["operationId"] != "readyz":
                assert list(response["content"]) == ["application/problem+json"]
    body = description["paths"]["/v1/predict"]["post"]["requestBody"]
    assert set(body["content"]) == {"application/fits", "multipart/form-data"}
