"""Scorers that ask more of a fitted estimator than its predictions."""

from __future__ import annotations

from copy import copy
from inspect import signature

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import log_loss
from sklearn.utils import _safe_indexing
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import _num_samples

from .._estimators.unwrap import reach_student, sample_y
from .._latent.deviations import dense_loadings
from .._latent.full import member_log_likelihood
from .._latent.models import NOISE_FLOOR
from .._transfer.cache import TeacherMemory
from .._transfer.teachers import AskedEnsemble, GivenPredictions
from .._utils.blocks import row_blocks
from ..ensembles import is_fitted_ensemble
from ._scores import crps_ensemble, gaussian_mixture_nll

# Members' spread is taken to be no smaller than this, in units of their mean over rows, where their
# density is asked for.
MIN_SPREAD = 1e-6

# Draws of y at a row for its CRPS; with S of them it is too large by the share 1 / S of their mean
# distance.
CRPS_DRAWS = 1000

# Rows whose draws are held at a time.
CRPS_ROWS = 2**12


class Scorer:
    """Callable ``scorer(estimator, X, y, **metadata)`` for ``scoring=``; greater is better.

    Parameters
    ----------
    name : str
        What it is called in messages.
    function : callable
        Takes a fitted estimator, X and y; its keyword arguments are settings or metadata.
    sign : {1, -1}, default=1
        -1 for losses.
    **settings
        Fixed keyword arguments of `function`.
    """

    def __init__(self, name, function, sign=1, **settings):
        self._name = name
        self._function = function
        self._sign = sign
        self._settings = settings
        self._requests: dict = {}

    def __call__(self, estimator, X, y=None, **metadata):
        """Score a fitted estimator at rows X with observed values y."""
        return self._sign * self._function(estimator, X, y, **self._settings, **metadata)

    def set_score_request(self, **requests):
        """Return the same scorer, with the metadata it asks a search or a cross-validation for.

        Parameters
        ----------
        **requests
            ``name=True``, False, None or another name under which the metadata is passed, as in
            scikit-learn's metadata routing.
        """
        unknown = set(requests) - self._metadata()
        if unknown:
            raise TypeError(
                f"{self!r} takes no metadata {sorted(unknown)}; expected any of "
                f"{sorted(self._metadata())}."
            )
        scorer = copy(self)
        scorer._requests = {**self._requests, **requests}
        return scorer

    def get_metadata_routing(self):
        """Metadata that is asked for, as scikit-learn's searches want to know it."""
        request = MetadataRequest(owner=self._name)
        for name in self._metadata():
            request.score.add_request(param=name, alias=self._requests.get(name))
        return request

    def _metadata(self):
        """Names of what can be asked for."""
        parameters = signature(self._function).parameters.values()
        names = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
        return names - set(self._settings)

    def __repr__(self):
        return self._name


def _student_nll(estimator, X, y, *, sample_weight=None):
    """NLL of y under a student's predictive distribution, mean over rows and outputs."""
    if is_classifier(estimator):
        probabilities = estimator.predict_proba(X)
        return log_loss(y, probabilities, labels=estimator.classes_, sample_weight=sample_weight)
    student, transform, invert = reach_student(estimator)
    if invert is not None:
        raise TypeError(
            "The density of y is not known where the target is transformed; expected an estimator "
            "without TransformedTargetRegressor. neg_crps_scorer needs no density."
        )
    mean, std = student.predict(transform(X), return_std=True)
    noise = student._check_target_noise("neg_nll_scorer").nodes()
    n_outputs = len(noise)
    variances = (std.reshape(-1, n_outputs, 1) ** 2 + noise).reshape(-1, noise.shape[1])
    means = np.broadcast_to(mean.reshape(-1, 1), variances.shape)
    weights = None if sample_weight is None else np.repeat(sample_weight, n_outputs)
    return gaussian_mixture_nll(np.ravel(y), means, variances, weights)


