"""The warnings for targets of one sign whose intervals, or draws, reach beyond zero."""

import warnings

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.ensemble import RandomForestRegressor
from sklearn.preprocessing import FunctionTransformer

from sklearn_dlf import DLFRegressor
from sklearn_dlf._fitting import support
from sklearn_dlf._predictive.target_distribution import TargetDistribution
from sklearn_dlf._transfer.design_points import Points
from sklearn_dlf._transfer.residuals import MemberResiduals
from sklearn_dlf.baselines import HydraRegressor
from sklearn_dlf.ensembles import FittedEnsemble, member_predictions
from sklearn_dlf.exceptions import SeenRowsWarning

MESSAGE = "intervals reach {} zero at .* of rows.*TransformedTargetRegressor.*np.log1p.*workflow.md"


def make_student(forest):
    # "adamw" does not end by L-BFGS
    quick = {"n_epochs": 1, "tol": 1.0, "optimizer": "adamw", "random_state": 0}
    return DLFRegressor(forest, q=2, **quick)


@pytest.fixture(scope="module")
def rows():
    return np.random.RandomState(0).standard_normal((300, 3))


@pytest.fixture(scope="module")
def counts(rows):
    return np.random.RandomState(1).poisson(np.exp(0.5 + 0.8 * rows[:, 0])).astype(float)


def make_forest():
    return RandomForestRegressor(20, min_samples_leaf=3, random_state=0)


@pytest.mark.parametrize(("sign", "side"), [(1, "below"), (-1, "above")])
def test_intervals_of_counts_beyond_zero_warn_with_the_way_out(rows, counts, sign, side):
    with pytest.warns(UserWarning, match=MESSAGE.format(side)):
        make_student(make_forest()).fit(rows, sign * counts)


def test_the_first_way_out_is_that_of_the_teacher_that_was_given(rows, counts):
    forest = make_forest().fit(rows, counts)
    student = make_student(None)
    first = r"cannot be negative, let the student learn.*: give FittedEnsemble\(models, transformer"
    with pytest.warns(UserWarning, match=first):
        student.fit(rows, counts, ensemble=forest)
    logs = FittedEnsemble(forest, transformer=FunctionTransformer(np.log1p, np.expm1))
    assert_no_warning(student, rows, counts, ensemble=logs)
    assert student.predict_interval(rows).min() >= 0


def test_the_way_out_of_predictions_transforms_both(rows, counts):
    P = member_predictions(make_forest().fit(rows, counts), rows)
    student = make_student(None)
    first = r"cannot be negative, transform both, fit\(X, np.log1p\(y\)"
    with pytest.warns(UserWarning, match=first):
        student.fit(rows, counts, predictions=P, unseen=True)
    student.fit(rows, np.log1p(counts), predictions=np.log1p(P), unseen=True)


def test_one_of_several_outputs_suffices(rows, counts):
    with pytest.warns(UserWarning, match=MESSAGE.format("below")):
        make_student(make_forest()).fit(rows, np.column_stack([rows[:, 0], counts]))


def test_baselines_warn_too(rows, counts):
    student = HydraRegressor(make_forest(), max_iter=1, hidden_layer_sizes=(10,), random_state=0)
    with pytest.warns(UserWarning, match=MESSAGE.format("below")):
        student.fit(rows, counts)


def assert_no_warning(student, X, y, **given):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", SeenRowsWarning)
        student.fit(X, y, **given)


@pytest.mark.parametrize("way", [(np.log1p, np.expm1), (np.sqrt, np.square)])
def test_the_way_out_ends_the_warning(rows, counts, way):
    teacher = TransformedTargetRegressor(make_forest(), func=way[0], inverse_func=way[1])
    student = make_student(teacher)
    assert_no_warning(student, rows, counts)
    assert student.predict_interval(rows).min() >= 0
    assert student.sample_y(rows, 20, random_state=0).min() >= 0


@pytest.mark.parametrize(
    "data",
    [
        lambda: load_diabetes(return_X_y=True),
        lambda: make_friedman1(300, noise=1.0, random_state=0),
    ],
)
def test_ordinary_targets_do_not_warn(data):
    assert_no_warning(make_student(make_forest()), *data())


def test_values_of_both_signs_do_not_warn(rows, counts):
    assert_no_warning(make_student(make_forest()), rows, counts - 0.5)


def test_members_of_both_signs_do_not_warn(rows, counts):
    noise = np.random.RandomState(2).standard_normal((len(rows), 5))
    student = make_student(None)
    assert_no_warning(student, rows, counts, predictions=counts[:, None] + noise)


def test_fits_without_y_do_not_warn(rows, counts):
    noise = np.random.RandomState(2).uniform(size=(len(rows), 5))
    assert_no_warning(make_student(None), rows, None, predictions=counts[:, None] + noise)


def test_the_sign_is_that_of_y_and_all_members():
    y = np.array([[0.0, -1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 2.0, 1.0, 0.0]])
    residuals = MemberResiduals(Points(y, 2, 2), y)
    outputs = np.stack([y, y], axis=-1)
    outputs[1, 2, 0] = -0.1
    residuals.add(slice(0, 1), outputs[:1])
    residuals.add(slice(1, 3), np.concatenate([outputs[1:], -np.ones((1, 5, 2))]))  # a made row
    assert support.kept_sign(residuals).tolist() == [1, -1, 0, 1, 0]


def test_few_rows_are_predicted(rows, counts, monkeypatch):
    monkeypatch.setattr(support, "N_ROWS", 10)
    predicted = []
    original = TargetDistribution.quantiles

    def counted(self, X, levels):
        predicted.append(len(X))
        return original(self, X, levels)

    monkeypatch.setattr(TargetDistribution, "quantiles", counted)
    with pytest.warns(UserWarning, match="reach below zero"):
        make_student(make_forest()).fit(rows, counts)
    assert predicted == [10]


@pytest.mark.parametrize("sign", [1, -1])
def test_draws_of_skewed_members_beyond_zero_are_told(rows, sign):
    normal = np.random.RandomState(2).standard_normal((2, 200))
    outputs = sign * np.exp(0.2 * rows[:, :1] * normal[0] + normal[1])
    values = "negative" if sign > 0 else "positive"
    with pytest.warns(UserWarning, match=rf"No member is {values}.*FunctionTransformer\(np.log"):
        student = make_student(None).fit(rows, predictions=outputs)
    assert np.mean(sign * student.sample_predictions(rows, 50, random_state=0) < 0) > 0.02


def test_draws_that_keep_their_sign_are_not(rows):
    outputs = 3 + np.exp(rows[:, :1]) + 0.2 * np.random.RandomState(2).uniform(size=(300, 30))
    assert_no_warning(make_student(None), rows, None, predictions=outputs)


def test_a_y_that_is_mostly_zero_is_not_told_to_take_a_logarithm(rows, counts):
    costs = np.where(np.arange(len(counts)) % 3 == 0, 10.0 * counts, 0.0)
    with pytest.warns(UserWarning, match="cut the intervals off at zero.*y is zero at .*two|Two"):
        make_student(make_forest()).fit(rows, costs)
