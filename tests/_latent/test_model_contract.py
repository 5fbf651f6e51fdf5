"""Claims that both factor models must meet, each against dense algebra or by an exact property."""

from types import SimpleNamespace
from typing import NamedTuple

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_dlf._latent.models import NOISE_FLOOR, FullModel, LatentModel, SeparableModel
from sklearn_dlf._transfer.contrasts import make_contrasts

N_ROWS, N_OUTPUTS, N_MEMBERS, Q = 8, 3, 9, 2
NOISE_VARIANCE = 0.3

# Two routes of float64 algebra over some thirty entries: rounding stays far below this.
RTOL = 1e-6

# The targets are regressions on float64 contrasts, but the weights and variances of `Contrasts` are
# float32. Their rounding moves the noise variance off its maximum and the likelihood by its square.
LIKELIHOOD_ROUNDING = 1e-12


class FreeNetwork:
    """A network whose loadings are free at every design point, in float64."""

    def __init__(self, loadings):
        self.loadings = loadings
        self.mixing = None

    def transform_loadings(self, transform):
        self.loadings = self.loadings @ transform

    def set_mixing(self, mixing):
        self.mixing = np.array(mixing)

    def heads(self):
        return SimpleNamespace(loadings=self.loadings)


class Case(NamedTuple):
    """A model with random loadings that were read, their network, and the dense equivalent."""

    model: LatentModel
    network: FreeNetwork

    @property
    def residuals(self):
        return self.model.contrasts.residuals

    def dense_loadings(self):
        """Weighted loadings of every entry, for latent variables row by row."""
        root = np.sqrt(self.model.contrasts.weights, dtype=np.float64)[:, None, None]
        loadings = self.network.loadings * root
        if isinstance(self.model, FullModel):
            return loadings.reshape(-1, Q)
        assert_array_equal(self.network.mixing, self.model.mixing)
        return naive.separable_loadings(self.network.mixing, loadings[:, 0])

    def dense_posterior(self):
        """Mean (n_members, n_latent) and covariance of the model's last E-step."""
        latent = self.model.posterior
        mean = latent.mean.reshape(N_MEMBERS, -1)
        if isinstance(self.model, FullModel):
            return mean, latent.cov
        basis = np.kron(latent.left, latent.right)
        return mean, (basis * latent.variance.ravel()) @ basis.T

    def dense_log_likelihood(self):
        return naive.restricted_log_likelihood(
            self.dense_loadings(), self.residuals, self.model.noise_variance
        )

    def read(self):
        """Read the network, and return the likelihood of what it describes."""
        self.model.read(self.network.heads())
        return self.model.log_likelihood()

    def train(self, learn):
        """Train the network; ``learn`` maps targets (m, ., q) and weights to loadings."""
        contrasts = self.model.contrasts
        targets = contrasts.unweighted(self.model.targets)
        self.network.loadings = learn(targets, contrasts.weights)

    def iterate(self, learn):
        """One iteration of EM. Returns the likelihood after its M-step."""
        self.model.e_step(self.network)
        self.train(learn)
        self.read()
        self.model.maximise(self.network)
        return self.model.log_likelihood()


def make_exact_contrasts(members, weights=None):
    """Contrasts of members, in float64: the exact claims are made without float32 rounding."""
    contrasts = make_contrasts(members, weights)
    contrasts.residuals = contrasts.residuals.astype(np.float64)
    contrasts.variance = contrasts.variance.astype(np.float64)
    return contrasts


def make_members(seed):
    """Members of Q factors, shared and mixed, and noise."""
    rng = np.random.RandomState(seed)
    mixing, loadings = rng.standard_normal((N_OUTPUTS, N_OUTPUTS)), rng.standard_normal((N_ROWS, Q))
    latent = rng.standard_normal((N_MEMBERS, N_OUTPUTS, Q))
    members = np.moveaxis(mixing @ latent @ loadings.T, (0, 1, 2), (2, 1, 0))
    return members + 0.5 * rng.standard_normal(members.shape)


def make_case(model_class, contrasts, seed):
    """Model of contrasts that has read random loadings, with a random mixing where it has one."""
    rng = np.random.RandomState(100 + seed)
    n_loadings = N_OUTPUTS if model_class is FullModel else 1
    network = FreeNetwork(rng.standard_normal((N_ROWS, n_loadings, Q)))
    model = model_class(contrasts, Q)
    model.noise_variance = NOISE_VARIANCE
    if model_class is SeparableModel:
        model.mixing = rng.standard_normal((N_OUTPUTS, N_OUTPUTS))
        network.set_mixing(model.mixing)
    model.read(network.heads())
    return Case(model, network)


@pytest.fixture(params=[FullModel, SeparableModel])
def model_class(request):
    return request.param


@pytest.fixture(params=[0, 1, 2])
def seed(request):
    return request.param


@pytest.fixture(params=["equal weights", "weights"])
def weights(request):
    return None if request.param == "equal weights" else np.arange(1.0, N_ROWS + 1)


@pytest.fixture
def case(model_class, seed, weights):
    return make_case(model_class, make_exact_contrasts(make_members(seed), weights), seed)


def learn_anything(loadings, weights):
    """Loadings of a network that learns every target exactly."""
    return loadings


def learn_by_features(loadings, weights):
    """Weighted least squares on four features of the rows: the heads of a body that is fixed."""
    features = np.random.RandomState(0).standard_normal((N_ROWS, 4))
    root = np.sqrt(weights)[:, None]
    return np.tensordot(features @ np.linalg.pinv(root * features) * root.T, loadings, axes=1)


