"""Columns and labels of single models."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import (
    RandomForestRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.tree import DecisionTreeClassifier
from small_ensembles import X, classifiers_of, fitted_ridges, labels, y

from sklearn_dlf.ensembles import (
    FittedEnsemble,
    describe_ensemble,
    member_predictions,
)

frame = pd.DataFrame(X, columns=["w", "x", "y", "z"])


# Columns


@pytest.mark.parametrize("make", [lambda r: RandomForestRegressor(5).fit(r, y), fitted_ridges])
@pytest.mark.parametrize("fitted_on", [X, frame])
@pytest.mark.parametrize("rows", [X, frame, frame[["z", "x", "w", "y"]]])
def test_models_receive_their_columns_without_a_warning(make, fitted_on, rows):
    ensemble = make(fitted_on)
    if fitted_on is X and list(rows) == ["z", "x", "w", "y"]:
        return  # a model without names cannot find the order
    assert_allclose(member_predictions(ensemble, rows), member_predictions(ensemble, X))


@pytest.mark.parametrize("ensemble", [RandomForestRegressor(5).fit(X, y), fitted_ridges()])
def test_rows_of_three_dimensions_meet_the_error_of_the_model(ensemble):
    with pytest.raises(ValueError, match="Found array with dim 3"):
        member_predictions(ensemble, X[:, :, np.newaxis])


@pytest.mark.parametrize("rows", [X[:, :3], frame[["w", "x", "y"]], X[:, 0]])
@pytest.mark.parametrize("ensemble", [RandomForestRegressor(5).fit(X, y), fitted_ridges()])
def test_another_number_of_columns_raises(ensemble, rows):
    with pytest.raises(ValueError, match=r"X has shape \(60.*fitted with 4 features"):
        member_predictions(ensemble, rows)


def test_missing_columns_raise():
    forest = RandomForestRegressor(5).fit(frame, y)
    with pytest.raises(ValueError, match=r"received \['w', 'v', 'y', 'z'\].*missing \['x'\]"):
        member_predictions(forest, frame.rename(columns={"x": "v"}))


def test_columns_of_polars_frames_are_found_by_name():
    polars = pytest.importorskip("polars")
    shuffled = polars.DataFrame(X, schema=list(frame))[["z", "x", "w", "y"]]
    for ensemble in (RandomForestRegressor(5).fit(frame, y), fitted_ridges(frame)):
        assert_allclose(member_predictions(ensemble, shuffled), member_predictions(ensemble, X))


# Labels


def test_classes_in_another_order_are_aligned():
    model = DecisionTreeClassifier(max_depth=2, random_state=0).fit(X, labels)
    turned = clone(model).fit(X, labels)
    turned.classes_ = turned.classes_[::-1]
    predictions = member_predictions([model, turned], X)
    assert_allclose(predictions[:, :, 0], predictions[:, ::-1, 1])


def test_missing_classes_are_aligned_to_the_union():
    models = classifiers_of("ab", "bc", "ca")
    predictions = member_predictions(models, X)
    assert predictions.shape == (60, 3, 3)
    assert_array_equal(describe_ensemble(models).classes, ["a", "b", "c"])
    assert_allclose(predictions[:, :2, 0], models[0].predict_proba(X), atol=1e-7)
    assert_allclose(predictions[:, 2, 0], 0, atol=1e-7)
    assert np.isfinite(np.log(predictions)).all()
    assert_allclose(predictions.sum(axis=1), 1)


def test_integer_labels_keep_their_type():
    models = [LogisticRegression().fit(X, np.digitize(y, [cut])) for cut in (-10, 10)]
    assert describe_ensemble(models).classes.dtype.kind == "i"


def test_labels_of_two_types_raise():
    numbers = LogisticRegression().fit(X, y > 0)
    with pytest.raises(ValueError, match=r"labels cannot be ordered together: .*<U1.*bool"):
        member_predictions([*classifiers_of("abc"), numbers], X)


@pytest.mark.parametrize(
    ("make", "voting"),
    [(LinearRegression, "VotingRegressor"), (DecisionTreeClassifier, "VotingClassifier")],
)
def test_models_that_are_not_fitted_are_pointed_to_an_ensemble_that_fits_them(make, voting):
    with pytest.raises(NotFittedError, match=rf'cv, give {voting}\(\[\("0", model\), ...\]\)'):
        FittedEnsemble([make(), make()])
