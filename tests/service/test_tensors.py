"""The tensor codec against tensorflow's own, on any array."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from service.inference.protocol import DT_FLOAT, POOL, TensorProto
from service.inference.tensors import decode, encode

ANY_ARRAY = arrays(np.float32, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))


def encoded(array):
    tensor = TensorProto()
    encode(array, tensor)
    return tensor


@settings(deadline=None)
@given(ANY_ARRAY)
def test_what_is_encoded_is_decoded(array):
    decoded = decode(encoded(array))
    assert decoded.shape == array.shape
    np.testing.assert_array_equal(decoded, array)


@settings(deadline=None)
@given(ANY_ARRAY)
def test_tensorflow_reads_what_we_write_and_we_read_what_it_writes(array):
    import tensorflow as tf
    from tensorflow.core.framework.tensor_pb2 import TensorProto as Official

    official = Official.FromString(encoded(array).SerializeToString())
    np.testing.assert_array_equal(tf.make_ndarray(official), array)
    np.testing.assert_array_equal(
        decode(TensorProto.FromString(tf.make_tensor_proto(array).SerializeToString())), array
    )


@settings(deadline=None)
@given(ANY_ARRAY)
def test_float_val_is_read_too(array):
    tensor = TensorProto(dtype=DT_FLOAT, float_val=array.ravel().tolist(), tensor_shape=encoded(array).tensor_shape)
    np.testing.assert_array_equal(decode(tensor), array)


def test_a_short_float_val_repeats_its_last_value():
    tensor = TensorProto(dtype=DT_FLOAT, float_val=[1, 2], tensor_shape=encoded(np.zeros((2, 2), "f4")).tensor_shape)
    assert decode(tensor).tolist() == [[1, 2], [2, 2]]


def test_a_slice_is_encoded_in_its_own_order():
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)[::2]
    np.testing.assert_array_equal(decode(encoded(array)), array)


def _shape(*sizes):
    shape = TensorProto().tensor_shape
    for size in sizes:
        shape.dim.add(size=size)
    return shape


DT_DOUBLE = POOL.FindEnumTypeByName("tensorflow.DataType").values_by_name["DT_DOUBLE"].number


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (TensorProto(dtype=DT_DOUBLE, double_val=[1.0], tensor_shape=_shape(1)), "float32 tensor is expected"),
        (TensorProto(dtype=DT_FLOAT, float_val=[1.0], tensor_shape=_shape(-1)), "fully known shape"),
        (TensorProto(dtype=DT_FLOAT, tensor_content=b"abc", tensor_shape=_shape(1)), "3 bytes"),
        (TensorProto(dtype=DT_FLOAT, float_val=[1.0, 2.0], tensor_shape=_shape(1)), "2 values"),
        (TensorProto(dtype=DT_FLOAT, tensor_shape=_shape(3)), "0 values"),
    ],
)
def test_what_is_no_tensor_is_refused(tensor, message):
    with pytest.raises(ValueError, match=message):
        decode(tensor)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_wild_bytes_give_a_tensor_or_a_value_error(data):
    tensor = TensorProto(dtype=DT_FLOAT, tensor_content=data, tensor_shape=_shape(len(data) // 4))
    try:
        assert decode(tensor).nbytes == len(data)
    except ValueError:
        assert len(data) % 4
