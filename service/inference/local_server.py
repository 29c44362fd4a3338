"""A small model server for laptops and tests: TensorFlow Serving's gRPC services over SavedModels, run by OpenVINO.

It reads the same ``models.config``, serves the same versions and answers with the same status codes as TensorFlow
Serving, but does not watch the directory: restart it to serve a new version. Production runs TensorFlow Serving.
"""

import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final, NoReturn

import grpc
import numpy as np
import openvino
from google.protobuf import text_format
from numpy.typing import NDArray

from redden.signature import SIGNATURE
from service.inference.protocol import (
    MODEL_SERVICE,
    PREDICTION_SERVICE,
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    GetModelStatusRequest,
    GetModelStatusResponse,
    ModelServerConfig,
    ModelVersionStatus,
    PredictRequest,
    PredictResponse,
    SavedModel,
    SignatureDefMap,
)
from service.inference.tensors import decode, encode

log = logging.getLogger(__name__)

CONTAINER_MODELS: Final = PurePosixPath("/models")
"""Where ``models.config`` finds the models inside TensorFlow Serving's container."""

MAX_THREADS: Final = 4
"""Calls at once."""


class ServingError(Exception):
    """What a caller did wrong, as a gRPC status."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Servable:
    """One version of one model, ready to answer."""

    compiled: openvino.CompiledModel
    signature: Any
    """The ``SignatureDef`` named `redden.signature.SIGNATURE`."""

    @classmethod
    def load(cls, core: openvino.Core, version_dir: Path) -> "Servable":
        """Load a SavedModel directory.

        Raises
        ------
        RuntimeError
            If OpenVINO cannot read the model.
        OSError
            If there is no ``saved_model.pb``.
        """
        saved_model = SavedModel.FromString((version_dir / "saved_model.pb").read_bytes())
        # Full float32 arithmetic, so that the answers are those of TensorFlow.
        settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        compiled = core.compile_model(core.read_model(version_dir), "CPU", settings)
        return cls(compiled, saved_model.meta_graphs[0].signature_def[SIGNATURE])

    def predict(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Output tensors by name. Raises `ServingError` when the inputs are not those of the signature."""
        if set(inputs) != set(self.signature.inputs):
            sent, wanted = set(inputs), set(self.signature.inputs)
            raise ServingError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"input size does not match signature: {len(sent)}!={len(wanted)} len({_braced(sent)}) != "
                f"len({_braced(wanted)}). Sent extra: {_braced(sent - wanted)}. "
                f"Missing but required: {_braced(wanted - sent)}.",
            )
        for name, array in inputs.items():
            wanted_shape = [dim.size for dim in self.signature.inputs[name].tensor_shape.dim]
            if not _fits(array.shape, wanted_shape):
                raise ServingError(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"input {name} has shape {list(array.shape)}; the signature wants {wanted_shape}",
                )
        answer = self.compiled.create_infer_request().infer(dict(inputs), share_inputs=True)
        return {output.any_name: np.asarray(values) for output, values in answer.items()}


@dataclass(slots=True)
class Model:
    """All served versions of a model."""

    versions: dict[int, Servable] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)


