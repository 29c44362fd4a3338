"""Fast arithmetic on stacks of images is that of the plain numpy expressions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from redden.arrays import asinh, images, median, planes

NUMBERS = st.floats(-(2.0**60), 2.0**60, width=32)


@given(values=arrays(np.float64, array_shapes(max_dims=3, max_side=9), elements=NUMBERS))
@settings(max_examples=50)
def test_the_median_is_that_of_numpy(values):
    expected = np.median(values, axis=-1)
    np.testing.assert_array_equal(median(values), expected)


@given(values=arrays(np.float32, 20, elements=NUMBERS))
@settings(max_examples=50)
def test_asinh_is_that_of_numpy_in_single_precision(values):
    exact = np.arcsinh(values.astype(np.float64))
    assert np.abs(asinh(values) - exact).max() <= 4e-7 * np.abs(exact).clip(1).max()


@pytest.mark.parametrize("shape", [(32, 32, 3), (5, 32, 32, 2), (0, 32, 32, 7), (2, 4, 8, 8, 1)])
def test_planes_are_the_images_one_after_the_other(shape):
    stack = np.random.default_rng(1).normal(size=shape)
    rows = planes(stack, np.float64)
    assert rows.shape == (*shape[:-3], shape[-1], shape[-3] * shape[-2])
    np.testing.assert_array_equal(rows[..., 0, :], stack[..., 0].reshape(rows[..., 0, :].shape))
    np.testing.assert_array_equal(images(rows, shape[-2]), stack)
