"""An asynchronous client of TensorFlow Serving: ``Predict`` and ``GetModelStatus`` over one gRPC channel."""

import json
from collections.abc import Mapping
from typing import Any, Final

import grpc
import grpc.aio
import numpy as np
from numpy.typing import NDArray

from redden.errors import ModelServerError
from redden.signature import SIGNATURE
from service.inference.protocol import (
    MODEL_SERVICE,
    PREDICTION_SERVICE,
    GetModelStatusRequest,
    GetModelStatusResponse,
    ModelVersionStatus,
    PredictRequest,
    PredictResponse,
)
from service.inference.tensors import decode, encode

Tensors = Mapping[str, NDArray[np.float32]]
"""Tensors by name; the first axis of each is galaxies."""

_RETRY: Final = {
    "methodConfig": [
        {
            "name": [{"service": PREDICTION_SERVICE}, {"service": MODEL_SERVICE}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.05s",
                "maxBackoff": "0.5s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
"""Both methods only read, so that a call which may have been carried out can be repeated."""

_OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.service_config", json.dumps(_RETRY)),
    # A restarted model server is found again within a second, not within gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class ModelServerTimeoutError(ModelServerError):
    """The model server did not answer in time."""


class ModelServer:
    """A TensorFlow Serving gRPC endpoint, real or ``redden model-server``. Make it inside the running event loop.

    Parameters
    ----------
    address : str
        ``HOST:PORT`` of the gRPC endpoint.
    deadline : float
        Seconds after which a call is given up, its retries included.
    """

    def __init__(self, address: str, deadline: float) -> None:
        self.address = address
        self._deadline = deadline
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._predict = self._channel.unary_unary(
            f"/{PREDICTION_SERVICE}/Predict",
            request_serializer=PredictRequest.SerializeToString,
            response_deserializer=PredictResponse.FromString,
        )
        self._get_status = self._channel.unary_unary(
            f"/{MODEL_SERVICE}/GetModelStatus",
            request_serializer=GetModelStatusRequest.SerializeToString,
            response_deserializer=GetModelStatusResponse.FromString,
        )

    async def predict(self, name: str, version: int, inputs: Tensors) -> Tensors:
        """Ask a model about a batch of galaxies.

        Parameters
        ----------
        name, version : str, int
            The model.
        inputs : mapping of str to ndarray of float32, shape (galaxies, ...)
            Input tensors by name, as `redden.modelinput.model_inputs` makes them.

        Returns
        -------
        mapping of str to ndarray of float32, shape (galaxies, ...)
            Output tensors by name.

        Raises
        ------
        ModelServerError
            If the model server is away, does not serve the model, or answers with an error or nonsense.
        """
        request = PredictRequest()
        request.model_spec.name = name
        request.model_spec.version.value = version
        request.model_spec.signature_name = SIGNATURE
        for tensor, values in inputs.items():
            encode(values, request.inputs[tensor])
        response = await self._call(self._predict, request)
        try:
            outputs = {output: decode(tensor) for output, tensor in response.outputs.items()}
        except ValueError as error:
            raise ModelServerError(f"the model server's answer cannot be read: {error}.") from error
        galaxies = len(next(iter(inputs.values())))
        if any(values.shape[:1] != (galaxies,) for values in outputs.values()):
            raise ModelServerError(f"the model server did not answer for each of {galaxies} galaxies.")
        return outputs

    async def states(self, name: str) -> dict[int, str]:
        """State of each version of a model, such as ``AVAILABLE``; empty if the model server does not know the model.

        Raises
        ------
        ModelServerError
            If the model server is away or answers with an error.
        """
        request = GetModelStatusRequest()
        request.model_spec.name = name
        try:
            response = await self._call(self._get_status, request)
        except ModelServerError as error:
            if (
                isinstance(error.__cause__, grpc.aio.AioRpcError)
                and error.__cause__.code() is grpc.StatusCode.NOT_FOUND
            ):
                return {}
            raise
        return {status.version: ModelVersionStatus.State.Name(status.state) for status in response.model_version_status}

    async def close(self) -> None:
        """Close the channel; calls in flight are cancelled."""
        await self._channel.close()

    async def _call(self, method: Any, request: Any) -> Any:
        try:
            return await method(request, timeout=self._deadline)
        except grpc.aio.AioRpcError as error:
            match error.code():
                case grpc.StatusCode.UNAVAILABLE:
                    raise ModelServerError("the model server is away; try again in a moment.") from error
                case grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise ModelServerTimeoutError(
                        f"the model server did not answer within {self._deadline:g} s; try again in a moment."
                    ) from error
                case code:
                    raise ModelServerError(f"the model server refused: {code.name}: {error.details()}") from error
