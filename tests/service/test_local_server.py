"""The local model server: asked by the official stubs and by the light client, and compared with tensorflow."""

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

from redden.errors import ModelServerError
from redden.photometric import context_columns
from service.inference.client import ModelServer
from service.inference.local_server import ModelServices
from service.inference.protocol import PredictRequest
from service.inference.servables import ServingError, load_models


def pixels(galaxies=5, bands=3):
    return np.random.default_rng(galaxies).normal(size=(galaxies, 32, 32, bands)).astype(np.float32)


@pytest.fixture(scope="module")
def official(model_server):
    """The official stubs of both services."""
    from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

    with grpc.insecure_channel(model_server) as channel:
        yield (
            prediction_service_pb2_grpc.PredictionServiceStub(channel),
            model_service_pb2_grpc.ModelServiceStub(channel),
        )


def tensors(name, galaxies=5):
    """Inputs for a model, by name."""
    bands = {"any-band": 7, "paper-1band": 1}.get(name, 3)
    found = {"pixels": pixels(galaxies, bands)}
    if name == "any-band":
        found["context"] = np.random.default_rng(7).normal(size=(galaxies, context_columns(7))).astype(np.float32)
    return found


def request(name="gaussian-3band", **inputs):
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    message = predict_pb2.PredictRequest()
    message.model_spec.name = name
    for key, array in inputs.items():
        message.inputs[key].CopyFrom(tf.make_tensor_proto(array))
    return message


def ask_light(address, name, inputs):
    async def ask():
        server = ModelServer(address, deadline=10)
        try:
            return await server.predict(name, 1, inputs)
        finally:
            await server.close()

    return asyncio.run(ask())


@pytest.mark.parametrize("name", ["any-band", "gaussian-3band", "paper-1band", "paper-3band"])
def test_official_stubs_light_client_and_tensorflow_agree(name, official, model_server, models_dir):
    import tensorflow as tf

    inputs = tensors(name)
    answer = official[0].Predict(request(name, **inputs))
    light = ask_light(model_server, name, inputs)
    signature = tf.saved_model.load(models_dir / name / "1").signatures["serving_default"]
    plain = signature(**{tensor: tf.constant(values) for tensor, values in inputs.items()})
    assert set(answer.outputs) == set(light) == set(plain)
    for output, values in light.items():
        np.testing.assert_array_equal(tf.make_ndarray(answer.outputs[output]), values)
        np.testing.assert_allclose(values, plain[output].numpy(), rtol=1e-5, atol=1e-5)
    assert (answer.model_spec.name, answer.model_spec.version.value) == (name, 1)


@pytest.mark.parametrize("name", ["any-band", "gaussian-3band"])
def test_a_galaxy_has_the_same_answer_alone_and_in_a_large_batch(model_server, name):
    inputs = tensors(name, 300)
    together = ask_light(model_server, name, inputs)
    for place in (123, 298):  # among those that are answered in slices, and in the rest
        alone = ask_light(model_server, name, {tensor: values[place : place + 1] for tensor, values in inputs.items()})
        for output, values in alone.items():
            np.testing.assert_allclose(values[0], together[output][place], rtol=1e-5, atol=1e-6)


def test_calls_at_the_same_time_have_the_answers_of_calls_alone(official):
    requests = [request("gaussian-3band", **tensors("gaussian-3band", size)) for size in (5, 64, 1, 5, 300) * 8]

    def answers(workers):
        with ThreadPoolExecutor(workers) as pool:
            return [answer.SerializeToString(deterministic=True) for answer in pool.map(official[0].Predict, requests)]

    assert answers(8) == answers(1)


def test_the_official_stubs_read_signature_and_state(official):
    from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    metadata.model_spec.name = "gaussian-3band"
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert official[0].GetModelMetadata(metadata).metadata["signature_def"].Unpack(signatures)
    signature = signatures.signature_def["serving_default"]
    assert [dim.size for dim in signature.inputs["pixels"].tensor_shape.dim] == [-1, 32, 32, 3]
    assert set(signature.outputs) == {"mean", "scale_tril"}

    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "gaussian-3band"
    (version,) = official[1].GetModelStatus(status).model_version_status
    assert (version.version, version.state) == (1, get_model_status_pb2.ModelVersionStatus.AVAILABLE)
    status.model_spec.name = "nosuch"
    with pytest.raises(grpc.RpcError, match="Could not find any versions of model nosuch") as error:
        official[1].GetModelStatus(status)
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


def with_version(number):
    message = request(pixels=pixels())
    message.model_spec.version.value = number
    return message


def with_label(label):
    message = request(pixels=pixels())
    message.model_spec.version_label = label
    return message


def with_signature(name):
    message = request(pixels=pixels())
    message.model_spec.signature_name = name
    return message


