"""Members whose probabilities are votes are learnt as certain, and `fit` says so."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from sklearn_dlf import DLFClassifier
from sklearn_dlf._transfer.unseen_check import consists_of_trees
from sklearn_dlf.ensembles import FittedEnsemble, member_predictions
from tests.quick_students import QUICK

X, Y = make_classification(120, 5, random_state=0)
FLIPPED = np.where(
    np.random.RandomState(0).uniform(size=(120, 4)) < 0.1, 1 - Y[:, None], Y[:, None]
)
VOTERS = [("logistic", LogisticRegression()), ("bayes", GaussianNB()), ("lines", Perceptron())]


def as_function(model):
    return lambda rows: np.eye(2)[model.predict(rows)]


def fit(ensemble=None, **given):
    return DLFClassifier(refine=False, **QUICK).fit(X, Y, ensemble=ensemble, **given)


@pytest.mark.parametrize(
    "ensemble",
    [
        VotingClassifier(VOTERS, voting="hard"),
        VotingClassifier(VOTERS, voting="hard", weights=[1.0, np.pi, np.sqrt(2)]),
        VotingClassifier([(str(i), DecisionTreeClassifier(max_depth=i)) for i in (1, 2, 3)]),
        BaggingClassifier(SVC(), 4, random_state=0),
        make_pipeline(StandardScaler(), BaggingClassifier(Perceptron(), 4, random_state=0)),
        FittedEnsemble(
            [as_function(SVC(C=c).fit(X, Y)) for c in (0.1, 1.0, 10.0)], outputs="probabilities"
        ),
    ],
    ids=["hard", "weighted", "trees", "machines", "pipeline", "functions"],
)
def test_votes_of_members_give_a_warning(ensemble):
    if not isinstance(ensemble, FittedEnsemble):
        ensemble = ensemble.fit(X, Y)
    with pytest.warns(UserWarning, match="probabilities of 0 and 1 only.*votes.*calibrated ones"):
        fit(ensemble)


def test_an_ensemble_that_is_fitted_here_gives_the_warning_too():
    with pytest.warns(UserWarning, match="All members give probabilities of 0 and 1 only"):
        fit(BaggingClassifier(SVC(), 4))


@pytest.mark.parametrize("n_columns", [1, 2])
def test_arrays_of_labels_give_a_warning_that_is_true_of_trees_too(n_columns):
    P = np.stack([1 - FLIPPED, FLIPPED], axis=1).astype(float)[:, -n_columns:]
    with pytest.warns(UserWarning, match="0 and 1 only.*votes or labels.*fully grown trees"):
        fit(predictions=P)


def test_most_members_that_vote_are_enough():
    P = np.stack([1 - FLIPPED, FLIPPED], axis=1).astype(float)
    P[..., 0] = 0.5
    with pytest.warns(UserWarning, match="3 of 4 members give"):
        fit(predictions=P)


@pytest.mark.parametrize(
    "ensemble",
    [
        RandomForestClassifier(5, random_state=0),
        make_pipeline(StandardScaler(), ExtraTreesClassifier(5, bootstrap=True, random_state=0)),
        BaggingClassifier(DecisionTreeClassifier(), 5, random_state=0),
    ],
    ids=["forest", "pipeline", "bagging"],
)
def test_fully_grown_trees_give_none(ensemble):
    ensemble.fit(X, Y)
    P = member_predictions(ensemble, X)
    assert ((P < 1e-6) | (P > 1 - 1e-6)).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(ensemble)


def test_members_that_are_certain_and_agree_are_right_to_be_so():
    P = np.stack([1 - FLIPPED, FLIPPED], axis=1).astype(float)
    P[1:, :, 1:] = P[1:, :, :1]
    P[0] = [[1, 1, 0, 0], [0, 0, 1, 1]]  # they disagree at one row
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(predictions=P)


def test_logits_and_sure_probabilities_give_none():
    sure = np.clip(np.stack([1 - FLIPPED, FLIPPED], axis=1), 1e-3, 1 - 1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(predictions=sure)
        fit(predictions=80.0 * (sure - 0.5), outputs="logits")


def test_members_that_are_trees_are_known():
    tree = DecisionTreeClassifier().fit(X, Y)
    forest = RandomForestClassifier(3).fit(X, Y)
    assert consists_of_trees([tree, make_pipeline(forest).fit(X, Y)])
    assert consists_of_trees(FittedEnsemble([tree, forest]))
    assert not consists_of_trees([tree, GaussianNB()])
    hard = VotingClassifier([("a", tree), ("b", forest)], voting="hard").fit(X, Y)
    assert not consists_of_trees(hard)