def test_the_interface_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        LatentModel(make_exact_contrasts(make_members(0)), Q)


def test_likelihood_is_the_dense_density_of_independent_contrasts(case):
    assert_allclose(case.model.log_likelihood(), case.dense_log_likelihood(), rtol=RTOL)


def test_e_step_gives_the_functions_their_distribution_under_dense_conditioning(case):
    before = case.dense_loadings()
    mean, cov = naive.posterior(before, case.residuals, NOISE_VARIANCE)
    case.model.e_step(case.network)
    after = case.dense_loadings()
    found_mean, found_cov = case.dense_posterior()
    assert_allclose(after @ found_mean.T, before @ mean.T, rtol=RTOL, atol=1e-10)
    assert_allclose(after @ found_cov @ after.T, before @ cov @ before.T, rtol=RTOL, atol=1e-10)
    assert_allclose(case.model.latent_mean.reshape(N_MEMBERS, -1), found_mean)


def test_normalisation_never_lowers_the_likelihood(case):
    # It is an M-step over the moments of the prior [Liu1998]. It keeps the members' posterior, not
    # the likelihood.
    for _ in range(20):
        before = case.read()
        case.model.e_step(case.network)
        assert case.read() > before - LIKELIHOOD_ROUNDING


@pytest.mark.parametrize("learn", [learn_anything, learn_by_features])
def test_an_exact_m_step_never_lowers_the_likelihood(case, learn):
    case.network.loadings = learn(case.network.loadings, case.model.contrasts.weights)
    likelihoods = [case.read(), *(case.iterate(learn) for _ in range(40))]
    assert np.diff(likelihoods).min() > -LIKELIHOOD_ROUNDING
    assert likelihoods[-1] > likelihoods[0] + 0.1


def test_the_noise_variance_of_an_exact_m_step_is_that_of_largest_likelihood(case):
    for _ in range(2000):
        case.iterate(learn_anything)
    noise_variance, best = case.model.noise_variance, case.dense_log_likelihood()
    for factor in (0.99, 1.01):
        case.model.noise_variance = factor * noise_variance
        assert case.dense_log_likelihood() < best


def test_a_restricted_network_does_not_exceed_the_bound(case):
    bound = case.model.initialise(case.network)
    case.train(learn_by_features)
    assert case.read() < bound
    assert max(case.iterate(learn_by_features) for _ in range(100)) < bound


def test_the_bound_is_the_likelihood_of_the_initial_targets(case):
    bound = case.model.initialise(case.network)
    case.train(learn_anything)
    # The separable model stops at a sweep that gains less than 1e-4, and its last E-step follows.
    tolerance = 1e-4 if isinstance(case.model, SeparableModel) else 1e-7
    assert_allclose(case.read(), bound, rtol=0, atol=tolerance)


def test_the_order_of_members_is_irrelevant(model_class, seed):
    members, order = make_members(seed), np.random.RandomState(0).permutation(N_MEMBERS)
    first, second = (
        make_case(model_class, make_exact_contrasts(each), seed)
        for each in (members, members[..., order])
    )
    for case in (first, second):
        case.model.e_step(case.network)
    assert_allclose(second.read(), first.read(), rtol=RTOL)
    assert_allclose(second.model.latent_mean, first.model.latent_mean[order], rtol=RTOL, atol=1e-10)
    assert_allclose(second.model.targets, first.model.targets, rtol=RTOL, atol=1e-10)
    assert_allclose(
        second.model.initialise(second.network), first.model.initialise(first.network), rtol=RTOL
    )


def test_scaled_members_have_scaled_loadings_and_noise(model_class, seed):
    contrasts, scaled = (make_exact_contrasts(make_members(seed)) for _ in range(2))
    scaled.residuals, scaled.variance = 4 * scaled.residuals, 16 * scaled.variance
    first, second = (make_case(model_class, each, seed) for each in (contrasts, scaled))
    bounds = [case.model.initialise(case.network) for case in (first, second)]
    assert_allclose(bounds[1], bounds[0] - np.log(4), rtol=RTOL)
    for case in (first, second):
        case.train(learn_anything)
        case.read()
        case.iterate(learn_anything)
    assert first.model.noise_variance > NOISE_FLOOR
    assert_allclose(second.model.noise_variance, 16 * first.model.noise_variance, rtol=RTOL)
    assert_allclose(second.dense_loadings(), 4 * first.dense_loadings(), rtol=RTOL, atol=1e-10)


def test_entries_of_weight_zero_change_nothing(model_class, seed):
    weights = np.arange(N_ROWS) % 3  # two of three rows count
    members, others = make_members(seed), make_members(seed)
    others[weights == 0] *= 10.0
    first, second = (
        make_case(model_class, make_exact_contrasts(each, weights), seed)
        for each in (members, others)
    )
    second.network.loadings[weights == 0] += 100.0
    assert_allclose(second.read(), first.read(), rtol=RTOL)
    assert_allclose(
        second.model.initialise(second.network), first.model.initialise(first.network), rtol=RTOL
    )
    for case in (first, second):
        case.read()
        case.iterate(learn_anything)
    assert_allclose(second.model.noise_variance, first.model.noise_variance, rtol=RTOL)
    assert_allclose(second.model.latent_mean, first.model.latent_mean, rtol=RTOL, atol=1e-10)
    assert_allclose(second.dense_loadings(), first.dense_loadings(), rtol=RTOL, atol=1e-10)
    assert_array_equal(second.model.targets[weights == 0], 0)