def _student_crps(estimator, X, y, *, sample_weight=None):
    """CRPS of y by draws from a student, mean over rows and outputs."""
    y = np.asarray(y, dtype=np.float64)
    n_samples = _num_samples(X)
    weights = np.ones(n_samples) if sample_weight is None else np.asarray(sample_weight)
    losses, total = 0.0, weights.sum()
    for rows in row_blocks(n_samples, CRPS_ROWS):
        draws = sample_y(estimator, _safe_indexing(X, rows), CRPS_DRAWS, random_state=0)
        draws = draws.reshape(-1, CRPS_DRAWS)
        share = np.repeat(weights[rows], len(draws) // len(weights[rows]))
        losses += crps_ensemble(np.ravel(y[rows]), draws, share) * weights[rows].sum()
    return losses / total


def _members_under_student(
    estimator, X, y=None, *, ensemble=None, predictions=None, X_ensemble=None
):
    """Log-likelihood of the teacher's members at X under a student, nats per member and entry."""
    student, transform, _ = reach_student(estimator)
    if not hasattr(student, "latent_parameters") or is_classifier(student):
        raise TypeError(
            f"The likelihood of members is not known under {type(student).__name__}; expected "
            "DLFRegressor."
        )
    rows = transform(X)
    if predictions is None:
        if X_ensemble is None:
            _check_rows_are_shared(student, ensemble)
            X_ensemble = rows if ensemble is None else X
        teacher: AskedEnsemble | GivenPredictions = _asked_teacher(
            student.ensemble if ensemble is None else ensemble, X_ensemble
        )
    else:
        teacher = GivenPredictions(predictions, _num_samples(X))
    members = np.concatenate(list(teacher.blocks()))
    heads = student.latent_parameters(rows)
    # Without member noise the members' distribution is flat, and their density infinite or none.
    spread = np.maximum(student.output_spread_, MIN_SPREAD * student.output_scale_)
    variance = np.maximum(heads.member_std**2, NOISE_FLOOR * spread**2)
    deviations = members - heads.mean[..., None]
    loadings = heads.loadings
    if "mixing" in heads:
        loadings = dense_loadings(loadings[:, None], heads.mixing)
    return member_log_likelihood(
        loadings.reshape(-1, loadings.shape[-1]),
        deviations.reshape(-1, deviations.shape[-1]),
        variance.ravel(),
    )


def _check_rows_are_shared(student, ensemble):
    """Raise where the student's own teacher would be asked at rows that it does not take."""
    if ensemble is None and student._has_rows_of_its_own:
        raise ValueError(
            "The student was fitted with X_ensemble, so that its ensemble does not take the rows "
            "that the student sees; expected X_ensemble here too, which metadata routing brings: "
            "member_log_likelihood_scorer.set_score_request(X_ensemble=True). In a pipeline whose "
            "first step gets the ensemble's rows, make_member_log_likelihood_scorer(ensemble) "
            "asks it at these."
        )


def _asked_teacher(ensemble, rows):
    """Fitted ensemble at some rows, or an error that says how to have one."""
    if ensemble is None or not is_fitted_ensemble(ensemble):
        raise ValueError(
            "The student keeps no teacher, and its parameter `ensemble` is "
            f"{'None' if ensemble is None else 'not fitted'}; expected a FittedEnsemble there, "
            "make_member_log_likelihood_scorer(ensemble), or `predictions` at these rows, which "
            "metadata routing brings: member_log_likelihood_scorer.set_score_request("
            "predictions=True)."
        )
    facts, ask = TeacherMemory(None).know(ensemble, rows)
    return AskedEnsemble(facts, ask, rows, "regressor")


def make_member_log_likelihood_scorer(ensemble):
    """Make a scorer of how likely the members of one fitted ensemble are under a student.

    Parameters
    ----------
    ensemble : fitted ensemble, list of fitted regressors or FittedEnsemble
        Asked at the rows that the scorer is given: those before any step of a pipeline.

    Returns
    -------
    callable
        As :data:`member_log_likelihood_scorer`, which asks the student's own teacher.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from sklearn_dlf import DLFRegressor
    >>> from sklearn_dlf.metrics import make_member_log_likelihood_scorer
    >>> X, y = make_regression(60, 3, noise=5.0, random_state=0)
    >>> forest = RandomForestRegressor(20, random_state=0).fit(X, y)
    >>> student = DLFRegressor(q=2, n_epochs=5, random_state=0).fit(X, y, ensemble=forest)
    >>> scorer = make_member_log_likelihood_scorer(forest)
    >>> scorer(student, X) > scorer(student, X + 1)
    True
    """
    return Scorer(
        f"make_member_log_likelihood_scorer({type(ensemble).__name__})",
        _members_under_student,
        ensemble=ensemble,
    )


neg_nll_scorer = Scorer("neg_nll_scorer", _student_nll, sign=-1)
neg_nll_scorer.__doc__ = """Minus the NLL of y under a student's predictive distribution.

In nats, mean over rows and outputs; from classifiers minus the log loss.
"""

neg_crps_scorer = Scorer("neg_crps_scorer", _student_crps, sign=-1)
neg_crps_scorer.__doc__ = """Minus the CRPS of draws of y from a regressor.

In units of y, mean over rows and outputs; targets may be transformed.
"""

member_log_likelihood_scorer = Scorer("member_log_likelihood_scorer", _members_under_student)
member_log_likelihood_scorer.__doc__ = """Log-likelihood of the teacher's members at the rows.

In nats per member and entry, in the units in which the student was taught. The teacher is the
student's parameter `ensemble` where that is fitted, asked at the rows that the student sees or,
with metadata routing, at `X_ensemble`, as it must be if the student was fitted with it; or the
metadata `predictions` (n_samples, ..., n_members).
"""
