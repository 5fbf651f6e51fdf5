"""Lists of models, callables, and the wrapper around a fitted ensemble."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression, QuantileRegressor, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import check_random_state
from small_ensembles import X, classifiers_of, fitted_ridges, labels, y

from sklearn_dlf.ensembles import (
    FittedEnsemble,
    member_predictions,
    unseen_rows,
)

frame = pd.DataFrame(X, columns=["w", "x", "y", "z"])


def test_a_fitted_ensemble_survives_clone_and_pickle():
    ensemble = FittedEnsemble(fitted_ridges())
    assert clone(ensemble) is ensemble
    predictions = pickle.loads(pickle.dumps(ensemble)).member_predictions(X)
    assert_allclose(predictions, ensemble.member_predictions(X))


def test_a_fitted_ensemble_keeps_a_list_of_its_own():
    models = fitted_ridges()
    ensemble = FittedEnsemble(models)
    before = ensemble.member_predictions(X)
    models.pop()
    assert_array_equal(ensemble.member_predictions(X), before)


def test_a_fitted_ensemble_hashes_by_its_models():
    assert joblib.hash(FittedEnsemble(fitted_ridges())) == joblib.hash(
        FittedEnsemble(fitted_ridges())
    )


class Distiller(RegressorMixin, BaseEstimator):
    """An estimator that takes an ensemble as a parameter and as a fit parameter."""

    def __init__(self, ensemble=None, shift=0.0):
        self.ensemble = ensemble
        self.shift = shift

    def fit(self, X, y, ensemble=None):
        self.ensemble_ = self.ensemble if ensemble is None else ensemble
        assert isinstance(self.ensemble_, FittedEnsemble)
        return self

    def predict(self, X):
        return self.ensemble_.member_predictions(X).mean(axis=1) + self.shift


def test_a_search_neither_clones_nor_cuts_a_fitted_ensemble():
    # As many members as rows: a search cuts lists of that length with the rows.
    ensemble = FittedEnsemble([*fitted_ridges()] * 20)
    grid = {"shift": [0.0, 1.0]}
    in_constructor = GridSearchCV(Distiller(ensemble), grid, cv=3, error_score="raise").fit(X, y)
    in_fit = GridSearchCV(Distiller(), grid, cv=3, error_score="raise").fit(X, y, ensemble=ensemble)
    for search in (in_constructor, in_fit):
        assert search.best_estimator_.ensemble_ is ensemble


def test_a_fitted_ensemble_is_not_a_sequence():
    ensemble = FittedEnsemble(fitted_ridges())
    for name in ("__len__", "__iter__", "__getitem__", "shape", "__array__", "get_params"):
        assert not hasattr(ensemble, name)


def test_repr_counts_models():
    text = repr(Distiller(FittedEnsemble([*fitted_ridges(), LinearRegression().fit(X, y)])))
    assert "FittedEnsemble([3 x Ridge, LinearRegression], kind='regressor', n_members=4)" in text
    forest = FittedEnsemble(RandomForestRegressor(3).fit(X, y))
    assert repr(forest) == "FittedEnsemble(RandomForestRegressor, kind='regressor', n_members=3)"


def test_a_fitted_ensemble_has_columns_and_classes():
    ensemble = FittedEnsemble(RandomForestClassifier(3).fit(frame, labels))
    assert (ensemble.kind, ensemble.n_members, ensemble.n_features_in_) == ("classifier", 3, 4)
    assert_array_equal(ensemble.classes_, ["a", "b", "c"])
    assert_array_equal(ensemble.feature_names_in_, ["w", "x", "y", "z"])
    unnamed = FittedEnsemble(fitted_ridges())
    assert not hasattr(unnamed, "feature_names_in_")
    assert not hasattr(unnamed, "classes_")


def test_given_classes_must_hold_all_labels():
    ensemble = FittedEnsemble(classifiers_of("ab", "bc"), classes=["d", "c", "b", "a"])
    assert_array_equal(ensemble.classes_, ["d", "c", "b", "a"])
    predictions = ensemble.member_predictions(X)
    assert_allclose(predictions[:, [3, 2], 0], classifiers_of("ab")[0].predict_proba(X), atol=1e-7)
    with pytest.raises(
        ValueError, match=r"was fitted with the labels \['c'\], expected labels among"
    ):
        FittedEnsemble(classifiers_of("ab", "bc"), classes=["a", "b"])


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        (fitted_ridges(), {"outputs": "odds"}, "outputs must be one of .*got 'odds'"),
        (fitted_ridges(), {"outputs": "logits"}, "contradicts Model 0 .*which is a regressor"),
        (
            fitted_ridges(),
            {"n_members": 3},
            "n_members=3 was given, but the 3 members of list are not draws",
        ),
        (
            RandomForestRegressor(3).fit(X, y),
            {"outputs": "values"},
            "leave out `outputs` and `classes`, got outputs='values'",
        ),
    ],
)
def test_contradictory_options_raise(models, options, message):
    with pytest.raises(ValueError, match=message):
        FittedEnsemble(models, **options)


def test_a_fitted_ensemble_has_the_unseen_rows_of_its_ensemble():
    forest = RandomForestRegressor(5, random_state=0).fit(X, y)
    assert_array_equal(unseen_rows(FittedEnsemble(forest), 60), unseen_rows(forest, 60))


def test_fitted_ensembles_nest():
    inner = FittedEnsemble(fitted_ridges())
    assert_allclose(FittedEnsemble(inner).member_predictions(X), inner.member_predictions(X))


# Lists


def test_each_regressor_of_a_list_is_a_member():
    models = fitted_ridges()
    expected = np.column_stack([model.predict(X) for model in models])
    assert_allclose(member_predictions(models, X), expected)
    assert_allclose(member_predictions(tuple(models), X), expected)


def test_an_ensemble_in_a_list_is_one_member():
    forests = [RandomForestRegressor(5, random_state=seed).fit(X, y) for seed in range(2)]
    assert_allclose(member_predictions(forests, X)[:, 1], forests[1].predict(X))


@pytest.mark.parametrize(
    ("models", "error", "message"),
    [
        ([*fitted_ridges(), Ridge()], NotFittedError, r"Model 3 \(Ridge\) is not fitted"),
        ([*fitted_ridges(), Ridge], TypeError, "is the class Ridge, expected a fitted instance"),
        ([*fitted_ridges(), *classifiers_of("ab")], ValueError, "3 regressors and 1 classifiers"),
        ([len, len], TypeError, r"FittedEnsemble\(models, outputs="),
        ([LinearSVC().fit(X, labels)] * 2, ValueError, "no `predict_proba`.*CalibratedClassif"),
        ([RandomForestClassifier(3).fit(X, np.c_[labels, labels])] * 2, ValueError, "one output"),
    ],
)
def test_wrong_lists_raise(models, error, message):
    with pytest.raises(error, match=message):
        member_predictions(models, X)
    with pytest.raises(error, match=message):
        FittedEnsemble(models)


# Callables


def test_callables_return_one_member_each():
    ensemble = FittedEnsemble([lambda X: X[:, 0], lambda X: X[:, 1]], outputs="values")
    assert_array_equal(ensemble.member_predictions(X), X[:, :2])
    assert repr(ensemble) == "FittedEnsemble([2 x <lambda>], kind='regressor', n_members=2)"


def test_a_callable_returns_all_members_last():
    ensemble = FittedEnsemble(lambda X: X, outputs="values", n_members=4)
    assert_array_equal(ensemble.member_predictions(X), X)
    several = FittedEnsemble(lambda X: np.stack([X, -X], 1), outputs="values", n_members=4)
    assert_array_equal(several.member_predictions(X)[:, 1], -X)
    binary = FittedEnsemble(lambda X: X, outputs="logits", n_members=4)
    assert_allclose(binary.member_predictions(X)[:, 1], expit(X), rtol=1e-6)


def test_a_callable_with_members_first_raises():
    ensemble = FittedEnsemble(lambda X: X.T, outputs="values", n_members=4)
    with pytest.raises(ValueError, match=r"shape \(4, 60\), expected members last"):
        ensemble.member_predictions(X)


@pytest.mark.parametrize("options", [{}, {"outputs": "values"}, {"n_members": 4}])
def test_a_callable_needs_outputs_and_n_members(options):
    with pytest.raises(ValueError, match=r"expected outputs, one of .* and n_members"):
        FittedEnsemble(lambda X: X, **options)


@pytest.mark.parametrize(
    ("n_members", "error", "message"),
    [(1, ValueError, "at least two members, got 1"), (2.0, TypeError, "must be an int, got 2.0")],
)
def test_a_wrong_number_of_members_raises(n_members, error, message):
    with pytest.raises(error, match=message):
        FittedEnsemble(lambda X: X, outputs="values", n_members=n_members)


def test_callables_mix_with_models_of_their_kind():
    ridge = Ridge().fit(X, y)
    ensemble = FittedEnsemble([ridge, lambda X: X[:, 0]], outputs="values")
    assert_allclose(ensemble.member_predictions(X), np.c_[ridge.predict(X), X[:, 0]])
    classifier = LogisticRegression().fit(X, np.where(y > 0, "yes", "no"))
    ensemble = FittedEnsemble([classifier, lambda X: expit(X[:, 0])], outputs="probabilities")
    assert_array_equal(ensemble.classes_, ["no", "yes"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": [["a"], ["b"]]}, "classes must be different labels"),
        ({"classes": ["a", "a", "b"]}, "classes must be different labels"),
        ({"classes": 3}, "classes must be different labels"),
        ({"outputs": ["values"]}, "outputs must be one of"),
        ({"random_state": "seed"}, "cannot be used to seed"),
        ({"random_state": 2**40}, "Seed must be between"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        FittedEnsemble(fitted_ridges(), **options)


def classifiers_of_codes(y):
    X = np.arange(len(y), dtype=float)[:, None]
    return X, [DecisionTreeClassifier(max_depth=depth).fit(X, y) for depth in (1, 2)]


def test_classes_name_the_codes_of_classifiers():
    X, models = classifiers_of_codes(np.array([0, 0, 1, 1, 2, 2]))
    ensemble = FittedEnsemble(models, classes=["low", "middle", "high"])
    assert ensemble.classes_.tolist() == ["low", "middle", "high"]
    expected = np.stack([model.predict_proba(X) for model in models], axis=-1)
    assert_allclose(ensemble.member_predictions(X), expected, atol=1e-6)


@pytest.mark.parametrize("classes", [[5, 6, 7], ["low", "high"]])
def test_numbers_and_too_few_names_do_not_name_codes(classes):
    _, models = classifiers_of_codes(np.array([0, 0, 1, 1, 2, 2]))
    with pytest.raises(ValueError, match="expected labels among"):
        FittedEnsemble(models, classes=classes)


class Learner(RegressorMixin, BaseEstimator):
    """Keeps what it learns under a name without an underscore, as NGBoost does."""

    def __init__(self, seed=None):
        self.seed = check_random_state(seed)  # which a clone refuses
        self.base_models = []
        self.scale = 2.0

    def fit(self, X, y):
        self.base_models = [np.mean(y)]
        return self

    def predict(self, X):
        return np.full(len(X), self.base_models[0])


def test_models_that_keep_what_they_learn_under_other_names_are_fitted():
    X, y = np.zeros((4, 1)), np.arange(4.0)
    ensemble = FittedEnsemble([Learner(0).fit(X, y), Learner(1).fit(X, y + 1)])
    assert_allclose(ensemble.member_predictions(X), [[1.5, 2.5]] * 4)
    with pytest.raises(NotFittedError):
        FittedEnsemble([Learner(0), Learner(1)])


LEVELS = {
    "gradient boosting": lambda level: GradientBoostingRegressor(
        loss="quantile", alpha=level, n_estimators=2
    ),
    "histograms": lambda level: HistGradientBoostingRegressor(
        loss="quantile", quantile=level, max_iter=2
    ),
    "linear": lambda level: make_pipeline(MinMaxScaler(), QuantileRegressor(quantile=level)),
}


@pytest.mark.parametrize("make", LEVELS.values(), ids=LEVELS)
def test_models_of_different_quantiles_are_no_alternatives(make):
    rng = np.random.RandomState(0)
    X, y = rng.uniform(size=(40, 2)), rng.uniform(size=40)
    models = [(str(level), make(level)) for level in (0.1, 0.5, 0.9)]
    with pytest.raises(ValueError, match=r"different quantiles of y: 0\.1, 0\.5, 0\.9"):
        FittedEnsemble([model.fit(X, y) for _, model in models])
    with pytest.raises(ValueError, match="different quantiles"):
        member_predictions(VotingRegressor(models).fit(X, y), X)
    assert FittedEnsemble([make(0.5).fit(X, y) for _ in range(2)]).n_members == 2


def test_only_functions_can_be_said_to_be_draws():
    forest = RandomForestRegressor(3, random_state=0).fit([[0.0], [1.0]], [0.0, 1.0])
    with pytest.raises(ValueError, match="are_draws is for callables and modules; got a RandomF"):
        FittedEnsemble(forest, are_draws=True)
    with pytest.raises(TypeError, match="are_draws must be True or False, got 1"):
        FittedEnsemble([len, len], outputs="values", are_draws=1)
