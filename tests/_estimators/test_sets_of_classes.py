"""Sets of classes by MAPIE around a fitted student, as docs/workflow.md describes them."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dlf import DLFClassifier

mapie = pytest.importorskip("mapie.classification")

# Few steps of training are enough: the guarantee does not depend on how well a student is fitted.
QUICK = {"q": 3, "hidden_layer_sizes": (20,), "n_epochs": 1, "tol": 1.0, "random_state": 0}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

PAGE = Path(__file__).parents[2] / "docs" / "workflow.md"

N_HELD_OUT, LEVEL, N_CHOICES = 100, 0.9, 40


def make_rows(n_rows, random_state):
    """Rows and their classes, which the rows do not determine."""
    rng = np.random.RandomState(random_state)
    X = rng.standard_normal((n_rows, 4))
    utility = 2 * X[:, :3] + rng.gumbel(size=(n_rows, 3))
    return X, np.array(["low", "middle", "high"])[utility.argmax(axis=1)]


@pytest.fixture(scope="module")
def student():
    X, labels = make_rows(200, 0)
    forest = RandomForestClassifier(20, random_state=0).fit(X, labels)
    return DLFClassifier(**QUICK).fit(X, labels, ensemble=forest)


def predict_sets(model, X, labels, X_new, **parameters):
    sets = mapie.SplitConformalClassifier(model, confidence_level=LEVEL, prefit=True, **parameters)
    return sets.conformalize(X, labels).predict_set(X_new)


@pytest.mark.parametrize("score", ["lac", "aps"])
def test_sets_contain_the_class_as_often_as_asked_for(student, score):
    X_new, new_labels = make_rows(2000, 1)
    own = np.searchsorted(student.classes_, new_labels)
    coverage = []
    for choice in range(N_CHOICES):
        held_out = make_rows(N_HELD_OUT, 2 + choice)
        _, is_in_set = predict_sets(
            student, *held_out, X_new, conformity_score=score, random_state=0
        )
        coverage.append(is_in_set[np.arange(len(own)), own, 0].mean())
    # Coverage is beta distributed over choices of held-out rows, with a standard deviation of 0.03
    # or less: it is 0.005 for the mean of 40 choices, and 0.007 for 2,000 new rows. The tolerance
    # is three times what both make together.
    assert np.mean(coverage) > LEVEL - 0.025
    assert is_in_set.mean() < 1  # by sets that leave classes out


def rare_class(n_rows, rng):
    """Probabilities of three classes, one of which is rare, and classes drawn by them."""
    proba = rng.dirichlet([4.0, 4.0, 0.4], n_rows)
    return proba, (rng.uniform(size=(n_rows, 1)) > proba.cumsum(axis=1)).sum(axis=1)


def test_limits_of_each_class_on_the_page_hold_for_a_rare_class():
    lines = PAGE.read_text().split(">>> def limits_of_classes")[1].split(">>>")[0].splitlines()
    names = {"np": np}
    exec("\n".join(["def limits_of_classes" + lines[0], *(line[4:] for line in lines[1:])]), names)
    rng = np.random.RandomState(0)
    proba, labels = rare_class(20_000, rng)
    scores = 1 - proba[labels == 2, 2]
    coverage, of_all_rows = [], []
    for _ in range(200):
        own, own_labels = rare_class(300, rng)
        limits = names["limits_of_classes"](own, own_labels, np.arange(3), LEVEL)
        coverage.append((scores <= limits[2]).mean())
        limit = np.quantile(1 - own[np.arange(300), own_labels], LEVEL, method="higher")
        of_all_rows.append((scores <= limit).mean())
    # The standard deviation of one coverage is 0.1 or less, and of the mean of 200 it is 0.007.
    assert np.mean(coverage) > LEVEL - 0.02
    assert np.mean(of_all_rows) < 0.7


def test_sets_of_a_pipeline_are_those_of_its_student(student):
    X, labels = make_rows(N_HELD_OUT, 1)
    X_new, _ = make_rows(50, 2)
    scaler = StandardScaler().fit(10 * X)
    pipeline = make_pipeline(scaler, student)
    label, is_in_set = predict_sets(pipeline, scaler.inverse_transform(X), labels, 10 * X_new)
    expected, expected_sets = predict_sets(student, X, labels, scaler.transform(10 * X_new))
    assert (label == expected).all()
    assert (is_in_set == expected_sets).all()
    assert set(label) <= set(student.classes_)
