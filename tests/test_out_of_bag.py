import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._out_of_bag import match_unseen, unseen_mean, watch_out_of_bag
from sklearn_dlf.ensembles import member_predictions, unseen_rows

QUICK = {"q": 2, "hidden_layer_sizes": (8,), "n_epochs": 1, "tol": 10.0, "random_state": 0}


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


def test_members_that_agree_where_they_saw_a_row_are_moved_together(unseen):
    outputs = np.zeros((6, 1, 20))
    outputs[:, :, :8] = np.arange(8.0)
    assert_allclose(match_unseen(outputs, unseen)[0, 0, 8:], 3.5)


def test_mean_is_over_members_that_did_not_see_the_row(outputs, unseen):
    mean = unseen_mean(outputs, unseen)
    assert_allclose(mean[0], outputs[0][:, :8].mean(axis=1))
    assert_allclose(mean[[2, 5]], outputs[[2, 5]].mean(axis=-1))


def test_rows_beyond_the_ensembles_own_pass_by(outputs, unseen):
    passed = list(watch_out_of_bag([outputs[:3], outputs[3:5], outputs[5:]], unseen[:4]))
    expected = match_unseen(outputs, unseen)
    expected[4:] = outputs[4:]
    assert_array_equal(np.concatenate(passed), expected)


def test_a_student_learns_what_a_forest_says_of_rows_it_did_not_see(friedman):
    X, y = friedman
    forest = RandomForestRegressor(50, random_state=0).fit(X, y)
    plain = DLFRegressor(augment=None, **QUICK).fit(X, ensemble=forest)
    honest = DLFRegressor(augment=None, out_of_bag=True, **QUICK).fit(X, ensemble=forest)
    matched = match_unseen(member_predictions(forest, X)[:, None], unseen_rows(forest, len(X)))
    assert_allclose(honest.output_spread_**2, matched.var(axis=-1, ddof=1).mean())
    assert_allclose(honest.output_center_, matched.mean())
    assert honest.output_center_ != plain.output_center_


def test_a_forest_of_classifiers_is_averaged_out_of_bag():
    X, y = load_iris(return_X_y=True)
    forest = RandomForestClassifier(50, oob_score=True, random_state=0).fit(X, y)
    student = DLFClassifier(out_of_bag=True, **QUICK).fit(X, y, ensemble=forest)
    assert student.ensemble_score_ == pytest.approx(forest.oob_score_)


def test_rows_that_members_saw_must_be_known(friedman):
    X, y = friedman
    trees = ExtraTreesRegressor(5, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="which rows its members did not see"):
        DLFRegressor(out_of_bag=True, **QUICK).fit(X, y, ensemble=trees)
    with pytest.raises(ValueError, match="which rows its members did not see"):
        DLFRegressor(out_of_bag=True, **QUICK).fit(
            X, y, predictions=trees.predict(X)[:, None] + [[0, 1]]
        )
