import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_classification, make_friedman1
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeClassifier

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._transfer.unseen_check import (
    has_moved,
    loss_of_grown_trees,
    seen_is_better,
    warn_if_misplaced,
)
from sklearn_dlf.ensembles import FittedEnsemble, member_predictions

# The students are not trained to the end; the check comes before.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

QUICK = {
    "q": 1,
    "hidden_layer_sizes": (4,),
    "n_epochs": 1,
    "max_iter": 2,
    "augment": None,
    "random_state": 0,
}
VALUES = make_friedman1(300, noise=1.0, random_state=0)
CLASSES = make_classification(300, 6, flip_y=0.2, random_state=0)
REFUTED = "not to be those of the ensemble's own fit"

OVERFITTED = {
    "forest": (VALUES, RandomForestRegressor(20, random_state=0)),
    "forest of labels": (CLASSES, RandomForestClassifier(20, random_state=0)),
    "bagged trees": (CLASSES, BaggingClassifier(DecisionTreeClassifier(), 20, random_state=0)),
    "bagged neighbours": (VALUES, BaggingRegressor(KNeighborsRegressor(1), 30, random_state=0)),
}
REGULAR = {
    "ridge": (VALUES, BaggingRegressor(Ridge(), 20, random_state=0)),
    "shallow trees": (VALUES, RandomForestRegressor(20, max_depth=2, random_state=0)),
    "balanced classes": (
        CLASSES,
        RandomForestClassifier(20, max_depth=2, class_weight="balanced", random_state=0),
    ),
}


def fit(ensemble, X, y, **arguments):
    student = DLFRegressor(**QUICK)
    if hasattr(ensemble, "classes_"):
        student = DLFClassifier(**QUICK, refine=False)
    return student.fit(X, y, ensemble=ensemble, **arguments)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", [*OVERFITTED, *REGULAR])
def test_own_rows_in_their_order_are_silent(case, weighted):
    (X, y), ensemble = (OVERFITTED | REGULAR)[case]
    weights = np.random.RandomState(0).uniform(0.1, 2, len(y)) if weighted else None
    fit(ensemble.fit(X, y), X, y, sample_weight=weights)


@pytest.mark.parametrize("case", OVERFITTED)
def test_own_rows_in_another_order_warn(case):
    (X, y), ensemble = OVERFITTED[case]
    order = np.random.RandomState(1).permutation(len(y))
    with pytest.warns(UserWarning, match=REFUTED) as record:
        fit(ensemble.fit(X, y), X[order], y[order])
    ours = [warning for warning in record if REFUTED in str(warning.message)]
    assert [warning.filename for warning in ours] == [__file__]


@pytest.mark.parametrize("case", ["forest", "forest of labels"])
def test_as_many_other_rows_warn(case):
    (X, y), ensemble = OVERFITTED[case]
    ensemble.fit(X[:150], y[:150])
    with pytest.warns(UserWarning, match=REFUTED):
        fit(ensemble, X[150:], y[150:])


@pytest.mark.parametrize("case", REGULAR)
def test_members_that_do_not_overfit_are_silent_in_any_order(case):
    (X, y), ensemble = REGULAR[case]
    order = np.random.RandomState(1).permutation(len(y))
    fit(ensemble.fit(X, y), X[order], y[order])


def test_without_y_no_warning_is_given():
    (X, y), ensemble = OVERFITTED["forest"]
    fit(ensemble.fit(X, y), X[::-1], None)


def test_a_teacher_that_is_fitted_here_is_not_checked():
    (X, y), ensemble = OVERFITTED["forest"]
    fit(ensemble, X, y)


