"""What a practitioner would write in ten lines in place of a student, as students of this package.

They learn moments of the members at each row, at the same design points as every other student with
the same ``augment`` and ``random_state``. Members are independent from row to row: nothing is known
of their covariance. By default they learn the members' outputs as they are, also at the rows of the
ensemble's own fit (``out_of_bag=None``).
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from scipy.special import log_softmax, softmax
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch
from torch import nn

from sklearn_dlf._estimators.base import BaseStudent
from sklearn_dlf._estimators.classifier_mixin import ClassifierStudentMixin
from sklearn_dlf._estimators.regressor_mixin import RegressorStudentMixin
from sklearn_dlf._network.bodies import make_mlp
from sklearn_dlf._predictive.logits import entropies, probabilities_from_latent
from sklearn_dlf._predictive.members import StudentMembers
from sklearn_dlf._utils.parameters import store_parameters
from sklearn_dlf._utils.seeding import MAX_SEED, seeded
from sklearn_dlf.metrics import mutual_information

# Units of the hidden layers of networks, as in the default student.
HIDDEN = (100, 100)

# Smallest spread whose logarithm is learnt, as a share of the root mean square over design points.
# Mutual information below `MIN_INFORMATION` nats counts as none, and has half of the smallest other
# value. All are choices, and keep logarithms finite.
MIN_SPREAD, MIN_INFORMATION = 1e-3, 1e-6

# Training of the network of classes. Batch size and learning rate are those of `MLPRegressor`, the
# number of epochs is a choice.
N_EPOCHS, BATCH_SIZE, LR = 100, 200, 1e-3

# Numbers of 8 bytes that a row takes in a prediction, roughly: parts of rows are sized by it.
ROW_NUMBERS = 8


class Curves(nn.Module):
    """Functions of standardised rows, in the place of a student's network.

    Parameters
    ----------
    predict : callable
        Takes rows (n, n_features), returns values (n, n_values).
    n_parameters : int
        Number of parameters; of trees, of the values in their leaves.
    """

    takes_points = True  # rows of a table, standardised

    def __init__(self, predict, n_parameters):
        super().__init__()
        self.predict = predict
        self.n_parameters = n_parameters


def fit_boosting(X, values, seed):
    """Fit one default boosted model to each column of values."""
    models = [HistGradientBoostingRegressor(random_state=seed).fit(X, each) for each in values.T]
    trees = [tree for model in models for stage in model._predictors for tree in stage]
    return Curves(
        lambda rows: np.column_stack([model.predict(rows) for model in models]),
        sum(tree.get_n_leaf_nodes() for tree in trees),
    )


def fit_network(X, values, seed):
    """Fit one network to all columns of values, which are standardised."""
    scaler = StandardScaler().fit(values)
    model = MLPRegressor(hidden_layer_sizes=HIDDEN, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ten lines have the default of epochs
        model.fit(X, scaler.transform(values))
    n_parameters = sum(each.size for each in [*model.coefs_, *model.intercepts_])
    return Curves(lambda rows: scaler.inverse_transform(model.predict(rows)), n_parameters)


def fit_class_network(X, values, seed):
    """Fit one network to averaged probabilities and log mutual information, the last column.

    The loss is the cross-entropy of the probabilities, plus half the squared error of the
    standardised logarithm.
    """
    center, scale = values[:, -1].mean(), values[:, -1].std() or 1.0
    rows, targets = torch.from_numpy(X), torch.from_numpy(values).float()
    with seeded(seed, "cpu"):
        layers = make_mlp(X.shape[1], HIDDEN, "relu"), nn.Linear(HIDDEN[-1], values.shape[1])
        network = nn.Sequential(*layers)
        optimizer = torch.optim.Adam(network.parameters(), LR)
        decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, N_EPOCHS)
        for _ in range(N_EPOCHS):
            for batch in torch.randperm(len(rows)).split(BATCH_SIZE):
                optimizer.zero_grad()
                outputs, target = network(rows[batch]), targets[batch]
                loss = nn.functional.cross_entropy(outputs[:, :-1], target[:, :-1])
                error = outputs[:, -1] - (target[:, -1] - center) / scale
                (loss + 0.5 * (error**2).mean()).backward()
                optimizer.step()
            decay.step()

    @torch.no_grad()
    def predict(rows):
        outputs = network(torch.from_numpy(rows.astype(np.float32))).double().numpy()
        return np.column_stack([outputs[:, :-1], center + scale * outputs[:, -1]])

    return Curves(predict, sum(each.numel() for each in network.parameters()))


class IndependentNormals(StudentMembers):
    """Members that are independent normals at each row."""

    def moments(self, X, exact=False):
        """Bunch of ``mean`` and ``variance`` (n, 1)."""
        mean, log_std = self.network.predict(X).T[..., None].astype(np.float64)
        return Bunch(mean=mean, variance=np.exp(2 * log_std))

    row_numbers = ROW_NUMBERS

    def start_draws(self, n_samples, random_state):
        """Return a function that draws members at rows (n, 1, n_samples)."""

        def draw(X):
            moments = self.moments(X)
            noise = random_state.standard_normal((*moments.mean.shape, n_samples))
            return moments.mean[..., None] + np.sqrt(moments.variance)[..., None] * noise

        return draw

    def probabilities(self, X, with_entropy=False):
        """Raise: these are no members of a classifier."""
        raise NotImplementedError("Members of a regressor have no probabilities.")

    log_probabilities = probabilities


class ClassCurves(StudentMembers):
    """Averaged probabilities and mutual information at each row; there are no members."""

    def probabilities(self, X, with_entropy=False):
        """Averaged probabilities (n, n_classes), and their entropy less mutual information (n,)."""
        values = self.network.predict(X)
        probabilities = softmax(values[:, :-1], axis=1)
        total = entropies(probabilities)
        # Mutual information is at most the entropy of the averaged probabilities.
        entropy = total - np.minimum(np.exp(values[:, -1]), total)
        return probabilities, entropy if with_entropy else None

    def log_probabilities(self, X):
        """Logarithm of the averaged probabilities (n, n_classes)."""
        return log_softmax(self.network.predict(X)[:, :-1], axis=1)

    row_numbers = ROW_NUMBERS

    def start_draws(self, n_samples, random_state):
        """Raise: there are no members."""
        raise NotImplementedError("Averaged probabilities have no members to draw.")


class MomentsStudent(BaseStudent):
    """Base of students that learn moments of the members, with anything that can be regressed."""

    # Of these students' rows: as many as those of the default student.
    hidden_layer_sizes, activation, body = HIDDEN, "auto", "auto"

    n_iter_ = 1

    def __init__(
        self, ensemble=None, *, preprocessor="auto", augment="auto", out_of_bag=None, memory=None,
        random_state=None, verbose=0,
    ):  # fmt: skip
        store_parameters(self, locals())

    def _learn(self, transfer_set, random_state):
        seed = random_state.randint(MAX_SEED)
        members = transfer_set.contrasts.latent_members().astype(np.float64)
        return self._regress(transfer_set.design, self._moments(members), seed)


class MomentsRegressor(RegressorStudentMixin, MomentsStudent):
    """Learns mean and logarithm of the standard deviation; one output."""

    def _moments(self, members):
        std = members[:, 0].std(axis=-1, ddof=1)
        floor = MIN_SPREAD * np.sqrt(np.mean(std**2))
        return np.column_stack([members[:, 0].mean(axis=-1), np.log(np.maximum(std, floor))])

    def _make_members(self, network):
        return IndependentNormals(network, self._units)

    def predict(self, X, return_std=False):
        """Predict the mean of the members, and their standard deviation."""
        moments = self._members.moments(self._standardised_rows(X))
        mean, std = moments.mean[:, 0], np.sqrt(moments.variance[:, 0])
        return (mean, std) if return_std else mean


class TwoBoostedRegressor(MomentsRegressor):
    """One boosted model of the mean, and one of the log standard deviation."""

    _regress = staticmethod(fit_boosting)


class MomentsNetworkRegressor(MomentsRegressor):
    """One network of the mean and the log standard deviation."""

    _regress = staticmethod(fit_network)


class MomentsNetworkClassifier(ClassifierStudentMixin, MomentsStudent):
    """One network of averaged probabilities and log mutual information."""

    def _moments(self, members):
        probabilities = probabilities_from_latent(members)
        information = mutual_information(probabilities)
        others = information[information > MIN_INFORMATION]
        floor = 0.5 * others.min() if len(others) else MIN_INFORMATION
        logarithm = np.log(np.maximum(information, floor))
        return np.column_stack([probabilities.mean(axis=-1), logarithm])

    _regress = staticmethod(fit_class_network)

    def _make_members(self, network):
        return ClassCurves(network, self._units)
