import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from sklearn.datasets import load_iris, make_friedman1
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._transfer.design_points import (
    MAX_JOINT_ROWS,
    MAX_MADE,
    MAX_MADE_ENCODED,
    count_made_rows,
)
from sklearn_dlf._transfer.row_makers import ROW_MAKERS
from sklearn_dlf.ensembles import FittedEnsemble, member_predictions
from sklearn_dlf.ensembles._pathwise import PosteriorPaths
from sklearn_dlf.exceptions import SeenRowsWarning
from sklearn_dlf.metrics import interval_coverage

QUICK = {"q": 2, "hidden_layer_sizes": (8,), "n_epochs": 1, "tol": 10.0, "random_state": 0}


def rng():
    return np.random.RandomState(0)


class Recorder:
    """Three functions that keep the rows at which they were evaluated last."""

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
def recorder():
    return Recorder()


@pytest.fixture(name="X")
def rows():
    return rng().standard_normal((40, 3)) + 5


@pytest.mark.parametrize(
    ("student", "expected"),
    [
        (DLFClassifier, ["far_neighbors+local", "neighbors"]),
        (DLFRegressor, ["neighbors+local", "neighbors+local"]),
    ],
)
def test_classifiers_have_farther_neighbors_than_regressors(X, student, expected, monkeypatch):
    seen = []

    def make(name):
        def rows(table, n_rows, random_state):
            seen.append(name)
            return table.take(np.arange(n_rows) % len(table))

        return rows

    for name in ROW_MAKERS:
        monkeypatch.setitem(ROW_MAKERS, name, make(name))
    labels = np.repeat([0, 1], 20)
    kind = RandomForestClassifier if student is DLFClassifier else RandomForestRegressor
    student(**QUICK).fit(X, labels, ensemble=kind(5, random_state=0).fit(X, labels))
    assert seen == expected  # rows to learn from, and those of the calibration


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (lambda X, n, random_state: X, r"expected shape \(160, 3\); got \(40, 3\)"),
        (lambda X, n, random_state: np.full((n, 3), np.nan), "rows of augment contains NaN"),
    ],
)
def test_rows_of_a_callable_are_checked(X, recorder, augment, message):
    with pytest.raises(ValueError, match=message):
        DLFRegressor(augment=augment, **QUICK).fit(X, ensemble=recorder.ensemble())


def test_the_ensemble_is_evaluated_at_rows_of_a_callable(X, recorder):
    def far_away(X, n_rows, random_state):
        return np.full((n_rows, X.shape[1]), 99.0)

    DLFRegressor(augment=far_away, **QUICK).fit(X, ensemble=recorder.ensemble())
    assert_array_equal(recorder.rows[:40], X)
    assert_array_equal(recorder.rows[40:], np.full((160, 3), 99.0))


@pytest.mark.parametrize(
    ("n_rows", "n_parameters", "n_values", "is_encoded", "expected"),
    [
        (5000, 100, 50, False, 20_000),  # four for each row
        (500, 100, 50, False, 2000),
        (500, 5_000, 50, False, 10_000),  # two for each parameter
        (500, 5_000, 2**12, False, 4096),  # as many as members may have outputs
        (500, 5_000, 2**23, False, 2000),
        (20_000, 100, 50, False, MAX_MADE),
        (100, 10**6, 2, False, MAX_MADE),
        (500, 100, 50, True, 20_000),  # forty for each row, in tests (see conftest)
        (20_000, 100, 50, True, MAX_MADE_ENCODED),
        (500, 100, 2**12, True, 4096),
    ],
)
def test_how_many_rows_are_made(n_rows, n_parameters, n_values, is_encoded, expected):
    assert count_made_rows(n_rows, n_parameters, n_values, is_encoded) == expected


def test_a_number_of_rows_that_are_not_made_gives_a_warning(recorder, X):
    student = DLFRegressor(augment=None, n_augmented=10, **QUICK)
    with pytest.warns(UserWarning, match="n_augmented=10 has no effect"):
        student.fit(X, ensemble=recorder.ensemble())


def test_a_larger_network_learns_at_more_rows(recorder, X):
    numbers = []
    for units in (8, 100):
        student = DLFRegressor(**{**QUICK, "hidden_layer_sizes": (units, units)})
        student.fit(X, ensemble=recorder.ensemble())
        numbers.append(len(recorder.rows))
    assert numbers == [40 + 2 * (32 + 72), 40 + MAX_MADE]


