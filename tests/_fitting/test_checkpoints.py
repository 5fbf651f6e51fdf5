"""Fits that are interrupted and go on, that end early, and their lengths."""

import pickle

import pytest
import torch
from numpy.testing import assert_array_equal
from raw_rows import TokenBody, conv_body, images, members_of, sentences, softmax
from sklearn.base import clone
from torch import nn

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._fitting import refinement
from sklearn_dlf._fitting.checkpoints import Checkpoint
from sklearn_dlf._fitting.trainer import STEPS_OF_OWN_BODY, Trainer
from sklearn_dlf.augmentation import FlipCrop
from sklearn_dlf.baselines import HydraClassifier
from sklearn_dlf.callbacks import FitCheckpoint
from sklearn_dlf.ensembles import FittedEnsemble

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = images(60)[0]


class DropoutBody(nn.Module):
    """A body that draws from torch's own generator in training."""

    def __init__(self, shape):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Dropout(0.3), nn.Tanh())

    def forward(self, X):
        return self.layers(X / 16)


def fit(student, rows=X):
    logits = 2 * members_of(rows)
    outputs = logits[:, 0] if isinstance(student, DLFRegressor) else softmax(logits)
    y = outputs.mean(axis=-1) if isinstance(student, DLFRegressor) else None
    return student.fit(rows, y, predictions=outputs)


def predictions(student, rows=X):
    if isinstance(student, DLFRegressor):
        return student.predict(rows, return_std=True)[1]
    return student.predict_proba(rows)


STUDENTS = {
    "EM": DLFClassifier(q=2, body=conv_body, n_epochs=1, max_iter=4, refine=3, random_state=0),
    "dropout": DLFClassifier(q=2, body=DropoutBody, n_epochs=1, max_iter=2, refine=4),
    "groups": DLFClassifier(
        q=2, body=conv_body, n_epochs=1, max_iter=2, refine=2, latent="smoothed"
    ),
    "separable": DLFClassifier(
        q=2, body=conv_body, n_epochs=1, max_iter=3, refine=2, loadings="separable"
    ),
    "regressor": DLFRegressor(q=2, body=conv_body, n_epochs=1, max_iter=6),
    "Hydra": HydraClassifier(body=conv_body, n_epochs=1, max_iter=6),
}


@pytest.mark.parametrize("n_before", [2, 5])
@pytest.mark.parametrize("name", STUDENTS)
def test_an_interrupted_fit_goes_on_to_the_same_student(name, n_before, tmp_path, monkeypatch):
    student = clone(STUDENTS[name])
    student.set_params(random_state=0, callbacks=[FitCheckpoint(tmp_path)])
    wanted = predictions(fit(student))
    assert [*tmp_path.iterdir()] == []  # a fit that ends leaves no file
    n_trained, train = 0, Trainer.train

    def count_and_stop(trainer, *arguments):
        nonlocal n_trained
        n_trained += 1
        if n_trained == n_before:
            raise KeyboardInterrupt
        return train(trainer, *arguments)

    monkeypatch.setattr(Trainer, "train", count_and_stop)
    with pytest.raises(KeyboardInterrupt):
        fit(student)
    assert len([*tmp_path.iterdir()]) == 1
    n_trained = n_before
    found = predictions(fit(student))
    assert_array_equal(found, wanted)
    n_rounds = {"EM": 7, "separable": 5, "groups": 5}.get(name, 6)
    assert n_trained - n_before <= n_rounds - (n_before - 1)
    assert [*tmp_path.iterdir()] == []


def test_fits_of_other_parameters_or_rows_have_other_files(tmp_path, monkeypatch):
    monkeypatch.setattr(Checkpoint, "remove", lambda checkpoint: None)
    student = DLFClassifier(q=2, body=conv_body, n_epochs=1, max_iter=1, refine=False)
    student.set_params(random_state=0, callbacks=[FitCheckpoint(tmp_path / "new")])
    for number, params in enumerate([{}, {"verbose": 1}, {"lr": 0.02}, {"random_state": 1}]):
        fit(student.set_params(**params))
        assert len([*(tmp_path / "new").iterdir()]) == max(1, number)
    fit(student, X[::-1])
    assert len([*(tmp_path / "new").iterdir()]) == 4


def test_a_fit_says_whether_it_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Checkpoint, "remove", lambda checkpoint: None)
    student = DLFClassifier(q=2, body=conv_body, n_epochs=1, max_iter=1, refine=False, verbose=1)
    student.set_params(random_state=0, callbacks=[FitCheckpoint(tmp_path)])
    fit(student)
    assert "[checkpoint] this fit is new" in capsys.readouterr().out
    fit(student)
    assert "[checkpoint] this fit goes on from" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"text", pickle.dumps({"a": 1})])
def test_a_damaged_file_is_named(content, tmp_path, monkeypatch):
    monkeypatch.setattr(Checkpoint, "remove", lambda checkpoint: None)
    student = HydraClassifier(body=conv_body, n_epochs=1, max_iter=2, random_state=0)
    fit(student.set_params(callbacks=[FitCheckpoint(tmp_path)]))
    [path] = tmp_path.iterdir()
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{path.name} is no file of FitCheckpoint, or it is dam"):
        fit(student)


