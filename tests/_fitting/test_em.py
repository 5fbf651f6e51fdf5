import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Bunch

from sklearn_dlf import DLFRegressor
from sklearn_dlf._fitting.best_network import MAX_LOSS
from sklearn_dlf._fitting.em import N_POLISH_ROUNDS, ExpectationMaximisation
from sklearn_dlf._fitting.trainer import Trainer
from sklearn_dlf._latent.models import FullModel, SeparableModel
from sklearn_dlf._network.heads import HeadLayout, Heads, SharedHeadLayout
from sklearn_dlf._transfer.contrasts import make_contrasts
from sklearn_dlf.datasets import make_dlf_ensemble
from sklearn_dlf.exceptions import TrainingDivergedError
from sklearn_dlf.metrics import member_fidelity

UNSETTLED = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class LinearNetwork:
    """Heads on fixed features, whose M-step is exact."""

    has_own_layers = False

    def __init__(self, features, n_outputs, n_loadings, q, seed=0):
        self.features = np.c_[features, np.ones(len(features))]
        rng = np.random.RandomState(seed)
        self.weights = rng.standard_normal((self.features.shape[1], n_loadings, q))
        self.mean_weights = np.zeros((self.features.shape[1], n_outputs))
        self.mixing = self.noise = None
        self.n_outputs = n_outputs
        self.layout = (SharedHeadLayout if n_loadings < n_outputs else HeadLayout)(n_outputs, q)

    def split(self, columns):
        return self.layout.split(columns, self.mixing)

    def transform_loadings(self, transform):
        self.weights = self.weights @ transform

    def set_mixing(self, mixing):
        self.mixing = mixing

    def set_noise(self, noise_variance):
        self.noise = noise_variance

    def limit_noise(self, max_log_noise):
        self.max_log_noise = max_log_noise


class ExactTrainer:
    """Solves the regression of the M-step by weighted least squares."""

    lr = 1.0
    can_polish = False

    def __init__(self, network, weights):
        self.network = network
        self.root = np.sqrt(weights)[:, None]

    def train(self, objective, wanted):
        mean, _, loadings, *_ = (
            head.numpy() if head is not None else None for head in self.network.layout.split(wanted)
        )
        self.network.mean_weights = self._solve(mean)
        flat = self._solve(loadings.reshape(len(loadings), -1))
        self.network.weights = flat.reshape(-1, *loadings.shape[1:])

    def _solve(self, targets):
        return np.linalg.lstsq(self.root * self.network.features, self.root * targets)[0]

    def evaluate(self):
        features = self.network.features
        return Heads(
            features @ self.network.mean_weights,
            np.zeros((len(features), self.network.mean_weights.shape[1])),
            np.tensordot(features, self.network.weights, axes=1),
        )


def exact_em(data, q=3, model=FullModel, **params):
    predictions = data.predictions.reshape(len(data.X), -1, data.predictions.shape[-1])
    contrasts = make_contrasts(predictions, params.pop("weights", None))
    features = np.cos(data.X @ np.random.RandomState(0).standard_normal((3, 20)))
    n_loadings = 1 if model is SeparableModel else predictions.shape[1]
    network = LinearNetwork(features, predictions.shape[1], n_loadings, q)
    return ExpectationMaximisation(
        ExactTrainer(network, contrasts.weights), contrasts, model(contrasts, q), **params
    ).run()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # tol=0.0
@pytest.mark.parametrize("init", ["spectral", "random"])
@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("model", [FullModel, SeparableModel])
def test_likelihood_never_falls_with_an_exact_m_step(model, init, n_outputs):
    data = make_dlf_ensemble(100, n_outputs=n_outputs, random_state=0)
    em = exact_em(data, model=model, init=init, tol=0.0, max_iter=60)
    # Residuals are float32, whose rounding the likelihood cannot undercut.
    assert np.diff(em.log_likelihoods).min() > -1e-7
    assert em.log_likelihoods[-1] <= em.log_likelihood_bound


@UNSETTLED
def test_noise_is_clipped_to_float32_and_is_divergence_beyond_float64(known, monkeypatch):
    def noisy(log_noise):
        return lambda trainer: evaluate(trainer)._replace(log_noise=np.full((150, 1), log_noise))

    evaluate = ExactTrainer.evaluate
    for log_noise, limit in ((-3.0, -3.0), (100.0, 80.0)):
        monkeypatch.setattr(ExactTrainer, "evaluate", noisy(log_noise))
        assert exact_em(known, max_iter=1).network.max_log_noise == limit
    monkeypatch.setattr(ExactTrainer, "evaluate", noisy(800.0))
    with pytest.raises(TrainingDivergedError, match="noise has no finite variance"):
        exact_em(known, max_iter=1)


def test_last_iterations_by_all_rows_weigh_the_mean_more(known, monkeypatch):
    weights = []

    def polish(trainer, objective, wanted):
        weights.append(objective.loadings_weight)
        trainer.train(objective, wanted)

    monkeypatch.setattr(ExactTrainer, "can_polish", True)
    monkeypatch.setattr(ExactTrainer, "polish", polish, raising=False)
    em = exact_em(known, loadings_weight=0.03, tol=1e-3)
    assert len(weights) == N_POLISH_ROUNDS < em.n_iter
    assert_allclose(weights, 0.01)