def test_ensembles_of_frames_get_frames(recorder):
    X = pd.DataFrame(rng().randint(5, size=(30, 2)), columns=["a", "b"])
    DLFRegressor(**QUICK).fit(X, ensemble=recorder.ensemble())
    assert list(recorder.rows.columns) == ["a", "b"]
    assert recorder.rows.shape == (150, 2)
    assert (recorder.rows.dtypes == X.dtypes).all()


def test_design_points_are_added_and_learnt(recorder, X):
    y = recorder(X).mean(axis=1) + rng().standard_normal(40)
    ensemble = recorder.ensemble()
    without = DLFRegressor(augment=None, **QUICK).fit(X, y, ensemble=ensemble, unseen=True)
    assert len(recorder.rows) == 40
    with_added = DLFRegressor(**QUICK).fit(X, y, ensemble=ensemble, unseen=True)
    design = recorder.rows[:200]
    # The score is that of the rows with y; the units are those of all design points.
    assert with_added.ensemble_score_ == without.ensemble_score_
    outputs = member_predictions(ensemble, design)
    assert_allclose(with_added.output_center_, outputs.mean())
    assert_allclose(with_added.scaler_.mean_, X.mean(axis=0))


def test_calibration_rows_are_no_design_points(recorder, X):
    X = X - 5
    student = DLFClassifier(**QUICK).fit(X, ensemble=recorder.classifiers())
    design, near = np.split(recorder.rows, [200])
    assert 100 < len(near) < 160  # of four for each, those that are no design points
    for column in range(3):
        assert np.isin(near[:, column], X[:, column]).all()
    assert not (near[:, None] == design).all(axis=2).any()
    # The units are those of the design points.
    assert_allclose(student.output_center_, recorder(design).mean())
    DLFClassifier(refine=False, **QUICK).fit(X, ensemble=recorder.classifiers())
    assert len(recorder.rows) == 200
    DLFClassifier(augment=None, **QUICK).fit(X, ensemble=recorder.classifiers())
    assert len(recorder.rows) == 40


def test_regressors_have_calibration_rows_if_y_is_given(recorder, X):
    ensemble = recorder.ensemble()
    DLFRegressor(**QUICK).fit(X, ensemble=ensemble)
    assert len(recorder.rows) == 200
    y = recorder(X).mean(axis=1) + rng().standard_normal(40)
    DLFRegressor(**QUICK).fit(X, y, ensemble=ensemble, unseen=True)
    design, near = np.split(recorder.rows, [200])
    assert 100 < len(near) < 160  # of four for each, those that are no design points
    assert not (near[:, None] == design).all(axis=2).any()


def test_discrete_columns_leave_no_calibration_rows(recorder):
    X = rng().randint(2, size=(40, 3)).astype(float)
    DLFClassifier(**QUICK).fit(X, ensemble=recorder.classifiers())
    assert len(recorder.rows) == 200


def test_calibration_rows_are_limited(recorder, X, monkeypatch):
    monkeypatch.setattr("sklearn_dlf._transfer.design_points.MAX_CALIBRATION_ROWS", 70)
    DLFClassifier(**QUICK).fit(X, ensemble=recorder.classifiers())
    assert 200 + 50 <= len(recorder.rows) <= 200 + 70


def test_unlabeled_rows_are_design_points_and_need_no_y(recorder, X):
    student, y = DLFRegressor(augment=None, **QUICK), recorder(X)[:, 1]
    student.fit(X, y, ensemble=recorder.ensemble(), X_unlabeled=X[:7] + 8)
    assert_array_equal(recorder.rows, np.concatenate([X, X[:7] + 8]))
    DLFRegressor(**QUICK).fit(X, ensemble=recorder.ensemble(), X_unlabeled=X[:7] + 8)
    assert len(recorder.rows) == 47 * 5
    assert (recorder.rows[47:] > 10).all(axis=1).any()


@pytest.mark.parametrize("transform", [lambda X: X + 30, lambda X: 50 * X])
def test_unlabeled_rows_in_other_units_give_a_warning(recorder, X, transform):
    unlabeled = transform(X - X.mean(axis=0))
    with pytest.warns(
        UserWarning, match=r"far from X, or on another scale.*transform_input"
    ) as record:
        DLFRegressor(**QUICK).fit(
            X - X.mean(axis=0), ensemble=recorder.ensemble(), X_unlabeled=unlabeled
        )
    assert record[0].filename == __file__


