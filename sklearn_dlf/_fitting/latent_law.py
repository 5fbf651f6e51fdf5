"""The law of the latent variables: Gaussian, or smoothed from those of the members."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh

from .._latent.full import posterior, project
from .._latent.smoothed import LatentLaw, normality_p_value, smoothed_law, standardise
from .._network.students import StudentNetwork
from .._transfer.contrasts import Contrasts
from .._transfer.transfer_set import TransferSet
from .._utils.warning import warn_user

# "auto" takes the smoothed law from this gain on, in nats. Gaussian ensembles have hardly one
# nat, and groups of members have fifty. A choice in between.
LEAST_GAIN = 20.0


class LawChoice(NamedTuple):
    """What is known of the law.

    Attributes
    ----------
    law : LatentLaw or None
        The smoothed law; None is the Gaussian.
    gain : float or None
        Gain of the smoothed law in log-likelihood over the Gaussian, in nats. None where no law is
        available.
    normality : float or None
        P-value of the normality of the latent variables.
    """

    law: LatentLaw | None
    gain: float | None
    normality: float | None


class DrawnLaw(NamedTuple):
    """A law that training draws from: ``center + root e``, with a center and standard normal e.

    Attributes
    ----------
    centers : array of shape (n_members, q)
        All have the same probability.
    root : array of shape (q, q)
        Root of the covariance around them.
    """

    centers: np.ndarray
    root: np.ndarray


class FoundLaw(NamedTuple):
    """A smoothed law, and what was found on the way.

    Attributes
    ----------
    law : LatentLaw
        The law.
    gain : float
        Its gain over the Gaussian, in nats.
    standardised : array of shape (n_members, q)
        Latent variables of the members.
    directions : array of shape (q, q) or None
        What loadings are multiplied by before they have this law. None if they have it already.
    """

    law: LatentLaw
    gain: float
    standardised: np.ndarray
    directions: np.ndarray | None


def choose_law(
    network: StudentNetwork,
    transfer_set: TransferSet,
    noise_variance: float,
    latent: str,
    random_state: np.random.RandomState,
) -> LawChoice:
    """Choose the law of a trained network, whose factors are turned if needed.

    Parameters
    ----------
    network : StudentNetwork
        Trained network. It has no law if its loadings are separable.
    transfer_set : TransferSet
        What it has learnt from.
    noise_variance : float
        Variance of the member noise, in units of the members' mean variance.
    latent : {"auto", "gaussian", "smoothed"}
        As in the estimators.
    random_state : RandomState instance
        Source of the test of normality. It is copied.

    Raises
    ------
    ValueError
        If `latent` is "smoothed" and the teacher transforms y.
    """
    if network.mixing is not None:
        return LawChoice(None, None, None)
    if transfer_set.transformation is not None:
        if latent == "smoothed":
            raise ValueError(
                "latent='smoothed' was given, and the teacher transforms y; expected "
                "latent='auto' or 'gaussian': moments in units of y are those of Gaussian members."
            )
        return LawChoice(None, None, None)
    found = _find_law(network, transfer_set.design, transfer_set.contrasts, noise_variance)
    if found is None:
        return LawChoice(None, 0.0, 1.0)
    law, gain, standardised, directions = found
    normality = normality_p_value(standardised, copy.deepcopy(random_state))
    is_smoothed = latent == "smoothed" or (latent == "auto" and gain > LEAST_GAIN)
    if latent == "gaussian" and gain > LEAST_GAIN:
        warn_user(
            "The members are not Gaussian: a smoothed law of their latent variables has a larger "
            f"likelihood by {gain:.0f} nats. Draws of the student will fill the space between "
            "groups of members. Use latent='auto', or latent='smoothed'."
        )
    if is_smoothed and directions is not None:
        network.transform_loadings(directions)
    return LawChoice(law if is_smoothed else None, gain, normality)


def law_to_draw(
    network: StudentNetwork, X: np.ndarray, contrasts: Contrasts, noise_variance: float, latent: str
) -> DrawnLaw | None:
    """Return the law that `choose_law` would choose, in the coordinates of the network's factors.

    The network is not changed. None stands for the Gaussian.
    """
    if network.mixing is not None or latent == "gaussian":
        return None
    found = _find_law(network, X, contrasts, noise_variance)
    if found is None or (latent == "auto" and found.gain <= LEAST_GAIN):
        return None
    law, directions = found.law, found.directions
    if directions is None:
        directions = np.eye(network.q)
    return DrawnLaw(law.centers @ directions.T, directions * law.std)


def _find_law(
    network: StudentNetwork, X: np.ndarray, contrasts: Contrasts, noise_variance: float
) -> FoundLaw | None:
    """Return the smoothed law; None if members do not differ, or factors do not tell how."""
    q = network.q
    loadings = network.evaluate(X).loadings * np.sqrt(contrasts.weights)[:, None, None]
    projection = project(loadings.reshape(-1, q), contrasts.residuals)
    variances, directions = np.diag(projection.gram), None
    if not contrasts.units.spread.any() or not variances.max() > 0:
        return None
    others = projection.gram - np.diag(variances)
    if np.abs(others).max() > 1e-3 * variances.max():  # not turned into principal directions yet
        variances, directions = eigh(projection.gram)
        variances, directions = variances[::-1].copy(), directions[:, ::-1].copy()
    latent_mean = posterior(projection, noise_variance).mean
    if directions is not None:
        latent_mean = latent_mean @ directions
    standardised = standardise(latent_mean)
    law, gain = smoothed_law(standardised, variances)
    return FoundLaw(law, gain, standardised, directions)
