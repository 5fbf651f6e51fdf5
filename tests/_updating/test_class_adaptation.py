"""What a student of classifiers learns of the new meaning of labels."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from quick_students import QUICK
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax
from sklearn.datasets import make_blobs
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from sklearn_dlf import DLFClassifier
from sklearn_dlf._updating.folds import N_FOLDS, make_folds
from sklearn_dlf._updating.label_map import learn_map, name_classes
from sklearn_dlf._updating.offset_head import fit_head

LABELS = ["kept", "mapped"]

# Rows are few here, to be quick.
pytestmark = [
    pytest.mark.filterwarnings("ignore:What labels mean now was learnt from few rows"),
    pytest.mark.filterwarnings("ignore:Labels are likelier with a head"),
]


@pytest.fixture(params=["two_classes", "three_classes", "classes_of_groups"])
def fitted(request):
    return request.getfixturevalue(request.param)


def answers(student, X):
    """All that a student predicts without drawing."""
    parts = student.predict_uncertainty(X)
    found = student.predict_proba(X), student.predict_log_proba(X), parts.total, parts.epistemic
    return np.concatenate([np.ravel(part) for part in found])


def renamed(y, names):
    """Return labels under other names."""
    return np.array([names[each] for each in y])


@pytest.mark.parametrize("labels", ["auto", "mapped"])
def test_renamed_labels_are_found(three_classes, labels):
    student, X, y = three_classes
    new = renamed(y, {"a": "b", "b": "c", "c": "a"})
    adapted = student.adapt(X[:60], new[:60], labels=labels)
    before = log_loss(y[60:], student.predict_proba(X[60:]))
    assert log_loss(new[60:], adapted.predict_proba(X[60:])) < before + 0.1
    if labels == "mapped":
        expected = [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
        assert_array_equal(adapted.adaptation_.label_map.round(), expected)


def test_a_map_is_chosen_where_labels_are_certain():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((200, 3))
    logits = 8 * X[..., None] + rng.standard_normal((200, 3, 10))
    student = DLFClassifier(q=4, tol=2.0, n_epochs=10, refine=False, random_state=0)
    student.fit(X[:120], predictions=softmax(logits[:120], axis=1))
    y = X.argmax(axis=1)
    assert student.adapt(X[120:150], (y + 1)[120:150] % 3).adaptation_.labels == "mapped"
    assert student.adapt(X[120:150], y[120:150]).adaptation_.labels == "kept"


@pytest.mark.parametrize("n_rows", [20, 60])
def test_two_of_three_names_that_are_swapped_are_found(n_rows):
    """The posterior of members that kept their names learns the swap nearly as well."""
    X, classes = make_blobs(360, centers=[[0, 0], [3, 0], [0, 3]], cluster_std=1.1, random_state=0)
    y = np.array(["a", "b", "c"])[classes]
    forest = RandomForestClassifier(20, min_samples_leaf=3, random_state=0).fit(X[:120], y[:120])
    student = DLFClassifier(**{**QUICK, "hidden_layer_sizes": 30, "n_epochs": 10})
    student.fit(X[:120], y[:120], ensemble=forest)
    swapped = renamed(y, {"a": "b", "b": "a", "c": "c"})
    for start in range(120, 360, 60):
        rows = slice(start, start + n_rows)
        assert student.adapt(X[rows], swapped[rows]).adaptation_.labels == "mapped"
        assert student.adapt(X[rows], y[rows]).adaptation_.labels == "kept"


def test_labels_that_kept_their_meaning_are_kept(fitted):
    student, X, y = fitted
    adapted = student.adapt(X[:60], y[:60])
    assert adapted.adaptation_.labels == "kept"
    before = log_loss(y[60:], student.predict_proba(X[60:]))
    assert log_loss(y[60:], adapted.predict_proba(X[60:])) < before


def test_one_row_keeps_labels(fitted):
    student, X, y = fitted
    adapted = student.adapt(X[:1], y[:1])
    assert adapted.adaptation_.labels == "kept"
    assert np.isnan(adapted.adaptation_.loss)
    assert_array_equal(adapted.classes_, student.classes_)
    assert np.isfinite(answers(adapted, X)).all()


@pytest.mark.parametrize("labels", LABELS)
def test_one_class_only_is_learnt(three_classes, labels):
    student, X, _ = three_classes
    adapted = student.adapt(X[:40], np.full(40, "b"), labels=labels)
    assert_array_equal(adapted.classes_, student.classes_)
    assert (adapted.predict(X) == "b").mean() > 0.95
    assert (adapted.predict_proba(X) > 0).all()


def test_a_permuted_labelling_permutes_the_answers(three_classes):
    student, X, y = three_classes
    one = student.adapt(X[:50], renamed(y[:50], {"a": "x", "b": "y", "c": "z"}), labels="mapped")
    other = student.adapt(X[:50], renamed(y[:50], {"a": "y", "b": "z", "c": "x"}), labels="mapped")
    assert_allclose(other.predict_proba(X)[:, [1, 2, 0]], one.predict_proba(X), rtol=0, atol=1e-5)
    epistemic = [each.predict_uncertainty(X).epistemic for each in (one, other)]
    assert_allclose(epistemic[1], epistemic[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("labels", LABELS)
def test_the_order_of_rows_does_not_count(fitted, labels):
    student, X, y = fitted
    one, other = (
        student.adapt(X[:50][by], y[:50][by], labels=labels)
        for by in (slice(None), slice(None, None, -1))
    )
    assert_allclose(answers(other, X), answers(one, X), rtol=0, atol=1e-12)


@pytest.mark.parametrize("labels", LABELS)
def test_a_weight_is_a_number_of_equal_rows(fitted, labels):
    student, X, y = fitted
    counts = np.arange(50) % 3
    repeated = np.repeat(X[:50], counts, axis=0), np.repeat(y[:50], counts)
    one = student.adapt(*repeated, labels=labels)
    other = student.adapt(X[:50], y[:50], sample_weight=counts, labels=labels)
    assert_allclose(answers(other, X), answers(one, X), rtol=0, atol=1e-12)


def test_the_student_that_is_adapted_stays_as_it_was(fitted):
    student, X, y = fitted
    student = copy.deepcopy(student).update(X[:20], y[:20])
    before = answers(student, X)
    with pytest.warns(UserWarning, match="learnt by update is left out"):
        student.adapt(X[:50], y[:50])
    assert_array_equal(answers(student, X), before)


def test_probabilities_are_means_of_the_members(fitted):
    student, X, y = fitted
    flipped = np.where(y == "a", "b", "a")
    adapted = student.adapt(X[:80], flipped[:80], labels="mapped")
    assert adapted.adaptation_.head is not None
    draws = adapted.sample_predictions(X, 4000, random_state=0)
    assert_allclose(draws.sum(axis=1), 1.0, rtol=1e-12)
    error = draws.std(axis=-1) / np.sqrt(draws.shape[-1])
    assert np.abs((draws.mean(axis=-1) - adapted.predict_proba(X)) / error).max() < 6


def test_uncertainty_is_that_of_the_members(three_classes):
    student, X, y = three_classes
    adapted = student.adapt(X[:80], y[:80], labels="mapped")
    draws = adapted.sample_predictions(X, 4000, random_state=0)
    entropy = -(draws * np.log(draws)).sum(axis=1).mean(axis=-1)
    parts = adapted.predict_uncertainty(X)
    assert_allclose(parts.aleatoric, entropy, rtol=0, atol=0.02)
    assert_allclose(parts.epistemic, parts.total - parts.aleatoric, rtol=0, atol=1e-12)


def test_a_map_does_not_add_to_what_members_disagree_about(fitted):
    student, X, y = fitted
    flipped = np.where(y == "a", "b", "a")
    for labels in (y, flipped):
        adapted = student.adapt(X[:80], labels[:80], labels="mapped")
        epistemic = adapted.predict_uncertainty(X).epistemic
        assert (epistemic <= student.predict_uncertainty(X).epistemic + 1e-3).all()
        assert epistemic.mean() > 0


def test_new_classes_are_learnt_beside_kept_ones(two_classes):
    student, X, y = two_classes
    labels = np.where(X[:, 0] > 1, "new", y)
    adapted = student.adapt(X[:90], labels[:90], labels="kept")
    assert_array_equal(adapted.classes_, ["a", "b", "new"])
    assert adapted.n_outputs_ == 3
    assert (adapted.predict(X[90:]) == "new")[X[90:, 0] > 1.5].all()
    assert log_loss(labels[90:], adapted.predict_proba(X[90:])) < 0.9


def test_other_labels_take_the_place_of_the_classes(three_classes):
    student, X, y = three_classes
    adapted = student.adapt(X[:60], y[:60] == "a")
    assert_array_equal(adapted.classes_, [False, True])
    assert adapted.predict_proba(X).shape == (len(X), 2)
    assert adapted.sample_predictions(X, 3).shape == (len(X), 2, 3)
    assert (adapted.predict(X) == (y == "a")).mean() > 0.7


def test_labels_that_the_rows_lack_are_named_by_classes(three_classes):
    student, X, _ = three_classes
    adapted = student.adapt(X[:30], np.full(30, 1), classes=[3, 1])
    assert_array_equal(adapted.classes_, [1, 3])
    assert (adapted.predict(X) == 1).all()


@pytest.mark.parametrize(("n_rows", "is_told"), [(10, False), (9, True), (0, True)])
def test_a_label_of_few_rows_is_told_if_it_is_mapped(two_classes, n_rows, is_told):
    student, X, y = two_classes
    rows = np.concatenate([np.flatnonzero(y == "a")[:30], np.flatnonzero(y == "b")[:n_rows]])
    names = renamed(y, {"a": "good", "b": "bad"})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        student.adapt(X[rows], names[rows], classes=["bad", "good"])
        student.adapt(X[rows], y[rows], labels="kept")
    told = [str(each.message) for each in caught if "few rows of" in str(each.message)]
    assert len(told) == is_told
    assert not is_told or f"few rows of some: bad has {n_rows}. Their probabilities" in told[0]


@pytest.mark.parametrize("labels", ["auto", *LABELS])
def test_rows_of_tiny_weights_tell_nothing_beside_others(three_classes, labels):
    student, X, y = three_classes
    weights = np.where(np.arange(50) < 40, 1.0, 1e-310)
    one = student.adapt(X[:50], y[:50], weights, labels=labels)
    assert_array_equal(answers(one, X), answers(student.adapt(X[:40], y[:40], labels=labels), X))


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (3, "classes must have one label"),
        ([["a", "b"]], "classes must have one label"),
        ([0, None], "classes has missing labels"),
        ([[0], [0, 1]], "classes must hold as many"),
    ],
)
def test_wrong_classes_are_named(two_classes, classes, message):
    student, X, y = two_classes
    with pytest.raises(ValueError, match=message):
        student.adapt(X[:9], y[:9], classes=classes)


def test_kept_classes_without_a_head_have_latent_parameters(two_classes):
    student, X, y = two_classes
    adapted = student.adapt(X[:50], y[:50], labels="kept")
    assert adapted.latent_parameters(X).mean.shape == (len(X), 1)
    mapped = student.adapt(X[:50], y[:50], labels="mapped")
    with pytest.raises(ValueError, match="known by their probabilities"):
        mapped.latent_parameters(X)


def test_a_pickle_keeps_the_adaptation(fitted):
    student, X, y = fitted
    for labels in LABELS:
        adapted = student.adapt(X[:50], y[:50], labels=labels)
        loaded = pickle.loads(pickle.dumps(adapted))
        assert_array_equal(answers(loaded, X), answers(adapted, X))
        assert loaded.adaptation_.labels == labels


def test_names_are_those_of_most_rows_and_what_is_left_is_that_of_classes_without_rows():
    probabilities = np.repeat([[0.9, 0.05, 0.04, 0.01], [0.05, 0.9, 0.01, 0.04]], 5, axis=0)
    labels = np.eye(4)[[2, 2, 2, 2, 3, 3, 3, 3, 3, 3]]  # one is an error
    found = name_classes(probabilities, labels, 0.01)
    names = np.array([[0, 0, 1, 0], [0, 0, 0, 1], [0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0]])
    assert_allclose(found, 0.99 * names + 0.01 / 4, rtol=0, atol=1e-12)
    without = name_classes(probabilities, labels[:, 2:], 0.01)
    assert_allclose(without[:2], 0.99 * names[:2, 2:] + 0.01 / 2, rtol=0, atol=1e-12)
    assert (without[2:] > 0.05).all()
    assert_allclose(without.sum(axis=1), 1)


def test_few_rows_tell_names_of_which_members_are_as_sure_as_before():
    X, y = make_blobs(500, 2, centers=4, cluster_std=1.5, random_state=0)
    forest = RandomForestClassifier(20, min_samples_leaf=5, random_state=0).fit(X[:200], y[:200])
    student = DLFClassifier(**QUICK).fit(X[:200], y[:200], ensemble=forest)
    names = np.array(["w", "z", "x", "y"])[y]
    adapted = student.adapt(X[200:230], names[200:230], labels="mapped")
    assert adapted.adaptation_.head is None
    renamed = student.predict_proba(X)[:, [0, 2, 3, 1]]
    assert_allclose(adapted.predict_proba(X), renamed, rtol=0, atol=0.03)
    before, found = (each.predict_uncertainty(X).epistemic for each in (student, adapted))
    assert 0.9 < found.mean() / before.mean() < 1.05


def test_a_head_under_which_members_hardly_disagree_is_told():
    X, y = make_blobs(800, 2, centers=3, cluster_std=1.0, random_state=0)
    forest = RandomForestClassifier(20, min_samples_leaf=40, random_state=0).fit(X[:200], y[:200])
    student = DLFClassifier(**QUICK).fit(X[:200], y[:200], ensemble=forest)
    rows, names = X[200:500], np.array(["x", "z", "y"])[y[200:500]]
    with pytest.warns(UserWarning, match="under it members disagree 0.* times as much") as told:
        adapted = student.adapt(rows, names)
    assert adapted.adaptation_.head is not None
    assert 0 < adapted.adaptation_.share < 1
    ratio = float(str(told[0].message).split("disagree ")[1].split()[0])
    at = [each.predict_uncertainty(rows).epistemic.mean() for each in (adapted, student)]
    assert abs(ratio - at[0] / at[1]) < 0.1
    assert log_loss(y[500:], adapted.predict_proba(X[500:])[:, [0, 2, 1]]) < 0.8 * log_loss(
        y[500:], student.predict_proba(X[500:])
    )


def test_a_map_is_the_most_probable_one():
    rng = np.random.RandomState(0)
    probabilities = rng.dirichlet(np.ones(3), 40)
    labels = np.eye(4)[rng.randint(4, size=40)] * rng.uniform(0.5, 2, size=(40, 1))
    found = learn_map(probabilities, labels, 0.3)

    def loss(flat):
        logarithms = log_softmax(flat.reshape(3, 4), axis=1)
        mapped = np.log(probabilities @ np.exp(logarithms))
        return -np.sum(labels * mapped) - 0.3 * logarithms.sum()

    best = minimize(loss, np.zeros(12), options={"gtol": 1e-8})
    assert_allclose(found, softmax(best.x.reshape(3, 4), axis=1), atol=1e-4)
    assert_allclose(found.sum(axis=1), 1.0)


def test_a_head_is_that_of_scikit_learn_where_there_is_no_offset():
    rng = np.random.RandomState(0)
    features, y = rng.standard_normal((60, 4)), rng.randint(3, size=60)
    found = fit_head(features, np.zeros((60, 3)), np.eye(3)[y], 0.5)
    model = LogisticRegression(C=0.25, fit_intercept=False, tol=1e-8).fit(features, y)
    assert_allclose(found.T, model.coef_, atol=1e-4)


def test_a_head_makes_up_for_its_offset():
    rng = np.random.RandomState(0)
    features, y = rng.standard_normal((60, 4)), rng.randint(3, size=60)
    offset = features @ rng.standard_normal((4, 3))
    free = fit_head(features, np.zeros((60, 3)), np.eye(3)[y], 100.0)
    found = features @ fit_head(features, offset, np.eye(3)[y], 100.0) + offset
    expected = log_softmax(features @ free, axis=1)
    assert_allclose(log_softmax(found, axis=1), expected, atol=2e-3)


def test_folds_have_equal_shares_of_each_kind():
    kinds = [b"a"] * 10 + [b"b"] * 5
    folds = make_folds(kinds)
    assert_array_equal(np.bincount(folds[:10]), np.full(N_FOLDS, 2))
    assert_array_equal(np.bincount(folds[10:]), np.ones(N_FOLDS))


def test_a_map_that_renames_nothing_needs_more_than_chance():
    """A rare class: a map of it may say that the student is too sure, and costs disagreement."""
    n_mapped = 0
    rng = np.random.RandomState(0)
    X = rng.standard_normal((1200, 2))
    log_odds = -3.5 + (X @ rng.uniform(0.5, 2.0, (2, 21)))
    y = (rng.uniform(size=1200) < expit(log_odds[:, 0])).astype(int)
    P = np.stack([expit(-log_odds[:, 1:]), expit(log_odds[:, 1:])], axis=1)
    student = DLFClassifier(q=3, tol=2.0, n_epochs=10, refine=False, random_state=0)
    student.fit(X[:200], y[:200], predictions=P[:200])
    for first in (200, 500, 800):
        rows = slice(first, first + 300)
        n_mapped += student.adapt(X[rows], y[rows]).adaptation_.labels == "mapped"
    assert n_mapped == 0
