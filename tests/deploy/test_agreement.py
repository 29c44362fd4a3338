"""Dockerfile, Compose, Kubernetes, the settings class and the command line tell the same story."""

import importlib
import json
import signal
import subprocess
import sys
from time import monotonic
from typing import Any

import pytest
import typer
from celery import Celery
from uvicorn.main import main as uvicorn_command

from redden import __version__
from service.app import create_app
from service.cli import commands
from service.processes import free_port
from service.settings import Settings

Environment = dict[str, str]
OURS = ("gateway", "worker")


@pytest.fixture(scope="module")
def image(dockerfile: list[tuple[str, str]]) -> dict[str, Any]:
    """What the image itself sets."""
    return {
        "environment": dict(
            assignment.split("=", 1)
            for instruction, value in dockerfile
            if instruction == "ENV"
            for assignment in value.split()
        ),
        "command": next(json.loads(value) for instruction, value in dockerfile if instruction == "CMD"),
        "healthcheck": next(
            json.loads(value[value.index("[") :]) for instruction, value in dockerfile if instruction == "HEALTHCHECK"
        ),
        "stop_signal": next(signal.Signals[value] for instruction, value in dockerfile if instruction == "STOPSIGNAL"),
        "ports": [int(value) for instruction, value in dockerfile if instruction == "EXPOSE"],
        "models": next(
            value.split()[-1]
            for instruction, value in dockerfile
            if (instruction, value.split()[0]) == ("COPY", "models")
        ),
    }


@pytest.fixture(params=OURS)
def in_compose(
    request: pytest.FixtureRequest, compose: dict[str, Any], image: dict[str, Any]
) -> tuple[list[str], Environment]:
    """Command and environment of the gateway or the worker under Compose."""
    service = compose["services"][request.param]
    return service.get("command", image["command"]), image["environment"] | service["environment"]


@pytest.fixture(params=OURS)
def in_kubernetes(
    request: pytest.FixtureRequest, manifests: list[dict[str, Any]], pods: dict[str, Any], image: dict[str, Any]
) -> tuple[list[str], Environment]:
    """Command and environment of the gateway or the worker under Kubernetes."""
    (container,) = pods[request.param]["spec"]["containers"]
    config_maps = {
        manifest["metadata"]["name"]: manifest["data"] for manifest in manifests if manifest["kind"] == "ConfigMap"
    }
    environment = dict(image["environment"])
    for source in container["envFrom"]:
        environment |= config_maps[source["configMapRef"]["name"]]
    return container.get("args", image["command"]), environment


