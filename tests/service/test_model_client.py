"""The light client against model servers that are away, slow, or talk nonsense."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from time import sleep

import grpc
import numpy as np
import pytest

from redden.errors import ModelServerError
from service.inference.client import ModelServer, ModelServerTimeoutError
from service.inference.local_server import make_server
from service.inference.protocol import GetModelStatusResponse, PredictResponse
from service.inference.tensors import encode
from service.processes import free_port
from service.settings import Settings

PIXELS = np.zeros((2, 32, 32, 1), np.float32)


def answer(mean):
    response = PredictResponse()
    encode(mean, response.outputs["mean"])
    return response


class Services:
    """Stands where `ModelServices` does; each test says what it answers."""

    def __init__(self, predict):
        self.predict = predict

    def get_model_metadata(self, request):
        raise NotImplementedError

    def get_model_status(self, request):
        return GetModelStatusResponse()


@contextmanager
def model_server(predict, address=None):
    address = address or f"127.0.0.1:{free_port()}"
    server = make_server(Services(predict), address)
    server.start()
    try:
        yield address
    finally:
        server.stop(grace=None).wait()


async def ask(address, deadline=5.0):
    client = ModelServer(address, deadline)
    try:
        return await client.predict("dust", 1, {"pixels": PIXELS})
    finally:
        await client.close()


def test_a_server_that_is_away_is_named_within_the_retries():
    with pytest.raises(ModelServerError, match="away; try again"):
        asyncio.run(ask(f"127.0.0.1:{free_port()}"))


def test_a_call_is_repeated_until_the_server_is_there():
    calls = []

    def twice_unavailable(request):
        calls.append(request)
        if len(calls) < 3:
            raise _Unavailable
        return answer(np.ones((2, 3), np.float32))

    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.add_generic_rpc_handlers((_RawHandler(twice_unavailable),))
    server.start()
    try:
        outputs = asyncio.run(ask(f"127.0.0.1:{port}"))
    finally:
        server.stop(grace=None).wait()
    assert outputs["mean"].shape == (2, 3)
    assert len(calls) == 3


class _Unavailable(Exception):
    """The server says UNAVAILABLE."""


class _RawHandler(grpc.GenericRpcHandler):
    def __init__(self, answer_bytes):
        self._answer = answer_bytes

    def service(self, handler_call_details):
        def call(request, context):
            try:
                return self._answer(request).SerializeToString()
            except _Unavailable:
                context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")

        return grpc.unary_unary_rpc_method_handler(call)


def test_a_slow_server_is_given_up_at_the_deadline():
    with (
        model_server(lambda request: sleep(0.5) or answer(PIXELS)) as address,
        pytest.raises(ModelServerTimeoutError, match=r"within 0\.2 s"),
    ):
        asyncio.run(ask(address, deadline=0.2))


def test_an_answer_for_another_number_of_galaxies_is_refused():
    with (
        model_server(lambda request: answer(np.zeros((3, 3), np.float32))) as address,
        pytest.raises(ModelServerError, match="each of 2 galaxies"),
    ):
        asyncio.run(ask(address))


def test_an_answer_that_is_no_float_tensor_is_refused():
    broken = answer(np.zeros((2, 3), np.float32))
    broken.outputs["mean"].tensor_content = b"abc"
    with model_server(lambda request: broken) as address, pytest.raises(ModelServerError, match="cannot be read"):
        asyncio.run(ask(address))


def test_a_server_that_comes_back_is_found_again_by_the_same_client():
    async def away_and_back():
        address = f"127.0.0.1:{free_port()}"
        client = ModelServer(address, deadline=5)
        try:
            with pytest.raises(ModelServerError):
                await client.predict("dust", 1, {"pixels": PIXELS})
            with model_server(lambda request: answer(np.ones((2, 3), np.float32)), address):
                for _ in range(100):
                    try:
                        return await client.predict("dust", 1, {"pixels": PIXELS})
                    except ModelServerError:
                        await asyncio.sleep(0.05)
        finally:
            await client.close()

    assert asyncio.run(away_and_back())["mean"].shape == (2, 3)


def test_the_gateway_answers_504_when_the_model_server_hangs(running_gateway, models_dir, form, three_bands):
    hanging = Event()
    with model_server(lambda request: hanging.wait(10) and answer(PIXELS)) as address:
        settings = Settings(models_dir=models_dir, model_server=address, predict_deadline=0.3)
        with running_gateway(settings) as gateway:
            response = gateway.post("/v1/predict", files=form(*three_bands))
        hanging.set()
    assert (response.status_code, response.json()["type"]) == (504, "/problems/timeout")
    assert "0.3 s" in response.json()["detail"]