@pytest.mark.filterwarnings("ignore:One value makes up")
def test_unlabeled_rows_like_those_of_fit_give_no_warning(recorder):
    # Rare indicators, counts and heavy tails, of which few rows say little.
    for seed in range(5):
        random = np.random.RandomState(seed)

        def draw(n_rows, random=random):
            indicators = random.uniform(size=(n_rows, 4)) < 0.03
            heavy = [random.standard_cauchy(n_rows), np.exp(2.5 * random.standard_normal(n_rows))]
            return np.column_stack([indicators, random.binomial(10, 0.02, n_rows), *heavy])

        fit = {"ensemble": recorder.ensemble(), "X_unlabeled": draw(10)}
        DLFRegressor(**QUICK).fit(draw(60), **fit)


def test_unlabeled_rows_must_have_the_same_columns(recorder, X):
    with pytest.raises(ValueError, match="X has 2 features, but DLFRegressor is expecting 3"):
        DLFRegressor(**QUICK).fit(X, ensemble=recorder.ensemble(), X_unlabeled=X[:, :2])


def test_no_rows_are_made_from_rows_without_weight(recorder, X):
    weights = np.ones(40)
    weights[:20] = 0
    X[:20] += 1000
    DLFRegressor(**QUICK).fit(X, ensemble=recorder.ensemble(), sample_weight=weights)
    assert recorder.rows.shape == (100, 3)  # nor are these rows evaluated
    assert recorder.rows.max() < 500


def test_added_rows_have_the_mean_weight(recorder, X):
    def same(X, n_rows, random_state):
        return np.zeros((n_rows, 3))

    weights = np.arange(1.0, 41.0)
    fit = {"X": X, "ensemble": recorder.ensemble()}
    student = DLFRegressor(augment=same, **QUICK).fit(**fit, sample_weight=weights)
    means = recorder(recorder.rows).mean(axis=1)
    expected = np.average(means, weights=np.r_[weights, np.full(160, weights.mean())])
    assert_allclose(student.output_center_, expected)


@pytest.mark.parametrize("parameter", ["augment", "X_unlabeled"])
def test_predictions_have_no_other_rows(X, parameter):
    student = DLFRegressor(**QUICK)
    fit = {"predictions": X}
    if parameter == "augment":
        student.set_params(augment="neighbors")
    else:
        fit["X_unlabeled"] = X
    with pytest.raises(ValueError, match=f"{parameter}.* predictions are known at the rows of X"):
        student.fit(X, **fit)


def test_no_rows_are_made_if_the_ensemble_takes_other_rows(recorder, X):
    transformed = StandardScaler().fit_transform(X)
    fit = {"X": transformed, "ensemble": recorder.ensemble(), "X_ensemble": X}
    with pytest.raises(ValueError, match="the way from rows of X to those of X_ensemble is not"):
        DLFRegressor(augment="mixup", **QUICK).fit(**fit)
    DLFRegressor(**QUICK).fit(**fit)
    assert len(recorder.rows) == 40


class JointDraws:
    """A posterior of another library, which counts the rows of each call."""

    def __init__(self):
        self.n_rows = []

    def sample_y(self, X, n_samples=1, random_state=None):
        self.n_rows.append(len(X))
        slopes = np.random.default_rng(0).normal(size=(X.shape[1], n_samples))
        return np.asarray(X) @ slopes


def test_draws_of_a_posterior_are_made_for_all_rows_at_once(X):
    posterior = JointDraws()
    student = DLFRegressor(**QUICK).fit(X, ensemble=posterior)
    assert 40 < posterior.n_rows[-1] <= MAX_JOINT_ROWS
    assert student.n_members_ == 1000


def test_rows_of_draws_that_are_functions_are_not_limited(X, monkeypatch):
    process = GaussianProcessRegressor(alpha=0.01, optimizer=None).fit(X, np.sin(X[:, 0]))
    n_rows = []
    evaluate = PosteriorPaths.evaluate

    def count(paths, rows):
        n_rows.append(len(rows))
        return evaluate(paths, rows)

    monkeypatch.setattr(PosteriorPaths, "evaluate", count)
    student = DLFRegressor(**QUICK).set_params(hidden_layer_sizes=(40, 40))
    student.fit(X, np.sin(X[:, 0]), ensemble=FittedEnsemble(process, n_members=50))
    assert max(n_rows) > MAX_JOINT_ROWS


