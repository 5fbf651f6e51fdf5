"""Labels that are likelier under other names."""

import numpy as np
import pytest

from sklearn_dlf._utils.label_order import find_renamed

RNG = np.random.RandomState(0)
LOGITS = RNG.standard_normal((600, 4)) * 1.5 + [2.0, 1.0, 0.0, -2.0]
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
CODES = (PROBABILITIES.cumsum(axis=1) < RNG.uniform(size=(600, 1))).sum(axis=1)
EQUAL = np.ones(600)


@pytest.mark.parametrize("order", [[1, 0, 2, 3], [0, 2, 1, 3], [0, 3, 2, 1], [1, 2, 0, 3]])
def test_swapped_names_are_found_of_common_and_of_other_labels(order):
    names = dict(enumerate(order))
    moved = {code: name for code, name in names.items() if code != name}
    found = find_renamed(PROBABILITIES, np.argsort(order)[CODES], EQUAL)
    assert found == moved


@pytest.mark.parametrize("power", [0.2, 1.0, 5.0])
def test_right_names_are_right_also_if_probabilities_are_badly_calibrated(power):
    assert find_renamed(PROBABILITIES**power, CODES, EQUAL) == {}


def test_right_names_are_right_under_class_weights():
    balanced = PROBABILITIES / PROBABILITIES.mean(axis=0)
    balanced /= balanced.sum(axis=1, keepdims=True)
    assert find_renamed(balanced, CODES, EQUAL) == {}


def test_few_rows_and_rows_without_weight_tell_nothing():
    swapped = np.array([1, 0, 2, 3])[CODES]
    assert find_renamed(PROBABILITIES[:12], swapped[:12], EQUAL[:12]) == {}
    weights = np.repeat([1.0, 0.0], 300)
    half = np.where(np.arange(600) < 300, CODES, swapped)
    assert find_renamed(PROBABILITIES, half, weights) == {}