@pytest.mark.parametrize("folder", [None, 3, b"fits"])
def test_a_folder_that_is_no_path_is_refused(folder):
    student = HydraClassifier(body=conv_body, callbacks=[FitCheckpoint(folder)])
    with pytest.raises(TypeError, match="dirname of FitCheckpoint must be a string or a path"):
        fit(student)


def test_the_published_algorithm_has_no_checkpoint(tmp_path):
    student = DLFClassifier(em="minibatch", body=conv_body, callbacks=[FitCheckpoint(tmp_path)])
    with pytest.raises(ValueError, match="keeps the state of restricted EM; got em='minibatch'"):
        fit(student)


def count_rounds(student, capsys):
    fit(student.set_params(verbose=1))
    lines = capsys.readouterr().out.splitlines()
    return sum("Refinement" in line for line in lines), lines


@pytest.mark.parametrize(
    ("refine", "n_rounds"), [(1, 1), (3, 3), (True, refinement.N_ROUNDS_OF_OWN_BODY), (False, 0)]
)
def test_refine_is_a_number_of_rounds(refine, n_rounds, capsys):
    student = DLFClassifier(q=2, body=conv_body, max_iter=1, n_epochs=1, refine=refine)
    found, lines = count_rounds(student, capsys)
    assert found == n_rounds
    if found:
        assert f"Refinement 1 of {n_rounds}: loss" in lines[1]
        assert lines[1].endswith("left")


def test_em_before_a_refinement_of_ones_own_body_has_a_planned_length(recwarn):
    student = fit(DLFClassifier(q=2, body=conv_body, n_epochs=1, refine=1, random_state=0))
    assert student.n_iter_ <= 10
    assert not [each for each in recwarn if "still gaining" in str(each.message)]


@pytest.mark.parametrize(("n_rows", "n_steps"), [(60, 50), (3000, 2 * 47)])
def test_a_round_of_ones_own_body_is_a_pass_or_fifty_steps(n_rows, n_steps, monkeypatch):
    rows, steps = sentences(n_rows), []

    class Counting(TokenBody):
        def forward(self, X):
            steps.append(self.training)
            return super().forward(X)

    student = DLFClassifier(q=2, body=Counting, preprocessor=None, max_iter=1, refine=1)
    fit(student.set_params(batch_size=32 if n_rows < 100 else 64), rows)
    n_rounds, n_batches = 2, -(-n_rows // student.batch_size)
    per_round = max(1, round(STEPS_OF_OWN_BODY / n_batches)) * n_batches
    # One call is that by which the body is tried for draws.
    assert sum(steps) - 1 == n_rounds * per_round


def count_refinement_rounds(losses, monkeypatch, patience=2):
    """Fit a student with held-out losses that are given; return the rounds that it took."""
    given = iter(losses)

    def record(held_out, network, units):
        held_out.losses.append(next(given))
        held_out.best = held_out.best or {}
        held_out.best[len(held_out.losses)] = None
        return held_out.losses[-1]

    monkeypatch.setattr(refinement.HeldOut, "record", record)
    monkeypatch.setattr(refinement.HeldOut, "restore_best", lambda held_out, network: None)
    rounds = []
    train = Trainer.train

    def count(trainer, objective, *targets):
        rounds.append(isinstance(objective, refinement.AveragedProbabilities))
        return train(trainer, objective, *targets)

    monkeypatch.setattr(Trainer, "train", count)
    student = DLFClassifier(
        q=2, body=conv_body, max_iter=1, n_epochs=1, refine=8, early_stopping=patience
    )
    student.set_params(augment=FlipCrop(1), n_augmented=40, random_state=0)
    student.fit(X, ensemble=FittedEnsemble(members_of, outputs="logits", n_members=6))
    return sum(rounds)


@pytest.mark.parametrize(
    ("losses", "n_rounds"),
    [([3, 2, 2.5, 2.1, 1], 4), ([8, 7, 6, 5, 4, 3, 2, 1], 8), ([1, 2, 3], 3)],
)
def test_refinement_ends_when_calibration_rows_gain_no_more(losses, n_rounds, monkeypatch):
    assert count_refinement_rounds(losses, monkeypatch) == n_rounds


def test_a_kept_network_is_restored():
    class Round(nn.Module):
        def __init__(self):
            super().__init__()
            self.number = nn.Parameter(torch.zeros(()))

    held_out = refinement.HeldOut(X, None, 2)
    network = Round()
    held_out.best = {"number": network.number.detach() + 5}
    held_out.restore_best(network)
    assert network.number.item() == 5


def test_early_stopping_needs_calibration_rows():
    with pytest.raises(ValueError, match="early_stopping=3 needs calibration rows"):
        fit(DLFClassifier(q=2, body=conv_body, max_iter=1, early_stopping=3))
