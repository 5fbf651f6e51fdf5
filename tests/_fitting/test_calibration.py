import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris, make_classification
from sklearn.ensemble import RandomForestClassifier
from torch import nn

from sklearn_dlf import DLFClassifier
from sklearn_dlf._fitting import refinement
from sklearn_dlf._fitting.calibration import (
    MAX_SHIFT,
    EnsembleProbabilities,
    calibrate,
    find_multipliers,
    find_sharpness,
    find_shift,
    find_spread,
    mean_information,
)
from sklearn_dlf._network.bodies import make_mlp
from sklearn_dlf._network.heads import Units
from sklearn_dlf._network.students import SeparableStudentNetwork, StudentNetwork
from sklearn_dlf._predictive.averaged_probabilities import average_probabilities
from sklearn_dlf._transfer.contrasts import make_contrasts
from sklearn_dlf._utils.seeding import seeded
from sklearn_dlf.ensembles import FittedEnsemble, member_predictions
from sklearn_dlf.metrics import mutual_information

SHORT = {"q": 3, "augment": None, "max_iter": 3, "out_of_bag": None, "random_state": 0}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def make_members(n_classes):
    """Iris, and members that are linear in it, as logits."""
    X = load_iris().data
    rng = np.random.RandomState(0)
    weights = rng.standard_normal((1, 4, n_classes)) + 0.5 * rng.standard_normal((20, 4, n_classes))

    def predict(rows):
        return np.einsum("nd,mdk->nkm", np.asarray(rows) - X.mean(axis=0), weights)

    return X, FittedEnsemble(predict, outputs="logits", n_members=20)


def make_student(student_class=StudentNetwork, n_outputs=3):
    """Return an untrained network, rows, and the contrasts of members in its units."""
    rng = np.random.RandomState(0)
    with seeded(0):
        student = student_class(make_mlp(4, (5,), "relu"), 4, n_outputs, 2)
    student.set_noise(0.3)
    X = rng.standard_normal((200, 4)).astype(np.float32)
    outputs = np.arange(1, n_outputs + 1)[:, None] + 3 * rng.standard_normal((200, n_outputs, 1))
    outputs = outputs + rng.standard_normal((200, n_outputs, 10))
    return student, X, make_contrasts(outputs)


def average(student, X, contrasts, sharpness=1.0, spread=1.0):
    """Averaged probabilities and mean entropies of members whose logits are scaled."""
    center, scale, own_spread = contrasts.units
    units = Units(sharpness * center, sharpness * scale, sharpness * spread * own_spread)
    return average_probabilities(student.evaluate(X), units, with_entropy=True)


def make_ensemble(X, probabilities, entropies, weights):
    information = mean_information(probabilities, entropies, weights)
    return EnsembleProbabilities(X, probabilities, information, weights)


@pytest.mark.parametrize(("sharpness", "spread"), [(1.0, 1.0), (0.7, 1.3), (1.6, 0.8), (0.8, 0.8)])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("student_class", [StudentNetwork, SeparableStudentNetwork])
def test_known_multipliers_are_found(student_class, n_outputs, sharpness, spread):
    student, X, contrasts = make_student(student_class, n_outputs)
    wanted, entropies = average(student, X, contrasts, sharpness, spread)
    before, _ = average(student, X, contrasts)
    assert sharpness == 1.0 or np.abs(before - wanted).max() > 0.03
    calibrate(student, make_ensemble(X, wanted, entropies, np.ones(len(X))), contrasts.units)
    after, found = average(student, X, contrasts)
    assert_allclose(after, wanted, atol=0.01)
    assert_allclose(found, entropies, atol=0.02)


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("student_class", [StudentNetwork, SeparableStudentNetwork])
def test_a_known_shift_is_found(student_class, n_outputs):
    student, X, contrasts = make_student(student_class, n_outputs)
    known = np.array([0.7]) if n_outputs == 1 else np.array([0.5, -0.7, 0.2])
    units = contrasts.units
    wanted, _ = average_probabilities(
        student.evaluate(X), units._replace(center=units.center + known)
    )
    found = find_shift(student.evaluate(X), units, wanted.mean(axis=0), np.ones(len(X)))
    # Mean probabilities are matched to 0.2 %, and a logit moves them by less than its own change.
    assert_allclose(found, known, atol=0.03)


