"""Scores of predictive distributions and of a student's fidelity to its teacher; scorers.

All losses are means over rows, and smaller is better. Scorers are for the parameter ``scoring`` of
searches and cross-validation. They change the sign of losses, so that greater is better. They find
students inside pipelines, searches and frozen estimators.
"""

from ._fidelity_report import FidelityReport
from ._scorers import (
    make_member_log_likelihood_scorer,
    member_log_likelihood_scorer,
    neg_crps_scorer,
    neg_nll_scorer,
)
from ._scores import (
    crps_ensemble,
    expected_calibration_error,
    gaussian_mixture_nll,
    interval_coverage,
    member_fidelity,
    mutual_information,
)

__all__ = [
    "FidelityReport",
    "crps_ensemble",
    "expected_calibration_error",
    "gaussian_mixture_nll",
    "interval_coverage",
    "make_member_log_likelihood_scorer",
    "member_fidelity",
    "member_log_likelihood_scorer",
    "mutual_information",
    "neg_crps_scorer",
    "neg_nll_scorer",
]
