"""The Python client and the command line against a real gateway."""

import json
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
    assert [model.name for model in listed.models] == ["gaussian-3band", "paper-1band", "paper-3band"]


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
    assert "gaussian-3band (default)" in run("models", "--server", url).output
    assert len(json.loads(run("models", "--server", url, "--json").output)["models"]) == 3


def test_openapi_is_written(tmp_path):
    assert run("openapi", tmp_path / "openapi.json").exit_code == 0
    assert json.loads((tmp_path / "openapi.json").read_text())["openapi"].startswith("3.1")


@pytest.mark.parametrize("command", ["serve", "predict", "models", "model-server", "worker", "openapi"])
def test_help_teaches_by_example(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"redden {command}" in result.output.split("Example")[1]


def test_a_mistake_is_a_message_and_not_a_traceback(url, paths):
    command = (sys.executable, "-m", "service", "predict", str(paths[0]), "--server", url)
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "paper-1band" in result.stderr
    assert "Traceback" not in result.stderr
