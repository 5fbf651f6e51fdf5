"""Labels that are likelier under other names."""

import numpy as np
import pytest

from sklearn_dlf._utils.label_order import find_renamed, with_frequencies

RNG = np.random.RandomState(0)
LOGITS = RNG.standard_normal((600, 4)) * 1.5 + [2.0, 1.0, 0.0, -2.0]
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
CODES = (PROBABILITIES.cumsum(axis=1) < RNG.uniform(size=(600, 1))).sum(axis=1)
EQUAL = np.ones(600)


@pytest.mark.parametrize("order", [[1, 0, 2, 3], [0, 2, 1, 3], [1, 2, 0, 3]])
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


def test_other_frequencies_are_no_other_names():
    """Of the same rows for each label, one has become far more frequent."""
    rng = np.random.RandomState(1)
    codes = (rng.uniform(size=400) < 0.8).astype(int)  # it was 0.2
    x = rng.standard_normal(400) + 0.5 * codes
    odds = 0.25 * np.exp(0.5 * x - 0.125)
    probabilities = np.column_stack([np.ones(400), odds])
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    assert find_renamed(probabilities, codes, np.ones(400)) == {}
    fair = with_frequencies(probabilities, codes, np.ones(400))
    np.testing.assert_allclose(fair.mean(axis=0), [1 - codes.mean(), codes.mean()], atol=1e-3)


def test_names_of_many_classes_are_right_if_rows_are_few():
    rng = np.random.RandomState(2)
    for n_classes, n_rows in ((100, 60), (50, 100), (300, 400)):
        logits = 2 * rng.standard_normal((n_rows, n_classes))
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        codes = (probabilities.cumsum(axis=1) < rng.uniform(size=(n_rows, 1))).sum(axis=1)
        assert find_renamed(probabilities, codes, np.ones(n_rows)) == {}


def test_absent_labels_lend_no_names():
    probabilities = np.tile([0.35, 0.65], (40, 1))
    assert find_renamed(probabilities, np.zeros(40, dtype=int), np.ones(40)) == {}
    weights = np.repeat([1.0, 0.0], [2, 38])
    assert find_renamed(probabilities, np.arange(40) % 2, weights) == {}
