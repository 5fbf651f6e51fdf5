import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dlf import DLFClassifier, DLFRegressor, predict_uncertainty, sample_predictions
from sklearn_dlf.ensembles import member_predictions
from sklearn_dlf.metrics import mutual_information
from sklearn_dlf.plotting import SpreadDisplay, UncertaintyDisplay

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

QUICK = {"q": 3, "n_epochs": 4, "tol": 0.5, "augment": None, "random_state": 0}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def trees(iris):
    return RandomForestClassifier(20, min_samples_leaf=3, random_state=0).fit(*iris)


@pytest.fixture(scope="module")
def student_of_trees(iris, trees):
    return DLFClassifier(**QUICK).fit(*iris, ensemble=trees)


def test_spread_of_regressors_is_the_members_standard_deviation(friedman, forest, student):
    X, _ = friedman
    display = SpreadDisplay.from_estimator(student, X, ensemble=forest)
    assert_allclose(
        display.teacher_spread, member_predictions(forest, X).std(axis=1, ddof=1), rtol=1e-12
    )
    assert_array_equal(display.student_spread, student.predict(X, return_std=True)[1])
    assert_array_equal(
        display.points_.get_offsets(), np.c_[display.teacher_spread, display.student_spread]
    )
    assert display.ax_.get_xlabel() == "teacher: spread of members"


def test_spread_of_classifiers_is_mutual_information(iris, trees, student_of_trees):
    X, _ = iris
    display = SpreadDisplay.from_estimator(student_of_trees, X, ensemble=trees)
    assert_allclose(display.teacher_spread, mutual_information(member_predictions(trees, X)))
    assert_array_equal(display.student_spread, student_of_trees.predict_uncertainty(X).epistemic)
    assert display.ax_.get_ylabel() == "student: epistemic uncertainty (nats)"


def test_students_are_found_in_pipelines_and_teachers_get_their_own_rows(friedman, forest):
    X, y = friedman
    pipeline = make_pipeline(StandardScaler(), DLFRegressor(**QUICK))
    pipeline.fit(X, y, dlfregressor__ensemble=forest, dlfregressor__X_ensemble=X)
    scaled = pipeline[0].transform(X)
    display = SpreadDisplay.from_estimator(pipeline, X, ensemble=forest)
    assert_array_equal(display.student_spread, pipeline[1].predict(scaled, return_std=True)[1])
    inner = SpreadDisplay.from_estimator(pipeline[1], scaled, ensemble=forest, X_ensemble=X)
    assert_array_equal(inner.teacher_spread, display.teacher_spread)


def test_spread_under_a_transformed_target_is_in_units_of_y(friedman):
    X, y = friedman
    model = TransformedTargetRegressor(
        DLFRegressor(RandomForestRegressor(10, random_state=0), **QUICK),
        transformer=StandardScaler(),
    ).fit(X, 100 * y)
    display = UncertaintyDisplay.from_estimator(model, X, X)
    drawn = sample_predictions(model, X, 2000, random_state=1).std(axis=1)
    assert_allclose(display.inside.mean(), drawn.mean(), rtol=0.1)  # 200 draws against 2000


def test_classifiers_are_found_in_pipelines(iris, trees):
    X, y = iris
    pipeline = make_pipeline(StandardScaler(), DLFClassifier(**QUICK))
    pipeline.fit(X, y, dlfclassifier__ensemble=trees, dlfclassifier__X_ensemble=X)
    with pytest.warns(UserWarning, match="Nearly all rows"):  # columns in another order
        display = UncertaintyDisplay.from_estimator(pipeline, X, X[:50, ::-1])
    assert_array_equal(display.inside, predict_uncertainty(pipeline, X).epistemic)


def test_an_ensemble_of_one_member_is_refused(friedman):
    X, y = friedman
    single = RandomForestRegressor(1, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="at least two members, got 1"):
        UncertaintyDisplay.from_estimator(single, X, X)


def test_errors_name_the_rows_outside(iris, trees):
    X, _ = iris
    model = DLFClassifier(**QUICK).fit(*iris, ensemble=trees)
    for estimator in (model, trees):
        with pytest.raises(ValueError, match="X_outside cannot be evaluated"):
            UncertaintyDisplay.from_estimator(estimator, X, X[:, :2])


def test_histograms_count_every_row_once(iris, trees):
    X, _ = iris
    display = UncertaintyDisplay.from_estimator(trees, X, X[:50, ::-1], bins=[1e-3, 0.1, 0.2])
    inside, outside = display.ax_.containers
    heights = [bar.get_height() for bar in inside]
    assert_allclose(
        heights, np.array([np.sum(display.inside < 0.1), np.sum(display.inside >= 0.1)]) / 150
    )
    assert_allclose(sum(bar.get_height() for bar in outside), 1)


def test_default_bins_include_zeros():
    display = UncertaintyDisplay.from_predictions([0.0, 0.0, 0.5], [0.01, 1.0], bins=7)
    inside, outside = display.ax_.containers
    assert len(inside) == 7
    assert_allclose([inside[0].get_height(), outside[-1].get_height()], [2 / 3, 1 / 2])


def test_default_bins_if_all_uncertainties_are_zero():
    display = UncertaintyDisplay.from_predictions([0.0, 0.0], [0.0])
    assert display.auroc == 0.5
    assert_allclose(sum(bar.get_height() for bar in display.ax_.containers[0]), 1)


def test_auroc_is_the_share_of_pairs_in_order():
    display = UncertaintyDisplay.from_predictions([0.1, 0.3], [0.2, 0.4, 0.3])
    assert_allclose(display.auroc, (2 + 1 + 1.5) / 6)
    assert "AUROC 0.75" in display.ax_.get_legend().get_texts()[1].get_text()


def test_given_axes_and_styles_are_used():
    figure, ax = plt.subplots()
    display = SpreadDisplay.from_predictions([1.0, 2.0], [1.0, 3.0], ax=ax, color="red")
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert_allclose(display.points_.get_facecolor()[0, :3], [1, 0, 0])


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        ([[0.1, 0.2]], r"one value for each row; got shape \(1, 2\)"),
        ([-0.1], "must not be negative; the smallest is -0.1"),
        ([np.nan], "inside contains NaN"),
    ],
)
def test_bad_uncertainty_is_refused(inside, message):
    with pytest.raises(ValueError, match=message):
        UncertaintyDisplay.from_predictions(inside, [0.1])


def test_spreads_of_different_numbers_of_rows_are_refused():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        SpreadDisplay.from_predictions([0.1, 0.2], [0.1])


def test_estimators_without_members_are_refused(iris):
    with pytest.raises(TypeError, match="StandardScaler"):
        UncertaintyDisplay.from_estimator(StandardScaler(), iris[0], iris[0])


def test_missing_matplotlib_is_an_error_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install 'sklearn-dlf\[plot\]'"):
        SpreadDisplay.from_predictions([0.1], [0.1])


def test_a_constant_spread_has_no_rank_correlation():
    display = SpreadDisplay.from_predictions([0.5, 0.5, 0.5], [1.0, 2.0, 3.0])
    assert display.ax_.get_title() == "Row by row"


@pytest.mark.parametrize(
    ("bins", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (1.5, TypeError),
        (True, TypeError),
        ("many", TypeError),
        ([1.0], ValueError),
        ([2.0, 1.0], ValueError),
        ([0.0, 1.0], ValueError),
    ],
)
def test_bins_that_are_none_are_refused_by_name(bins, error):
    with pytest.raises(error, match="bins"):
        UncertaintyDisplay.from_predictions([0.1, 0.2], [0.3, 0.4], bins=bins)
