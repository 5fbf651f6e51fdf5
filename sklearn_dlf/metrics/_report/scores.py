"""Scores of a student against its teacher, of one output or of all classes at once."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning

from .._scores import member_fidelity
from .ceilings import (
    MIN_CEILING,
    Correlate,
    agreement_of_halves,
    noise_of_mean,
    pearson,
    spearman,
)
from .comparison import Comparison, spread_of
from .row_covariance import RowCovariance, off_diagonal, sum_std

# Most rows at which halves of the members are compared: correlations are known well enough then.
MAX_HALVED_ROWS = 2000


class Scores(NamedTuple):
    """Scores of one part of a comparison; NaN where they do not exist."""

    mean_error: float
    mean_noise: float
    spread_ratio: float
    spread_noise: float
    spread_error: float
    spread_correlation: float
    spread_rank_correlation: float
    spread_ceiling: float
    covariance_ratio: float
    covariance_correlation: float
    covariance_ceiling: float
    sum_ratio: float
    sum_noise: float


class ClassShares(NamedTuple):
    """Mean probability of each class (n_classes,) over rows, student over teacher; NaN for none.

    ``noise`` is the factor by which those of two ensembles of the teacher's size differ.
    """

    ratio: np.ndarray
    noise: np.ndarray


def score_classes(compared: Comparison) -> ClassShares | None:
    """Return what a student makes of the frequency of each class; None of regressors."""
    if compared.kind != "classifier":
        return None
    of_members = compared.members.mean(axis=0)  # (k, n_members)
    of_teacher = of_members.mean(axis=1)
    error = of_members.std(axis=1, ddof=1) * np.sqrt(2 / of_members.shape[1])
    return ClassShares(
        _divide(compared.mean.mean(axis=0), of_teacher), np.exp(_divide(error, of_teacher))
    )


def score_parts(compared: Comparison, random_state: np.random.RandomState) -> list[Scores]:
    """Return the scores of each output, or of all classes at once."""
    n_samples = len(compared.mean)
    halved = np.arange(n_samples)
    if n_samples > MAX_HALVED_ROWS:
        halved = random_state.choice(n_samples, MAX_HALVED_ROWS, replace=False)
    return [
        _score_part(compared, number, columns, halved, random_state)
        for number, columns in enumerate(compared.parts)
    ]


def mean_errors(compared: Comparison) -> np.ndarray:
    """Return the errors of the mean (n, k), in units of the teacher's mean over rows."""
    difference = compared.mean - compared.members.mean(axis=-1)
    units = np.concatenate(
        [np.full(difference[:, c].shape[1], _unit(compared, c)) for c in compared.parts]
    )
    return _divide(difference, units)


def spread_errors(compared: Comparison) -> np.ndarray:
    """Return the errors of the spread (n, n_parts), in units of the teacher's mean spread."""
    units = compared.teacher_spread.mean(axis=0)
    return _divide(compared.spread - compared.teacher_spread, units)


def _score_part(
    compared: Comparison,
    number: int,
    columns: slice,
    halved: np.ndarray,
    random_state: np.random.RandomState,
) -> Scores:
    members, mean = compared.members[:, columns], compared.mean[:, columns]
    spread, of_teacher = compared.spread[:, number], compared.teacher_spread[:, number]
    is_classifier = compared.kind == "classifier"
    # Mutual information is far from normal, so that its ranks are compared.
    correlate: Correlate = spearman if is_classifier else pearson
    halves = agreement_of_halves(
        members[halved], lambda m: spread_of(m, compared.kind)[:, 0], correlate, random_state
    )
    rank_correlation, unit = spearman(spread, of_teacher), _unit(compared, columns)
    if is_classifier:
        error = np.sqrt(np.mean((mean - members.mean(axis=-1)) ** 2))
        mean_error = float(_divide(error, unit))
        ratio = float(_divide(spread.mean(), of_teacher.mean()))
        correlation = pearson(spread, of_teacher)
    else:
        with warnings.catch_warnings():
            # The report says which scores do not exist.
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            fidelity = member_fidelity(members[:, 0], mean[:, 0], spread)
        mean_error, ratio = fidelity.mean_error, fidelity.std_ratio
        correlation = fidelity.std_correlation
    errors = spread_errors(compared)[:, number]
    return Scores(
        mean_error=mean_error,
        mean_noise=float(_divide(np.asarray(noise_of_mean(members)), unit)),
        spread_ratio=ratio,
        spread_noise=halves.factor,
        spread_error=float(np.sqrt(np.mean(errors**2))),
        spread_correlation=correlation,
        spread_rank_correlation=rank_correlation,
        spread_ceiling=halves.ceiling,
        **_score_covariance(members[compared.rows], compared.covariances[number], random_state),
        **_score_sums(members[compared.rows], compared.covariances[number]),
    )


def _score_covariance(
    members: np.ndarray, of_student: RowCovariance, random_state: np.random.RandomState
) -> dict[str, float]:
    """Compare covariances between different rows of members (m, k, n_members) and of a student."""
    if len(members) < 3:  # two rows have one covariance, which correlates with nothing
        names = "covariance_ratio", "covariance_correlation", "covariance_ceiling"
        return dict.fromkeys(names, float("nan"))
    halves = agreement_of_halves(members, off_diagonal, pearson, random_state)
    # Few members make covariances larger, by their noise. Products of halves are free of it.
    is_known = halves.square > 0 and of_student.square >= 0
    # The noise of the student's draws lowers the correlation by this factor, where there is one.
    reliability = of_student.reliability if of_student.reliability >= MIN_CEILING else 1.0
    correlation = pearson(of_student.values, off_diagonal(members))
    return {
        "covariance_ratio": (of_student.square / halves.square) ** 0.5 if is_known else np.nan,
        "covariance_correlation": correlation / reliability,
        "covariance_ceiling": halves.ceiling,
    }


def _score_sums(members: np.ndarray, of_student: RowCovariance) -> dict[str, float]:
    """Compare the spread of sums over rows of members (m, k, n_members) and of a student."""
    if len(members) < 3:
        return {"sum_ratio": float("nan"), "sum_noise": float("nan")}
    # The logarithm of a standard deviation of M values has about the variance 1 / (2 (M - 1)).
    noise = math.exp(1 / math.sqrt(members.shape[-1] - 1))
    ratio = _divide(np.asarray(of_student.sum_std), np.asarray(sum_std(members)))
    return {"sum_ratio": float(ratio), "sum_noise": noise}


def _unit(compared: Comparison, columns: slice) -> np.ndarray:
    """Return the standard deviation over rows of the teacher's mean, over all its columns."""
    return np.sqrt(compared.members[:, columns].mean(axis=-1).var(axis=0).mean())


def _divide(values: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return values in some units, NaN where a unit is zero."""
    return np.divide(values, np.where(np.asarray(units) > 0, units, np.nan))