def test_made_rows_restore_the_spread_of_trees_that_interpolate():
    X, y = make_friedman1(1200, noise=1.0, random_state=0)
    trees = ExtraTreesRegressor(50, random_state=0).fit(X[:200], y[:200])
    assert member_predictions(trees, X[:200]).std(axis=1).max() < 1e-10
    own = member_predictions(trees, X[200:]).std(axis=1).mean()
    student = DLFRegressor(q=4, tol=0.01, random_state=0).fit(X[:200], y[:200], ensemble=trees)
    assert 0.5 < student.predict(X[200:], return_std=True)[1].mean() / own < 1.2
    covered = interval_coverage(y[200:], student.predict_interval(X[200:], 0.9))
    assert 0.75 < covered < 0.99


def test_members_that_hardly_differ_give_a_warning(X):
    predictions = X[:, :1] + 1e-5 * rng().standard_normal((40, 4))
    with pytest.warns(UserWarning, match="hardly differ .* X_unlabeled"):
        DLFRegressor(**QUICK).fit(X, predictions=predictions)


def test_equal_members_are_told_to_differ_by_their_rows(X):
    model = Ridge().fit(X, X[:, 0])
    with pytest.warns(UserWarning, match=r"points: the .*rows that are not among .*bootstrap"):
        DLFRegressor(**QUICK).fit(X, ensemble=[model] * 3, X_unlabeled=X + 1)
    predictions = np.stack([X[:, :1] * np.ones(3), rng().standard_normal((40, 3))], axis=1)
    with pytest.warns(UserWarning, match=r"in 1 of 2 outputs.*X_unlabeled"):
        DLFRegressor(**QUICK).fit(X, predictions=predictions)


def test_unlabeled_rows_of_classifiers():
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


def test_the_same_seed_makes_the_same_rows(recorder, X):
    DLFRegressor(**QUICK).fit(X, ensemble=recorder.ensemble())
    first = recorder.rows
    DLFRegressor(**QUICK).fit(X, ensemble=recorder.ensemble())
    assert_array_equal(recorder.rows, first)
    DLFRegressor(**{**QUICK, "random_state": 1}).fit(X, ensemble=recorder.ensemble())
    assert not np.array_equal(recorder.rows, first)


def test_intervals_around_noise_free_predictions_cover_the_students_error():
    X, y = make_friedman1(100, random_state=0)
    forest = RandomForestRegressor(5, bootstrap=False, max_features=1, random_state=0).fit(X, y)
    predictions = np.repeat(forest.predict(X)[:, None], 5, axis=1)
    with pytest.warns(UserWarning, match="All members agree"):
        student = DLFRegressor(**QUICK).fit(X, y, predictions=predictions)
    misfit = np.sqrt(np.mean((student.predict(X) - forest.predict(X)) ** 2))
    width = 2 * norm.ppf(0.95) * misfit
    assert_allclose(np.ptp(student.predict_interval(X), axis=1), width, rtol=1e-4)


def test_without_made_rows_the_misfit_is_nearly_that_at_new_rows():
    X, y = make_friedman1(3200, random_state=0)
    trees = RandomForestRegressor(20, random_state=0).fit(X[:200], y[:200])
    options = {**QUICK, "n_epochs": 4, "augment": None, "body": "piecewise_linear"}
    student = DLFRegressor(**options).fit(X[:200], y[:200], ensemble=trees)
    mean, std = student.predict(X[200:], return_std=True)
    error = np.mean((mean - trees.predict(X[200:])) ** 2)
    misfit = student.target_noise_.misfit(std[:, None] ** 2).mean()
    assert 0.4 * error < misfit < 1.5 * error


def test_rows_between_codes_that_the_ensemble_refuses_leave_no_calibration_rows():
    codes = rng().permutation(np.repeat(np.arange(50.0), 2))
    X = np.column_stack([codes, rng().standard_normal(100)])

    def refuse(rows):
        if not np.isin(rows[:, 0], codes).all():
            raise RuntimeError("an unknown code")
        return rows[:, 1]

    members = FittedEnsemble(
        [refuse, lambda X: 2 * refuse(X), lambda X: -refuse(X)], outputs="values"
    )
    student = DLFRegressor(augment=None, **QUICK)
    with pytest.warns(SeenRowsWarning):
        student.fit(X, X[:, 1], ensemble=members)
    assert np.isfinite(student.predict_interval(X)).all()