@pytest.mark.parametrize("student_class", [StudentNetwork, SeparableStudentNetwork])
def test_mean_probabilities_of_classes_are_the_ensembles(student_class):
    student, X, contrasts = make_student(student_class)
    wanted, entropies = average(student, X, contrasts, 1.3)
    wanted = wanted * [0.8, 1.0, 1.2]  # no multiplier leads there
    wanted /= wanted.sum(axis=1, keepdims=True)
    calibrate(student, make_ensemble(X, wanted, entropies, np.ones(len(X))), contrasts.units)
    found, _ = average_probabilities(student.evaluate(X), contrasts.units)  # as predict_proba does
    assert_allclose(found.mean(axis=0), wanted.mean(axis=0), rtol=0.005)


def test_a_class_that_never_occurs_is_shifted_by_a_limited_amount():
    student, X, contrasts = make_student()
    shift = find_shift(
        student.evaluate(X), contrasts.units, np.array([0.5, 0.5, 0.0]), np.ones(len(X))
    )
    assert np.abs(shift).max() <= MAX_SHIFT
    assert shift[2] < shift[:2].min()


def test_further_rows_count_for_mean_probabilities_only():
    student, X, contrasts = make_student()
    wanted, entropies = average(student, X, contrasts)
    ensemble = make_ensemble(X, wanted, entropies, np.ones(len(X)))
    tilted = wanted * [2.0, 1.0, 1.0]
    tilted /= tilted.sum(axis=1, keepdims=True)
    ensemble = ensemble._replace(further_rows=X, further_probabilities=tilted)
    calibrate(student, ensemble, contrasts.units)
    found, _ = average_probabilities(student.evaluate(X), contrasts.units)
    assert_allclose(found.mean(axis=0), (wanted + tilted).mean(axis=0) / 2, rtol=0.005)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_rare_classes_keep_their_mean_probability(n_classes, monkeypatch):
    monkeypatch.setattr(refinement, "N_ROUNDS", (6, 6))  # the rest of the fit takes little time
    weights = [0.95, 0.05] if n_classes == 2 else [0.85, 0.1, 0.05]
    X, y = make_classification(
        2400,
        10,
        n_informative=5,
        n_classes=n_classes,
        n_clusters_per_class=1,
        weights=weights,
        random_state=0,
    )
    forest = RandomForestClassifier(
        30, min_samples_leaf=3, class_weight="balanced", random_state=0
    ).fit(X[:600], y[:600])
    student = DLFClassifier(q=5, hidden_layer_sizes=(20,), max_iter=3, random_state=0)
    student.fit(X[:600], y[:600], ensemble=forest)
    wanted = forest.predict_proba(X[600:]).mean(axis=0)
    # Differences from row to row leave the mean over 1,800 rows uncertain by one or two per cent.
    assert_allclose(student.predict_proba(X[600:]).mean(axis=0), wanted, rtol=0.05)


def test_rows_without_weight_do_not_count():
    student, X, contrasts = make_student()
    wanted, entropies = average(student, X, contrasts, 1.5)
    wanted[100:] = wanted[100:, ::-1]
    entropies[100:] = 0.0
    calibrate(
        student, make_ensemble(X, wanted, entropies, np.repeat([1.0, 0.0], 100)), contrasts.units
    )
    assert_allclose(average(student, X, contrasts)[0][:100], wanted[:100], atol=0.01)


def test_spread_grows_as_far_as_averages_allow():
    student, X, contrasts = make_student()
    sure, _ = average(student, X, contrasts)
    information = make_ensemble(
        X, *average(student, X, contrasts, spread=1.9), np.ones(len(X))
    ).information
    ensemble = EnsembleProbabilities(X, sure, information, np.ones(len(X)))
    heads = student.evaluate(X)
    units = contrasts.units
    _, least = find_sharpness(heads, units, 1.0, ensemble)
    free = find_spread(heads, units, 1.0, ensemble)
    assert_allclose(free, 1.9, rtol=0.01)
    assert find_sharpness(heads, units, free, ensemble)[1] > 1.015 * least
    sharpness, spread = find_multipliers(heads, units, ensemble)
    assert 1.05 < spread < 0.95 * free
    assert_allclose(
        find_sharpness(heads, units, spread, ensemble), (sharpness, 1.01 * least), rtol=0.001
    )


def calibrate_with_noise(signs, is_ensembles):
    """Calibrate a network whose noise is correlated over classes, and one without correlations.

    The ensemble has the averages and the information of the former, or of the latter at nearly
    twice its spread.
    """
    independent, X, contrasts = make_student()
    independent.set_noise(3.0)
    student = copy.deepcopy(independent)
    student.noise_head = nn.Linear(student.heads.in_features, 3)
    with torch.no_grad():
        student.noise_head.weight.zero_()
        student.noise_head.bias.copy_(10 * torch.tensor(signs))
    if is_ensembles:
        averages = average(student, X, contrasts)
    else:
        averages = average(independent, X, contrasts, spread=1.9)
    for network in (student, independent):
        calibrate(network, make_ensemble(X, *averages, np.ones(len(X))), contrasts.units)
    return student.evaluate(X), independent.evaluate(X)


