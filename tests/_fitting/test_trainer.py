"""The trainer and its batches, and what happens where training goes wrong or is stopped."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import is_classifier, is_regressor
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._fitting.em import N_POLISH_ROUNDS
from sklearn_dlf._fitting.objectives import ExpectedLikelihood
from sklearn_dlf._fitting.trainer import MAX_POLISH_ROWS, TensorBatches, Trainer
from sklearn_dlf._network.bodies import make_mlp
from sklearn_dlf._network.students import StudentNetwork
from sklearn_dlf.baselines import (
    BatchEnsembleRegressor,
    DirichletClassifier,
    HydraClassifier,
    HydraRegressor,
    SmallEnsembleRegressor,
)
from sklearn_dlf.exceptions import TrainingDivergedError

SHORT = {"hidden_layer_sizes": (10,), "n_epochs": 1, "max_iter": 1, "random_state": 0}
QUICK = {**SHORT, "q": 2, "tol": 10.0}

UNSETTLED = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = np.random.RandomState(0).standard_normal((60, 3))
Y = X[:, 0]
P = Y[:, None] + np.random.RandomState(1).standard_normal((60, 8))
LOGITS = np.random.RandomState(2).standard_normal((60, 3, 8))


def rows_of(batches):
    """Return the rows of each batch of an epoch, from the values of the only column."""
    return [batch[:, 0].int().tolist() for batch, _ in batches]


def batches_of(n_rows, batch_size, seed=0):
    column = torch.arange(n_rows)[:, None].float()
    return TensorBatches([column, -column], batch_size, torch.Generator().manual_seed(seed))


def test_an_epoch_has_every_row_once_with_its_own_targets():
    batches = list(batches_of(23, 5))
    assert [len(batch) for batch, _ in batches] == [5, 5, 5, 5, 3]
    for batch, (targets,) in batches:
        assert_array_equal(targets, -batch)
    assert sorted(torch.cat([batch for batch, _ in batches])[:, 0].tolist()) == list(range(23))


def test_order_differs_from_epoch_to_epoch_and_comes_from_the_generator():
    state = torch.get_rng_state()
    first, second = batches_of(23, 5), batches_of(23, 5)
    epochs = [rows_of(first), rows_of(first)]
    assert epochs[0] != epochs[1]
    assert epochs == [rows_of(second), rows_of(second)]
    assert rows_of(batches_of(23, 5, seed=1)) != epochs[0]
    assert_array_equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("n_rows", "batch_size", "sizes"),
    [(21, 10, [10, 11]), (11, 10, [11]), (22, 10, [10, 10, 2]), (3, 1, [1, 1, 1]), (1, 10, [1])],
)
def test_no_row_is_left_alone_in_the_last_batch(n_rows, batch_size, sizes):
    assert [len(rows) for rows in rows_of(batches_of(n_rows, batch_size))] == sizes


@UNSETTLED
def test_a_body_that_normalises_over_batches_is_trained_on_any_number_of_rows():
    def body(n_features):
        return nn.Sequential(nn.Linear(n_features, 5), nn.BatchNorm1d(5), nn.ReLU())

    student = DLFRegressor(**QUICK, body=body, batch_size=10)
    mean = student.fit(X[:41], predictions=P[:41]).predict(X[:41])
    assert np.isfinite(mean).all()


def make_trainer(rows=None, n_units=10, **params):
    """Trainer of a small student, and the arguments of `train`."""
    torch.manual_seed(0)
    student = StudentNetwork(make_mlp(3, (n_units,), "relu"), 3, 1, 2)
    rows = X if rows is None else rows
    defaults = {
        "n_epochs": 1,
        "batch_size": "auto",
        "lr": 0.01,
        "optimizer": "sgd",
        "weight_decay": 0.0,
        "device": "cpu",
        "callbacks": None,
        "verbose": False,
        "seed": 0,
    }
    weights = np.ones(len(rows), dtype=np.float32)
    trainer = Trainer(student, rows.astype(np.float32), weights, **{**defaults, **params})
    objective = ExpectedLikelihood(student, 1.0, True)
    return trainer, (
        objective,
        objective.targets(Y[:, None], np.ones((60, 1, 2)), np.ones((60, 1))),
    )


def steps_taken(**params):
    """How far one call of `train` moves the parameters, and in how many steps."""
    n_steps = 0

    class Counter(Callback):
        def on_batch_end(self, net, **kwargs):
            nonlocal n_steps
            n_steps += 1

    trainer, arguments = make_trainer(callbacks=[Counter()], **params)
    before = nn.utils.parameters_to_vector(trainer.network.parameters()).detach().clone()
    trainer.train(*arguments)
    after = nn.utils.parameters_to_vector(trainer.network.parameters()).detach()
    return (after - before).norm().item(), n_steps


def test_batch_size_sets_the_steps_of_an_epoch_and_auto_makes_about_250():
    assert [steps_taken(batch_size=size)[1] for size in (10, 25, 60, 100)] == [6, 3, 1, 1]
    assert steps_taken(batch_size=10, n_epochs=4)[1] == 24
    assert 240 <= steps_taken(n_epochs="auto")[1] <= 260


def test_a_step_of_gradient_descent_is_as_long_as_its_learning_rate():
    moves = [steps_taken(batch_size=60, lr=lr)[0] for lr in (1e-3, 1e-2)]
    assert moves[1] / moves[0] == pytest.approx(10, rel=1e-3)


def test_the_learning_rate_may_change_between_calls():
    trainer, arguments = make_trainer(batch_size=60)
    trainer.train(*arguments)
    trainer.lr = 0.0
    before = trainer.evaluate()
    trainer.train(*arguments)
    for head, head_before in zip(trainer.evaluate()[:3], before[:3], strict=True):
        assert_array_equal(head, head_before)


class ByAutograd(nn.Module):
    """An objective whose derivative is left to autograd."""

    def __init__(self, objective):
        super().__init__()
        self.objective = objective

    def forward(self, columns, targets):
        return self.objective(columns, targets)


def test_training_is_the_same_by_the_objectives_own_derivative_and_by_autograd():
    trainers = [make_trainer(batch_size=20) for _ in range(2)]
    (trainer, (objective, *targets)), (other, (wrapped, *_)) = trainers
    assert trainer.train(objective, *targets) == other.train(ByAutograd(wrapped), *targets)
    assert_array_equal(*(trained.evaluate().loadings for trained in (trainer, other)))


def test_student_and_rows_lie_on_the_device():
    trainer, _ = make_trainer(device="meta")
    assert trainer.network.device.type == trainer.X.device.type == trainer.weights.device.type
    assert trainer.X.device.type == "meta"


def test_rows_are_evaluated_where_they_lie(monkeypatch):
    trainer, _ = make_trainer()
    evaluated, evaluate = [], trainer.network.evaluate
    monkeypatch.setattr(
        trainer.network, "evaluate", lambda rows: evaluated.append(rows) or evaluate(rows)
    )
    trainer.evaluate()
    assert evaluated[0] is trainer.X


def test_targets_that_are_on_the_device_are_not_copied():
    trainer, (_, targets) = make_trainer()
    [kept] = trainer.to_device(targets.numpy())
    assert trainer.to_device(kept)[0] is kept


# Training that ends in outputs which are not finite although the loss of the last epoch is, or in
# a matrix that has no Cholesky factor.
@UNSETTLED
@pytest.mark.parametrize(
    ("estimator", "params"),
    [
        (DLFRegressor, {"lr": 1e6, "optimizer": "sgd", "batch_size": 64}),
        (DLFRegressor, {"lr": 1e20, "optimizer": "adam"}),
        (DLFRegressor, {"lr": 1e2, "optimizer": "sgd", "em": "minibatch"}),
        (DLFRegressor, {"lr": 1e2, "optimizer": "sgd", "em": "minibatch", "batch_size": 64}),
        (DLFRegressor, {"lr": 1e4, "optimizer": "sgd", "em": "minibatch", "init": "random"}),
        (DLFRegressor, {"lr": 1e12, "optimizer": "adam", "em": "minibatch", "batch_size": 64}),
        (DLFRegressor, {"lr": 1e8, "optimizer": "sgd", "init": "mmd"}),
        (DLFClassifier, {"lr": 1e6, "optimizer": "sgd", "batch_size": 64}),
        (HydraRegressor, {"lr": 1e6, "optimizer": "sgd"}),
        (SmallEnsembleRegressor, {"lr": 1e20, "batch_size": 64}),
        (BatchEnsembleRegressor, {"lr": 1e20, "batch_size": 64}),
        (HydraClassifier, {"lr": 1e20, "batch_size": 64}),
        (DirichletClassifier, {"lr": 1e20, "batch_size": 64}),
    ],
)
def test_diverged_training_is_an_error_whatever_shows_it(estimator, params):
    defaults = QUICK if estimator in (DLFRegressor, DLFClassifier) else SHORT
    teacher = {"predictions": P} if is_regressor(estimator()) else {"predictions": LOGITS}
    if is_classifier(estimator()):
        teacher["outputs"] = "logits"
    student = estimator(**{**defaults, **params})
    with pytest.raises(TrainingDivergedError, match="Use a smaller lr"):
        student.fit(X, **teacher)


class Recorder(Callback):
    """Keeps the net, as a callback should not but may."""

    net = None

    def on_train_begin(self, net, **kwargs):
        self.net = net


@UNSETTLED
def test_callbacks_of_the_user_are_left_alone_and_not_pickled_with_a_net():
    recorder = Recorder()
    student = DLFRegressor(**QUICK, callbacks=[("recorder", recorder)])
    student.fit(X, predictions=P)
    assert recorder.net is None
    stopping = EarlyStopping("train_loss", patience=1)
    before = dict(vars(stopping))
    DLFRegressor(**QUICK, callbacks=[stopping]).fit(X, predictions=P)
    assert vars(stopping) == before
    plain = DLFRegressor(**QUICK).fit(X, predictions=P)
    assert len(pickle.dumps(student)) < len(pickle.dumps(plain)) + 500


class Epochs(Callback):
    counts: list = []  # noqa: RUF012 (copies of a callback share it)

    def on_train_begin(self, net, **kwargs):
        self.counts.append(0)

    def on_epoch_end(self, net, **kwargs):
        self.counts[-1] += 1


@UNSETTLED
@pytest.mark.parametrize("load_best", [False, True])
def test_early_stopping_ends_a_round_of_training_and_not_the_fit(load_best):
    Epochs.counts.clear()
    stopping = EarlyStopping("train_loss", patience=2, threshold=0.9, load_best=load_best)
    params = {**QUICK, "n_epochs": 50, "max_iter": 3, "tol": 0.0}
    student = DLFRegressor(**params, callbacks=[Epochs(), stopping]).fit(X, predictions=P)
    assert Epochs.counts == [3] * student.n_iter_
    assert student.n_iter_ == 3


@UNSETTLED
def test_an_interrupt_from_the_keyboard_ends_the_fit():
    class Impatient(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    stopping = EarlyStopping("train_loss", patience=5)
    student = DLFRegressor(**QUICK, callbacks=[stopping, Impatient()])
    with pytest.raises(KeyboardInterrupt):
        student.fit(X, predictions=P)


@pytest.mark.parametrize(
    ("n_rows", "params", "expected"),
    [
        (60, {}, False),  # fewer rows than twice the parameters
        (200, {}, True),
        (200, {"weight_decay": 0.1}, False),
        (200, {"optimizer": "sgd"}, False),
        (200, {"plain_layers": False}, False),
        (MAX_POLISH_ROWS + 1, {}, False),
    ],
)
def test_networks_are_polished_where_rows_are_many_and_nothing_else_was_asked_for(
    n_rows, params, expected
):
    student = StudentNetwork(make_mlp(3, (10,), "relu"), 3, 1, 2)
    assert sum(parameter.numel() for parameter in student.parameters()) == 84
    defaults = {"optimizer": "adam", "plain_layers": True, "weight_decay": 0.0}
    trainer, _ = make_trainer(rows=np.zeros((n_rows, 3)), **{**defaults, **params})
    assert trainer.can_polish == expected


def test_large_networks_of_many_rows_are_not_polished():
    def trainer(n_units):
        options = {"optimizer": "adam", "plain_layers": True, "weight_decay": 0.0}
        return make_trainer(np.zeros((MAX_POLISH_ROWS, 3)), n_units, **options)[0]

    few, many = trainer(1000), trainer(1100)
    assert many.has_many_rows
    assert few.can_polish
    assert not many.can_polish


@pytest.mark.parametrize(("n_rows", "decays"), [(40, True), (400, False)])
def test_weights_decay_in_a_refinement_where_rows_are_few(n_rows, decays, monkeypatch):
    seen, train = [], Trainer.train

    def watch(trainer, *arguments):
        seen.append(trainer.weight_decay)
        return train(trainer, *arguments)

    monkeypatch.setattr(Trainer, "train", watch)
    rng = np.random.RandomState(0)
    student = DLFClassifier(q=1, hidden_layer_sizes=(10,), n_epochs=1, tol=10.0, random_state=0)
    members = rng.dirichlet([1, 1], (n_rows, 3)).swapaxes(1, 2)
    student.fit(rng.standard_normal((n_rows, 3)), predictions=members)
    assert set(seen[: student.n_iter_]) == {0.1}
    assert set(seen[student.n_iter_ :]) == {0.1 if decays else 0.0}


def loss_of(trainer, objective, wanted):
    """Over all rows."""
    columns = trainer.network.train().for_loss(trainer.X)
    return objective(columns, (wanted, trainer.weights)).item()


def test_polish_goes_on_where_small_batches_stop():
    trainer, arguments = make_trainer(optimizer="adam", n_epochs=200, plain_layers=True)
    trainer.train(*arguments)
    trainer.train(*arguments)
    before = loss_of(trainer, *arguments)
    trainer.polish(*arguments)
    assert loss_of(trainer, *arguments) < 0.9 * before


def test_polish_that_gains_nothing_is_taken_back():
    trainer, (objective, wanted) = make_trainer(optimizer="adam", plain_layers=True)
    before = nn.utils.parameters_to_vector(trainer.network.parameters()).detach().clone()
    wanted[:, 0] = np.inf
    trainer.polish(objective, wanted)
    after = nn.utils.parameters_to_vector(trainer.network.parameters()).detach()
    assert_array_equal(after, before)


def test_last_iterations_of_em_bring_the_mean_nearer():
    rng = np.random.RandomState(0)
    rows = rng.uniform(size=(600, 3))
    members = np.sin(4 * rows @ rng.standard_normal((3, 20)))
    options = {"q": 2, "hidden_layer_sizes": (10,), "n_epochs": 2, "tol": 0.1, "random_state": 0}
    polished = DLFRegressor(**options).fit(rows, predictions=members)
    records = polished.history_
    assert len(records) == polished.n_iter_ == len(polished.log_likelihoods_)
    assert records[-1]["mean_error"] < 0.9 * records[-1 - N_POLISH_ROUNDS]["mean_error"]
    decayed = DLFRegressor(**options, weight_decay=1e-9).fit(rows, predictions=members)
    assert decayed.n_iter_ == polished.n_iter_ - N_POLISH_ROUNDS
