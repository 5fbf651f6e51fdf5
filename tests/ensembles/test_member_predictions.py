"""What members return, and the rows that they were not trained on."""

import sys
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression
from small_ensembles import Constants, Probabilities, X, fitted_ridges, labels, y

from sklearn_dlf.ensembles import (
    FittedEnsemble,
    ensemble_kind,
    member_predictions,
    unseen_rows,
)


def test_predictions_have_the_requested_dtype():
    predictions = member_predictions(fitted_ridges(), X, dtype=np.float32)
    assert predictions.dtype == np.float32
    assert_allclose(predictions, member_predictions(fitted_ridges(), X), rtol=1e-6)


@pytest.mark.parametrize("dtype", [int, bool, complex, "U8", object])
def test_predictions_of_no_floating_dtype_raise(dtype):
    with pytest.raises(ValueError, match=r"dtype must be a floating-point dtype.* got"):
        member_predictions(fitted_ridges(), X, dtype=dtype)


def test_memory_holds_one_result_and_few_members():
    rows = np.zeros((100_000, 1))
    ensemble = Constants(*map(float, range(40)))
    tracemalloc.start()
    predictions = member_predictions(ensemble, rows, dtype=np.float32)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A float64 copy of the whole would add twice its size; one float64 member adds a twentieth.
    assert peak < 1.2 * predictions.nbytes


def test_several_outputs_keep_members_last():
    models = [LinearRegression().fit(X, np.c_[y, -y]) for _ in range(3)]
    predictions = member_predictions(models, X)
    assert predictions.shape == (60, 2, 3)
    assert_allclose(predictions[..., 0], models[0].predict(X))


def test_a_column_of_outputs_is_one_output():
    models = [LinearRegression().fit(X, y[:, np.newaxis]) for _ in range(2)]
    assert member_predictions(models, X).shape == (60, 2)


def test_rows_may_be_lists():
    assert_allclose(
        member_predictions(fitted_ridges(), X.tolist()), member_predictions(fitted_ridges(), X)
    )


def test_zero_probabilities_are_floored_and_rows_sum_to_one():
    predictions = member_predictions(Probabilities([0.0, 1.0], [0.5, 0.5]), X)
    assert np.isfinite(np.log(predictions)).all()
    assert_allclose(predictions.sum(axis=1), 1, rtol=1e-15)
    assert_allclose(predictions[0], [[0, 0.5], [1, 0.5]], atol=1e-7)


def test_floored_probabilities_survive_float32():
    predictions = member_predictions(Probabilities([0.0, 1.0], [0.5, 0.5]), X, dtype=np.float32)
    assert predictions.min() > 0


def test_members_agree_with_the_teacher_on_unbalanced_classes():
    rows, targets = make_classification(80, weights=[0.95], random_state=0)
    forest = RandomForestClassifier(20, random_state=0).fit(rows, targets)
    predictions = member_predictions(forest, rows)
    assert_allclose(predictions.mean(axis=2), forest.predict_proba(rows), atol=1e-6)


@pytest.mark.parametrize(
    ("ensemble", "message"),
    [
        (Constants(1.0, np.nan), "Member 2 returned 60 values that are not finite"),
        (Constants(1.0, [1.0, 2.0]), r"Member 2 of 2 returned outputs of shape \(60, 2\), expec"),
        (Constants(np.zeros((2, 2)), 1.0), r"shape \(60, 2, 2\), expected \(n_samples,\) or"),
        (Constants(1.0, n_announced=2), "Only 1 of 2 members returned outputs"),
        (Constants(1.0, 2.0, 3.0, n_announced=2), "Member 3 of 2"),
        (
            Probabilities([0.5, 0.5], [2.0, -1.0]),
            "from -1 to 2 .*For logits, use .*outputs='logits'",
        ),
        (Probabilities([0.5, 0.5], [0.5, 0.4]), "row sums from 0.9 to 0.9, expected prob"),
        (Probabilities([1.0], [1.0]), "returned 1 columns of probabilities, expected at least two"),
        (Probabilities(0.5, 0.5), r"shape \(60,\), expected \(n_samples, n_classes\)"),
    ],
)
def test_wrong_outputs_raise(ensemble, message):
    with pytest.raises(ValueError, match=message):
        member_predictions(ensemble, X)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="errors have no notes")
