"""``redden serve``: what it starts, what it says, and that nothing of it stays."""

import os
import signal
import socket
import sys
from time import monotonic, sleep

import httpx
import pytest

from service.processes import Children, free_port


def test_it_says_what_to_try_next(shared_serve):
    for text in (
        "curl",
        "/demo/galaxy.fits",
        "redden predict",
        f"{shared_serve.url}/docs",
        f"--server {shared_serve.url}",
    ):
        assert text in shared_serve.greeting


@pytest.mark.parametrize("stopping", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_stopping_it_leaves_no_process(serve, survivors, stopping):
    if stopping is signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux ends children with a killed parent")
    started = serve.descendants()
    assert len(started) >= 4
    serve.process.send_signal(stopping)
    serve.process.communicate(timeout=30)
    assert serve.process.returncode == (-signal.SIGKILL if stopping is signal.SIGKILL else 0)
    assert survivors(set(started)) == set()


def test_when_one_part_dies_all_stop_and_it_is_named(serve, survivors):
    started = serve.descendants()
    (model_server,) = (pid for pid, command in started.items() if "service model-server" in command)
    os.kill(model_server, signal.SIGKILL)
    output, _ = serve.process.communicate(timeout=30)
    assert serve.process.returncode == 1
    assert "the model-server stopped with status -9" in output
    assert "listening on" in output, "the end of its log is shown"
    assert survivors(set(started)) == set()


def test_a_port_in_use_is_said_plainly(run, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        result = run("serve", "--port", str(port), "--data-dir", tmp_path)
    assert result.returncode == 1
    assert f"port {port}" in result.stderr
    assert f"--port {port + 1}" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_directory_without_models_is_said_plainly(run, tmp_path):
    result = run("serve", "--port", str(free_port()), "--models", tmp_path, "--data-dir", tmp_path)
    assert result.returncode == 1
    assert "models.config is missing" in result.stderr


def test_a_model_server_that_is_killed_and_comes_back(tmp_path):
    model_server, port = f"127.0.0.1:{free_port()}", free_port()
    redden = (sys.executable, "-m", "service")
    uvicorn = (sys.executable, "-m", "uvicorn", "--factory", "service.app:create_app")
    with (
        Children(tmp_path, {"REDDEN_MODEL_SERVER": model_server}) as children,
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as gateway,
    ):
        children.start("gateway", (*uvicorn, "--port", str(port)))
        with Children(tmp_path, {}) as first:
            first.start("model-server", (*redden, "model-server", "--address", model_server))
            assert _eventually(gateway, "/readyz", 200)
            galaxy = gateway.get("/demo/galaxy.fits").content
            assert _predict(gateway, galaxy).status_code == 200
        away = _predict(gateway, galaxy)
        assert (away.status_code, away.json()["type"]) == (503, "/problems/model-server")
        assert gateway.get("/readyz").status_code == 503
        assert gateway.get("/healthz").status_code == 200
        with Children(tmp_path, {}) as second:
            second.start("model-server", (*redden, "model-server", "--address", model_server))
            assert _eventually(gateway, "/readyz", 200)
            assert _predict(gateway, galaxy).status_code == 200


def _predict(gateway, galaxy):
    return gateway.post("/v1/predict", content=galaxy, headers={"Content-Type": "application/fits"})


def _eventually(gateway, path, status):
    deadline = monotonic() + 30
    while monotonic() < deadline:
        try:
            if gateway.get(path).status_code == status:
                return True
        except httpx.TransportError:
            pass
        sleep(0.1)
    return False
