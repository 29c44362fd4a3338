"""Dockerfile: clean, without tensorflow, and made of files that reach the builder."""

import ast
import json
import sys
import tomllib
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from redden import __version__

Instructions = list[tuple[str, str]]


def test_hadolint_has_nothing_to_say(root: Path, tool: Callable[..., str]) -> None:
    assert tool("hadolint", root / "Dockerfile") == ""


def test_base_images_are_pinned_and_the_user_is_a_number(dockerfile: Instructions) -> None:
    bases = [value.split()[0] for instruction, value in dockerfile if instruction == "FROM"]
    assert len(set(bases)) == 1
    assert fnmatch(bases[0], "python:3.11.[0-9]*-slim-*")
    last_stage = dockerfile[max(i for i, (instruction, _) in enumerate(dockerfile) if instruction == "FROM") :]
    (user,) = (value for instruction, value in last_stage if instruction == "USER")
    assert all(part.isdigit() and int(part) > 0 for part in user.split(":"))


def test_the_version_is_the_projects(dockerfile: Instructions) -> None:
    assert any(
        instruction == "LABEL" and f'org.opencontainers.image.version="{__version__}"' in value
        for instruction, value in dockerfile
    )


def test_everything_that_is_copied_is_there_and_not_ignored(root: Path, dockerfile: Instructions) -> None:
    ignore = (root / ".dockerignore").read_text().splitlines()
    assert ignore[1] == "*"
    copied = [
        source
        for instruction, value in dockerfile
        if instruction == "COPY" and not value.startswith("--from")
        for source in value.split()[:-1]
    ]
    assert "redden" in copied
    for source in copied:
        assert (root / source).exists()
        assert f"!{source}" in ignore


@pytest.fixture(scope="module")
def installed(root: Path) -> set[str]:
    """Names of all packages that `uv sync --extra serving` installs according to the lock file."""
    packages = {package["name"]: package for package in tomllib.loads((root / "uv.lock").read_text())["package"]}
    redden = packages["redden"]
    waiting = [*redden["dependencies"], *redden["optional-dependencies"]["serving"]]
    names: set[str] = set()
    while waiting:
        name = waiting.pop()["name"]
        if name not in names:
            names.add(name)
            waiting += packages[name].get("dependencies", ())
    return names


def test_the_image_gets_the_serving_extra_and_no_tensorflow(dockerfile: Instructions, installed: set[str]) -> None:
    syncs = [value for instruction, value in dockerfile if instruction == "RUN" and "uv sync" in value]
    assert syncs
    assert all("--locked" in sync and sync.count("--extra") == 1 and "--extra serving" in sync for sync in syncs)
    assert not {name for name in installed if name.startswith(("tensorflow", "keras"))}


def test_the_image_gets_every_package_that_is_imported(root: Path, installed: set[str]) -> None:
    imported = {
        module for room in ("redden", "service") for file in (root / room).rglob("*.py") for module in _imports(file)
    }
    others = imported - sys.stdlib_module_names - {"redden", "service"}
    packages = packages_distributions()
    assert {name.lower().replace("_", "-") for module in others for name in packages[module]} <= installed


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (alias.name.partition(".")[0] for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module.partition(".")[0]


@pytest.mark.parametrize("instruction", ["CMD", "HEALTHCHECK"])
def test_commands_are_run_without_a_shell(dockerfile: Instructions, instruction: str) -> None:
    (value,) = (value for name, value in dockerfile if name == instruction)
    assert all(isinstance(part, str) for part in json.loads(value[value.index("[") :]))
