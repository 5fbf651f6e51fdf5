"""Scores in words: each is judged against the teacher's own noise."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np

from .calibration import Calibration
from .ceilings import MIN_CEILING
from .scores import ClassShares, Scores

Grade = Literal["good", "fair", "poor", "unknown"]

GRADES: tuple[Grade, ...] = ("unknown", "good", "fair", "poor")  # from best to worst

VERDICTS = {
    "good": "faithful",
    "fair": "roughly faithful",
    "poor": "not faithful",
    "unknown": "unknown",
}

# The first scores of `check_fidelity` concern single rows, and the others several rows together.
N_SINGLE = 3

# Limits of "good" and of "fair"; all are choices. No grade expects more of a student than the
# teacher's own noise allows.
#
# Error of the mean, in standard deviations of the teacher's mean: 1 % and 9 % of its variance.
MEAN_LIMITS = 0.1, 0.3
# Factor between the mean spreads.
RATIO_LIMITS = 1.25, 1.6
# Factor between covariances, which are squares of spreads.
COVARIANCE_LIMITS = 1.6, 2.5
# Share of the ceiling that a correlation reaches.
SHARE_LIMITS = 0.9, 0.7
# The spread is good at this error, as a share of the teacher's mean spread, whatever the
# correlation: the spread may be the same at all rows.
SMALL_SPREAD_ERROR = 0.1
# Factor between the spreads of sums, each of which is one number: within three times the noise, in
# logarithms, it is not known beyond the first limit, and fair within four times.
SUM_LIMITS = 1.4, 2.0
# Factor between the mean probabilities of a class.
CLASS_LIMITS = 1.05, 1.15
# How far coverage may be from its level, beyond two standard errors of a share of the rows.
COVERAGE_LIMITS = 0.05, 0.1
# By how much the calibration error may exceed the teacher's.
ECE_LIMITS = 0.02, 0.05


class Check(NamedTuple):
    """One score, what it is compared with, and how it compares.

    Attributes
    ----------
    name : str
        What is scored.
    value : float
        The score; of several outputs, that of the worst.
    reference : float
        What the teacher's own noise allows, or NaN.
    meaning : str
        What the reference is.
    grade : {"good", "fair", "poor", "unknown"}
        How the score compares.
    """

    name: str
    value: float
    reference: float
    meaning: str
    grade: Grade


def check_fidelity(scores: list[Scores], kind: str, n_members: int) -> list[Check]:
    """Judge mean, spread and covariance; of several outputs, each by its worst."""
    spread = "mutual information" if kind == "classifier" else "spread"
    rank = "rank correlation" if kind == "classifier" else "correlation"
    # Mutual information of few members is too small, by about this factor (to first order).
    too_small = n_members / (n_members - 1) if kind == "classifier" else 1.0
    pattern = f"{rank} of the {spread} over rows"
    candidates = [
        [_check_mean(each) for each in scores],
        [_check_ratio(each, spread, too_small) for each in scores],
        [_check_pattern(each, pattern, kind) for each in scores],
        [_check_covariance(each) for each in scores],
        [_check_covariance_pattern(each) for each in scores],
        [_check_sums(each) for each in scores],
    ]
    return [_worst(checks) for checks in candidates]


def check_classes(shares: ClassShares | None, classes: np.ndarray | None) -> list[Check]:
    """Judge the mean probability of the class that is farthest from the teacher's, if any."""
    if shares is None or classes is None:
        return []
    # of two classes that are as far from the teacher's, the one with less noise is worse
    distance = np.array([_log_factor(ratio) for ratio in shares.ratio])
    excess = distance - np.log(np.maximum(shares.noise, CLASS_LIMITS[0]))
    if np.isnan(excess).all():
        return []
    worst = int(np.nanargmax(excess))
    noise = float(shares.noise[worst])
    return [
        Check(
            f"mean probability of class {classes[worst]}, student / teacher",
            float(shares.ratio[worst]),
            noise,
            "factor between two such ensembles",
            _grade_below(float(distance[worst]), _log_limits(CLASS_LIMITS, noise, 1)),
        )
    ]


def check_calibration(calibration: Calibration, levels: np.ndarray) -> list[Check]:
    """Judge intervals of y, or probabilities against the teacher's."""
    checks = []
    if calibration.coverage is not None and calibration.targets is not None:
        n_samples = len(calibration.targets)
        for level, shares in zip(levels, calibration.coverage, strict=True):
            share = shares[np.abs(shares - level).argmax()]
            # The share of n rows has this standard error if the level holds.
            allowed = 2 * math.sqrt(level * (1 - level) / n_samples)
            grade = _grade_below(abs(share - level) - allowed, COVERAGE_LIMITS)
            name = f"coverage of the {100 * level:g} % interval"
            checks.append(Check(name, float(share), float(level), "level", grade))
    if calibration.ece is not None and calibration.teacher_ece is not None:
        excess = calibration.ece - calibration.teacher_ece
        grade = _grade_below(excess, ECE_LIMITS)
        checks.append(
            Check("calibration error", calibration.ece, calibration.teacher_ece, "teacher's", grade)
        )
    if calibration.nll is not None and calibration.teacher_nll is not None:
        checks.append(
            Check("NLL (nats)", calibration.nll, calibration.teacher_nll, "teacher's", "unknown")
        )
    elif calibration.nll is not None:
        checks.append(Check("NLL (nats)", calibration.nll, float("nan"), "", "unknown"))
    return checks


def verdict_of(checks: list[Check]) -> str:
    """Return the verdict: that of the worst score that is known."""
    return VERDICTS[max((check.grade for check in checks), key=GRADES.index)]


