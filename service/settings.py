"""All settings of the online half, each an environment variable with the prefix ``REDDEN_``."""

from pathlib import Path
from typing import Annotated

import pydantic_settings
from pydantic import Field, RedisDsn, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from typer import get_app_dir

from redden.errors import ReddenError


class SettingsError(ReddenError):
    """An environment variable of redden holds what it must not."""


class Settings(BaseSettings):
    """Settings of the gateway and the worker, read once at start."""

    model_config = SettingsConfigDict(env_prefix="REDDEN_", frozen=True)

    models_dir: Path = Path("models")
    """Directory of the models, ``NAME/VERSION/``; the gateway reads only the model cards in it."""

    surveys_dir: Path = Field(default_factory=lambda: Path(get_app_dir("redden")) / "surveys")
    """Directory of the registered surveys, ``NAME.toml``; ``redden survey`` keeps it."""

    survey_cache_bytes: Annotated[int, Field(ge=0)] = 256 * 2**20
    """Memory for blocks of remote mosaics, in bytes."""

    default_model: str = "redden"
    """Model that answers when a request names none."""

    model_server: str = "127.0.0.1:8500"
    """``HOST:PORT`` of TensorFlow Serving's gRPC endpoint, or of ``redden model-server``."""

    redis_url: RedisDsn = RedisDsn("redis://127.0.0.1:6379/0")
    """Queue and state of the jobs. It may hold a password and is never logged."""

    jobs_url: str = Field(default_factory=lambda: str(Path(get_app_dir("redden")) / "jobs"))
    """Directory or fsspec URL, such as ``s3://bucket/jobs``, of catalogues and results; gateways, workers share it."""

    job_lifetime: Annotated[float, Field(gt=0)] = 7 * 24 * 3600
    """Seconds after which an ended job, or an uploaded catalogue, is deleted."""

    chunk_rows: Annotated[int, Field(ge=1, le=100_000)] = 2048
    """Rows that a worker measures at a time; a multiple of 256, the model's batch, leaves none of it empty."""

    max_catalogue_bytes: Annotated[int, Field(gt=0)] = 2**30
    """Largest catalogue of a job in bytes, as it is uploaded."""

    max_upload_bytes: Annotated[int, Field(gt=0)] = 16 * 2**20
    """Largest request body in bytes. Seven bands of 512x512 float32 pixels with errors are 15 MB."""

    predict_deadline: Annotated[float, Field(gt=0)] = 10.0
    """Seconds that a request may wait for the model server."""

    cors_origins: tuple[str, ...] = ("*",)
    """Web pages of these origins may call the API; ``["*"]`` is all of them, ``[]`` none."""

    log_level: str = "INFO"
    """Threshold of the log, such as ``WARNING``."""


def read_settings() -> Settings:
    """The settings of this process.

    Raises
    ------
    SettingsError
        If an environment variable is wrong; the message names it, but not its value, which may hold a password.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(f"REDDEN_{str(part['loc'][0]).upper()}: {part['msg']}" for part in error.errors())
        raise SettingsError(f"{wrong}. Correct the environment.") from None
    except pydantic_settings.SettingsError as error:
        raise SettingsError(f"{error}; lists are JSON, such as REDDEN_CORS_ORIGINS='[\"*\"]'.") from None
