"""Rows on their way into a network."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from sklearn_dlf._network.rows import are_points, as_input, as_tensor, row_shape

FLOAT64 = torch.zeros(1, dtype=torch.float64)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_ids_stay_integers_in_any_precision_of_the_network(dtype):
    ids = np.array([[3, 100]], dtype=dtype)
    assert as_input(as_tensor(ids), FLOAT64).dtype == torch.int64
    assert_array_equal(as_input(as_tensor(ids), torch.zeros(1)), ids)


@pytest.mark.parametrize("dtype", [np.uint8, np.bool_, np.float16, np.float32, np.float64])
def test_bytes_and_floats_get_the_precision_of_the_network(dtype):
    rows = np.array([[0, 1, 200]]).astype(dtype)
    for like in (torch.zeros(1), FLOAT64):
        given = as_input(as_tensor(rows), like)
        assert given.dtype == like.dtype
        assert_array_equal(given, rows.astype(np.float64))


def test_tensors_share_the_memory_of_rows():
    rows = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert as_tensor(rows).data_ptr() == rows.ctypes.data


def test_rows_in_a_file_that_may_not_be_written_are_neither_copied_nor_warned_of(tmp_path):
    np.save(tmp_path / "rows.npy", np.arange(6.0).reshape(2, 3))
    rows = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert as_tensor(rows).data_ptr() == rows.ctypes.data


def test_reversed_rows_are_rows_too():
    rows = np.arange(6.0).reshape(2, 3)
    assert_array_equal(as_tensor(rows[::-1]), rows[::-1])


def test_the_shape_of_a_row_is_that_of_numbers_shapes_and_rows():
    assert row_shape(4) == row_shape((4,)) == row_shape(np.zeros((9, 4))) == (4,)
    assert row_shape((3, 8, 8)) == row_shape(np.zeros((9, 3, 8, 8))) == (3, 8, 8)


def test_rows_of_a_table_of_floats_alone_are_points():
    assert are_points(4)
    assert are_points(np.zeros((9, 4), dtype=np.float32))
    for rows in ((3, 8, 8), np.zeros((9, 3, 8)), np.zeros((9, 4), int), np.zeros((9, 4), np.uint8)):
        assert not are_points(rows)
