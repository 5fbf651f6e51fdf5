"""Members of scikit-learn's ensembles, alone and inside wrappers."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.datasets import make_regression
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from sklearn_dlf.ensembles import (
    FittedEnsemble,
    describe_ensemble,
    ensemble_kind,
    is_fitted_ensemble,
    member_predictions,
)

X, y = make_regression(80, 4, noise=5.0, random_state=0)
# In an order that is not the alphabet's, so that codes and labels cannot be confused.
labels = np.array(["low", "high", "middle"])[np.digitize(y, np.quantile(y, [1 / 3, 2 / 3]))]
frame = pd.DataFrame(X, columns=["w", "x", "y", "z"])
targets = np.c_[y, y**2, -y]
forest = RandomForestRegressor(5, random_state=0)
forest_classifier = RandomForestClassifier(5, random_state=0)
voters = [("ols", LinearRegression()), ("ridge", Ridge(100)), ("flat", Ridge(1e5))]
classifying_voters = [
    ("nb", GaussianNB()),
    ("lr", LogisticRegression()),
    ("tree", DecisionTreeClassifier(max_depth=2, random_state=0)),
]
scaled_forest = make_pipeline(StandardScaler(), forest)
REGRESSORS = [
    forest,
    RandomForestRegressor(5, criterion="poisson", random_state=0),
    ExtraTreesRegressor(5, random_state=0),
    BaggingRegressor(LinearRegression(), 5, random_state=0),
    BaggingRegressor(LinearRegression(), 5, max_features=0.5, random_state=0),
    BaggingRegressor(Ridge(), 5, bootstrap_features=True, random_state=0),
    VotingRegressor(voters),
    VotingRegressor(voters, weights=[3, 1, 1]),
    VotingRegressor(voters, weights=[0.1, 0.2, 0.7]),
    VotingRegressor(voters, weights=[np.pi, 1.0, np.sqrt(2)]),
    VotingRegressor([*voters, ("gone", "drop")], weights=[1, 2, 0, 9]),
    scaled_forest,
    make_pipeline(forest),
    make_pipeline(StandardScaler().set_output(transform="pandas"), forest),
    make_pipeline(FunctionTransformer(np.tanh), make_pipeline(StandardScaler(), forest)),
    GridSearchCV(forest, {"max_depth": [2, 3]}, cv=2),
    RandomizedSearchCV(scaled_forest, {"randomforestregressor__max_depth": [2, 3]}, n_iter=1, cv=2),
    TransformedTargetRegressor(forest, transformer=StandardScaler()),
    make_pipeline(
        StandardScaler(),
        TransformedTargetRegressor(
            GridSearchCV(scaled_forest, {"randomforestregressor__max_depth": [3]}, cv=2),
            transformer=MinMaxScaler(),
        ),
    ),
]
CLASSIFIERS = [
    forest_classifier,
    ExtraTreesClassifier(5, random_state=0),
    BaggingClassifier(LogisticRegression(), 5, max_features=0.5, random_state=0),
    BaggingClassifier(KNeighborsClassifier(1), 9, max_samples=4, random_state=2),
    BaggingClassifier(RidgeClassifier(), 5, random_state=0),  # without probabilities
    VotingClassifier(classifying_voters, voting="soft"),
    VotingClassifier(classifying_voters, voting="soft", weights=[1, 3, 2]),
    VotingClassifier(classifying_voters, voting="soft", weights=[np.pi, 1.0, 0.5]),
    CalibratedClassifierCV(LinearSVC(), cv=3),
    CalibratedClassifierCV(GaussianNB(), cv=3, method="isotonic"),
    make_pipeline(StandardScaler(), forest_classifier),
    GridSearchCV(forest_classifier, {"max_depth": [2, 3]}, cv=2),
    make_pipeline(StandardScaler(), CalibratedClassifierCV(forest_classifier, cv=3)),
]


def teacher_id(teacher):
    return " ".join(repr(teacher).split())[:70]


@pytest.mark.parametrize("rows", [X, frame], ids=["array", "frame"])
@pytest.mark.parametrize("teacher", REGRESSORS, ids=teacher_id)
def test_the_mean_over_members_is_the_regressors_prediction(teacher, rows):
    teacher = clone(teacher).fit(rows, y - y.min() + 1)
    for ensemble in (teacher, FittedEnsemble(teacher), FrozenEstimator(teacher)):
        predictions = member_predictions(ensemble, rows)
        assert predictions.ndim == 2
        assert_allclose(predictions.mean(axis=1), teacher.predict(rows), rtol=1e-9)


@pytest.mark.parametrize("rows", [X, frame], ids=["array", "frame"])
@pytest.mark.parametrize("teacher", CLASSIFIERS, ids=teacher_id)
def test_the_mean_over_members_is_the_classifiers_probability(teacher, rows):
    teacher = clone(teacher).fit(rows, labels)
    for ensemble in (teacher, FittedEnsemble(teacher), FrozenEstimator(teacher)):
        predictions = member_predictions(ensemble, rows)
        assert_allclose(predictions.mean(axis=2), teacher.predict_proba(rows), atol=1e-6)
        assert_array_equal(describe_ensemble(ensemble).classes, teacher.classes_)


@pytest.mark.parametrize("teacher", [*REGRESSORS, *CLASSIFIERS], ids=teacher_id)
def test_kind_does_not_require_a_fit(teacher):
    is_regressor = teacher in REGRESSORS
    assert ensemble_kind(teacher) == ("regressor" if is_regressor else "classifier")
    assert not is_fitted_ensemble(teacher)
    assert is_fitted_ensemble(clone(teacher).fit(X, y - y.min() + 1 if is_regressor else labels))


# Bagging


def test_bagged_members_receive_only_their_columns():
    bagging = BaggingRegressor(LinearRegression(), 5, max_features=2, random_state=0).fit(X, y)
    predictions = member_predictions(bagging, X)
    for member, columns in enumerate(bagging.estimators_features_):
        expected = bagging.estimators_[member].predict(X[:, columns])
        assert_allclose(predictions[:, member], expected)


def test_bagged_classifiers_with_missing_classes_fill_the_right_columns():
    # Neighbours take no weights, so bagging fits them on the sampled rows alone.
    bagging = BaggingClassifier(KNeighborsClassifier(1), 9, max_samples=4, random_state=2).fit(
        X, labels
    )
    missing = [set(range(3)) - set(member.classes_) for member in bagging.estimators_]
    assert any(missing)
    predictions = member_predictions(bagging, X)
    for member, codes in enumerate(missing):
        assert_allclose(predictions[:, list(codes), member], 0, atol=1e-7)


# Forests


def test_columns_of_trees_are_the_classes_of_the_forest():
    teacher = clone(forest_classifier).fit(X, labels)
    predictions = member_predictions(teacher, X)
    tree = teacher.estimators_[3]
    assert_allclose(predictions[..., 3], tree.predict_proba(X.astype(np.float32)), atol=1e-7)


def test_leaves_with_exact_zeros_give_finite_logits():
    teacher = clone(forest_classifier).fit(X, labels)
    assert teacher.estimators_[0].predict_proba(X).min() == 0
    assert np.isfinite(np.log(member_predictions(teacher, X))).all()


def test_forests_of_several_outputs_keep_members_last():
    teacher = clone(forest).fit(X, targets)
    predictions = member_predictions(teacher, X)
    assert predictions.shape == (80, 3, 5)
    assert_allclose(predictions.mean(axis=2), teacher.predict(X))


def test_forests_accept_sparse_rows_and_missing_values():
    from scipy.sparse import csr_matrix

    teacher = clone(forest).fit(X, y)
    assert_allclose(member_predictions(teacher, csr_matrix(X)), member_predictions(teacher, X))
    holes = np.where(X > 1, np.nan, X)
    teacher.fit(holes, y)
    assert_allclose(member_predictions(teacher, holes).mean(axis=1), teacher.predict(holes))


def test_forests_of_several_classified_outputs_raise():
    teacher = clone(forest_classifier).fit(X, np.c_[labels, labels[::-1]])
    with pytest.raises(ValueError, match="was fitted on 2 targets, expected one"):
        member_predictions(teacher, X)


# Voting


@pytest.mark.parametrize(
    ("weights", "counts"),
    [
        (None, [1, 1, 1]),
        ([2, 2, 2], [1, 1, 1]),
        ([3, 1, 1], [3, 1, 1]),
        ([0.5, 0.3, 0.2], [5, 3, 2]),
        ([2, 0, 4], [1, 0, 2]),
    ],
)
def test_voters_are_members_in_proportion_to_their_weights(weights, counts):
    teacher = VotingRegressor(voters, weights=weights).fit(X, y)
    predictions = member_predictions(teacher, X)
    assert_allclose(predictions, np.repeat(teacher.transform(X), counts, axis=1))


@pytest.mark.parametrize("weights", [[3, 1, 1], [np.pi, 1.0, np.sqrt(2)]])
def test_the_spread_over_members_is_that_of_the_weighted_voters(weights):
    teacher = VotingRegressor(voters, weights=weights).fit(X, y)
    outputs, mean = teacher.transform(X), teacher.predict(X)
    variance = np.average((outputs - mean[:, np.newaxis]) ** 2, axis=1, weights=weights)
    # Two of a hundred members are blends where the weights have no common measure.
    rtol = 1e-9 if weights == [3, 1, 1] else 0.02
    assert_allclose(member_predictions(teacher, X).var(axis=1), variance, rtol=rtol)


@pytest.mark.parametrize("weights", [[-1, 2, 2], [0, 0, 0]])
def test_impossible_weights_raise(weights):
    teacher = VotingRegressor(voters).fit(X, y).set_params(weights=weights)
    with pytest.raises(ValueError, match="expected 3 that are not negative"):
        member_predictions(teacher, X)


@pytest.mark.parametrize("weights", [None, [1, 2, 2]])
@pytest.mark.parametrize("third", [("lr", LogisticRegression()), ("ridge", RidgeClassifier())])
def test_members_of_hard_voting_are_votes(weights, third):
    hard = [*classifying_voters[::2], third]  # with and without probabilities
    teacher = VotingClassifier(hard, voting="hard", weights=weights).fit(X, labels)
    predictions = member_predictions(teacher, X)
    assert_allclose(predictions.max(axis=1), 1, atol=1e-7)
    shares = predictions.mean(axis=2)
    untied = np.sort(shares, axis=1)[:, -1] > np.sort(shares, axis=1)[:, -2] + 1e-6
    assert_array_equal(teacher.classes_[shares.argmax(axis=1)][untied], teacher.predict(X)[untied])


@pytest.mark.parametrize(
    "names", [["low", "high", "middle"], [1, 2, 3], [-1, 1, 1], [0, 1, 2]], ids=str
)
@pytest.mark.parametrize("voting", ["soft", "hard"])
def test_voters_fitted_beforehand_predict_labels(names, voting):
    named = np.array(names)[np.unique(labels, return_inverse=True)[1]]
    models = [model.fit(X, named) for model in (GaussianNB(), DecisionTreeClassifier(max_depth=2))]
    frozen = [(str(i), FrozenEstimator(model)) for i, model in enumerate(models)]
    teacher = VotingClassifier([*frozen, ("new", LogisticRegression())], voting=voting)
    predictions = member_predictions(teacher.fit(X, named), X)
    assert_array_equal(teacher.classes_, models[0].classes_)
    for i, model in enumerate([*models, LogisticRegression().fit(X, named)]):
        if voting == "hard":
            expected = model.predict(X)[:, np.newaxis] == model.classes_
        else:
            expected = model.predict_proba(X)
        assert_allclose(predictions[..., i], expected, atol=1e-6)


def test_a_voter_fitted_beforehand_may_lack_a_class():
    few = LogisticRegression().fit(X[labels != "low"], labels[labels != "low"])
    voters = [("few", FrozenEstimator(few)), ("all", GaussianNB())]
    teacher = VotingClassifier(voters, voting="soft").fit(X, labels)
    predictions = member_predictions(teacher, X)
    assert_allclose(predictions[:, [0, 2], 0], few.predict_proba(X), atol=1e-6)


def test_voters_fitted_with_names_find_their_columns():
    named = make_pipeline(make_column_transformer((StandardScaler(), ["w", "z"])), Ridge())
    teacher = VotingRegressor([("named", named), ("ols", LinearRegression())]).fit(frame, y)
    for rows in (frame, X):
        predictions = member_predictions(teacher, rows)
        assert_allclose(predictions.mean(axis=1), teacher.predict(frame))


# Calibration


def test_a_single_calibrated_classifier_raises():
    teacher = CalibratedClassifierCV(GaussianNB(), ensemble=False).fit(X, labels)
    with pytest.raises(ValueError, match=r"holds 1 calibrated classifier.*use ensemble=True"):
        member_predictions(teacher, X)
