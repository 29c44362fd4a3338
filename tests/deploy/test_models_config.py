"""models/models.config: what TensorFlow Serving is told to serve is what the gateway knows."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from service.registry import Registry
from service.settings import Settings


@pytest.fixture(scope="module")
def config(root: Path) -> ModelServerConfig:
    return text_format.Parse((root / "models" / "models.config").read_text(), ModelServerConfig())


@pytest.fixture(scope="module")
def registry(root: Path) -> Registry:
    return Registry.read(root / "models", Settings().default_model)


def test_every_model_with_a_card_is_served_and_every_served_model_has_one(
    root: Path, config: ModelServerConfig, registry: Registry
) -> None:
    assert registry.refused == {}
    names = [model.name for model in config.model_config_list.config]
    assert sorted(names) == sorted(registry.cards)
    assert Settings().default_model in names
    for name, versions in registry.cards.items():
        assert all((root / "models" / name / str(version) / "saved_model.pb").is_file() for version in versions)


def test_every_version_is_served_because_the_gateway_asks_by_number(config: ModelServerConfig) -> None:
    for model in config.model_config_list.config:
        assert model.base_path == f"/models/{model.name}"
        assert model.model_platform == "tensorflow"
        assert model.model_version_policy.WhichOneof("policy_choice") == "all"


def test_every_label_stands_for_a_version_that_is_there(config: ModelServerConfig, registry: Registry) -> None:
    for model in config.model_config_list.config:
        assert set(model.version_labels.values()) <= set(registry.cards[model.name])
        assert registry.card(model.name, "stable").name == model.name