def with_filter(*names):
    message = request(pixels=pixels())
    message.output_filter.extend(names)
    return message


def unequal():
    first, *others = tensors("any-band").items()
    return {first[0]: first[1][:-1], **dict(others)}


@pytest.mark.parametrize(
    ("make", "code", "message"),
    [
        (lambda: request("nosuch", pixels=pixels()), "NOT_FOUND", "nosuch"),
        (lambda: request("", pixels=pixels()), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (lambda: with_version(7), "NOT_FOUND", r"Servable not found for request: Specific\(gaussian-3band, 7\)"),
        (lambda: with_label("canary"), "NOT_FOUND", "Servable not found"),
        (lambda: with_signature("classify"), "INVALID_ARGUMENT", 'Serving signature key "classify" not found'),
        (lambda: with_filter("mean", "mode"), "INVALID_ARGUMENT", "not found in signature: {mode}"),
        (lambda: request(image=pixels()), "INVALID_ARGUMENT", r"Missing but required: {pixels}"),
        (lambda: request("any-band", pixels=pixels(bands=7)), "INVALID_ARGUMENT", r"Missing but required: {context}"),
        (lambda: request("any-band", **unequal()), "INVALID_ARGUMENT", r"inputs of \[4, 5\] galaxies"),
        (lambda: request(pixels=pixels()[:0]), "INVALID_ARGUMENT", "send at least one"),
        (lambda: request(pixels=pixels(bands=2)), "INVALID_ARGUMENT", r"\[5, 32, 32, 2\]"),
        (lambda: request(pixels=pixels().astype(np.float64)), "INVALID_ARGUMENT", "float32"),
    ],
)
def test_what_cannot_be_answered_has_a_status_and_a_reason(official, make, code, message):
    with pytest.raises(grpc.RpcError, match=message) as error:
        official[0].Predict(make())
    assert error.value.code() is grpc.StatusCode[code]


def test_an_output_filter_picks_outputs(official):
    assert set(official[0].Predict(with_filter("mean")).outputs) == {"mean"}


def test_versions_follow_models_config_and_a_broken_one_fails_alone(models_dir, tmp_path):
    for version in (1, 2, 3):
        (tmp_path / "paper-1band" / str(version)).parent.mkdir(exist_ok=True)
        (tmp_path / "paper-1band" / str(version)).symlink_to(models_dir / "paper-1band" / "1")
    (tmp_path / "paper-1band" / "4").mkdir()
    (tmp_path / "paper-1band" / "notes").mkdir()

    def versions(policy):
        config = tmp_path / "models.config"
        entry = f'name: "dust" base_path: "/models/paper-1band" {policy} version_labels {{ key: "stable" value: 2 }}'
        config.write_text(f"model_config_list {{ config {{ {entry} }} }}", encoding="utf-8")
        return load_models(config, tmp_path)["dust"]

    newest = versions("")
    assert (list(newest.versions), list(newest.failures)) == ([], [4])
    everything = versions("model_version_policy { all {} }")
    assert (list(everything.versions), list(everything.failures)) == ([3, 2, 1], [4])
    assert list(versions("model_version_policy { latest { num_versions: 2 } }").versions) == [3]
    assert list(versions("model_version_policy { specific { versions: 1 versions: 9 } }").versions) == [1]

    services = ModelServices({"dust": everything})
    message = PredictRequest.FromString(request("dust", pixels=pixels(bands=1)).SerializeToString())
    assert services.predict(message).model_spec.version.value == 3
    message.model_spec.version_label = "stable"
    assert services.predict(message).model_spec.version.value == 2
    message.model_spec.version_label = "canary"
    with pytest.raises(ServingError, match="Unrecognized servable version label: canary"):
        services.predict(message)


def test_the_light_client_names_what_the_server_refuses(model_server):
    with pytest.raises(ModelServerError, match="NOT_FOUND: Could not find any versions of model nosuch"):
        ask_light(model_server, "nosuch", {"pixels": pixels()})


FIRST_LOOKS = """
import sys
from threading import Barrier, Thread

import openvino

import service.inference.servables

together, looked = Barrier(16), []


def look():
    together.wait()
    looked.append(openvino.Type.f32.to_dtype())


def keep_busy():
    while len(looked) < 16:
        pass


sys.setswitchinterval(1e-6)
for thread in [*(Thread(target=keep_busy) for _ in range(3)), *(Thread(target=look) for _ in range(16))]:
    thread.start()
"""


def test_the_first_arrays_may_come_at_the_same_time():
    """Left to itself OpenVINO nearly always waits for ever in a process that begins like this."""
    subprocess.run([sys.executable, "-c", FIRST_LOOKS], check=True, timeout=60)
