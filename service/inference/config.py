"""``models.config``: TensorFlow Serving's model configuration, in protobuf text format."""

from pathlib import Path
from typing import Any

from google.protobuf import text_format

from redden.errors import ReddenError
from service.inference.protocol import ModelServerConfig


class ModelConfigError(ReddenError):
    """A model configuration cannot be understood."""


def read_entries(config: Path) -> list[Any]:
    """The ``ModelConfig`` of each model.

    Raises
    ------
    ModelConfigError
        If the file cannot be understood.
    """
    try:
        settings = text_format.Parse(config.read_text(encoding="utf-8"), ModelServerConfig())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ModelConfigError(f"{config} is no model configuration of TensorFlow Serving: {error}") from None
    return list(settings.model_config_list.config)
