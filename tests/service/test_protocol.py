"""The light messages against the official ones."""

from importlib import import_module
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message_factory import GetMessageClass

from service.inference import PROTOCOL_FILE
from service.inference.protocol import message_class
from service.inference.take_protocol import OFFICIAL_MODULES, take_protocol

MESSAGES = [
    f"{file.package}.{message.name}"
    for file in FileDescriptorSet.FromString(PROTOCOL_FILE.read_bytes()).file
    for message in file.message_type
]
SCALARS: dict[int, Any] = {
    FieldDescriptor.TYPE_BOOL: True,
    FieldDescriptor.TYPE_BYTES: b"\x00\xff",
    FieldDescriptor.TYPE_STRING: "E(B\u2212V)",
}


def official_class(name: str) -> Any:
    pool = import_module(OFFICIAL_MODULES[0]).DESCRIPTOR.pool
    for module in OFFICIAL_MODULES:
        import_module(module)
    return GetMessageClass(pool.FindMessageTypeByName(name))


def value(field: FieldDescriptor) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return field.enum_type.values[-1].number
    return SCALARS.get(field.type, field.number)


def fill(message: Any, depth: int = 3) -> Any:
    """Set every field of a message, and of the messages in it."""
    descriptor: Descriptor = message.DESCRIPTOR
    for field in descriptor.fields:
        if field.message_type is None:
            if field.is_repeated:
                getattr(message, field.name).extend([value(field)] * 2)
            else:
                setattr(message, field.name, value(field))
        elif depth == 0:
            continue
        elif field.message_type.GetOptions().map_entry:
            key, item = field.message_type.fields
            container = getattr(message, field.name)
            if item.message_type is None:
                container[value(key)] = value(item)
            else:
                fill(container[value(key)], depth - 1)
        elif field.is_repeated:
            fill(getattr(message, field.name).add(), depth - 1)
        else:
            getattr(message, field.name).SetInParent()
            fill(getattr(message, field.name), depth - 1)
    return message


def test_the_committed_protocol_is_that_of_the_official_package() -> None:
    assert take_protocol().SerializeToString(deterministic=True) == PROTOCOL_FILE.read_bytes()


@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_goes_back_and_forth_byte_for_byte(name: str) -> None:
    official = official_class(name)
    there = fill(official()).SerializeToString(deterministic=True)
    light = message_class(name).FromString(there)
    back = light.SerializeToString(deterministic=True)
    assert back == there
    assert official.FromString(back).SerializeToString(deterministic=True) == there
