"""Messages of TensorFlow Serving's gRPC services, made from descriptors that were taken from the official package.

The descriptors live in a pool of their own, so the official package may be imported in the same process. The classes
are made at run time; their fields are those of ``tensorflow_serving/apis/*.proto``, and type checkers see `Any`.
"""

from typing import Any, Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from service.inference import PROTOCOL_FILE


def _read_pool() -> DescriptorPool:
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(PROTOCOL_FILE.read_bytes()).file:
        pool.Add(file)
    return pool


POOL: Final = _read_pool()


def message_class(full_name: str) -> Any:
    """The class of the message of this full name, such as ``tensorflow.TensorProto``."""
    return GetMessageClass(POOL.FindMessageTypeByName(full_name))


TensorProto: Final = message_class("tensorflow.TensorProto")
PredictRequest: Final = message_class("tensorflow.serving.PredictRequest")
PredictResponse: Final = message_class("tensorflow.serving.PredictResponse")
GetModelMetadataRequest: Final = message_class("tensorflow.serving.GetModelMetadataRequest")
GetModelMetadataResponse: Final = message_class("tensorflow.serving.GetModelMetadataResponse")
SignatureDefMap: Final = message_class("tensorflow.serving.SignatureDefMap")
GetModelStatusRequest: Final = message_class("tensorflow.serving.GetModelStatusRequest")
GetModelStatusResponse: Final = message_class("tensorflow.serving.GetModelStatusResponse")
ModelVersionStatus: Final = message_class("tensorflow.serving.ModelVersionStatus")
ModelServerConfig: Final = message_class("tensorflow.serving.ModelServerConfig")
SavedModel: Final = message_class("tensorflow.SavedModel")

DT_FLOAT: Final[int] = POOL.FindEnumTypeByName("tensorflow.DataType").values_by_name["DT_FLOAT"].number

PREDICTION_SERVICE: Final = "tensorflow.serving.PredictionService"
MODEL_SERVICE: Final = "tensorflow.serving.ModelService"
