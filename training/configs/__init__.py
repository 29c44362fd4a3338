"""Configurations of models, one TOML file each: see `training.fit_redden.Config`."""

from pathlib import Path


def config_file(name: str) -> Path | None:
    """The file of a model, if it has one; a name that ends in .toml is a file of the user's, there or not."""
    if name.endswith(".toml"):
        return Path(name)
    path = Path(__file__).parent / f"{name}.toml"
    return path if path.is_file() else None
