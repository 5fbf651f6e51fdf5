import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import entropy

from sklearn_dlf import DLFClassifier
from sklearn_dlf._predictive.logits import latent_from_logits
from sklearn_dlf._transfer.cache import TeacherCache
from sklearn_dlf._transfer.class_targets import ClassTargets
from sklearn_dlf._transfer.design_points import Points
from sklearn_dlf._transfer.tasks import ClassificationTask
from sklearn_dlf._transfer.teachers import EnsembleTeacher
from sklearn_dlf.ensembles import FittedEnsemble


@pytest.mark.parametrize("n_block", [7, 20, 33, 60])
def test_probabilities_are_averaged_and_entropies_kept_at_calibration_rows(n_block):
    members = np.random.RandomState(0).dirichlet([2, 2, 2], size=(60, 10)).swapaxes(1, 2)
    targets = ClassTargets(Points(np.empty((60, 1)), 33, 33), "probabilities", 1e-6)
    latent = [
        targets.add(slice(start, min(start + n_block, 60)), members[start : start + n_block])
        for start in range(0, 60, n_block)
    ]
    logs = np.log(members)
    assert_allclose(np.concatenate(latent), logs - logs.mean(axis=1, keepdims=True))
    assert_allclose(targets.probabilities, members.mean(axis=-1), rtol=1e-6)
    assert_allclose(targets.entropy, entropy(members[33:], axis=1).mean(axis=-1))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_logits_of_ensembles_are_learnt_as_they_are(n_classes):
    rng = np.random.RandomState(0)
    logits = 60 * rng.standard_normal((20, n_classes, 5))
    modules = [lambda X, i=i: logits[: len(X), :, i].astype(np.float32) for i in range(5)]
    task = ClassificationTask("probabilities", None, 1e-6, False)
    wanted = latent_from_logits(logits.astype(np.float32).astype(np.float64))
    for ensemble in (
        FittedEnsemble(modules, outputs="logits"),
        FittedEnsemble(lambda X: logits.astype(np.float32), outputs="logits", n_members=5),
    ):
        facts, predict = TeacherCache(None).look_up(ensemble, 20)
        teacher = EnsembleTeacher(facts, predict, np.zeros((20, 1)), "classifier")
        points = Points(np.zeros((20, 1)), 20, 20)
        targets = task.targets(teacher, points, None, None, None)
        [(rows, outputs)] = teacher.evaluate(points)
        assert_allclose(targets.add(rows, outputs), wanted, rtol=1e-9, atol=1e-9)


def test_classes_without_a_logit_get_the_floor():
    logits = np.array([[[0.0], [-np.inf], [-40.0]]])
    targets = ClassTargets(Points(np.zeros((1, 1)), 1, 1), "probabilities", 1e-6, from_logits=True)
    latent = targets.add(slice(0, 1), np.exp(logits) / np.exp(logits).sum())
    wanted = np.array([0, np.log(1e-6), -40])
    assert_allclose(latent[0, :, 0], wanted - wanted.mean(), rtol=1e-9)


def test_probabilities_given_as_logits_are_refused():
    P = np.random.RandomState(0).dirichlet(np.ones(3), (30, 5)).transpose(0, 2, 1)
    student = DLFClassifier(augment=None)
    with pytest.raises(ValueError, match="members return probabilities"):
        student.fit(np.arange(30.0)[:, None], predictions=P, outputs="logits")


def test_members_before_classes_are_told_the_way():
    P = np.random.RandomState(0).dirichlet(np.ones(3), (30, 5))  # (rows, members, classes)
    with pytest.raises(ValueError, match=r"swapaxes\(predictions, 1, 2\)"):
        DLFClassifier().fit(np.arange(30.0)[:, None], np.arange(30) % 3, predictions=P)
