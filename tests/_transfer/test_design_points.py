import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from sklearn.datasets import load_iris, make_friedman1
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.preprocessing import StandardScaler

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._transfer.design_points import (
    AUGMENTATIONS,
    MAX_JOINT_ROWS,
    MAX_MADE,
    make_rows,
    mix_with_neighbors,
    rows_like,
    swap_with_neighbors,
    swap_within_reach,
)
from sklearn_dlf.ensembles import FittedEnsemble, member_predictions
from sklearn_dlf.metrics import interval_coverage

QUICK = {"q": 2, "hidden_layer_sizes": (8,), "n_epochs": 1, "tol": 10.0, "random_state": 0}


def rng():
    return np.random.RandomState(0)


class Asked:
    """Three functions, and the rows they were asked about."""

    def __init__(self):
        self.rows = None

    def __call__(self, X):
        self.rows = X
        values = np.asarray(X, dtype=float)
        return np.column_stack([values[:, 0], 2 * values[:, 0], values.sum(axis=1)])

    def ensemble(self):
        return FittedEnsemble(self, outputs="values", n_members=3)

    def classifiers(self):
        """The same functions as log-odds."""
        return FittedEnsemble(
            lambda X: self(X)[:, None], outputs="logits", classes=[0, 1], n_members=3
        )


@pytest.fixture
def asked():
    return Asked()


@pytest.fixture(name="X")
def rows():
    return rng().standard_normal((40, 3)) + 5


def test_swapped_rows_have_values_of_the_rows_and_of_their_neighbours(X):
    # Two clusters whose columns would be torn apart by values of others than neighbours.
    X = np.concatenate([X, X + 1000])
    made = swap_with_neighbors(X, 400, rng())
    assert all(np.isin(made[:, column], X[:, column]).all() for column in range(3))
    far = made > 500
    assert_array_equal(far.any(axis=1), far.all(axis=1))
    new = ~(made[:, None] == X).all(axis=2).any(axis=1)
    assert new.mean() > 0.5
    own = (made[:, None] == X).mean(axis=2).max(axis=1)
    assert 0.5 < own.mean() < 0.9


def test_rows_within_reach_are_near_and_far():
    # A line of points: the distance of two is that of their ranks.
    X = np.repeat(np.arange(2000.0)[:, None], 8, axis=1)
    made = swap_within_reach(X, 4000, rng())
    assert np.isin(made, X).all()
    distance = np.ptp(made, axis=1)
    near = distance <= 10
    assert 0.5 < near.mean() < 0.75
    # Log-uniform: about as many within each factor of four.
    counts, _ = np.histogram(distance[~near], [10, 40, 160, 640])
    assert counts.min() > 0.6 * counts.max()
    assert distance.max() > 1000
    near = np.ptp(swap_with_neighbors(X, 4000, rng()), axis=1)
    assert near.max() <= 10


def test_few_rows_are_all_within_reach(X):
    assert_array_equal(np.unique(swap_within_reach(X[:12], 48, rng())), np.unique(X[:12]))


@pytest.mark.parametrize(
    ("student", "expected"),
    [(DLFClassifier, ["reach", "neighbors"]), (DLFRegressor, ["neighbors"])],
)
def test_classifiers_reach_farther_than_regressors(X, student, expected, monkeypatch):
    seen = []

    def make(name):
        def rows(X, n_rows, random_state):
            seen.append(name)
            return X[:n_rows]

        return rows

    for name in AUGMENTATIONS:
        monkeypatch.setitem(AUGMENTATIONS, name, make(name))
    labels = np.repeat([0, 1], 20)
    kind = RandomForestClassifier if student is DLFClassifier else RandomForestRegressor
    student(**QUICK).fit(X, labels, ensemble=kind(5, random_state=0).fit(X, labels))
    assert seen == expected  # rows to learn from, and those of the calibration


def test_mixed_rows_lie_between_neighbours(X):
    clusters = np.concatenate([X, X + 1000])
    made = mix_with_neighbors(clusters, 100, rng())
    assert not np.isin(made, clusters).any()
    low, high = X.min(axis=0), X.max(axis=0)
    far = made.min(axis=1, keepdims=True) > 500
    assert far.any()
    assert not far.all()
    assert ((made - 1000 * far >= low) & (made - 1000 * far <= high)).all()


