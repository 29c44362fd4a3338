"""Between numpy arrays and ``tensorflow.TensorProto``, float32 only: all that redden's models speak."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.inference.protocol import DT_FLOAT


def encode(array: NDArray[np.float32], tensor: Any) -> None:
    """Write an array into a ``TensorProto``, as ``tensor_content``: two orders of magnitude faster than ``float_val``.

    Parameters
    ----------
    array : ndarray of float32, any shape
    tensor : TensorProto
        An empty one, such as a message makes when its map of tensors is asked for a new name.
    """
    tensor.dtype = DT_FLOAT
    tensor.tensor_content = np.ascontiguousarray(array, dtype="<f4").tobytes()  # row-major, little-endian
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)


def decode(tensor: Any) -> NDArray[np.float32]:
    """The array of a ``TensorProto``, whether in ``tensor_content`` or in ``float_val``.

    TensorFlow Serving answers in ``float_val`` unless told otherwise. As in TensorFlow, a ``float_val`` shorter than
    the shape repeats its last value.

    Parameters
    ----------
    tensor : TensorProto

    Returns
    -------
    ndarray of float32
        Possibly read-only.

    Raises
    ------
    ValueError
        If the tensor is not float32, its shape is not fully known, or its values do not fill its shape.
    """
    if tensor.dtype != DT_FLOAT:
        raise ValueError(f"a float32 tensor is expected, not one of tensorflow.DataType {tensor.dtype}")
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if tensor.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise ValueError("a tensor with a fully known shape is expected")
    count = math.prod(shape)
    content = tensor.tensor_content  # a copy each time
    if content:
        if len(content) != 4 * count:
            raise ValueError(f"{len(content)} bytes do not make a float32 tensor of shape {shape}")
        return np.frombuffer(content, dtype="<f4").reshape(shape)
    values = np.asarray(tensor.float_val, dtype=np.float32)
    if len(values) > count or (count > 0 and len(values) == 0):
        raise ValueError(f"{len(values)} values do not make a tensor of shape {shape}")
    return np.pad(values, (0, count - len(values)), mode="edge" if count else "constant").reshape(shape)
