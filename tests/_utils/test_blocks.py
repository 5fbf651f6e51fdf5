"""Blocks of rows."""

import numpy as np
import pytest

from sklearn_dlf._utils.blocks import rows_within


@pytest.mark.parametrize(
    ("shape", "wanted"), [((9, 5), 4), ((9, 50), 2), ((9, 5, 10), 2), ((9, 1000), 1), ((0, 5), 4)]
)
def test_rows_fit_into_the_bytes_given_but_one_at_least(shape, wanted):
    assert rows_within(np.zeros(shape, np.uint8), n_most=4, n_bytes=149) == wanted