def test_correlations_of_noise_that_the_ensemble_has_are_kept():
    correlated, _ = calibrate_with_noise([1.0, -1.0, 0.0], is_ensembles=True)
    assert correlated.noise_shares is not None


def test_correlations_of_noise_that_cost_information_are_dropped():
    # A noise that all classes have in common changes no probability.
    dropped, independent = calibrate_with_noise([1.0, 1.0, 1.0], is_ensembles=False)
    assert dropped.noise_shares is None
    for found, expected in zip(dropped[:3], independent[:3], strict=True):
        assert_array_equal(found, expected)


def test_members_that_are_certain_give_finite_probabilities():
    X, members = make_members(3)
    logits = 300 * np.log(member_predictions(members, X))
    student = DLFClassifier(**SHORT).fit(X, predictions=logits, outputs="logits")
    assert np.isfinite(student.predict_proba(X)).all()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("loadings", ["full", "separable"])
def test_mean_mutual_information_is_the_ensembles(n_classes, loadings):
    X, members = make_members(n_classes)
    student = DLFClassifier(**SHORT, loadings=loadings).fit(X, ensemble=members)
    wanted = mutual_information(member_predictions(members, X)).mean()
    assert_allclose(student.predict_uncertainty(X).epistemic.mean(), wanted, rtol=0.02)


@pytest.mark.parametrize("augment", ["far_neighbors", "neighbors"])
def test_calibration_rows_are_made_near_those_of_fit(augment, monkeypatch):
    seen = []

    def record(network, ensemble, units, law):
        seen.append(ensemble)
        calibrate(network, ensemble, units, law)

    monkeypatch.setattr("sklearn_dlf._estimators.latent_factor.calibrate", record)
    X, members = make_members(3)
    student = DLFClassifier(**{**SHORT, "augment": augment}).fit(X, ensemble=members)
    rows = student.scaler_.inverse_transform(seen[0].X)
    assert len(rows) > 100  # of 600: most others are design points, since columns are discrete
    distances = np.abs(student.scaler_.transform(X)[:, None] - seen[0].X).max(axis=2).min(axis=0)
    assert (distances > 1e-3).all()  # none is a row of fit,
    assert distances.max() < 1.0  # and none is far from all of them
    information = mutual_information(member_predictions(members, rows)).mean()
    assert_allclose(seen[0].information, information, rtol=1e-3)
    found = student.predict_uncertainty(rows).epistemic.mean()
    assert_allclose(found, information, rtol=0.02)


def test_rows_of_fit_without_weight_do_not_count():
    X, _ = load_iris(return_X_y=True)
    predictions = np.random.RandomState(0).dirichlet([2, 2, 2], size=(150, 10)).swapaxes(1, 2)
    predictions[75:] = predictions[75:, :, :1]  # all agree
    weights = np.repeat([1.0, 0.0], 75)
    student = DLFClassifier(**SHORT).fit(X, predictions=predictions, sample_weight=weights)
    wanted = mutual_information(predictions[:75]).mean()
    assert_allclose(student.predict_uncertainty(X[:75]).epistemic.mean(), wanted, rtol=0.02)


@pytest.mark.parametrize("student_class", [StudentNetwork, SeparableStudentNetwork])
def test_mean_is_scaled_about_a_centre_at_all_inputs(student_class):
    student, X, _ = make_student(student_class)
    center = np.array([0.5, -1.0, 2.0])
    before = student.evaluate(X)
    student.scale_mean(1.7, center)
    after = student.evaluate(X)
    assert_allclose(center + after.mean, 1.7 * (center + before.mean), rtol=1e-5, atol=1e-6)
    assert_array_equal(after.loadings, before.loadings)
    assert_array_equal(after.log_noise, before.log_noise)


@pytest.mark.parametrize("student_class", [StudentNetwork, SeparableStudentNetwork])
def test_spread_is_scaled_at_all_inputs(student_class):
    student, X, _ = make_student(student_class)
    student.limit_noise(np.array([0.0, 0.1, 0.2]))
    before = student.evaluate(X)
    student.scale_spread(1.7)
    after = student.evaluate(X)
    assert_array_equal(after.mean, before.mean)
    assert_allclose(after.loadings, 1.7 * before.loadings, rtol=1e-5, atol=1e-6)
    assert_allclose(np.exp(after.log_noise), 1.7**2 * np.exp(before.log_noise), rtol=1e-5)