class ModelServices:
    """``PredictionService`` and ``ModelService`` over the models of a ``models.config``.

    Parameters
    ----------
    config : Path
        TensorFlow Serving's model configuration file.
    models_dir : Path
        Directory that stands for ``/models`` in ``config``.
    """

    def __init__(self, config: Path, models_dir: Path) -> None:
        core = openvino.Core()
        settings = text_format.Parse(config.read_text(encoding="utf-8"), ModelServerConfig())
        self._models = {entry.name: _load_model(core, entry, models_dir) for entry in settings.model_config_list.config}

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
                grpc.StatusCode.INVALID_ARGUMENT, f"output tensor alias not found in signature: {_braced(unknown)}"
            )
        response = PredictResponse(model_spec=_specification(request, version))
        for name, values in servable.predict(inputs).items():
            if not request.output_filter or name in request.output_filter:
                response.outputs[name].CopyFrom(encode(values))
        return response

    def get_model_metadata(self, request: Any) -> Any:
        """``PredictionService.GetModelMetadata``; the only field is ``signature_def``, as in TensorFlow Serving."""
        version, servable = self._servable(request.model_spec)
        if list(request.metadata_field) != ["signature_def"]:
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "metadata_field must be signature_def")
        signatures = SignatureDefMap()
        signatures.signature_def[SIGNATURE].CopyFrom(servable.signature)
        response = GetModelMetadataResponse(model_spec=_specification(request, version))
        response.model_spec.ClearField("signature_name")
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
            wanted = _wanted_version(request.model_spec, model)
            chosen = [status for status in response.model_version_status if status.version == wanted]
            response = GetModelStatusResponse(model_version_status=chosen)
        if not response.model_version_status:
            raise ServingError(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {name}")
        return response

    def _model(self, specification: Any) -> Model:
        if not specification.name:
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "Missing ModelSpec")
        if specification.name not in self._models:
            raise ServingError(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {specification.name}")
        return self._models[specification.name]

    def _servable(self, specification: Any) -> tuple[int, Servable]:
        model = self._model(specification)
        version = _wanted_version(specification, model)
        if version not in model.versions:
            choice = "Latest" if version is None else "Specific"
            wanted = specification.name if version is None else f"{specification.name}, {version}"
            raise ServingError(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {choice}({wanted})")
        return version, model.versions[version]


def _load_model(core: openvino.Core, entry: Any, models_dir: Path) -> Model:
    base = models_dir / PurePosixPath(entry.base_path).relative_to(CONTAINER_MODELS)
    model = Model(labels=dict(entry.version_labels))
    for version in _served_versions(entry.model_version_policy, base):
        try:
            model.versions[version] = Servable.load(core, base / str(version))
            log.info("serving %s/%d", entry.name, version)
        except (RuntimeError, OSError, LookupError) as error:
            model.failures[version] = str(error)
            log.error("cannot serve %s/%d: %s", entry.name, version, error)
    if not model.versions:
        log.error("model %s has no version to serve in %s", entry.name, base)
    return model


def _served_versions(policy: Any, base: Path) -> list[int]:
    """Versions that ``model_version_policy`` asks for, newest first; by default the newest alone."""
    there = sorted((int(path.name) for path in base.glob("*/") if path.name.isdigit()), reverse=True)
    match policy.WhichOneof("policy_choice"):
        case "all":
            return there
        case "specific":
            return [version for version in there if version in policy.specific.versions]
        case _:
            return there[: policy.latest.num_versions or 1]


def _wanted_version(specification: Any, model: Model) -> int | None:
    match specification.WhichOneof("version_choice"):
        case "version":
            return int(specification.version.value)
        case "version_label":
            return model.labels.get(specification.version_label)
        case _:
            return max(model.versions, default=None)


def _specification(request: Any, version: int) -> Any:
    specification = type(request.model_spec)(name=request.model_spec.name, signature_name=SIGNATURE)
    specification.version.value = version
    return specification


def _fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    return len(shape) == len(wanted) and all(want in (-1, size) for size, want in zip(shape, wanted, strict=True))


def _braced(names: set[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"


def _handler(method: Callable[[Any], Any], request_class: Any) -> "grpc.RpcMethodHandler[Any, Any]":
    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(request)
        except ServingError as error:
            _abort(context, error)

    return grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=request_class.FromString, response_serializer=_serialize
    )


def _abort(context: grpc.ServicerContext, error: ServingError) -> NoReturn:
    context.abort(error.code, str(error))


def _serialize(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def make_server(services: ModelServices, address: str) -> grpc.Server:
    """A gRPC server for these services, bound to ``address`` (``HOST:PORT``) and not yet started.

    Raises
    ------
    RuntimeError
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
    server.add_insecure_port(address)
    return server


def serve(models_dir: Path, address: str) -> None:
    """Serve the models of ``models_dir/models.config`` until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    server = make_server(ModelServices(models_dir / "models.config", models_dir), address)
    server.start()
    log.info("listening on %s", address)
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: server.stop(grace=1))
    server.wait_for_termination()
