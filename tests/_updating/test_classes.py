"""The posterior of a student of classifiers, given labels at new rows."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from raw_rows import conv_body, images
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.metrics import log_loss

from sklearn_dlf import DLFClassifier
from sklearn_dlf._updating.class_update import share_mass
from sklearn_dlf._updating.laplace import LabelledRows, derivatives, find_mode
from sklearn_dlf._updating.models import Likelihood


@pytest.fixture(params=["two_classes", "three_classes", "classes_of_groups"])
def fitted(request):
    student, X, y = request.getfixturevalue(request.param)
    return copy.deepcopy(student), X, y


def answers(student, X):
    parts = student.predict_proba(X), student.predict_uncertainty(X).epistemic
    return np.concatenate([np.ravel(part) for part in parts])


@pytest.fixture(scope="module")
def of_images():
    """A refined student of images, and images far from those it has learnt from."""
    X, y = images(60)
    rng = np.random.RandomState(0)
    logits = 2.0 * np.eye(10)[y][..., None] + rng.standard_normal((60, 10, 6))
    student = DLFClassifier(
        q=2, body=conv_body, n_epochs=2, max_iter=2, refine=2, augment=None, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        student.fit(X, predictions=logits, outputs="logits")
    student.student_.factor_shares.fill_(1.0)
    student.student_.set_noise(1e-4)
    return student, X, 255 - X


def test_spread_goes_on_growing_with_the_distance_of_features(of_images):
    fitted, X, far = of_images
    before = fitted.predict_uncertainty(far).epistemic
    plain = copy.deepcopy(fitted)
    del plain.student_.growth_root
    assert np.median(before / plain.predict_uncertainty(far).epistemic) > 1.05
    student = copy.deepcopy(fitted)
    student.update(X[:10], fitted.predict(X[:10]), sample_weight=[1e-9] * 10, discrepancy=None)
    assert_allclose(student.predict_uncertainty(far).epistemic, before, rtol=0.02)


def test_new_labels_make_new_rows_likelier(fitted):
    student, X, y = fitted
    before = log_loss(y[60:], student.predict_proba(X[60:]))
    after = log_loss(y[60:], student.update(X[:60], y[:60]).predict_proba(X[60:]))
    assert after < before - 0.02


def test_two_batches_equal_one(fitted):
    student, X, y = fitted
    one = answers(copy.deepcopy(student).update(X, y), X)
    for rows in (slice(50), slice(50, None)):
        student.update(X[rows], y[rows])
    assert_allclose(answers(student, X), one, rtol=0, atol=1e-10)


@pytest.mark.parametrize("size", [7, 50, 64])
def test_batches_do_not_count_beyond_the_rows_that_are_kept(monkeypatch, fitted, size):
    monkeypatch.setattr("sklearn_dlf._updating.class_update.MAX_KEPT", 32)
    student, X, y = fitted
    one = answers(copy.deepcopy(student).update(X, y), X)
    for start in range(0, len(X), size):
        student.update(X[start : start + size], y[start : start + size])
    assert_allclose(answers(student, X), one, rtol=0, atol=1e-10)


def test_forgetting_without_rows_moves_the_posterior_a_little(fitted):
    student, X, y = fitted
    before = answers(student.update(X, y), X)
    after = answers(student.update(X[:0], y[:0], forgetting=0.999), X)
    assert 0 < np.abs(after - before).max() < 0.02
    assert student._update._has_memory


def test_absorbed_rows_are_nearly_as_good_as_kept_ones(monkeypatch, fitted):
    student, X, y = fitted
    one = copy.deepcopy(student).update(X, y).predict_proba(X)
    monkeypatch.setattr("sklearn_dlf._updating.class_update.MAX_KEPT", 1)
    for rows in (slice(50), slice(50, None)):
        student.update(X[rows], y[rows])
    assert len(student._update._rows.latent) == 1
    assert_allclose(student.predict_proba(X), one, rtol=0, atol=0.05)


def test_the_order_of_rows_does_not_count(fitted):
    student, X, y = fitted
    one = answers(copy.deepcopy(student).update(X, y), X)
    assert_allclose(answers(student.update(X[::-1], y[::-1]), X), one, rtol=0, atol=1e-10)


def test_a_weight_is_a_number_of_equal_rows(fitted):
    student, X, y = fitted
    counts = np.arange(len(X)) % 3
    other = copy.deepcopy(student).update(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    one = answers(student.update(X, y, sample_weight=counts), X)
    assert_allclose(answers(other, X), one, rtol=0, atol=1e-10)


def test_no_rows_change_nothing_and_reset_restores(fitted):
    student, X, y = fitted
    before = answers(student, X)
    student.update(X[:0], y[:0]).update(X, y, sample_weight=np.zeros(len(X)))
    assert_array_equal(answers(student, X), before)
    student.update(X, y)
    assert np.abs(answers(student, X) - before).max() > 1e-2
    assert_array_equal(answers(student.reset_update(), X), before)


def test_forgetting_has_no_and_full_forgetting_at_its_ends(fitted):
    student, X, y = fitted
    first, rest = (X[:50], y[:50]), (X[50:], y[50:])
    none = answers(copy.deepcopy(student).update(*first).update(*rest), X)
    own = answers(copy.deepcopy(student).update(*rest, discrepancy=None), X)
    student.update(*first)
    ends = copy.deepcopy(student).update(*rest, forgetting=1.0)
    assert_allclose(answers(ends, X), none, rtol=0, atol=1e-12)
    ends = student.update(*rest, forgetting=0.0, discrepancy=None)
    assert_allclose(answers(ends, X), own, rtol=0, atol=1e-10)


@pytest.mark.filterwarnings("ignore:By the student, the new")
def test_a_stream_follows_labels_that_change(two_classes):
    student, X, y = two_classes
    flipped = np.where(y == "a", "b", "a")
    losses = []
    for forgetting in (None, 0.7):
        model = copy.deepcopy(student)
        for labels in (y, y, y, flipped, flipped, flipped):
            model.update(X[:60], labels[:60], forgetting=forgetting)
        losses.append(log_loss(flipped[60:], model.predict_proba(X[60:])))
    assert losses[1] < 0.7 * losses[0]


def test_permuted_classes_permute_the_probabilities(three_classes):
    student, X, y = copy.deepcopy(three_classes)
    permuted = copy.deepcopy(student)
    order = np.array([2, 0, 1])
    layout, heads = permuted.student_.layout, permuted.student_.heads
    for values in (heads.weight.data.T, heads.bias.data):
        parts = layout.split(values.clone())
        new = layout.split(values)
        new.mean[...] = parts.mean[..., order]
        new.log_noise[...] = parts.log_noise[..., order]
        new.loadings[...] = parts.loadings[..., order, :]
    permuted.student_.noise_head = student.student_.noise_head = None
    permuted.student_.max_log_noise.copy_(student.student_.max_log_noise[order])
    for name in ("output_center_", "output_scale_", "output_spread_"):
        setattr(permuted, name, getattr(student, name)[order])
    memory = student._memory
    permuted._memory = memory._replace(noise_variance=memory.noise_variance[order])
    names = np.array(["a", "b", "c"])
    new_labels = names[np.argsort(order)[np.searchsorted(names, y)]]
    own = student.update(X, y).predict_log_proba(X)
    other = permuted.update(X, new_labels).predict_log_proba(X)
    # Averages over fixed draws depend on the order of the classes a little.
    assert_allclose(np.exp(other), np.exp(own)[:, order], atol=0.02)
    one, two = student._update.posterior, permuted._update.posterior
    assert_allclose(two.mean, one.mean[order], rtol=1e-7, atol=1e-9)


def test_pickles_and_copies_predict_the_same(fitted):
    student, X, y = fitted
    student.update(X[:50], y[:50]).update(X[50:], y[50:], forgetting=0.5)
    loaded = pickle.loads(pickle.dumps(student))
    assert_allclose(answers(loaded, X), answers(student, X), rtol=0, atol=1e-12)


def test_draws_have_the_probabilities_of_the_posterior(fitted):
    student, X, y = fitted
    student.update(X, y)
    draws = student.sample_predictions(X[:20], 4000, random_state=0)
    assert_allclose(draws.mean(axis=-1), student.predict_proba(X[:20]), atol=0.03)


def test_the_mode_is_the_maximum_of_the_posterior():
    rng = np.random.RandomState(0)
    design = rng.standard_normal((5, 3, 4))
    latent, labels = rng.standard_normal((5, 3)), np.eye(3)[rng.randint(3, size=5)]
    precision = np.diag([1.0, 2.0, 0.5, 1.0])

    def loss(point):
        logits = latent + design @ point
        logits = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return 0.5 * point @ precision @ point - np.sum(labels * logits)

    best = minimize(loss, np.zeros(4), tol=1e-12).x
    mode = find_mode(np.linalg.cholesky(precision), design, latent, labels)
    assert_allclose(mode.change, design @ best, atol=1e-5)


@pytest.mark.parametrize("size", [30.0, 1000.0])
def test_the_mode_is_found_where_a_full_step_overshoots(size):
    # Confident and wrong: the curvature is next to nothing, and Newton's step would be huge.
    latent, labels = np.array([[-size]]), np.array([[0.0, 1.0]])
    mode = find_mode(np.array([[1e-3]]), np.ones((1, 1, 1)), latent, labels)
    slopes, _ = derivatives(latent + mode.change, labels)
    assert np.isfinite(mode.log_evidence)
    assert_allclose(1e-6 * mode.change, slopes, atol=1e-6)


def test_rows_are_joined_in_their_order():
    rows = LabelledRows(np.ones((2, 3)), np.zeros((2, 1)), np.eye(2))
    joined = rows.join(rows._replace(features=np.zeros((2, 3))))
    assert_array_equal(joined.features[:, 0], [1, 1, 0, 0])


def test_hypotheses_give_a_share_of_their_mass_to_the_prior():
    sure = [Likelihood(np.eye(1), np.zeros(1), evidence) for evidence in (0.0, -200.0, -3.0)]
    for share, least in ((0.01, 0.01 * 0.25), (1.0, 0.25)):
        mixed = share_mass(sure, share)
        mass = np.array([0.5, 0.25, 0.25]) * np.exp([each.log_evidence for each in mixed])
        assert_allclose(mass.sum(), 1)
        assert_allclose(mass[1], least)
        assert all(one.precision is other.precision for one, other in zip(mixed, sure, strict=True))


def test_streams_follow_a_change_after_a_long_steady_time():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((400, 3))
    slopes = np.array([[1.0], [0.5], [0.0]]) + 0.1 * rng.standard_normal((3, 20))
    fitted = DLFClassifier(q=3, tol=2.0, n_epochs=10, refine=False, random_state=0)
    fitted.fit(X, predictions=expit(X @ slopes)[:, None], classes=[0, 1])
    wanted = np.mean(expit(X @ [1.0, 0.5, 0.0] + 0.4)) - 0.5
    for seed in range(4):
        rng, student, means = np.random.RandomState(seed), copy.deepcopy(fitted), []
        for shift in np.repeat([0.0, 0.4], [100, 12]):
            rows = rng.standard_normal((48, 3))
            labels = rng.uniform(size=48) < expit(rows @ [1.0, 0.5, 0.0] + shift)
            student.update(rows, labels.astype(int), forgetting=0.997)
            means.append(student.predict_proba(X)[:, 1].mean())
        assert np.mean(means[-6:]) - np.mean(means[90:100]) > 0.7 * wanted