def test_a_row_serves_as_often_as_the_others(X):
    made = swap_with_neighbors(X * [1, 1e9, 1e-9], 4 * len(X), rng())
    again = swap_with_neighbors(X * [1, 1e9, 1e-9], 4 * len(X), rng())
    assert_array_equal(made, again)
    parents = np.abs((made[:, None] - X * [1, 1e9, 1e-9]) == 0).sum(axis=2).argmax(axis=1)
    assert len(np.unique(parents)) > 35


def test_how_many_rows_are_made(X):
    assert len(make_rows("neighbors", X, np.inf, rng())) == 160
    assert len(make_rows("neighbors", X, 7, rng())) == 7
    assert len(make_rows("neighbors", X, -3, rng())) == 0
    assert len(make_rows(None, X, 7, rng())) == 0
    assert len(make_rows("neighbors", X[:1], np.inf, rng())) == 0
    many = rng().standard_normal((20_000, 2))
    assert len(make_rows("mixup", many, np.inf, rng())) == MAX_MADE


def test_a_single_column_is_mixed():
    X = np.arange(30.0)[:, None]
    assert not np.isin(make_rows("auto", X, np.inf, rng()), X).any()


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (lambda X, n, random_state: X, r"expected shape \(160, 3\); got \(40, 3\)"),
        (lambda X, n, random_state: np.full((n, 3), np.nan), "rows of augment contains NaN"),
    ],
)
def test_rows_of_a_callable_are_checked(X, asked, augment, message):
    with pytest.raises(ValueError, match=message):
        DLFRegressor(augment=augment, **QUICK).fit(X, ensemble=asked.ensemble())


def test_rows_of_a_callable_are_asked_about(X, asked):
    def far_away(X, n_rows, random_state):
        return np.full((n_rows, X.shape[1]), 99.0)

    DLFRegressor(augment=far_away, **QUICK).fit(X, ensemble=asked.ensemble())
    assert_array_equal(asked.rows[:40], X)
    assert_array_equal(asked.rows[40:], np.full((160, 3), 99.0))


def test_pandas_columns_keep_names_and_types():
    X = pd.DataFrame({"size": [1, 2, 3], "share": [0.5, 0.25, 0.1], "is_new": [True, False, True]})
    swapped = rows_like(X, np.array([[3, 0.25, 1], [1, 0.1, 0]]))
    expected = pd.DataFrame({"size": [3, 1], "share": [0.25, 0.1], "is_new": [True, False]})
    pd.testing.assert_frame_equal(swapped, expected)
    mixed = rows_like(X, np.array([[1.5, 0.25, 1]]))
    assert mixed["size"].tolist() == [1.5]


def test_polars_columns_keep_names_and_types():
    pl = pytest.importorskip("polars")
    X = pl.DataFrame({"size": [1, 2, 3], "share": [0.5, 0.25, 0.1]})
    swapped = rows_like(X, np.array([[3, 0.25], [1, 0.1]]))
    assert swapped.equals(pl.DataFrame({"size": [3, 1], "share": [0.25, 0.1]}))
    assert rows_like(X, np.array([[1.5, 0.25]]))["size"].to_list() == [1.5]


def test_arrays_keep_their_type_where_values_fit():
    assert rows_like(np.ones((2, 1), dtype=np.float32), np.array([[0.1]])).dtype == np.float32
    assert rows_like(np.ones((2, 1), dtype=int), np.array([[3.0]])).dtype == int
    assert rows_like([[1], [2]], np.array([[0.5]])).tolist() == [[0.5]]


def test_ensembles_of_frames_are_asked_by_frames(asked):
    X = pd.DataFrame(rng().randint(5, size=(30, 2)), columns=["a", "b"])
    DLFRegressor(**QUICK).fit(X, ensemble=asked.ensemble())
    assert list(asked.rows.columns) == ["a", "b"]
    assert asked.rows.shape == (150, 2)
    assert (asked.rows.dtypes == X.dtypes).all()


