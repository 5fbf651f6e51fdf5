"""The registry, what members return, and lists of fitted models."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from sklearn_dlf.ensembles import (
    FittedEnsemble,
    Members,
    describe_ensemble,
    ensemble_kind,
    is_fitted_ensemble,
    member_predictions,
    register_ensemble,
    unseen_rows,
)

X, y = make_regression(60, 4, noise=5.0, random_state=0)
labels = np.array(["a", "b", "c"])[np.digitize(y, np.quantile(y, [1 / 3, 2 / 3]))]
frame = pd.DataFrame(X, columns=["w", "x", "y", "z"])


def fitted_ridges(rows=X):
    return [Ridge(alpha).fit(rows, y) for alpha in (0.1, 10.0, 1000.0)]


def classifiers_of(*pairs):
    """One classifier for each string of labels, fitted on the rows with these labels only."""
    masks = [np.isin(labels, list(pair)) for pair in pairs]
    return [LogisticRegression().fit(X[mask], labels[mask]) for mask in masks]


# The registry


class Constants:
    """An ensemble of another library, with no manners of scikit-learn."""

    def __init__(self, *values, n_announced=None):
        self.values = values
        self.n_announced = n_announced or len(values)


def constant_outputs(ensemble, kind="regressor"):
    def predict(X):
        return (np.broadcast_to(value, (len(X), *np.shape(value))) for value in ensemble.values)

    return Members(kind, ensemble.n_announced, predict)


register_ensemble(Constants, constant_outputs)


class Probabilities(Constants):
    pass


register_ensemble(Probabilities, lambda ensemble: constant_outputs(ensemble, "classifier"))


class SlowConstants(Constants):
    pass


def test_a_registered_type_is_asked():
    assert_array_equal(member_predictions(Constants(1.0, 2.0), X[:2]), [[1, 2], [1, 2]])


def test_a_subclass_is_described_by_its_nearest_registered_base():
    assert_array_equal(member_predictions(SlowConstants(1.0, 2.0), X[:1]), [[1, 2]])
    assert describe_ensemble(Probabilities([0.5, 0.5], [0.1, 0.9])).kind == "classifier"


def test_registering_again_replaces():
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
def test_a_wrong_registration_is_refused(ensemble_type, extractor, message):
    with pytest.raises(TypeError, match=message):
        register_ensemble(ensemble_type, extractor)


def test_having_estimators_does_not_make_an_ensemble():
    class Lookalike:
        estimators_ = fitted_ridges()

    with pytest.raises(TypeError, match=r"Lookalike is not an ensemble known here. Known are Bagg"):
        member_predictions(Lookalike(), X)


@pytest.mark.parametrize("single", [LinearRegression().fit(X, y), LinearRegression(), np.mean])
def test_a_single_model_is_no_ensemble(single):
    with pytest.raises(TypeError, match="give a list of at least two fitted models"):
        member_predictions(single, X)


# What members return


def test_members_are_written_in_the_asked_dtype():
    predictions = member_predictions(fitted_ridges(), X, dtype=np.float32)
    assert predictions.dtype == np.float32
    assert_allclose(predictions, member_predictions(fitted_ridges(), X), rtol=1e-6)


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


def test_lists_of_rows_are_arrays():
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
        (Probabilities([0.5, 0.5], [2.0, -1.0]), "from -1 to 2 .*say so with outputs='logits'"),
        (Probabilities([0.5, 0.5], [0.5, 0.4]), "row sums from 0.9 to 0.9, expected prob"),
        (Probabilities([1.0], [1.0]), "returned 1 columns of probabilities, expected one for"),
        (Probabilities(0.5, 0.5), r"shape \(60,\), expected \(n_samples, n_classes\)"),
    ],
)
def test_wrong_outputs_are_named(ensemble, message):
    with pytest.raises(ValueError, match=message):
        member_predictions(ensemble, X)


def test_fewer_than_two_members_are_refused():
    for single in (Constants(1.0), fitted_ridges()[:1], RandomForestRegressor(1).fit(X, y), []):
        with pytest.raises(ValueError, match=r"at least two m\w+, got (a list of )?[01]"):
            member_predictions(single, X)


# Columns


@pytest.mark.parametrize("make", [lambda r: RandomForestRegressor(5).fit(r, y), fitted_ridges])
@pytest.mark.parametrize("fitted_on", [X, frame])
@pytest.mark.parametrize("asked_with", [X, frame, frame[["z", "x", "w", "y"]]])
def test_models_get_the_columns_they_know_without_a_warning(make, fitted_on, asked_with):
    ensemble = make(fitted_on)
    if fitted_on is X and list(asked_with) == ["z", "x", "w", "y"]:
        return  # nothing tells an order to a model without names
    assert_allclose(member_predictions(ensemble, asked_with), member_predictions(ensemble, X))


@pytest.mark.parametrize("rows", [X[:, :3], frame[["w", "x", "y"]], X[:, 0], X[:, :, np.newaxis]])
@pytest.mark.parametrize("ensemble", [RandomForestRegressor(5).fit(X, y), fitted_ridges()])
def test_another_number_of_columns_is_named(ensemble, rows):
    with pytest.raises(ValueError, match=r"X has shape \(60.*fitted with 4 features"):
        member_predictions(ensemble, rows)


def test_missing_names_are_named():
    forest = RandomForestRegressor(5).fit(frame, y)
    with pytest.raises(ValueError, match=r"received \['w', 'v', 'y', 'z'\].*missing \['x'\]"):
        member_predictions(forest, frame.rename(columns={"x": "v"}))


def test_polars_frames_are_columns_by_name():
    polars = pytest.importorskip("polars")
    shuffled = polars.DataFrame(X, schema=list(frame))[["z", "x", "w", "y"]]
    for ensemble in (RandomForestRegressor(5).fit(frame, y), fitted_ridges(frame)):
        assert_allclose(member_predictions(ensemble, shuffled), member_predictions(ensemble, X))


# Lists


def test_a_list_of_regressors_is_asked_one_by_one():
    models = fitted_ridges()
    expected = np.column_stack([model.predict(X) for model in models])
    assert_allclose(member_predictions(models, X), expected)
    assert_allclose(member_predictions(tuple(models), X), expected)


def test_an_ensemble_in_a_list_is_one_member():
    forests = [RandomForestRegressor(5, random_state=seed).fit(X, y) for seed in range(2)]
    assert_allclose(member_predictions(forests, X)[:, 1], forests[1].predict(X))


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


def test_labels_of_two_types_are_refused():
    numbers = LogisticRegression().fit(X, y > 0)
    with pytest.raises(ValueError, match=r"labels cannot be ordered together: .*<U1.*bool"):
        member_predictions([*classifiers_of("abc"), numbers], X)


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
def test_wrong_lists_are_refused(models, error, message):
    with pytest.raises(error, match=message):
        member_predictions(models, X)
    with pytest.raises(error, match=message):
        FittedEnsemble(models)


def test_not_fitted_is_a_value_error():
    assert issubclass(NotFittedError, ValueError)
    with pytest.raises(NotFittedError, match="RandomForestRegressor is not fitted"):
        member_predictions(RandomForestRegressor(), X)


# Questions


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
def test_kind_and_fittedness(ensemble, kind, fitted):
    assert ensemble_kind(ensemble) == kind
    assert is_fitted_ensemble(ensemble) is fitted


def test_questions_refuse_what_is_no_ensemble():
    for question in (ensemble_kind, is_fitted_ensemble, describe_ensemble):
        with pytest.raises(TypeError, match="not an ensemble known here"):
            question(LinearRegression())


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
def test_what_is_nearly_an_ensemble_is_told_the_way(models, message):
    for question in (ensemble_kind, is_fitted_ensemble, describe_ensemble, FittedEnsemble):
        with pytest.raises(TypeError, match=message):
            question(models)


def test_a_list_with_an_unfitted_model_is_no_question():
    with pytest.raises(NotFittedError, match=r"Model 1 \(Ridge\)"):
        is_fitted_ensemble([Ridge().fit(X, y), Ridge()])


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


def test_out_of_bag_means_are_scikit_learns():
    forest = RandomForestRegressor(50, oob_score=True, random_state=0).fit(X, y)
    unseen = unseen_rows(forest, 60)
    out_of_bag = np.mean(member_predictions(forest, X), axis=1, where=unseen)
    assert_allclose(out_of_bag, forest.oob_prediction_)


def test_unseen_rows_are_unknown_where_nobody_knows():
    assert unseen_rows(fitted_ridges(), 60) is None
    assert unseen_rows(RandomForestRegressor(5).fit(X, y), 59) is None
    assert unseen_rows(ExtraTreesRegressor(5).fit(X, y), 60) is None


def test_unseen_rows_are_unknown_after_a_warm_start_of_bagging():
    bagging = BaggingRegressor(n_estimators=5, warm_start=True, random_state=0).fit(X, y)
    assert unseen_rows(bagging, 60) is not None
    assert unseen_rows(bagging.set_params(n_estimators=8).fit(X, y), 60) is None
