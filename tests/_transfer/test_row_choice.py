import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, make_classification, make_friedman1, make_regression
from sklearn.ensemble import (
    BaggingRegressor,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from sklearn_dlf import DLFRegressor
from sklearn_dlf.baselines import HydraClassifier, HydraRegressor
from sklearn_dlf.datasets import make_curved_surface
from sklearn_dlf.ensembles import (
    DeepEnsembleRegressor,
    FittedEnsemble,
    member_predictions,
    parameter_draws,
)

QUICK = {"hidden_layer_sizes": (8,), "n_epochs": 1, "random_state": 0}
# How rows are made is the same for all students; these hardly train.
STUDENT = {"max_iter": 1, "optimizer": "sgd", **QUICK}


def rng():
    return np.random.RandomState(0)


@pytest.fixture(scope="module", name="surface")
def networks_on_a_surface():
    data = make_curved_surface(500, 8, noise=0.0, target_noise=0.0, random_state=0)
    networks = DeepEnsembleRegressor(30, random_state=0).fit(data.X[:400], data.y[:400])
    return data, networks


def functions_of(X):
    """Members that differ much off the curve of the second column."""
    X = np.asarray(X, dtype=float)
    off = 0.001 + np.abs(X[:, 1] - X[:, 0] ** 2)
    return X[:, :1] + off[:, None] * np.linspace(-1, 1, 5)


def curved_and_free(n=400):
    X = rng().uniform(-1, 1, size=(n, 4))
    X[:, 1] = X[:, 0] ** 2
    return X


def curve(n=400):
    position = rng().uniform(-1, 1, size=n)
    return np.column_stack([position, position**2, position**3])


def fit(X, **parameters):
    ensemble = FittedEnsemble(functions_of, outputs="values", n_members=5)
    return HydraRegressor(**{**STUDENT, **parameters}).fit(X, ensemble=ensemble)


def test_auto_swaps_groups_where_some_columns_determine_others():
    assert fit(curved_and_free()).augment_ == "column_groups"


def test_auto_steps_along_the_data_where_all_columns_determine_each_other():
    assert fit(curve()).augment_ == "local"


def test_auto_makes_no_rows_where_none_would_be_like_the_data():
    X = rng().standard_normal((200, 3))
    own = {row.tobytes() for row in X}

    def predict(rows):
        spread = np.array([1.0 if row.tobytes() in own else 100.0 for row in np.asarray(rows)])
        return spread[:, None] * np.linspace(-1, 1, 4)

    # No member is taken to have seen a row, so that the rows of fit are fresh ones.
    ensemble = FittedEnsemble(predict, outputs="values", n_members=4)
    student = HydraRegressor(**STUDENT)
    student.fit(X, X[:, 0], ensemble=ensemble, unseen=True)
    assert student.augment_ is None


@pytest.mark.parametrize(
    "student", [DLFRegressor(q=2, tol=10.0, **QUICK), HydraRegressor(**STUDENT)]
)
def test_networks_on_a_surface_are_asked_along_it(surface, student):
    data, networks = surface
    student.fit(data.X[:400], data.y[:400], ensemble=networks)
    assert student.augment_ == "local"


def test_swaps_on_a_surface_give_a_warning_with_the_remedy(surface):
    data, networks = surface
    student = HydraRegressor(augment="neighbors", **STUDENT)
    with pytest.warns(UserWarning, match=r"'neighbors' makes are unlike .*augment='auto'") as found:
        student.fit(data.X[:400], ensemble=networks)
    assert found[0].filename == __file__
    assert student.augment_ == "neighbors"


def test_far_rows_of_a_callable_give_a_warning(surface):
    def far_away(X, n_rows, random_state):
        return 10 * X[random_state.randint(len(X), size=n_rows)]

    data, networks = surface
    with pytest.warns(UserWarning, match="augment=far_away makes are unlike"):
        HydraRegressor(augment=far_away, **STUDENT).fit(data.X[:400], ensemble=networks)


def indicators_and_numbers(n=300):
    numbers, codes = rng().standard_normal((n, 3)), np.eye(4)[rng().randint(4, size=n)]
    y = numbers[:, 0] * codes[:, 0] + np.sin(numbers[:, 1]) + 0.3 * rng().standard_normal(n)
    return np.column_stack([numbers, codes, numbers[:, 0] > 1.5]), y


@pytest.mark.parametrize(
    ("X", "y"),
    [
        load_diabetes(return_X_y=True),
        make_friedman1(300, noise=1.0, random_state=0),
        make_regression(300, 10, n_informative=5, noise=10.0, random_state=0),
        indicators_and_numbers(),
    ],
    ids=["diabetes", "friedman", "linear", "indicators"],
)
@pytest.mark.parametrize(
    "ensemble",
    [
        RandomForestRegressor(20, random_state=0),
        BaggingRegressor(HistGradientBoostingRegressor(max_iter=20), 6, random_state=0),
    ],
    ids=["forest", "boosted"],
)
def test_swaps_of_healthy_data_are_kept_without_a_warning(X, y, ensemble):
    ensemble = ensemble.fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert HydraRegressor(**STUDENT).fit(X, ensemble=ensemble).augment_ == "neighbors+local"
        models = ensemble.estimators_  # a list has no record of unseen rows
        student = HydraRegressor(**{**STUDENT, "augment": "neighbors"})
        assert student.fit(X, ensemble=models).augment_ == "neighbors"


def test_classifiers_of_healthy_data_keep_far_neighbors():
    X, y = make_classification(200, 8, n_informative=6, random_state=0)
    forest = RandomForestClassifier(20, random_state=0).fit(X, y)
    assert HydraClassifier(**STUDENT).fit(X, y, ensemble=forest).augment_ == "far_neighbors+local"


def test_classifiers_are_judged_by_logits():
    X = curve()

    def logits(rows):
        return 0.1 * np.stack([0 * functions_of(rows), functions_of(rows)], axis=1)

    ensemble = FittedEnsemble(logits, outputs="logits", classes=[0, 1], n_members=5)
    student = HydraClassifier(**STUDENT).fit(X, ensemble=ensemble)
    assert student.augment_ == "local"


@pytest.mark.parametrize("augment", ["auto", None, "mixup"])
def test_few_rows_are_not_judged(augment):
    X = curve(40)
    expected = "neighbors" if augment == "auto" else augment
    assert fit(X, augment=augment).augment_ == expected


def test_predictions_make_no_rows():
    X = rng().standard_normal((60, 3))
    assert HydraRegressor(**STUDENT).fit(X, predictions=X).augment_ is None


def test_a_judgement_leaves_the_made_rows_as_they_were(monkeypatch):
    rows = []
    X = rng().standard_normal((60, 3))

    def predict(X):
        rows.append(np.asarray(X))
        return X[:, :2]

    ensemble = FittedEnsemble(predict, outputs="values", n_members=2)
    HydraRegressor(**STUDENT).fit(X, ensemble=ensemble)
    judged = rows[-1]
    monkeypatch.setattr("sklearn_dlf._transfer.row_choice.MIN_ROWS", 1000)
    HydraRegressor(**STUDENT).fit(X, ensemble=ensemble)
    np.testing.assert_array_equal(rows[-1], judged)


def test_the_same_seed_makes_the_same_choice_and_student():
    first, second = (fit(curve(100)) for _ in range(2))
    assert first.augment_ == second.augment_
    np.testing.assert_array_equal(first.predict(curve(100)), second.predict(curve(100)))


def test_the_spread_on_a_surface_is_of_the_right_size(surface):
    data, networks = surface
    student = DLFRegressor(hidden_layer_sizes=(50,), tol=0.05, random_state=0)
    student.fit(data.X[:400], ensemble=networks)
    _, std = student.predict(data.X[400:], return_std=True)
    own = member_predictions(networks, data.X[400:]).std(axis=1, ddof=1)
    assert 0.8 < np.sqrt(np.mean(std**2) / np.mean(own**2)) < 1.2


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_members_that_refuse_values_between_codes_are_judged_at_swapped_rows():
    rng = np.random.RandomState(0)
    X = rng.randint(0, 15, (100, 3)).astype(float)
    y = X[:, 0] + rng.randn(100)
    encoded = [make_pipeline(OneHotEncoder(), Ridge(alpha)).fit(X, y) for alpha in (1, 9)]
    assert DLFRegressor(**STUDENT).fit(X, y, ensemble=encoded).augment_ == "neighbors"


def line(slope, X):
    return np.asarray(X)[:, 0] * slope + 0.1 * np.sin(slope * np.asarray(X)[:, 1])


def test_draws_of_functions_are_asked_a_little_beyond_the_rows():
    X = rng().standard_normal((80, 3))
    process = GaussianProcessRegressor(RBF(0.3), optimizer=None).fit(X[:, :2], X[:, 2])
    assert HydraRegressor(**STUDENT).fit(X[:, :2], ensemble=process).augment_ == "local"
    draws = parameter_draws(line, rng().standard_normal(30))
    assert HydraRegressor(**STUDENT).fit(X, ensemble=draws).augment_ == "local"
    logarithms = FittedEnsemble(
        parameter_draws(lambda slope, X: np.exp(line(slope, X)), rng().standard_normal(30)),
        transformer=FunctionTransformer(np.log, np.exp),
    )
    assert HydraRegressor(**STUDENT).fit(X, ensemble=logarithms).augment_ == "local"
    functions = [lambda X, slope=slope: line(slope, X) for slope in rng().standard_normal(30)]
    assert HydraRegressor(**STUDENT).fit(X, ensemble=functions).augment_ == "neighbors"


def test_draws_of_functions_of_categories_swap_columns():
    frame = pd.DataFrame({"a": list("xyz") * 20, "b": list("pqpq") * 15})
    effect = lambda size, X: size * (X["a"] == "x") + (X["b"] == "p")  # noqa: E731
    draws = parameter_draws(effect, rng().standard_normal(30))
    assert HydraRegressor(**STUDENT).fit(frame, ensemble=draws).augment_ == "neighbors"


def test_draws_of_step_functions_have_the_rows_of_trees():
    X = rng().uniform(-1, 1, size=(200, 3))

    def steps(parameters, X):
        return (1.0 + parameters[0]) * (np.asarray(X) > 0.3 * parameters).sum(axis=1)

    draws = parameter_draws(steps, rng().standard_normal((30, 3)))
    assert HydraRegressor(**STUDENT).fit(X, ensemble=draws).augment_ == "neighbors+local"