def test_design_points_are_added_and_learnt(asked, X):
    y = asked(X).mean(axis=1) + rng().standard_normal(40)
    without = DLFRegressor(augment=None, **QUICK).fit(X, y, ensemble=asked.ensemble())
    assert len(asked.rows) == 40
    with_added = DLFRegressor(**QUICK).fit(X, y, ensemble=asked.ensemble())
    assert len(asked.rows) == 200
    # The scores and the noise of y know the rows of y alone, the units all that were asked about.
    assert with_added.ensemble_score_ == without.ensemble_score_
    assert_allclose(
        with_added.target_noise_.member_variances, without.target_noise_.member_variances
    )
    outputs = member_predictions(asked.ensemble(), asked.rows)
    assert_allclose(with_added.output_center_, outputs.mean())
    assert_allclose(with_added.scaler_.mean_, X.mean(axis=0))


def test_classifiers_are_asked_about_rows_that_are_not_learnt(asked, X):
    X = X - 5
    student = DLFClassifier(**QUICK).fit(X, ensemble=asked.classifiers())
    design, near = np.split(asked.rows, [200])
    assert 100 < len(near) < 160  # of four for each, those that are no design points
    for column in range(3):
        assert np.isin(near[:, column], X[:, column]).all()
    assert not (near[:, None] == design).all(axis=2).any()
    # The units are those of the design points.
    assert_allclose(student.output_center_, asked(design).mean())
    DLFClassifier(refine=False, **QUICK).fit(X, ensemble=asked.classifiers())
    assert len(asked.rows) == 200
    DLFClassifier(augment=None, **QUICK).fit(X, ensemble=asked.classifiers())
    assert len(asked.rows) == 40


def test_discrete_columns_leave_no_row_that_is_not_learnt(asked):
    X = rng().randint(2, size=(40, 3)).astype(float)
    DLFClassifier(**QUICK).fit(X, ensemble=asked.classifiers())
    assert len(asked.rows) == 200


def test_rows_that_are_not_learnt_are_few(asked, X, monkeypatch):
    monkeypatch.setattr("sklearn_dlf._estimators.dlf_classifier.N_ROWS", 70)
    DLFClassifier(**QUICK).fit(X, ensemble=asked.classifiers())
    assert 200 + 50 < len(asked.rows) <= 200 + 70


def test_unlabeled_rows_are_asked_about_and_need_no_y(asked, X):
    student, y = DLFRegressor(augment=None, **QUICK), asked(X)[:, 1]
    student.fit(X, y, ensemble=asked.ensemble(), X_unlabeled=X[:7] + 100)
    assert_array_equal(asked.rows, np.concatenate([X, X[:7] + 100]))
    DLFRegressor(**QUICK).fit(X, ensemble=asked.ensemble(), X_unlabeled=X[:7] + 100)
    assert len(asked.rows) == 47 * 5
    assert (asked.rows[47:] > 50).any()


def test_unlabeled_rows_must_have_the_same_columns(asked, X):
    with pytest.raises(ValueError, match="X has 2 features, but DLFRegressor is expecting 3"):
        DLFRegressor(**QUICK).fit(X, ensemble=asked.ensemble(), X_unlabeled=X[:, :2])


def test_rows_without_weight_are_not_built_on(asked, X):
    weights = np.ones(40)
    weights[:20] = 0
    X[:20] += 1000
    DLFRegressor(**QUICK).fit(X, ensemble=asked.ensemble(), sample_weight=weights)
    assert asked.rows[40:].shape == (80, 3)
    assert asked.rows[40:].max() < 500


def test_added_rows_have_the_mean_weight(asked, X):
    def same(X, n_rows, random_state):
        return np.zeros((n_rows, 3))

    weights = np.arange(1.0, 41.0)
    fit = {"X": X, "ensemble": asked.ensemble()}
    student = DLFRegressor(augment=same, **QUICK).fit(**fit, sample_weight=weights)
    means = asked(asked.rows).mean(axis=1)
    expected = np.average(means, weights=np.r_[weights, np.full(160, weights.mean())])
    assert_allclose(student.output_center_, expected)


@pytest.mark.parametrize("parameter", ["augment", "X_unlabeled"])
def test_predictions_say_nothing_of_other_rows(X, parameter):
    student = DLFRegressor(**QUICK)
    fit = {"predictions": X}
    if parameter == "augment":
        student.set_params(augment="neighbors")
    else:
        fit["X_unlabeled"] = X
    with pytest.raises(ValueError, match=f"{parameter}.* predictions say nothing of other rows"):
        student.fit(X, **fit)


