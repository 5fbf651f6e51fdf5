from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris, make_friedman1
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._transfer.out_of_bag import (
    Matching,
    Widening,
    match_unseen,
    spread_at_unseen,
    unseen_mean,
)
from sklearn_dlf.ensembles import member_predictions, unseen_rows

QUICK = {"q": 2, "hidden_layer_sizes": (8,), "n_epochs": 1, "tol": 10.0, "random_state": 0}


def adjusted(adjust, outputs, *cuts):
    """Adjust outputs in blocks that end at the cuts."""
    ends = [0, *cuts, len(outputs)]
    rows = [slice(*pair) for pair in pairwise(ends)]
    return np.concatenate([adjust(block, outputs[block]) for block in rows])


@pytest.fixture
def outputs():
    return np.random.RandomState(0).standard_normal((6, 2, 20))


@pytest.fixture
def unseen():
    return np.arange(20) < np.array([[8], [20], [4], [19], [5], [0]])


def test_members_that_saw_a_row_get_the_moments_of_the_others(outputs, unseen):
    matched = match_unseen(outputs, unseen)
    for row in (0, 4):
        others, moved = outputs[row][:, unseen[row]], matched[row][:, ~unseen[row]]
        assert_array_equal(matched[row][:, unseen[row]], others)
        assert_allclose(moved.mean(axis=1), others.mean(axis=1))
        assert_allclose(moved.std(axis=1, ddof=1), others.std(axis=1, ddof=1))
        before = outputs[row][:, ~unseen[row]]
        assert_array_equal(moved.argsort(axis=1), before.argsort(axis=1))
    for row in (1, 2, 3, 5):  # too few, or nothing to move, or one whose spread is not known
        assert_array_equal(matched[row], outputs[row])


def test_members_that_agree_where_they_saw_a_row_stay_together(unseen):
    outputs = np.zeros((6, 1, 20))
    outputs[:, :, :8] = np.arange(8.0)
    assert_allclose(match_unseen(outputs, unseen)[0, 0, 8:], 3.5)


def test_mean_is_over_members_that_did_not_see_the_row(outputs, unseen):
    mean = unseen_mean(outputs, unseen)
    assert_allclose(mean[0], outputs[0][:, :8].mean(axis=1))
    assert_allclose(mean[[2, 5]], outputs[[2, 5]].mean(axis=-1))


def test_rows_beyond_the_ensembles_own_are_not_matched(outputs, unseen):
    matched = adjusted(Matching(unseen[:4]), outputs, 3, 5)
    expected = match_unseen(outputs, unseen)
    expected[4:] = outputs[4:]
    assert_array_equal(matched, expected)


@pytest.fixture
def fitted():
    """Outputs (n, 2, 12) of members that differ 1.5 times as much where they did not see a row."""
    rng = np.random.RandomState(0)
    unseen = rng.uniform(size=(400, 12)) < 0.25
    outputs = 3 + rng.standard_normal((400, 2, 12)) * np.where(unseen, 1.5, 1.0)[:, None]
    return outputs * [[1.0], [10.0]], unseen


def test_spread_is_widened_to_that_of_members_that_did_not_see_the_row(fitted):
    outputs, unseen = fitted
    among_all = outputs.std(axis=-1, ddof=1).mean(axis=0)
    among_unseen = 1.5 * np.array([1.0, 10.0])
    factor = spread_at_unseen(outputs, unseen)
    assert_allclose(factor, among_unseen / among_all, rtol=0.05)
    widened = adjusted(Widening(unseen), outputs)
    assert_allclose(widened.mean(axis=-1), outputs.mean(axis=-1))
    assert_allclose(widened.std(axis=-1), outputs.std(axis=-1) * factor)


def test_spread_is_not_narrowed(fitted):
    outputs, unseen = fitted
    narrow = np.where(unseen[:, None], 0.1, 1.0) * outputs
    assert_array_equal(spread_at_unseen(narrow, unseen), 1.0)
    assert_array_equal(adjusted(Widening(unseen), narrow), narrow)


