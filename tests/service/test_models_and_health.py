"""``/v1/models``, ``/healthz`` and ``/readyz``, with the model server there and away."""

import shutil

import pytest

from redden.served import ModelList, ServedModel
from service.processes import free_port
from service.settings import Settings


def test_models_are_listed_with_their_cards(gateway):
    listed = ModelList.model_validate_json(gateway.get("/v1/models").content)
    assert [(model.name, model.default, model.available) for model in listed.models] == [
        ("any-band", False, True),
        ("gaussian-3band", True, True),
        ("paper-1band", False, True),
        ("paper-3band", False, True),
    ]
    assert listed.models[2].card.bands == ("F277W",)
    assert [model.labels for model in listed.models] == [[], ["stable"], [], []]
    assert listed.refused == []


def test_one_model_is_described(gateway):
    model = ServedModel.model_validate_json(gateway.get("/v1/models/paper-3band", params={"version": 1}).content)
    assert (model.name, model.version, model.card.posterior) == ("paper-3band", 1, "point")
    assert gateway.get("/v1/models/nosuch").json()["type"] == "/problems/unknown-model"
    assert gateway.get("/v1/models/paper-3band", params={"version": "!"}).status_code == 422
    assert gateway.get("/v1/models/gaussian-3band", params={"version": "stable"}).json()["version"] == 1


def test_ready_without_a_queue_but_says_so(gateway):
    response = gateway.get("/readyz")
    assert response.status_code == 200
    assert response.json()["ready"] is True
    assert response.json()["model_server"] == "AVAILABLE"
    assert response.json()["queue"].startswith("away")
    assert gateway.get("/healthz").json() == {"alive": True}


@pytest.fixture
def lonely(running_gateway, models_dir, tmp_path):
    """A gateway without a model server, and with one card that cannot be used."""
    shutil.copytree(models_dir, tmp_path / "models")
    (tmp_path / "models" / "paper-1band" / "1" / "model_card.json").write_text("{}", encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    with running_gateway(Settings(models_dir=tmp_path / "models", model_server=address)) as client:
        yield client


def test_without_a_model_server_the_gateway_lives_but_is_not_ready(lonely, form, three_bands):
    assert lonely.get("/healthz").status_code == 200
    ready = lonely.get("/readyz")
    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    assert "model server is away" in ready.json()["model_server"]
    answer = lonely.post("/v1/predict", files=form(*three_bands))
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/model-server")
    assert answer.headers["retry-after"] == "1"
    listed = ModelList.model_validate_json(lonely.get("/v1/models").content)
    assert [model.available for model in listed.models] == [False, False, False]
    assert [refused.model for refused in listed.refused] == ["paper-1band/1"]


def test_a_default_model_that_is_not_served_is_not_ready(running_gateway, models_dir, model_server):
    settings = Settings(models_dir=models_dir, model_server=model_server, default_model="nosuch")
    with running_gateway(settings) as client:
        ready = client.get("/readyz")
    assert ready.status_code == 503
    assert "no model 'nosuch'" in ready.json()["model_server"]