def test_rows_transformed_for_the_student_alone_cannot_be_made(asked, X):
    transformed = StandardScaler().fit_transform(X)
    fit = {"X": transformed, "ensemble": asked.ensemble(), "X_ensemble": X}
    with pytest.raises(ValueError, match="transformation of X_ensemble to X is not known"):
        DLFRegressor(augment="mixup", **QUICK).fit(**fit)
    DLFRegressor(**QUICK).fit(**fit)
    assert len(asked.rows) == 40


def test_draws_of_a_posterior_are_made_for_all_rows_at_once(X):
    y = np.sin(X[:, 0])
    process = GaussianProcessRegressor(alpha=0.01).fit(X, y)
    student = DLFRegressor(**QUICK).fit(X, y, ensemble=process)
    drawn = process.sample_y(np.concatenate([X, X]), 5, random_state=0)
    assert drawn.shape[0] < MAX_JOINT_ROWS
    assert student.n_members_ == 50
    assert 0 < student.predict(X, return_std=True)[1].max() < 5


def test_made_rows_restore_the_spread_of_trees_that_interpolate():
    X, y = make_friedman1(1200, noise=1.0, random_state=0)
    trees = ExtraTreesRegressor(50, random_state=0).fit(X[:200], y[:200])
    assert member_predictions(trees, X[:200]).std(axis=1).max() < 1e-10
    own = member_predictions(trees, X[200:]).std(axis=1).mean()
    student = DLFRegressor(q=4, tol=0.01, random_state=0).fit(X[:200], y[:200], ensemble=trees)
    assert 0.5 < student.predict(X[200:], return_std=True)[1].mean() / own < 1.2
    covered = interval_coverage(y[200:], student.predict_interval(X[200:], 0.9))
    assert 0.75 < covered < 0.98


def test_members_that_hardly_differ_are_told(X):
    predictions = X[:, :1] + 1e-5 * rng().standard_normal((40, 4))
    with pytest.warns(UserWarning, match="hardly differ .* X_unlabeled"):
        DLFRegressor(**QUICK).fit(X, predictions=predictions)


def test_classifiers_are_asked_about_more_rows_too():
    X, y = load_iris(return_X_y=True)
    forest = RandomForestClassifier(10, random_state=0).fit(X, y)
    unlabeled = np.array([[9.0, 9.0, 9.0, 9.0]])
    student = DLFClassifier(augment="mixup", **QUICK)
    student.fit(X, y, ensemble=forest, X_unlabeled=unlabeled)
    assert student.ensemble_score_ == forest.score(X, y)
    assert student.predict_proba(X).shape == (150, 3)
    same = DLFClassifier(augment="mixup", **QUICK)
    same.fit(X, y, ensemble=forest, X_unlabeled=unlabeled)
    assert_array_equal(same.predict_proba(X), student.predict_proba(X))


def test_the_same_seed_makes_the_same_rows(asked, X):
    DLFRegressor(**QUICK).fit(X, ensemble=asked.ensemble())
    first = asked.rows
    DLFRegressor(**QUICK).fit(X, ensemble=asked.ensemble())
    assert_array_equal(asked.rows, first)
    DLFRegressor(**{**QUICK, "random_state": 1}).fit(X, ensemble=asked.ensemble())
    assert not np.array_equal(asked.rows, first)


def test_intervals_around_a_noise_free_teacher_are_of_what_the_student_misses():
    X, y = make_friedman1(100, random_state=0)
    forest = RandomForestRegressor(5, bootstrap=False, max_features=1, random_state=0).fit(X, y)
    with pytest.warns(UserWarning, match="All members agree"):
        student = DLFRegressor(augment=None, **QUICK).fit(X, y, ensemble=forest)
    misfit = np.sqrt(np.mean((student.predict(X) - forest.predict(X)) ** 2))
    width = 2 * norm.ppf(0.95) * misfit
    assert_allclose(np.ptp(student.predict_interval(X), axis=1), width, rtol=1e-4)
