"""The way to the model server: TensorFlow Serving's protocol over gRPC, without tensorflow."""

from pathlib import Path
from typing import Final

PROTOCOL_FILE: Final = Path(__file__).with_name("protocol.binpb")
"""Descriptors of the protocol, a serialised ``FileDescriptorSet``; ``take_protocol`` writes it."""
