"""Dockerfile: clean, without tensorflow, and made of files that reach the builder."""

import json
import tomllib
from collections.abc import Callable
from fnmatch import fnmatch
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


def test_the_image_gets_what_serving_needs_and_no_tensorflow(root: Path, dockerfile: Instructions) -> None:
    syncs = [value for instruction, value in dockerfile if instruction == "RUN" and "uv sync" in value]
    assert syncs
    assert all("--locked" in sync and sync.count("--extra") == 1 and "--extra serving" in sync for sync in syncs)

    packages = {package["name"]: package for package in tomllib.loads((root / "uv.lock").read_text())["package"]}
    redden = packages["redden"]
    waiting = [*redden["dependencies"], *redden["optional-dependencies"]["serving"]]
    needed: set[str] = set()
    while waiting:
        name = waiting.pop()["name"]
        if name not in needed:
            needed.add(name)
            waiting += packages[name].get("dependencies", ())
    assert {"fastapi", "celery", "grpcio"} <= needed
    assert not {name for name in needed if name.startswith(("tensorflow", "keras"))}


@pytest.mark.parametrize("instruction", ["CMD", "HEALTHCHECK"])
def test_commands_are_run_without_a_shell(dockerfile: Instructions, instruction: str) -> None:
    (value,) = (value for name, value in dockerfile if name == instruction)
    assert all(isinstance(part, str) for part in json.loads(value[value.index("[") :]))