def test_errors_of_a_member_say_which_one_raised():
    models = [lambda X: X[:, 0], lambda X: X @ np.ones((3, 1))]
    with pytest.raises(ValueError, match="matmul") as caught:
        member_predictions(FittedEnsemble(models, outputs="values"), np.ones((4, 2)))
    [note] = caught.value.__notes__
    assert "member 2 of 2 of the ensemble, evaluated at rows of shape (4, 2)" in note


def test_fewer_than_two_members_raise():
    for single in (Constants(1.0), fitted_ridges()[:1], RandomForestRegressor(1).fit(X, y), []):
        with pytest.raises(ValueError, match=r"at least two m\w+, got (a list of )?[01]"):
            member_predictions(single, X)


# Unseen rows


@pytest.mark.parametrize(
    "ensemble",
    [
        RandomForestRegressor(20, random_state=0),
        RandomForestRegressor(20, max_samples=0.3, random_state=0),
        ExtraTreesRegressor(20, bootstrap=True, random_state=0),
        RandomForestClassifier(20, random_state=0),
        BaggingRegressor(n_estimators=20, random_state=0),
        BaggingRegressor(n_estimators=20, bootstrap=False, max_samples=0.5, random_state=0),
    ],
)
def test_unseen_rows_are_those_outside_the_members_sample(ensemble):
    ensemble.fit(X, labels if ensemble_kind(ensemble) == "classifier" else y)
    unseen = unseen_rows(ensemble, 60)
    for member, sample in enumerate(ensemble.estimators_samples_):
        assert_array_equal(np.flatnonzero(unseen[:, member]), np.setdiff1d(np.arange(60), sample))


def test_out_of_bag_means_equal_those_of_scikit_learn():
    forest = RandomForestRegressor(50, oob_score=True, random_state=0).fit(X, y)
    unseen = unseen_rows(forest, 60)
    out_of_bag = np.mean(member_predictions(forest, X), axis=1, where=unseen)
    assert_allclose(out_of_bag, forest.oob_prediction_)


def test_unseen_rows_are_none_where_they_are_not_known():
    assert unseen_rows(fitted_ridges(), 60) is None
    assert unseen_rows(RandomForestRegressor(5).fit(X, y), 59) is None
    assert unseen_rows(ExtraTreesRegressor(5).fit(X, y), 60) is None


def test_unseen_rows_are_none_after_a_warm_start_of_bagging():
    bagging = BaggingRegressor(n_estimators=5, warm_start=True, random_state=0).fit(X, y)
    assert unseen_rows(bagging, 60) is not None
    assert unseen_rows(bagging.set_params(n_estimators=8).fit(X, y), 60) is None


@pytest.mark.parametrize("dtype", [int, 3, "no type", object, complex])
def test_a_dtype_that_is_none_of_floats_is_refused_by_name(dtype):
    with pytest.raises(ValueError, match="dtype must be a floating-point dtype"):
        member_predictions(fitted_ridges(), X, dtype=dtype)


@pytest.mark.parametrize("rows", [[[1.0, 2.0], [1.0]], 3.0, np.ndarray])
def test_what_holds_no_rows_is_refused_by_name(rows):
    with pytest.raises(ValueError, match="X must hold rows"):
        member_predictions(fitted_ridges(), rows)


@pytest.mark.parametrize(
    ("n_samples", "error"),
    [(0, ValueError), (True, TypeError), (None, TypeError), ([3], TypeError)],
)
def test_a_number_of_rows_that_is_none_is_refused_by_name(n_samples, error):
    with pytest.raises(error, match="n_samples"):
        unseen_rows(fitted_ridges(), n_samples)


def test_outputs_that_a_dtype_does_not_hold_are_refused():
    models = FittedEnsemble([lambda X: np.full(len(X), 1e100)] * 2, outputs="values")
    with pytest.raises(
        ValueError, match="Member 1 returned 1e\\+100, which dtype=float32 cannot hold"
    ):
        member_predictions(models, np.zeros((3, 1)), dtype=np.float32)
    assert member_predictions(models, np.zeros((3, 1))).max() == 1e100