def _settings(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Settings:
    known = {f"{Settings.model_config['env_prefix']}{name}".upper() for name in Settings.model_fields}
    for name, value in environment.items():
        if name.startswith("REDDEN_"):
            assert name in known
            monkeypatch.setenv(name, value)
    return Settings()


def _parse(command: list[str]) -> dict[str, Any]:
    """Parse a command line as its program would; a wrong subcommand or option is an error."""
    program, *arguments = command
    parser: Any = uvicorn_command
    if program == "redden":
        program, *arguments = arguments
        parser = typer.main.get_group(commands).commands[program]
    else:
        assert program == "uvicorn"
    parameters: dict[str, Any] = parser.make_context(program, arguments).params
    return parameters


def test_compose_uses_the_settings_to_point_at_its_services(
    in_compose: tuple[list[str], Environment], compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _settings(in_compose[1], monkeypatch)
    host, port = settings.model_server.split(":")
    assert f"--port={port}" in compose["services"][host]["command"]
    assert port in compose["services"][host]["expose"]
    assert str(settings.redis_url.port) in compose["services"][str(settings.redis_url.host)]["expose"]


def test_kubernetes_uses_the_settings_to_point_at_its_services(
    in_kubernetes: tuple[list[str], Environment], manifests: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _settings(in_kubernetes[1], monkeypatch)
    services = {
        manifest["metadata"]["name"]: {port["port"] for port in manifest["spec"]["ports"]}
        for manifest in manifests
        if manifest["kind"] == "Service"
    }
    host, port = settings.model_server.split(":")
    assert int(port) in services[host]
    assert settings.redis_url.port in services[str(settings.redis_url.host)]


def test_commands_are_real(
    in_compose: tuple[list[str], Environment], in_kubernetes: tuple[list[str], Environment]
) -> None:
    for command, _ in (in_compose, in_kubernetes):
        _parse(command)


def test_the_gateway_listens_where_everybody_looks(
    image: dict[str, Any], compose: dict[str, Any], pods: dict[str, Any]
) -> None:
    gateway = _parse(image["command"])
    module, factory = gateway["app"].split(":")
    assert gateway["factory"] is True
    assert getattr(importlib.import_module(module), factory) is create_app
    assert gateway["host"] == "0.0.0.0"
    assert [gateway["port"]] == image["ports"]
    assert [port.split(":")[-1] for port in compose["services"]["gateway"]["ports"]] == [str(gateway["port"])]
    (container,) = pods["gateway"]["spec"]["containers"]
    assert [port["containerPort"] for port in container["ports"]] == [gateway["port"]]


def test_the_models_are_where_everybody_looks(
    image: dict[str, Any], compose: dict[str, Any], pods: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _settings(image["environment"], monkeypatch)
    assert str(settings.models_dir) == image["models"]
    for name in OURS:
        assert f"./models:{settings.models_dir}:ro" in compose["services"][name]["volumes"]
    (copy,) = pods["model-server"]["spec"]["initContainers"]
    assert copy["image"] == pods["gateway"]["spec"]["containers"][0]["image"]
    assert copy["command"] == ["cp", "-r", f"{settings.models_dir}/.", copy["volumeMounts"][0]["mountPath"]]


def test_the_registered_surveys_outlive_the_containers(
    image: dict[str, Any], compose: dict[str, Any], pods: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    surveys_dir = _settings(image["environment"], monkeypatch).surveys_dir
    for name in OURS:
        assert f"./surveys:{surveys_dir}:ro" in compose["services"][name]["volumes"]
        (volume,) = (volume for volume in pods[name]["spec"]["volumes"] if volume["name"] == "surveys")
        assert volume["configMap"] == {"name": "surveys", "optional": True}
        mount = {"name": "surveys", "mountPath": str(surveys_dir), "readOnly": True}
        assert mount in pods[name]["spec"]["containers"][0]["volumeMounts"]


def test_the_jobs_are_where_everybody_looks_and_may_be_written_there(
    image: dict[str, Any],
    compose: dict[str, Any],
    pods: dict[str, Any],
    dockerfile: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs_dir = _settings(image["environment"], monkeypatch).jobs_url
    (user,) = (value for instruction, value in dockerfile if instruction == "USER")
    owner, group = user.split(":")
    assert ("RUN", f"install -d -o {owner} -g {group} {jobs_dir}") in dockerfile
    for name in OURS:
        assert f"jobs:{jobs_dir}" in compose["services"][name]["volumes"]
        assert pods[name]["spec"]["securityContext"]["fsGroup"] == int(group)
        mounts = pods[name]["spec"]["containers"][0]["volumeMounts"]
        assert {"name": "jobs", "mountPath": jobs_dir} in mounts


def test_both_model_servers_are_started_and_asked_alike(compose: dict[str, Any], pods: dict[str, Any]) -> None:
    (container,) = pods["model-server"]["spec"]["containers"]
    numbers = {port["name"]: port["containerPort"] for port in container["ports"]}
    asks_for = f"/v1/models/{Settings().default_model}/metadata"
    assert container["startupProbe"]["httpGet"] == {"path": asks_for, "port": "rest"}
    assert container["readinessProbe"]["httpGet"] == {"path": asks_for, "port": "rest"}
    assert container["livenessProbe"]["httpGet"]["path"] == f"/v1/models/{Settings().default_model}"
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    for name in ("model-server", "model-server-cpu"):
        service = compose["services"][name]
        assert service["entrypoint"] == container["command"]
        assert service["command"] == container["args"]
        assert [int(port) for port in service["expose"]] == list(numbers.values())
        assert f"/127.0.0.1/{numbers['rest']} " in service["healthcheck"]["test"][-1]
        assert f"GET {asks_for} HTTP/1.0" in service["healthcheck"]["test"][-1]
        assert service["volumes"] == ["./models:/models:ro"]
    assert {f"--port={numbers['grpc']}", f"--rest_api_port={numbers['rest']}"} <= set(container["args"])
    assert "/models" in mounts


def test_images_agree(
    request: pytest.FixtureRequest, compose: dict[str, Any], pods: dict[str, Any], dockerfile: list[tuple[str, str]]
) -> None:
    images = {name: service["image"] for name, service in compose["services"].items()}
    assert images["gateway"] == images["worker"] == f"redden:{__version__}"
    assert images["model-server"] == f"{images['model-server-cpu']}-gpu"
    model_server = "model-server" if request.node.callspec.params["manifests"] == "base" else "model-server-cpu"
    for name, pod in pods.items():
        (container,) = pod["spec"]["containers"]
        assert container["image"] == images[model_server if name == "model-server" else name]


def test_the_queue_is_started_alike(compose: dict[str, Any], pods: dict[str, Any]) -> None:
    (container,) = pods["redis"]["spec"]["containers"]
    assert container["args"] == compose["services"]["redis"]["command"]
    assert compose["services"]["redis"]["volumes"] == ["redis-data:/data"]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/data"]


def test_probes_ask_the_gateway_what_it_answers(pods: dict[str, Any]) -> None:
    (container,) = pods["gateway"]["spec"]["containers"]
    paths = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}
    assert set(paths.values()) <= create_app().openapi()["paths"].keys()


def test_the_worker_is_asked_alike_and_for_the_right_application(compose: dict[str, Any], pods: dict[str, Any]) -> None:
    (container,) = pods["worker"]["spec"]["containers"]
    *_, script = container["livenessProbe"]["exec"]["command"]
    assert compose["services"]["worker"]["healthcheck"]["test"] == ["CMD-SHELL", script.replace("$", "$$")]
    program, option, module, *_ = script.split()
    assert (program, option) == ("celery", "--app")
    assert isinstance(importlib.import_module(module).app, Celery)


def test_the_images_command_starts_what_its_health_check_finds_and_its_stop_signal_stops(
    image: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = image["ports"]
    free = str(free_port())
    command, check = (
        [sys.executable, *(part.replace(str(port), free) for part in line)]
        for line in (["-m", *image["command"]], image["healthcheck"][1:])
    )
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as gateway:
        try:
            give_up = monotonic() + 60
            while subprocess.run(check, capture_output=True).returncode != 0:
                assert gateway.poll() is None
                assert monotonic() < give_up
            gateway.send_signal(image["stop_signal"])
            # uvicorn stops in order and then reports the signal that it was sent.
            assert gateway.wait(timeout=20) in (0, -image["stop_signal"])
        finally:
            gateway.kill()
    assert subprocess.run(check, capture_output=True).returncode != 0
