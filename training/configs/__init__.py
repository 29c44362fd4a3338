"""Configurations of models, one TOML file each: see `training.fit_redden.Config`."""

from pathlib import Path


def config_file(name: str) -> Path | None:
    """The file of a model, if it has one."""
    path = Path(__file__).parent / f"{name}.toml"
    return path if path.is_file() else None