def test_a_refuted_record_is_not_used():
    (X, y), ensemble = OVERFITTED["forest"]
    ensemble.fit(X, y)
    with pytest.warns(UserWarning, match=REFUTED):
        student = fit(ensemble, X[::-1], y[::-1])
    with pytest.warns(UserWarning, match=REFUTED):
        unused = DLFRegressor(**QUICK, out_of_bag=None).fit(X[::-1], y[::-1], ensemble=ensemble)
    assert_array_equal(student.predict(X), unused.predict(X))
    assert_allclose(student.output_spread_, unused.output_spread_, rtol=0)


def test_matching_to_a_refuted_record_is_an_error():
    (X, y), ensemble = OVERFITTED["forest"]
    ensemble.fit(X, y)
    student = DLFRegressor(**QUICK, out_of_bag="match")
    with (
        pytest.warns(UserWarning, match=REFUTED),
        pytest.raises(ValueError, match="needs an ensemble that knows"),
    ):
        student.fit(X[::-1], y[::-1], ensemble=ensemble)


def test_the_grown_loss_is_the_training_error_of_the_trees():
    X, y = VALUES
    forest = RandomForestRegressor(5, bootstrap=False, min_samples_leaf=9, max_features=1).fit(X, y)
    errors = [np.mean((tree.predict(X) - y) ** 2) for tree in forest.estimators_]
    assert loss_of_grown_trees(forest) == pytest.approx(np.mean(errors))
    X, y = CLASSES
    forest = RandomForestClassifier(5, bootstrap=False, min_samples_leaf=9).fit(X, y)
    one_hot = np.eye(2)[y]
    errors = [
        ((tree.predict_proba(X) - one_hot) ** 2).sum(axis=1).mean() for tree in forest.estimators_
    ]
    assert loss_of_grown_trees(forest) == pytest.approx(np.mean(errors))


def test_members_without_trees_have_no_grown_loss():
    X, y = VALUES
    assert loss_of_grown_trees(BaggingRegressor(Ridge(), 3).fit(X, y)) is None


def test_the_test_of_seen_rows_has_its_false_alarm_rate():
    rng = np.random.RandomState(0)
    unseen = rng.uniform(size=(200, 20)) < 0.37
    losses = rng.chisquare(1, size=(300, 200, 20))
    believed = np.mean([seen_is_better(loss, unseen) for loss in losses])
    assert believed < 0.08  # 1 in 25 is expected


def test_moved_rows_are_found_and_chance_is_not():
    rng = np.random.RandomState(0)
    seen = rng.uniform(size=(200, 30)) > 0.37
    noise = rng.chisquare(1, size=seen.shape)
    assert has_moved((noise + 5 * ~seen)[::-1], seen)
    assert not has_moved(noise, seen)
    for unit in (1e-120, 1e60):  # squares of small and large y
        assert has_moved(unit * (noise + 5 * ~seen)[::-1], seen)


def test_an_inverted_unseen_of_the_user_warns_and_the_right_one_does_not():
    X, y = VALUES
    forest = RandomForestRegressor(20, random_state=0).fit(X, y)
    drawn = forest.estimators_samples_
    unseen = np.stack([~np.isin(np.arange(len(y)), rows) for rows in drawn], axis=1)
    trees = FittedEnsemble(forest.estimators_, outputs="values")
    with pytest.warns(UserWarning, match="is `unseen` inverted"):
        DLFRegressor(**QUICK).fit(X, y, ensemble=trees, unseen=~unseen)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        DLFRegressor(**QUICK).fit(X, y, ensemble=trees, unseen=unseen)


def test_an_unseen_of_the_user_in_another_order_warns():
    X, y = VALUES
    forest = RandomForestRegressor(50, random_state=0).fit(X, y)
    unseen = np.stack(
        [~np.isin(np.arange(len(y)), rows) for rows in forest.estimators_samples_], axis=1
    )
    outputs, order = member_predictions(forest, X)[:, None], np.random.RandomState(0)
    with pytest.warns(UserWarning, match="their losses agree with `unseen` of other rows"):
        warn_if_misplaced(outputs, y[:, None], order.permutation(unseen))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_misplaced(outputs, y[:, None], unseen)