def test_weights_count_as_repeated_rows(known):
    counts = np.random.RandomState(0).randint(0, 3, size=len(known.X))
    repeated = Bunch(
        X=np.repeat(known.X, counts, axis=0),
        predictions=np.repeat(known.predictions, counts, axis=0),
    )
    weighted = exact_em(known, weights=counts.astype(float))
    twice = exact_em(repeated)
    assert weighted.n_iter == twice.n_iter
    heads, repeated_heads = weighted.trainer.evaluate(), twice.trainer.evaluate()
    # Float32 residuals; the product of loadings does not depend on their rotation.
    assert_allclose(
        np.repeat(heads.mean, counts, axis=0), repeated_heads.mean, rtol=1e-4, atol=1e-4
    )
    assert_allclose(
        np.repeat(np.square(heads.loadings).sum(axis=2), counts, axis=0),
        np.square(repeated_heads.loadings).sum(axis=2),
        rtol=1e-3,
        atol=1e-3,
    )


def test_converged_fit_says_so_and_an_unfinished_one_warns(known):
    em = exact_em(known, tol=1e-3, max_iter=100)
    assert em.converged
    assert em.n_iter == len(em.log_likelihoods) < 100
    with pytest.warns(ConvergenceWarning, match=r"max_iter=2 .*Increase max_iter, or tol"):
        em = exact_em(known, max_iter=2)
    assert not em.converged


@pytest.mark.parametrize(("n_outputs", "q"), [(1, 3), (2, 2)])
def test_known_model_is_recovered(n_outputs, q):
    data = make_dlf_ensemble(200, n_members=200, n_outputs=n_outputs, q=q, random_state=1)
    student = DLFRegressor(q=q, random_state=0).fit(data.X, predictions=data.predictions)
    found = student.latent_parameters(data.X)
    found_loadings = found.loadings.reshape(-1, q)
    found_covariance = found_loadings @ found_loadings.T + np.diag(found.member_std.ravel() ** 2)
    loadings = data.loadings.reshape(-1, q)
    covariance = loadings @ loadings.T + data.member_noise**2 * np.eye(len(loadings))
    # Of the members drawn, as the student can know no other; and of the model itself.
    sample = np.cov(data.predictions.reshape(len(loadings), -1))
    assert np.linalg.norm(found_covariance - sample) < 0.1 * np.linalg.norm(sample)
    # 200 members know their own covariance to about 1 / sqrt(200) of it, a factor.
    assert np.linalg.norm(found_covariance - covariance) < 0.2 * np.linalg.norm(covariance)


@UNSETTLED
@pytest.mark.parametrize("init", ["spectral", "mmd", "random"])
@pytest.mark.parametrize("em", ["restricted", "minibatch"])
def test_every_start_and_every_em_learns_the_mean_and_reports(init, em, known):
    student = DLFRegressor(q=3, init=init, em=em, max_iter=10, random_state=0)
    mean = student.fit(known.X, predictions=known.predictions).predict(known.X)
    assert np.corrcoef(mean, known.mean[:, 0])[0, 1] > 0.98
    assert student.log_likelihoods_.max() <= student.log_likelihood_bound_
    # Far above the likelihood of members that are all noise.
    assert student.log_likelihoods_[-1] > -0.5 * (np.log(2 * np.pi) + 1) + 0.5


@UNSETTLED
def test_restricted_em_is_truer_to_the_spread_than_the_published_one(known):
    fidelity = {}
    for em in ("restricted", "minibatch"):
        student = DLFRegressor(q=3, init="mmd", em=em, max_iter=15, random_state=0)
        student.fit(known.X, predictions=known.predictions)
        fidelity[em] = member_fidelity(
            known.predictions, *student.predict(known.X, return_std=True)
        )
    assert abs(np.log(fidelity["restricted"].std_ratio)) < abs(
        np.log(fidelity["minibatch"].std_ratio)
    )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_network_that_batches_have_spoilt_is_set_back(monkeypatch):
    data = make_dlf_ensemble(200, 3, n_members=20, random_state=0)
    train, n_calls = Trainer.train, []

    def spoil_the_last(self, *arguments):
        train(self, *arguments)
        n_calls.append(1)
        if len(n_calls) == 6:
            with torch.no_grad():
                self.network.heads.weight.mul_(5.0)

    monkeypatch.setattr(Trainer, "train", spoil_the_last)
    options = {"n_epochs": 3, "hidden_layer_sizes": (20,), "augment": None, "random_state": 0}
    student = DLFRegressor(q=3, max_iter=6, **options).fit(data.X, predictions=data.predictions)
    *before, spoilt, after = student.log_likelihoods_
    assert len(before) == 5
    assert spoilt < max(before) - MAX_LOSS
    assert after > max(before) - MAX_LOSS
