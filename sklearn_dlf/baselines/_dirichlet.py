"""A Dirichlet distribution of the members' probabilities at each row."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import digamma, log_softmax, softmax
from torch import nn

from .._estimators.classifier_mixin import ClassifierStudentMixin
from .._estimators.row_parts import predict_in_parts
from .._fitting.student_bodies import make_student_body
from .._predictive.members import StudentMembers
from .._utils.blocks import DRAW_ROWS, row_blocks
from ._base import MemberStudent, member_probabilities
from ._documentation import share_documentation
from ._networks import HydraNetwork

# Largest precision of a proxy. Members that agree would have an infinite one.
MAX_PRECISION = 1e4

# Members' probabilities below this count as this: those of logits that are far apart are zero, and
# have no logarithm. A choice.
LEAST_PROBABILITY = 1e-30

# Largest logarithm of a parameter less one: far beyond what is learnt, and finite.
MAX_LOG_EXCESS = 350.0


@share_documentation
class DirichletClassifier(ClassifierStudentMixin, MemberStudent):
    """One network that predicts a Dirichlet distribution of the members' probabilities.

    The members at a row are replaced by a proxy: their mean, and the precision
    ``(K - 1) / 2 / sum_k mean_k (log mean_k - mean_m log p_mk)`` of a Dirichlet distribution of K
    classes, at most 10,000. The parameters that the student predicts are one plus the exponentials
    of its K outputs. As in the code of Proxy-EnD2 [1]_, its loss has two terms: the expected
    cross-entropy of the proxy's mean with draws from the student's distribution; and the divergence
    of that distribution from the uniform one, divided by the precision plus K. Up to constants,
    their sum is the reverse Kullback-Leibler divergence to the Dirichlet distribution with
    parameters ``1 + (precision + K) * mean``.

    As in that code, `predict_proba` is the softmax of the outputs. Draws and `predict_uncertainty`
    are those of the distribution, whose mean is nearer to equal probabilities because of the ones
    that are added. Draws are independent from row to row: there are no members that are functions.

    Parameters
    ----------
    {ensemble}

    {activation}

    {body}

    {training}

    Attributes
    ----------
    {attributes}

    {classifier_attributes}

    See Also
    --------
    sklearn_dlf.DLFClassifier : A latent factor model.

    References
    ----------
    .. [1] Ryabinin, Malinin, Gales. "Scaling Ensemble Distribution Distillation to Many Classes
       with Proxy Targets". NeurIPS 2021.
       https://github.com/yandex-research/proxy-dirichlet-distillation

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn_dlf.baselines import DirichletClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(30, random_state=0).fit(X, y)
    >>> student = DirichletClassifier(hidden_layer_sizes=(20,), max_iter=3, random_state=0)
    >>> student = student.fit(X, y, ensemble=forest)
    >>> student.predict_proba(X).shape, student.sample_predictions(X, 7).shape
    ((150, 3), (150, 3, 7))
    """

    def _make_members(self, network: Any) -> DirichletMembers:
        return DirichletMembers(network, self._units)

    def _make_network(self, transfer_set, generator):
        n_classes = max(transfer_set.contrasts.shape[1], 2)
        body = make_student_body(self, transfer_set, generator)
        return HydraNetwork(body, transfer_set.X, n_classes, 1, generator)

    def _objective(self):
        return ReverseDivergence()

    def _targets(self, contrasts):
        return proxy_targets(member_probabilities(contrasts).astype(np.float64))

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Predict probabilities in place of the members' mean.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Softmax of the outputs, in the order of `classes_`: the mean of the Dirichlet
            distribution but for the ones added to its parameters.
        """
        return predict_in_parts(self, X, lambda at, rows: softmax(at.log_excess(rows), axis=1))


class DirichletMembers(StudentMembers):
    """Draws from a Dirichlet distribution at each row; they are no functions of the rows."""

    def log_excess(self, X: np.ndarray, exact: bool = False) -> np.ndarray:
        """Logarithm of the distribution's parameters less one, (n, n_classes)."""
        return self.network_for(X, exact).evaluate(X)[..., 0].astype(np.float64)

    def concentration(self, X: np.ndarray, exact: bool = False) -> np.ndarray:
        """Parameters of the distribution (n, n_classes)."""
        return 1 + np.exp(np.minimum(self.log_excess(X, exact), MAX_LOG_EXCESS))

    @property
    def row_numbers(self):
        return 8 * self.n_classes  # parameters, their functions and sums

    def start_draws(self, n_samples, random_state):
        def draw(X):
            # Logarithms of gamma variables are logits of a draw from the Dirichlet distribution.
            concentration = self.concentration(X, exact=True)
            shape = *concentration.shape, n_samples
            return np.log(random_state.standard_gamma(concentration[..., None], size=shape))

        return draw

    def probabilities(self, X, with_entropy=False):
        mean = np.empty((len(X), self.n_classes))
        entropy = np.empty(len(X))
        for rows in row_blocks(len(X), DRAW_ROWS):
            concentration = self.concentration(X[rows])
            precision = concentration.sum(axis=1, keepdims=True)
            mean[rows] = concentration / precision
            expected = digamma(precision + 1) - digamma(concentration + 1)
            entropy[rows] = (mean[rows] * expected).sum(axis=1)
        return mean, entropy if with_entropy else None

    def log_probabilities(self, X):
        # Those of `predict_proba`, the softmax of the outputs.
        return log_softmax(self.log_excess(X), axis=1)


def proxy_targets(probabilities):
    """Return mean (n, K) and inverse precision (n,) of the proxy of members (n, K, n_members)."""
    probabilities = np.maximum(probabilities, LEAST_PROBABILITY)
    mean = probabilities.mean(axis=-1)
    # Stirling's approximation of the maximum likelihood precision, as in [1] of the class.
    disagreement = (mean * (np.log(mean) - np.log(probabilities).mean(axis=-1))).sum(axis=1)
    inverse_precision = 2 * disagreement / (mean.shape[1] - 1)
    return [mean, np.maximum(inverse_precision, 1 / MAX_PRECISION)]


class ReverseDivergence(nn.Module):
    """Divergence of the student's Dirichlet from one with the proxy's mean, over its precision.

    One is added to the parameters of both, so that no density is infinite. The precision is the
    proxy's plus the number of classes.
    """

    def forward(self, outputs, targets):
        """Return the weighted mean over rows, of outputs (m, K, 1): log-parameters less one."""
        mean, inverse_precision, weights = targets
        n_classes = outputs.shape[1]
        concentration = 1 + outputs[..., 0].exp()
        precision = concentration.sum(dim=1, keepdim=True)
        expected = torch.digamma(precision) - torch.digamma(concentration)
        cross_entropy = (mean * expected).sum(dim=1)
        from_uniform = (
            torch.lgamma(precision[:, 0])
            - torch.lgamma(concentration).sum(dim=1)
            - torch.lgamma(torch.tensor(n_classes, dtype=concentration.dtype))
            - ((concentration - 1) * expected).sum(dim=1)
        )
        divergence = from_uniform / (1 / inverse_precision + n_classes)
        return ((cross_entropy + divergence) * weights).mean()
