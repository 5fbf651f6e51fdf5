"""Scorers that need more from a fitted estimator than its predictions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import copy
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import is_classifier
from sklearn.metrics import log_loss
from sklearn.utils import _safe_indexing, check_consistent_length
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import _num_samples

from .._estimators.unwrap import find_with_method
from .._estimators.wrapped_students import sample_y
from .._transfer.cache import TeacherCache
from .._transfer.teachers import EnsembleTeacher, PredictionsTeacher
from .._utils.blocks import row_blocks
from .._utils.numbers import as_array
from ..ensembles import is_fitted_ensemble
from ..ensembles._fitted_ensemble import with_known_outputs
from ._scores import crps_ensemble
from ._validation import check_numbers, check_weights

# Smallest spread for the density of the members, in units of the standard deviation of their mean
# over rows. It was chosen so that the density stays finite if all members agree.
MIN_SPREAD = 1e-6

# Draws of y at each row for the CRPS. The expected CRPS of S draws is too large by half the draws'
# mean distance, divided by S. 1000 was chosen.
CRPS_DRAWS = 1000

# Number of rows whose draws are in memory at a time: 33 MB in float64 for one output.
CRPS_ROWS = 2**12


class Scorer:
    """Callable ``scorer(estimator, X, y, **metadata)`` for the parameter ``scoring``.

    Greater is better.

    Parameters
    ----------
    name : str
        Name of the scorer in messages.
    function : callable
        Takes a fitted estimator, X and y, and returns a float. Its keyword arguments are settings
        or metadata.
    sign : {1, -1}, default=1
        Factor of the result, -1 for losses.
    **settings
        Fixed keyword arguments of `function`.
    """

    def __init__(
        self, name: str, function: Callable[..., float], sign: int = 1, **settings: Any
    ) -> None:
        self._name = name
        self._function = function
        self._sign = sign
        self._settings = settings
        self._requests: dict[str, Any] = {}

    def __call__(
        self, estimator: Any, X: ArrayLike, y: ArrayLike | None = None, **metadata: Any
    ) -> float:
        """Score a fitted estimator at rows X with observed values y."""
        return self._sign * self._function(estimator, X, y, **self._settings, **metadata)

    def set_score_request(self, **requests: bool | str | None) -> Scorer:
        """Return a copy of the scorer that requests metadata from a search or cross-validation.

        Parameters
        ----------
        **requests : bool, str or None
            For each name of metadata: True, False, None, or the other name under which the
            metadata is passed, as in scikit-learn's metadata routing.

        Returns
        -------
        Scorer
            The copy. The scorer itself is not changed.

        Raises
        ------
        TypeError
            If the scorer does not take metadata of a name.
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

    def get_metadata_routing(self) -> MetadataRequest:
        """Return the requested metadata, for scikit-learn's metadata routing."""
        request = MetadataRequest(owner=self._name)
        for name in self._metadata():
            request.score.add_request(param=name, alias=self._requests.get(name))
        return request

    def _accept_sample_weight(self) -> bool:
        """Return whether searches may hand weights over without metadata routing.

        scikit-learn asks its own scorers by this name.
        """
        return "sample_weight" in self._metadata()

    def _metadata(self) -> set[str]:
        """Return the names of metadata that can be requested."""
        parameters = signature(self._function).parameters.values()
        names = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
        return names - set(self._settings)

    def __repr__(self) -> str:
        return self._name


