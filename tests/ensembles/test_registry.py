"""The registry of types, `Members`, and the kind and state of an ensemble."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.ensemble import (
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, Ridge
from small_ensembles import (
    Constants,
    Probabilities,
    X,
    classifiers_of,
    constant_outputs,
    fitted_ridges,
    y,
)

from sklearn_dlf.ensembles import (
    FittedEnsemble,
    Members,
    describe_ensemble,
    ensemble_kind,
    is_fitted_ensemble,
    member_predictions,
    register_ensemble,
)


class SlowConstants(Constants):
    pass


def test_a_registered_type_is_evaluated():
    assert_array_equal(member_predictions(Constants(1.0, 2.0), X[:2]), [[1, 2], [1, 2]])


def test_a_subclass_is_described_by_its_nearest_registered_base():
    assert_array_equal(member_predictions(SlowConstants(1.0, 2.0), X[:1]), [[1, 2]])
    assert describe_ensemble(Probabilities([0.5, 0.5], [0.1, 0.9])).kind == "classifier"


def test_a_second_registration_replaces_the_first():
    class Again(Constants):
        pass

    register_ensemble(Again, lambda e: constant_outputs(Constants(7.0, 8.0)))
    register_ensemble(Again, lambda e: constant_outputs(Constants(8.0, 9.0)))
    assert_array_equal(member_predictions(Again(0.0, 0.0), X[:1]), [[8, 9]])


def test_a_type_is_registered_by_name_without_its_library():
    class Unimported:
        pass

    name = f"{__name__}.{Unimported.__qualname__}"
    register_ensemble(name, lambda e: constant_outputs(Constants(3.0, 4.0)))
    assert_array_equal(member_predictions(Unimported(), X[:1]), [[3, 4]])


@pytest.mark.parametrize(
    ("ensemble_type", "extractor", "message"),
    [(Constants, "no", "must be callable, got str"), (3, len, "a class or its name, got 3")],
)
def test_a_wrong_registration_raises(ensemble_type, extractor, message):
    with pytest.raises(TypeError, match=message):
        register_ensemble(ensemble_type, extractor)


@pytest.mark.parametrize("returned", [None, 3])
def test_what_an_extractor_returns_is_checked(returned):
    class Own:
        pass

    register_ensemble(Own, lambda own: returned)
    with pytest.raises(TypeError, match="The extractor of Own must return Members; got"):
        member_predictions(Own(), X)


@pytest.mark.parametrize(
    ("kind", "n_members", "error", "message"),
    [
        ("regression", 2, ValueError, "kind must be 'regressor' or 'classifier', got 'regression'"),
        (None, 2, ValueError, "kind must be .* got None"),
        ("regressor", 2.0, TypeError, "n_members must be an int, got 2.0"),
        ("regressor", True, TypeError, "n_members must be an int, got True"),
        ("regressor", "2", TypeError, "n_members must be an int, got '2'"),
    ],
)
def test_members_of_another_kind_or_number_raise(kind, n_members, error, message):
    with pytest.raises(error, match=message):
        Members(kind, n_members, len)


def test_the_number_of_members_may_be_a_numpy_integer():
    assert Members("classifier", np.int64(2), len).n_members == 2


def test_members_are_evaluated_through_transformations():
    members = Members(
        "regressor",
        2,
        lambda X: (X, -X),
        resample=lambda n_members, random_state: Members("regressor", n_members, lambda X: [X] * 3),
    ).through(before=np.abs, after=lambda output: output + 1)
    assert_array_equal(list(members.predict(-X)), [np.abs(X) + 1, 1 - np.abs(X)])
    assert_array_equal(list(members.resample(3, 0).predict(-X)), [np.abs(X) + 1] * 3)


def test_a_type_with_estimators_that_is_not_registered_raises():
    class Lookalike:
        estimators_ = fitted_ridges()

    with pytest.raises(TypeError, match=r"Lookalike is not a registered type.* Registered are ARD"):
        member_predictions(Lookalike(), X)


@pytest.mark.parametrize("single", [LinearRegression().fit(X, y), LinearRegression(), np.mean])
def test_a_single_model_raises(single):
    with pytest.raises(TypeError, match="or a list of at least two fitted models"):
        member_predictions(single, X)


# Kind, and whether an ensemble is fitted


def test_not_fitted_is_a_value_error():
    assert issubclass(NotFittedError, ValueError)
    with pytest.raises(NotFittedError, match="RandomForestRegressor is not fitted"):
        member_predictions(RandomForestRegressor(), X)


@pytest.mark.parametrize(
    ("ensemble", "kind", "fitted"),
    [
        (RandomForestRegressor(), "regressor", False),
        (RandomForestRegressor(3).fit(X, y), "regressor", True),
        (RandomForestClassifier(), "classifier", False),
        (fitted_ridges(), "regressor", True),
        (classifiers_of("ab", "bc"), "classifier", True),
        (FittedEnsemble(fitted_ridges()), "regressor", True),
        (Constants(1.0, 2.0), "regressor", True),
    ],
)
def test_kind_and_whether_an_ensemble_is_fitted(ensemble, kind, fitted):
    assert ensemble_kind(ensemble) == kind
    assert is_fitted_ensemble(ensemble) is fitted


def test_a_single_model_has_no_ensemble_kind():
    for function in (ensemble_kind, is_fitted_ensemble, describe_ensemble):
        with pytest.raises(TypeError, match="not a registered type of ensemble"):
            function(LinearRegression())


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (RandomForestRegressor, "The class RandomForestRegressor was given, expected an instance"),
        (
            dict(enumerate(fitted_ridges())),
            r"as a dict, expected a list: list\(models.values\(\)\)",
        ),
        ((m for m in fitted_ridges()), r"as a generator, expected a list: list\(models\)"),
    ],
)
def test_near_misses_raise_with_the_way_out(models, message):
    for function in (ensemble_kind, is_fitted_ensemble, describe_ensemble, FittedEnsemble):
        with pytest.raises(TypeError, match=message):
            function(models)


def test_a_list_with_an_unfitted_model_raises():
    with pytest.raises(NotFittedError, match=r"Model 1 \(Ridge\)"):
        is_fitted_ensemble([Ridge().fit(X, y), Ridge()])


def no_outputs(rows):
    return ()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"kind": "regresor"}, ValueError, "kind must be"),
        ({"kind": ["regressor"]}, ValueError, "kind must be"),
        ({"n_members": 0}, ValueError, "n_members must be at least one"),
        ({"n_members": -1}, ValueError, "n_members must be at least one"),
        ({"n_members": True}, TypeError, "n_members must be an int"),
        ({"predict": None}, TypeError, "predict must be callable"),
        ({"unseen": 3}, TypeError, "unseen must be callable"),
        ({"classes": ["a", "a"]}, ValueError, "classes must be different labels"),
        ({"classes": 3}, ValueError, "classes must be different labels"),
        ({"optimism": 0.0}, ValueError, "optimism must be a positive number"),
        ({"optimism": np.nan}, ValueError, "optimism must be a positive number"),
    ],
)
def test_members_that_cannot_be_are_refused_by_the_name_of_the_argument(arguments, error, message):
    valid = {"kind": "regressor", "n_members": 2, "predict": no_outputs}
    with pytest.raises(error, match=message):
        Members(**{**valid, **arguments})


def test_an_array_of_predictions_is_no_ensemble_and_the_message_says_where_it_goes():
    with pytest.raises(TypeError, match=r"shape \(5, 3\).*fit\(X, y, predictions=array\)"):
        describe_ensemble(np.ones((5, 3)))


def test_a_list_of_one_names_the_way_out():
    with pytest.raises(ValueError, match="give it without a list"):
        describe_ensemble([RandomForestRegressor(3).fit([[0.0], [1.0]], [0, 1])])