def test_spread_is_not_widened_by_few_members(fitted):
    outputs, unseen = fitted
    assert_array_equal(spread_at_unseen(outputs[:40], unseen[:40]), 1.0)  # some 80 degrees
    alone = np.eye(12, dtype=bool)[np.arange(400) % 12]  # one member a row: no spread
    assert_array_equal(spread_at_unseen(outputs, alone), 1.0)
    agree = np.zeros_like(outputs)
    assert_array_equal(spread_at_unseen(agree, unseen), 1.0)


def test_rows_without_weight_do_not_widen_the_spread(fitted):
    outputs, unseen = fitted
    weights = np.repeat([1.0, 0.0], 200)
    outputs[200:] *= np.where(unseen[200:], 100.0, 1.0)[:, None]
    factor = spread_at_unseen(outputs, unseen, weights)
    assert_allclose(factor, spread_at_unseen(outputs[:200], unseen[:200]))


def test_widened_rows_are_the_ensembles_own(fitted):
    outputs, unseen = fitted
    widened = adjusted(Widening(unseen[:300]), outputs, 250, 350)
    factor = spread_at_unseen(outputs[:250], unseen[:250])
    centre = outputs.mean(axis=-1, keepdims=True)
    assert_allclose(widened[:300], (centre + (outputs - centre) * factor[:, None])[:300])
    assert_array_equal(widened[300:], outputs[300:])
    assert_array_equal(adjusted(Widening(None), outputs, 250, 350), outputs)


def test_a_student_has_the_spread_of_a_forest_on_fresh_rows(friedman):
    X, y = friedman
    forest = RandomForestRegressor(50, random_state=0).fit(X, y)
    plain, widened = (
        DLFRegressor(augment=None, out_of_bag=how, **QUICK).fit(X, ensemble=forest)
        for how in (None, "widen")
    )
    outputs = member_predictions(forest, X)
    factor = spread_at_unseen(outputs[:, None], unseen_rows(forest, len(X)))
    assert factor > 1.2
    assert_allclose(widened.output_spread_, factor * plain.output_spread_, rtol=1e-6)
    fresh = make_friedman1(400, random_state=99)[0]
    spread = member_predictions(forest, fresh).std(axis=1, ddof=1).mean()
    assert_allclose(factor * outputs.std(axis=1, ddof=1).mean(), spread, rtol=0.1)


def test_a_student_learns_the_moments_of_trees_that_did_not_see_a_row(friedman):
    X, y = friedman
    forest = RandomForestRegressor(50, random_state=0).fit(X, y)
    plain = DLFRegressor(augment=None, **QUICK).fit(X, ensemble=forest)
    honest = DLFRegressor(augment=None, out_of_bag="match", **QUICK).fit(X, ensemble=forest)
    matched = match_unseen(member_predictions(forest, X)[:, None], unseen_rows(forest, len(X)))
    assert_allclose(honest.output_spread_**2, matched.var(axis=-1, ddof=1).mean())
    assert_allclose(honest.output_center_, matched.mean())
    assert honest.output_center_ != plain.output_center_


def test_a_forest_of_classifiers_is_averaged_out_of_bag():
    X, y = load_iris(return_X_y=True)
    forest = RandomForestClassifier(50, oob_score=True, random_state=0).fit(X, y)
    student = DLFClassifier(out_of_bag="match", **QUICK).fit(X, y, ensemble=forest)
    assert student.ensemble_score_ == pytest.approx(forest.oob_score_)


def test_matching_needs_to_know_the_rows_that_members_saw(friedman):
    X, y = friedman
    trees = ExtraTreesRegressor(5, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="which rows its members did not see"):
        DLFRegressor(out_of_bag="match", **QUICK).fit(X, y, ensemble=trees)
    with pytest.raises(ValueError, match="which rows its members did not see"):
        DLFRegressor(out_of_bag="match", **QUICK).fit(
            X, y, predictions=trees.predict(X)[:, None] + [[0, 1]]
        )
