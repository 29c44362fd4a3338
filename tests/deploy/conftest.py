"""The deployment files, read once."""

import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sysconfig.get_path("scripts"))

Tool = Callable[..., str]


@pytest.fixture(scope="session")
def tool() -> Tool:
    """Run a program of the environment and return what it prints; an error of it is an error of the test."""

    def run(program: str, *arguments: str | Path) -> str:
        run = subprocess.run([SCRIPTS / program, *arguments], capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    return run


@pytest.fixture(scope="session")
def root() -> Path:
    """Root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    """docker-compose.yml with its YAML anchors resolved."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return content


@pytest.fixture(scope="session", params=["base", "overlays/cpu"])
def manifests(request: pytest.FixtureRequest, tool: Tool) -> list[dict[str, Any]]:
    """What `kubectl apply -k` would send."""
    return list(yaml.safe_load_all(tool("kubectl", "kustomize", ROOT / "k8s" / request.param)))


@pytest.fixture(scope="session")
def pods(manifests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Pod templates by the name of their Deployment or StatefulSet."""
    return {
        manifest["metadata"]["name"]: manifest["spec"]["template"]
        for manifest in manifests
        if manifest["kind"] in ("Deployment", "StatefulSet")
    }


@pytest.fixture(scope="session")
def dockerfile() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile, in order, with their continued lines joined."""

    def instructions() -> Iterator[tuple[str, str]]:
        lines = (line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#"))
        for line in "\n".join(lines).replace("\\\n", " ").splitlines():
            if line:
                instruction, _, value = line.partition(" ")
                yield instruction, " ".join(value.split())

    return list(instructions())
