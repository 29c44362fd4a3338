"""Take TensorFlow Serving's protocol out of the official package, once: ``python -m service.inference.take_protocol``.

``tensorflow-serving-api`` needs all of tensorflow; the messages alone need protobuf. The descriptors are written to
`PROTOCOL_FILE`, which is committed, and `service.inference.protocol` makes the message classes of them.
"""

from importlib import import_module

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from service.inference import PROTOCOL_FILE

OFFICIAL_MODULES = (
    "tensorflow_serving.apis.prediction_service_pb2",
    "tensorflow_serving.apis.model_service_pb2",
    "tensorflow_serving.config.model_server_config_pb2",
    "tensorflow.core.protobuf.saved_model_pb2",
)
"""Where the services, ``models.config`` and ``saved_model.pb`` are described."""


def take_protocol() -> FileDescriptorSet:
    """Descriptors of `OFFICIAL_MODULES` and of all files that they import, each after what it needs."""
    taken: dict[str, FileDescriptor] = {}

    def take(file: FileDescriptor) -> None:
        if file.name not in taken:
            for needed in file.dependencies:
                take(needed)
            taken[file.name] = file

    for module in OFFICIAL_MODULES:
        take(import_module(module).DESCRIPTOR)
    protocol = FileDescriptorSet()
    for file in taken.values():
        file.CopyToProto(protocol.file.add())
    return protocol


if __name__ == "__main__":
    PROTOCOL_FILE.write_bytes(take_protocol().SerializeToString(deterministic=True))