def _student_nll(
    estimator: Any, X: Any, y: Any, *, sample_weight: ArrayLike | None = None
) -> float:
    """NLL of y under a student's predictive distribution, mean over rows and outputs, in nats."""
    weights = check_weights(sample_weight, X)
    if is_classifier(estimator):
        probabilities = estimator.predict_proba(X)
        return log_loss(y, probabilities, labels=estimator.classes_, sample_weight=weights)
    student, transform, invert, _ = find_with_method(estimator, "_log_density", "a regressor")
    if invert is not None:
        raise TypeError(
            "The density of y is not known if the target is transformed; expected an estimator "
            "without TransformedTargetRegressor. Use neg_crps_scorer, which needs no density."
        )
    y = check_numbers(y, "y", ensure_2d=False)
    densities = student._log_density(transform(X), y)
    weights = None if weights is None else np.repeat(weights, densities.shape[1])
    loss = -float(np.average(densities.ravel(), weights=weights))
    if not np.isfinite(loss):
        raise ValueError(
            "The density of y is too small for a float: a value lies too many standard deviations "
            "from the student's mean. Check the units of y."
        )
    return loss


def _student_crps(
    estimator: Any, X: Any, y: Any, *, sample_weight: ArrayLike | None = None
) -> float:
    """CRPS of y by draws from a student, mean over rows and outputs, in units of y."""
    find_with_method(estimator, "sample_y", "a regressor")
    n_samples = _num_samples(X)
    if n_samples == 0:
        raise ValueError("X has no rows; expected at least one.")
    y = check_numbers(y, "y", ensure_2d=False)
    check_consistent_length(X, y)
    weights = check_weights(sample_weight, X)
    weights = np.ones(n_samples) if weights is None else weights
    losses, total = 0.0, weights.sum()
    for rows in row_blocks(n_samples, CRPS_ROWS):
        if not weights[rows].any():
            continue  # the mean over these rows is not defined, and the score does not need it
        with warnings.catch_warnings():  # a score needs no variance of y
            warnings.filterwarnings("ignore", message="y has no variance")
            draws = sample_y(estimator, _safe_indexing(X, rows), CRPS_DRAWS, random_state=0)
        draws = draws.reshape(-1, CRPS_DRAWS)
        share = np.repeat(weights[rows], len(draws) // len(weights[rows]))
        losses += crps_ensemble(np.ravel(y[rows]), draws, share) * weights[rows].sum()
    return losses / total


def _member_log_likelihood(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    ensemble: Any = None,
    predictions: ArrayLike | None = None,
    X_ensemble: Any = None,
) -> float:
    """Log-likelihood of the teacher's members at X under a student, nats per member and entry."""
    student, transform, *_ = find_with_method(estimator, "sample_predictions", "a student")
    if not hasattr(student, "latent_parameters") or is_classifier(student):
        raise TypeError(
            f"The likelihood of members is not known under {type(student).__name__}; expected "
            "DLFRegressor."
        )
    rows = transform(X)
    teacher: EnsembleTeacher | PredictionsTeacher
    if predictions is not None:
        teacher = PredictionsTeacher(predictions, _num_samples(X))
    else:
        if isinstance(X, list | tuple):
            as_array(X, "X")
        if X_ensemble is None:
            _check_rows_are_shared(student, ensemble)
            X_ensemble = rows if ensemble is None else X
        elif callable(X_ensemble):
            X_ensemble = X_ensemble(rows)
        teacher = _teacher_at(student.ensemble if ensemble is None else ensemble, X_ensemble)
        can_transform = teacher.transformer is not None
        teacher.is_transformed = student._teacher_is_transformed and can_transform
    members = np.concatenate([outputs for _, outputs in teacher.evaluate()])
    transformation = student.target_transformation_
    if transformation is not None and not teacher.is_transformed:
        members = transformation.transform_members(members)
    if members.shape[1] != student.n_outputs_:
        raise ValueError(
            f"The members have {members.shape[1]} outputs, and the student has "
            f"{student.n_outputs_}; expected members of the kind that the student has learnt from."
        )
    X = student._standardised_rows(rows)
    student_members = student._members
    process = student_members.process(X)
    # Without member noise the covariance over rows and outputs is singular. The members' density
    # is then infinite or does not exist, so that the variance of the noise gets a floor.
    spread = np.maximum(student.output_spread_, MIN_SPREAD * student.output_scale_)
    return process.with_noise_floor(spread).log_likelihood(
        members,
        student_members.row_correlation,
        student_members.correlated(X),
        student_members.law,
        student_members.member_law,
    )


def _check_rows_are_shared(student: Any, ensemble: Any) -> None:
    """Raise if the student's own teacher takes other rows than the student, and none are given."""
    if ensemble is None and student._ensemble_takes_other_rows:
        raise ValueError(
            "The student was fitted with X_ensemble, so that its ensemble does not take the rows "
            "that the student takes; expected X_ensemble here too. Pass it by metadata routing: "
            "member_log_likelihood_scorer.set_score_request(X_ensemble=True). For a pipeline whose "
            "first step takes the ensemble's rows, use make_member_log_likelihood_scorer(ensemble) "
            "instead, which evaluates the ensemble at these rows."
        )


def _teacher_at(ensemble: Any, rows: Any) -> EnsembleTeacher:
    """Return a teacher that is evaluated at some rows; raise ValueError if it is not fitted."""
    ensemble = with_known_outputs(ensemble, "regressor")
    if ensemble is None or not is_fitted_ensemble(ensemble):
        raise ValueError(
            "The student does not keep its teacher, and its parameter `ensemble` is "
            f"{'None' if ensemble is None else 'not fitted'}; expected a FittedEnsemble. Otherwise "
            "use make_member_log_likelihood_scorer(ensemble), or pass the members' `predictions` "
            "at these rows by metadata routing: "
            "member_log_likelihood_scorer.set_score_request(predictions=True)."
        )
    facts, predict = TeacherCache(None).look_up(ensemble, _num_samples(rows))
    return EnsembleTeacher(facts, predict, rows, "regressor")


def make_member_log_likelihood_scorer(ensemble: Any) -> Scorer:
    """Make a scorer: the log-likelihood of the members of one fitted ensemble under a student.

    Parameters
    ----------
    ensemble : fitted ensemble, list of fitted regressors or FittedEnsemble
        It is evaluated at the rows that the scorer is given. For a pipeline these are the rows
        before the first step.

    Returns
    -------
    callable
        A scorer as :data:`member_log_likelihood_scorer`, which evaluates the student's own teacher
        instead.

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
        _member_log_likelihood,
        ensemble=ensemble,
    )


neg_nll_scorer = Scorer("neg_nll_scorer", _student_nll, sign=-1)
neg_nll_scorer.__doc__ = """Minus the NLL of y under a student's predictive distribution.

It is in nats, a mean over rows and outputs. For classifiers it is minus the log loss. Call it as
``neg_nll_scorer(student, X, y)``, or pass it as `scoring` to searches and cross-validation. The
student may be inside a pipeline or a search, but the target may not be transformed.
"""

neg_crps_scorer = Scorer("neg_crps_scorer", _student_crps, sign=-1)
neg_crps_scorer.__doc__ = """Minus the CRPS of draws of y from a regressor.

It is in units of y, a mean over rows and outputs: where units differ, those of large values decide.
Scale y then, or score each output in its own unit by a function of yours that calls
:func:`crps_ensemble`. Call it as ``neg_crps_scorer(student, X, y)``, or pass it as `scoring` to
searches and cross-validation. The student may be inside a pipeline, a search or a
``TransformedTargetRegressor``.
"""

member_log_likelihood_scorer = Scorer("member_log_likelihood_scorer", _member_log_likelihood)
member_log_likelihood_scorer.__doc__ = """Log-likelihood of the teacher's members at the rows.

It is in nats per member and entry, in the units of the members that the student was fitted to. The
teacher is the student's parameter `ensemble` if that is fitted. It is evaluated at the rows that
the student takes, or at the metadata `X_ensemble`, which is required if the student was fitted with
X_ensemble. The metadata `predictions` (n_samples, ..., n_members) takes the place of the teacher.
Both are passed by metadata routing.
"""
