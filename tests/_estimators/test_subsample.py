"""Students of some of the rows of `fit`."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._rows.chosen import choose_rows
from sklearn_dlf.ensembles import unseen_rows

N_ROWS, N_CHOSEN = 300, 120
QUICK = {
    "hidden_layer_sizes": 8,
    "n_epochs": 1,
    "tol": 10.0,
    "q": 2,
    "augment": None,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def data():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((N_ROWS, 3))
    P = X @ rng.standard_normal((3, 6))
    return X, P.mean(axis=1) + rng.standard_normal(N_ROWS), P


def chosen_rows(X, y, unseen=None, weights=None):
    return choose_rows(X, y, weights, unseen, N_CHOSEN, np.random.RandomState(0))


def fit(X, y, *, subsample=N_CHOSEN, ensemble=None, **options):
    student = DLFRegressor(ensemble, subsample=subsample, target_noise="constant", **QUICK)
    return student.fit(X, y, **options)


def test_a_student_of_chosen_rows_is_that_of_a_fit_to_these_rows_alone(data):
    X, y, P = data
    weights = np.arange(N_ROWS) % 5 + 0.0
    numbers = chosen_rows(X, y, True, weights)
    student = fit(X, y, predictions=P, unseen=True, sample_weight=weights)
    alone = fit(
        X[numbers],
        y[numbers],
        predictions=P[numbers],
        unseen=True,
        sample_weight=weights[numbers],
        subsample=None,
    )
    assert student.n_rows_used_ == alone.n_rows_used_ == N_CHOSEN
    assert_array_equal(student.predict_interval(X), alone.predict_interval(X))
    assert_array_equal(student.sample_predictions(X, 5, 0), alone.sample_predictions(X, 5, 0))


def test_all_rows_are_used_with_none(data):
    X, y, P = data
    assert fit(X, y, predictions=P, unseen=True, subsample=None).n_rows_used_ == N_ROWS


def test_rows_that_are_not_chosen_are_not_read(data):
    X, y, P = data
    others = np.ones(N_ROWS, dtype=bool)
    others[chosen_rows(X, y, True)] = False
    spoilt_X, spoilt_P = X.copy(), P.copy()
    spoilt_X[others] = np.nan
    spoilt_P[others] = np.inf
    student = fit(spoilt_X, y, predictions=spoilt_P, unseen=True)
    expected = fit(X, y, predictions=P, unseen=True)
    assert_array_equal(student.predict_interval(X), expected.predict_interval(X))


def test_arrays_on_disk_give_the_same_student(data, tmp_path):
    X, y, P = data
    on_disk = []
    for name, values in (("X", X), ("P", P)):
        array = np.memmap(tmp_path / name, np.float32, "w+", shape=values.shape)
        array[:] = values
        on_disk.append(array)
    student = fit(on_disk[0], y, predictions=on_disk[1], unseen=True)
    numbers = chosen_rows(X, y, True)
    expected = fit(
        np.array(on_disk[0][numbers]),
        y[numbers],
        predictions=np.array(on_disk[1][numbers]),
        unseen=True,
        subsample=None,
    )
    assert_array_equal(student.predict(X), expected.predict(X))


def test_the_record_of_unseen_rows_is_that_of_the_chosen_rows(data):
    X, y, _ = data
    forest = RandomForestRegressor(10, random_state=0).fit(X, y)
    numbers = chosen_rows(X, y)
    unseen = unseen_rows(forest, N_ROWS)[numbers]
    student = fit(X, y, ensemble=forest)
    alone = fit(X[numbers], y[numbers], ensemble=forest, unseen=unseen, subsample=None)
    # A record of the user's own is not checked, but is the same.
    assert_array_equal(student.predict(X), alone.predict(X))
    assert student.ensemble_score_ == alone.ensemble_score_


def test_an_unfitted_ensemble_is_fitted_to_all_rows(data):
    X, y, _ = data
    forest = RandomForestRegressor(10, random_state=0)
    student = fit(X, y, ensemble=forest)
    expected = fit(X, y, ensemble=forest.fit(X, y))
    assert student.n_rows_used_ == N_CHOSEN
    assert_array_equal(student.predict_interval(X), expected.predict_interval(X))


def test_an_unfitted_ensemble_is_cross_fitted_to_all_rows(data):
    X, y, _ = data
    student = DLFRegressor(
        RandomForestRegressor(5, random_state=0), cv=3, subsample=N_CHOSEN, **QUICK
    ).fit(X, y)
    assert student.n_rows_used_ == N_CHOSEN
    assert np.isfinite(student.predict_interval(X)).all()


@pytest.mark.parametrize("is_fitted", [True, False])
def test_few_labelled_rows_are_all_kept(data, is_fitted):
    X, y, _ = data
    y = np.where(np.arange(N_ROWS) % 6 == 0, y, np.nan)
    known = ~np.isnan(y)
    forest = RandomForestRegressor(10, random_state=0)
    if is_fitted:
        forest.fit(X[known], y[known])
    student = fit(X, y, ensemble=forest)
    everything = fit(X, y, ensemble=forest, subsample=None)
    assert student.n_rows_used_ == N_CHOSEN
    assert student.ensemble_score_ == everything.ensemble_score_


def test_rows_of_the_ensemble_are_chosen_with_those_of_x(data):
    X, y, _ = data
    forest = RandomForestRegressor(10, random_state=0).fit(2 * X, y)
    student = fit(X, y, ensemble=forest, X_ensemble=2 * X)
    expected = fit(X, y, ensemble=forest, X_ensemble=lambda rows: 2 * rows)
    assert_array_equal(student.predict(X), expected.predict(X))
    with pytest.raises(ValueError, match="got 299 rows and expected 300"):
        fit(X, y, ensemble=forest, X_ensemble=X[1:])


def test_shapes_in_errors_are_those_that_were_given(data):
    X, y, P = data
    with pytest.raises(ValueError, match=r"shape \(300, n_members\).*got \(299, 6\)"):
        fit(X, y, predictions=P[1:], unseen=True)
    with pytest.raises(ValueError, match=r"have shape \(300,\) or \(300, 6\)"):
        fit(X, y, predictions=P, unseen=np.ones(N_CHOSEN, dtype=bool))


@pytest.mark.parametrize("names", ["codes", "strings"])
def test_classifiers_of_chosen_rows(data, names):
    X, y, _ = data
    labels = (y > 0).astype(int)
    labels = labels if names == "codes" else np.array(["no", "yes"], dtype=object)[labels]
    forest = RandomForestClassifier(10, random_state=0).fit(X, labels)
    student = DLFClassifier(forest, refine=False, subsample=N_CHOSEN, **QUICK).fit(X, labels)
    assert student.n_rows_used_ == N_CHOSEN
    assert_array_equal(student.classes_, forest.classes_)
    assert np.mean(student.predict(X) == labels) > 0.5


@pytest.mark.parametrize("subsample", [1, 0, 2.5, "all"])
def test_wrong_numbers_are_refused(data, subsample):
    X, y, P = data
    with pytest.raises(ValueError, match="subsample"):
        fit(X, y, predictions=P, unseen=True, subsample=subsample)


@pytest.mark.filterwarnings("default")  # those of dask are not ours
def test_collections_of_dask_give_the_same_student(data):
    da = pytest.importorskip("dask.array")
    X, y, P = data
    student = fit(
        da.from_array(X, chunks=(100, 3)),
        da.from_array(y, chunks=100),
        predictions=da.from_array(P, chunks=(90, 6)),
        unseen=True,
    )
    expected = fit(X, y, predictions=P, unseen=True)
    assert_array_equal(student.predict_interval(X), expected.predict_interval(X))


@pytest.mark.parametrize(
    ("row", "value", "match"), [(7, -1.0, "Negative"), (7, np.nan, "NaN"), (..., 0.0, "zero")]
)
def test_bad_weights_are_refused_at_any_row(data, row, value, match):
    X, y, P = data
    weights = np.ones(N_ROWS)
    weights[row] = value
    with pytest.raises(ValueError, match=match):
        fit(X, y, predictions=P, sample_weight=weights)


@pytest.mark.parametrize("subsample", [N_CHOSEN, None])
def test_labelled_rows_without_weight_give_one_error(data, subsample):
    X, y, P = data
    y, weights = np.where(np.arange(N_ROWS) < 20, y, np.nan), np.ones(N_ROWS)
    weights[:20] = 0
    with pytest.raises(ValueError, match="at least one non-zero"):
        fit(X, y, subsample=subsample, predictions=P, sample_weight=weights)
