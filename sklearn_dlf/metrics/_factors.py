"""What a student's factors explain: share of the variance, and likelihood of held-out members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._latent.deviations import factor_variance
from .._latent.member_process import MemberProcess
from .._latent.models import NOISE_FLOOR
from .._latent.row_correlation import RowCorrelation
from ._validation import check_numbers


def compare_factors(
    n_samples: int,
    latent_parameters: Mapping[str, Any] | None,
    held_out_members: ArrayLike | None,
) -> dict[str, float | None]:
    """Return ``factor_variance_ratio`` and ``joint_gain`` of `member_fidelity`, with checks."""
    if latent_parameters is None:
        return {"factor_variance_ratio": None, "joint_gain": None}
    mean, loadings, member_std = _check_latent_parameters(n_samples, latent_parameters)
    explained, noise = factor_variance(loadings)[:, 0], member_std**2
    total = explained + noise
    is_spread = total.sum() > 0
    share = float(explained.sum() / total.sum()) if is_spread else np.nan
    if held_out_members is None:
        return {"factor_variance_ratio": share, "joint_gain": None}
    held_out = check_numbers(held_out_members, "held_out_members")
    if len(held_out) != n_samples:
        raise ValueError(
            f"held_out_members must have the {n_samples} rows of members; got {len(held_out)}."
        )
    if not is_spread:
        return {"factor_variance_ratio": share, "joint_gain": np.nan}
    # Without member noise the covariance over rows is singular, so that it gets a floor.
    std = np.sqrt(np.maximum(noise, NOISE_FLOOR * total.mean()))[:, None]
    process = MemberProcess(mean[:, None], loadings, None, loadings[..., :0], std)
    correlation = latent_parameters.get("row_correlation", RowCorrelation())
    rows = latent_parameters.get("standardised_rows")
    if rows is None and correlation.share > 0:
        raise ValueError(
            "latent_parameters have a row_correlation but no standardised_rows, whose distances it "
            "takes; expected both, as `latent_parameters` of a student returns them, or neither."
        )
    rows = np.zeros((n_samples, 1)) if rows is None else rows
    joint = process.log_likelihood(held_out[:, None], correlation, rows)
    none = process._replace(
        loadings=np.zeros_like(loadings[..., :1]), own_std=np.sqrt(explained[:, None] + std**2)
    )
    independent = none.log_likelihood(held_out[:, None], RowCorrelation(), rows)
    return {"factor_variance_ratio": share, "joint_gain": joint - independent}


def _check_latent_parameters(
    n_samples: int, latent_parameters: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean (n_samples,), loadings (n_samples, 1, q) and member noise (n_samples,)."""
    names = "mean", "loadings", "member_std"
    if not isinstance(latent_parameters, Mapping) or set(names) - set(latent_parameters):
        raise ValueError(
            f"latent_parameters must have {', '.join(names)}, as `latent_parameters` of a student "
            f"returns them; got {latent_parameters!r}."
        )
    mean, loadings, member_std = (
        check_numbers(
            latent_parameters[name], f"latent_parameters.{name}", ensure_2d=False, allow_nd=True
        )
        for name in names
    )
    shapes = mean.shape, loadings.shape[:-1], member_std.shape
    if loadings.ndim != 3 or any(shape != (n_samples, 1) for shape in shapes):
        raise ValueError(
            f"latent_parameters must be those of one output at {n_samples} rows: expected mean and "
            f"member_std of shape {(n_samples, 1)} and loadings of shape ({n_samples}, 1, q); got "
            f"{mean.shape}, {member_std.shape} and {loadings.shape}. Of several outputs, give one "
            "at a time."
        )
    return mean[:, 0], loadings, member_std[:, 0]