def reason_of(checks: list[Check]) -> str:
    """Return which scores the verdict is due to, and which are not known."""
    worst = max((check.grade for check in checks), key=GRADES.index)
    if worst == "unknown":
        return "no score can be told from the teacher's noise"
    text = ", ".join(check.name for check in checks if check.grade == worst)
    if worst == "good":
        text = "as far as the teacher's own noise lets tell"
    single = max((check.grade for check in checks[:N_SINGLE]), key=GRADES.index)
    if "unknown" != single != worst:
        text += f"; mean and spread of single rows alone: {VERDICTS[single]}"
    unknown = [check.name for check in checks if check.grade == "unknown"]
    if unknown:
        text += f"; not known: {', '.join(unknown)}"
    if worst != "poor" and any(check.grade == "unknown" for check in checks[N_SINGLE:]):
        text += ". Compare sums and differences of rows with the members' own before you use them"
    return text


def as_values(scores: list[Scores], name: str) -> Any:
    """Return one score as a float, or as an array of several outputs."""
    values = [getattr(each, name) for each in scores]
    return float(values[0]) if len(values) == 1 else np.array(values)


class _Judged(NamedTuple):
    """A check, and how far it is from good: the larger, the worse. Outputs are ordered by it."""

    check: Check
    distance: float


def _judge(
    name: str,
    value: float,
    reference: float,
    meaning: str,
    distance: float,
    limits: tuple[float, float],
) -> _Judged:
    """Return a score with the grade of a distance, which is good up to the first limit."""
    check = Check(name, value, reference, meaning, _grade_below(distance, limits))
    return _Judged(check, distance)


def _check_mean(scores: Scores) -> _Judged:
    noise = 0.0 if math.isnan(scores.mean_noise) else scores.mean_noise
    good, fair = MEAN_LIMITS
    return _judge(
        "error of the mean (std over rows)",
        scores.mean_error,
        scores.mean_noise,
        "two such ensembles differ by",
        scores.mean_error,
        (max(good, noise), max(fair, 2 * noise)),
    )


def _check_ratio(scores: Scores, spread: str, too_small: float) -> _Judged:
    return _judge(
        f"{spread}, student / teacher",
        scores.spread_ratio,
        scores.spread_noise,
        "factor between two such ensembles",
        _log_factor(scores.spread_ratio, too_small),
        _log_limits(RATIO_LIMITS, scores.spread_noise, 1),
    )


def _check_pattern(scores: Scores, name: str, kind: str) -> _Judged:
    is_classifier = kind == "classifier"
    value = scores.spread_rank_correlation if is_classifier else scores.spread_correlation
    judged = _check_share(name, value, scores.spread_ceiling)
    if scores.spread_error <= SMALL_SPREAD_ERROR:
        return judged._replace(check=judged.check._replace(grade="good"))
    return judged


def _check_covariance(scores: Scores) -> _Judged:
    good, fair = COVARIANCE_LIMITS
    ratio = scores.covariance_ratio
    return _judge(
        "covariances over rows, student / teacher",
        ratio,
        float("nan"),
        "",
        _log_factor(ratio) if scores.covariance_ceiling >= MIN_CEILING else float("nan"),
        (math.log(good), math.log(fair)),
    )


def _check_covariance_pattern(scores: Scores) -> _Judged:
    return _check_share(
        "correlation of covariances over rows",
        scores.covariance_correlation,
        scores.covariance_ceiling,
    )


def _check_sums(scores: Scores) -> _Judged:
    distance = _log_factor(scores.sum_ratio)
    judged = _judge(
        "spread of sums over rows, student / teacher",
        scores.sum_ratio,
        scores.sum_noise,
        "factor between two such ensembles",
        distance,
        _log_limits(SUM_LIMITS, scores.sum_noise, 3),
    )
    if judged.check.grade == "good" and distance > math.log(SUM_LIMITS[0]):
        return judged._replace(check=judged.check._replace(grade="unknown"))
    return judged


def _check_share(name: str, value: float, ceiling: float) -> _Judged:
    good, fair = SHARE_LIMITS
    share = value / ceiling if ceiling >= MIN_CEILING else float("nan")
    meaning = "ceiling by halves of the members"
    return _judge(name, value, ceiling, meaning, -share, (-good, -fair))


def _log_limits(limits: tuple[float, float], noise: float, n_errors: int) -> tuple[float, float]:
    """Return logarithms of limits of a factor, and so many times the noise and once more at least.

    The noise is a factor, too, or NaN if it is not known.
    """
    known = 0.0 if math.isnan(noise) else math.log(noise)
    good, fair = map(math.log, limits)
    return max(good, n_errors * known), max(fair, (n_errors + 1) * known)


def _log_factor(ratio: float, expected: float = 1.0) -> float:
    """Return how far a ratio is from one, or from what lies between one and `expected`, in logs."""
    if math.isnan(ratio):
        return ratio
    if ratio <= 0:
        return float("inf")
    return max(math.log(ratio) - math.log(expected), -math.log(ratio))


def _grade_below(value: float, limits: tuple[float, float]) -> Grade:
    """Return how a value compares with the limits of "good" and "fair", at most which it is."""
    if math.isnan(value):
        return "unknown"
    return "good" if value <= limits[0] else "fair" if value <= limits[1] else "poor"


def _worst(judged: list[_Judged]) -> Check:
    """Return the worst of several outputs, with its number."""

    def badness(number):
        check, distance = judged[number]
        return GRADES.index(check.grade), -math.inf if math.isnan(distance) else distance

    number = max(range(len(judged)), key=badness)
    worst = judged[number].check
    return worst if len(judged) == 1 else worst._replace(name=f"{worst.name} [output {number}]")
