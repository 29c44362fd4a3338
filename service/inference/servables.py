"""SavedModels that OpenVINO runs, chosen by TensorFlow Serving's ``models.config``."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from queue import LifoQueue
from typing import Any, Final

import grpc
import numpy as np
import openvino
from numpy.typing import NDArray

from redden.errors import ReddenError
from redden.signature import SIGNATURE
from service.inference.config import read_entries
from service.inference.protocol import SavedModel

log = logging.getLogger(__name__)

CONTAINER_MODELS: Final = PurePosixPath("/models")
"""Where ``models.config`` finds the models inside TensorFlow Serving's container."""

SLICE: Final = 64
"""Galaxies that OpenVINO answers at once where there are as many. Told their number beforehand it need not turn images
round before the first layer, which takes a third of the time of a network as small as `redden`."""

# OpenVINO looks for numpy at its first array, behind a lock that it holds while it waits for the interpreter: threads
# whose first calls meet there wait for each other for ever. So it looks here, while there is only one.
openvino.Type.f32.to_dtype()


class StartError(ReddenError):
    """The model server cannot start with what it was given."""


class ServingError(Exception):
    """What a caller did wrong, as a gRPC status."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Servable:
    """One version of one model, ready to answer."""

    whole: LifoQueue[openvino.InferRequest]
    """For `SLICE` galaxies, as many as can be answered at once."""
    rest: LifoQueue[openvino.InferRequest]
    """The same for fewer."""
    signature: Any
    """The ``SignatureDef`` named `redden.signature.SIGNATURE`."""

    @classmethod
    def load(cls, core: openvino.Core, version_dir: Path) -> "Servable":
        """Load a SavedModel directory.

        Raises
        ------
        RuntimeError
            If OpenVINO cannot read the model, or it is for a fixed number of galaxies.
        OSError
            If there is no ``saved_model.pb``.
        """
        saved_model = SavedModel.FromString((version_dir / "saved_model.pb").read_bytes())
        signature = saved_model.meta_graphs[0].signature_def[SIGNATURE]
        network = core.read_model(version_dir)
        if not all(each.partial_shape[0].is_dynamic for each in network.inputs):
            raise RuntimeError("its signature is for a fixed number of galaxies; export it for any number (None)")
        rest = _requests(core, network)
        network.reshape({each.any_name: [SLICE, *list(each.partial_shape)[1:]] for each in network.inputs})
        return cls(_requests(core, network), rest, signature)

    def predict(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Output tensors by name; safe to use from several threads.

        Raises `ServingError` when the inputs are not those of the signature.
        """
        if set(inputs) != set(self.signature.inputs):
            sent, wanted = set(inputs), set(self.signature.inputs)
            raise ServingError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"input size does not match signature: {len(sent)}!={len(wanted)} len({braced(sent)}) != "
                f"len({braced(wanted)}). Sent extra: {braced(sent - wanted)}. "
                f"Missing but required: {braced(wanted - sent)}.",
            )
        for name, array in inputs.items():
            wanted_shape = [dim.size for dim in self.signature.inputs[name].tensor_shape.dim]
            if not _fits(array.shape, wanted_shape):
                raise ServingError(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"input {name} has shape {list(array.shape)}; the signature wants {wanted_shape}",
                )
        counts = sorted({len(array) for array in inputs.values()})
        if len(counts) > 1:
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, f"inputs of {counts} galaxies; send as many in each")
        if not counts[0]:
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "there is no galaxy in the request; send at least one")
        answers = []
        for start in range(0, counts[0], SLICE):
            part = {name: array[start : start + SLICE] for name, array in inputs.items()}
            answers.append(_answer(self.whole if start + SLICE <= counts[0] else self.rest, part))
        return {name: np.concatenate([each[name] for each in answers]) for name in answers[0]}


@dataclass(slots=True)
class Model:
    """All served versions of a model."""

    versions: dict[int, Servable] = field(default_factory=dict)
    """Loaded versions."""
    failures: dict[int, str] = field(default_factory=dict)
    """Why a version could not be loaded."""
    labels: dict[str, int] = field(default_factory=dict)
    """Names that ``models.config`` gives to versions, such as ``stable``."""

    def wanted_version(self, specification: Any) -> int | None:
        """The version that a ``ModelSpec`` asks for, which may not be there; by default the newest.

        Raises
        ------
        ServingError
            If it asks for a label that there is not.
        """
        match specification.WhichOneof("version_choice"):
            case "version":
                return int(specification.version.value)
            case "version_label":
                label = specification.version_label
                if label not in self.labels:
                    raise ServingError(
                        grpc.StatusCode.INVALID_ARGUMENT, f"Unrecognized servable version label: {label}"
                    )
                return self.labels[label]
            case _:
                return max(self.versions, default=None)


def load_models(config: Path, models_dir: Path) -> dict[str, Model]:
    """Load the models of a ``models.config``; a version that cannot be loaded fails alone.

    Parameters
    ----------
    config : Path
        TensorFlow Serving's model configuration file, in protobuf text format.
    models_dir : Path
        Directory that stands for ``/models`` in ``config``.

    Returns
    -------
    dict of str to Model
        By name.

    Raises
    ------
    ModelConfigError
        If ``config`` cannot be understood.
    StartError
        If it has a model outside ``/models``.
    """
    openvino_core = openvino.Core()
    return {entry.name: _load_model(openvino_core, entry, models_dir) for entry in read_entries(config)}


def _answer(
    requests: LifoQueue[openvino.InferRequest], inputs: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """What one of these requests answers, as soon as one is free."""
    request = requests.get()
    try:
        answer = request.infer(dict(inputs), share_inputs=True)  # a copy of what it answers
    except RuntimeError as error:
        raise ServingError(grpc.StatusCode.INTERNAL, str(error)) from error
    finally:
        requests.put(request)
    return {output.any_name: np.asarray(values) for output, values in answer.items()}


def _requests(core: openvino.Core, network: openvino.Model) -> LifoQueue[openvino.InferRequest]:
    """As many calls of a network as can be answered at once; each keeps its memory, which is slow to get anew."""
    # Full float32 arithmetic, so that the answers are those of TensorFlow. Calls of one of these at the same time get
    # cores of their own: if they share all, they wait for one another, and for whatever else runs there.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "THROUGHPUT"}
    compiled = core.compile_model(network, "CPU", settings)
    requests: LifoQueue[openvino.InferRequest] = LifoQueue()
    for _ in range(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")):
        requests.put(compiled.create_infer_request())
    return requests


def _load_model(core: openvino.Core, entry: Any, models_dir: Path) -> Model:
    path = PurePosixPath(entry.base_path)
    if not path.is_relative_to(CONTAINER_MODELS):
        raise StartError(
            f'models.config has base_path "{path}" for {entry.name}; it must be inside {CONTAINER_MODELS}, '
            f"which stands for {models_dir}."
        )
    base = models_dir / path.relative_to(CONTAINER_MODELS)
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


def braced(names: set[str]) -> str:
    """A set of names in the style of TensorFlow Serving's messages."""
    return "{" + ",".join(sorted(names)) + "}"


def _fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    return len(shape) == len(wanted) and all(want in (-1, size) for size, want in zip(shape, wanted, strict=True))
