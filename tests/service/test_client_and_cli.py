"""The Python client and the command line against a real gateway."""

import json
import os
import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from typer.testing import CliRunner

from redden.client import Client, NoServiceError, RefusedError
from service.cli import commands
from service.processes import free_port


@pytest.fixture
def url(gateway):
    return str(gateway.base_url)


@pytest.fixture
def paths(tmp_path, three_bands):
    """The three files on disk, with bands in their names."""
    written = []
    for band, data in zip(("F277W", "F356W", "F444W"), three_bands, strict=True):
        path = tmp_path / f"jades_{band.lower()}.fits"
        path.write_bytes(data)
        written.append(path)
    return written


def run(*arguments):
    return CliRunner().invoke(commands, [str(argument) for argument in arguments], env={"COLUMNS": "140"})


def test_the_client_measures_and_lists(url, paths):
    with Client(url) as client:
        answer = client.predict(paths)
        point = client.predict(
            [paths[0]], model="paper-1band", version=1, bands=["F277W"], unit="uJy", pixel_scale=0.03
        )
        listed = client.models()
    assert answer.quantities.a_v.interval_68 is not None
    assert point.model.name == "paper-1band"
    assert [model.name for model in listed.models] == ["any-band", "gaussian-3band", "paper-1band", "paper-3band"]


def test_the_client_raises_the_service_s_own_words(url, paths):
    with Client(url) as client, pytest.raises(RefusedError, match="model=paper-1band") as refused:
        client.predict(paths[:1])
    assert (refused.value.status, refused.value.problem["type"]) == (422, "/problems/band")


def test_no_service_is_said_plainly(paths):
    with Client(f"http://127.0.0.1:{free_port()}") as client, pytest.raises(NoServiceError, match="redden serve"):
        client.predict(paths)


def test_a_stranger_at_the_address_is_said_plainly(paths):
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    thread = Thread(target=server.handle_request)
    thread.start()
    with Client(f"http://127.0.0.1:{server.server_port}") as client, pytest.raises(NoServiceError, match="no redden"):
        client.models()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"detail": "Too many requests."}', "Too many requests."),
        (b'{"title": "Forbidden"}', "Forbidden"),
        (b"{}", "status 403"),
        (b"[1]", "status 403"),
        (b"<html>", "status 403"),
    ],
)
def test_a_refusal_by_a_proxy_is_said_as_well_as_can_be(body, message):
    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(403)
            self.send_header("Content-Type", "application/problem+json")
            self.end_headers()
            self.wfile.write(body)

    with HTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        with Client(f"http://127.0.0.1:{server.server_port}") as client, pytest.raises(RefusedError, match=message):
            client.models()
        thread.join()


def test_predict_prints_a_table(url, paths):
    result = run("predict", *paths, "--server", url)
    assert result.exit_code == 0, result.output
    for text in ("gaussian-3band version 1", "A_V", "E(B-V)", "R_V", "log sSFR", "68 % interval", "F444W"):
        assert text in result.output


def test_predict_prints_json_and_point_estimates(url, paths):
    result = run("predict", paths[0], "--server", url, "--model", "paper-1band", "--bands", "F277W", "--json")
    assert json.loads(result.output)["quantities"]["a_v"]["interval_95"] is None
    assert " - " in run("predict", paths[0], "--server", url, "--model", "paper-1band").output


def test_models_prints_a_table_or_json(url):
    printed = run("models", "--server", url).output
    assert "gaussian-3band (default)" in printed
    assert printed.count("any of") == 1
    assert len(json.loads(run("models", "--server", url, "--json").output)["models"]) == 4


def test_openapi_is_written(tmp_path):
    assert run("openapi", tmp_path / "openapi.json").exit_code == 0
    assert json.loads((tmp_path / "openapi.json").read_text())["openapi"].startswith("3.1")


@pytest.mark.parametrize("command", ["serve", "predict", "models", "model-server", "worker", "openapi"])
def test_help_teaches_by_example(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"redden {command}" in result.output.split("Example")[1]


def error_of(*arguments, **environment):
    """The error message of a command that fails, as one line."""
    command = (sys.executable, "-m", "service", *map(str, arguments))
    result = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    return " ".join(result.stderr.partition("Error:")[2].split())


def test_a_mistake_is_a_message_and_not_a_traceback(url, paths):
    assert "paper-1band" in error_of("predict", paths[0], "--server", url)


@pytest.mark.parametrize(
    "command", [("serve",), ("model-server",), ("worker",), ("survey", "list"), ("openapi", "/no")]
)
def test_a_wrong_setting_is_named_and_its_value_is_kept_secret(command):
    message = error_of(*command, REDDEN_REDIS_URL="http://:secret@127.0.0.1")
    assert message.startswith("REDDEN_REDIS_URL: ")
    assert "secret" not in message


def test_a_list_that_is_not_json_is_told_the_right_form():
    assert "REDDEN_CORS_ORIGINS='[\"*\"]'" in error_of("worker", REDDEN_CORS_ORIGINS="example.org")


def test_a_wrong_setting_does_not_matter_to_who_only_asks(url, monkeypatch):
    monkeypatch.setenv("REDDEN_MAX_UPLOAD_BYTES", "-1")
    assert run("models", "--server", url).exit_code == 0


def test_a_model_server_s_taken_port_is_said_plainly(tmp_path):
    (tmp_path / "models.config").write_text("model_config_list {}")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        message = error_of("model-server", "--models", tmp_path, "--address", address)
    assert message.startswith(f"cannot listen on {address}.")


@pytest.mark.parametrize(
    ("config", "hint"),
    [
        ('model_config_list { config { name: "m" base_path: "/elsewhere/m" } }', "must be inside /models"),
        ("model_config_list [", "is no model configuration"),
    ],
)
def test_a_wrong_models_config_is_said_plainly(tmp_path, config, hint):
    (tmp_path / "models.config").write_text(config)
    assert hint in error_of("model-server", "--models", tmp_path, "--address", f"127.0.0.1:{free_port()}")
