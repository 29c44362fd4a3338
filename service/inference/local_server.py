"""A small model server for laptops and tests: TensorFlow Serving's gRPC services over SavedModels, run by OpenVINO.

It reads the same ``models.config``, serves the same versions and answers with the same status codes as TensorFlow
Serving, but does not watch the directory: restart it to serve a new version. Production runs TensorFlow Serving.
"""

import logging
import os
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc

from redden.signature import SIGNATURE
from service.inference.protocol import (
    MODEL_SERVICE,
    PREDICTION_SERVICE,
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    GetModelStatusRequest,
    GetModelStatusResponse,
    ModelVersionStatus,
    PredictRequest,
    PredictResponse,
    SignatureDefMap,
)
from service.inference.servables import Model, Servable, ServingError, StartError, braced, load_models
from service.inference.tensors import decode, encode
from service.memory import keep_freed_memory

log = logging.getLogger(__name__)

MAX_THREADS: Final = max(4, os.cpu_count() or 1)
"""Calls at once; a model may compute one on each core."""


@dataclass(frozen=True, slots=True)
class ModelServices:
    """``PredictionService`` and ``ModelService`` over the models of a ``models.config``.

    Attributes
    ----------
    models : mapping of str to Model
        By name.
    """

    models: Mapping[str, Model]

    def predict(self, request: Any) -> Any:
        """``PredictionService.Predict``."""
        version, servable = self._servable(request.model_spec)
        if request.model_spec.signature_name not in ("", SIGNATURE):
            raise ServingError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f'Serving signature key "{request.model_spec.signature_name}" not found.',
            )
        try:
            inputs = {name: decode(tensor) for name, tensor in request.inputs.items()}
        except ValueError as error:
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error
        unknown = set(request.output_filter) - set(servable.signature.outputs)
        if unknown:
            raise ServingError(
                grpc.StatusCode.INVALID_ARGUMENT, f"output tensor alias not found in signature: {braced(unknown)}"
            )
        model_spec = {"name": request.model_spec.name, "version": {"value": version}, "signature_name": SIGNATURE}
        response = PredictResponse(model_spec=model_spec)
        for name, values in servable.predict(inputs).items():
            if not request.output_filter or name in request.output_filter:
                encode(values, response.outputs[name])
        return response

    def get_model_metadata(self, request: Any) -> Any:
        """``PredictionService.GetModelMetadata``; the only field is ``signature_def``, as in TensorFlow Serving."""
        version, servable = self._servable(request.model_spec)
        if list(request.metadata_field) != ["signature_def"]:
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "metadata_field must be signature_def")
        signatures = SignatureDefMap()
        signatures.signature_def[SIGNATURE].CopyFrom(servable.signature)
        model_spec = {"name": request.model_spec.name, "version": {"value": version}}
        response = GetModelMetadataResponse(model_spec=model_spec)
        response.metadata["signature_def"].Pack(signatures)
        return response

    def get_model_status(self, request: Any) -> Any:
        """``ModelService.GetModelStatus``."""
        name, model = request.model_spec.name, self._model(request.model_spec)
        response = GetModelStatusResponse()
        for version in model.versions:
            response.model_version_status.add(version=version, state=ModelVersionStatus.State.Value("AVAILABLE"))
        for version, message in model.failures.items():
            failed = response.model_version_status.add(version=version, state=ModelVersionStatus.State.Value("END"))
            failed.status.error_code = grpc.StatusCode.INTERNAL.value[0]
            failed.status.error_message = message
        if request.model_spec.WhichOneof("version_choice"):
            wanted = model.wanted_version(request.model_spec)
            chosen = [status for status in response.model_version_status if status.version == wanted]
            response = GetModelStatusResponse(model_version_status=chosen)
        if not response.model_version_status:
            raise ServingError(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {name}")
        return response

    def _model(self, specification: Any) -> Model:
        if not specification.name:
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "Missing ModelSpec")
        if specification.name not in self.models:
            raise ServingError(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {specification.name}")
        return self.models[specification.name]

    def _servable(self, specification: Any) -> tuple[int, Servable]:
        model = self._model(specification)
        version = model.wanted_version(specification)
        if version not in model.versions:
            choice = "Latest" if version is None else "Specific"
            wanted = specification.name if version is None else f"{specification.name}, {version}"
            raise ServingError(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {choice}({wanted})")
        return version, model.versions[version]


def _handler(method: Callable[[Any], Any], request_class: Any) -> "grpc.RpcMethodHandler[Any, Any]":
    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(request)
        except ServingError as error:
            context.abort(error.code, str(error))

    return grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=request_class.FromString, response_serializer=_serialize
    )


def _serialize(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def make_server(services: ModelServices, address: str) -> grpc.Server:
    """A gRPC server for these services, bound to ``address`` (``HOST:PORT``) and not yet started.

    Raises
    ------
    StartError
        If the address cannot be bound.
    """
    server = grpc.server(
        ThreadPoolExecutor(MAX_THREADS),
        options=[
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ],
    )
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                PREDICTION_SERVICE,
                {
                    "Predict": _handler(services.predict, PredictRequest),
                    "GetModelMetadata": _handler(services.get_model_metadata, GetModelMetadataRequest),
                },
            ),
            grpc.method_handlers_generic_handler(
                MODEL_SERVICE, {"GetModelStatus": _handler(services.get_model_status, GetModelStatusRequest)}
            ),
        )
    )
    try:
        server.add_insecure_port(address)
    except RuntimeError:
        raise StartError(
            f"cannot listen on {address}. Stop what uses the port, or give another address: --address HOST:PORT"
        ) from None
    return server


def serve(models_dir: Path, address: str) -> None:
    """Serve the models of ``models_dir/models.config`` until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    keep_freed_memory()
    server = make_server(ModelServices(load_models(models_dir / "models.config", models_dir)), address)
    server.start()
    log.info("listening on %s", address)
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: server.stop(grace=1))
    server.wait_for_termination()
