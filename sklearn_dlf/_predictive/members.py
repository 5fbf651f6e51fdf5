"""The members of a fitted student: mean, moments, draws and probabilities at any rows.

All rows here are standardised, or raw rows of any shape.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
from sklearn.utils import Bunch

from .._latent.deviations import split_noise
from .._latent.member_law import MemberLaw
from .._latent.member_process import MemberFunctions, MemberProcess
from .._latent.row_correlation import RowCorrelation
from .._latent.smoothed import LatentLaw
from .._network.heads import Heads, Units
from .._utils.blocks import DRAW_ROWS, row_blocks
from .averaged_probabilities import average_log_probabilities, average_probabilities
from .few_rows import FewRows, few_rows_of
from .law_probabilities import average_under_law, log_average_under_law
from .target_noise import TargetNoise
from .transformed_target import TransformedTarget

Own = TypeVar("Own", bound="StudentMembers")

# Takes rows, returns draws at them.
Draws = Callable[[np.ndarray], np.ndarray]

# Up to this many rows are evaluated in float64, if the device has it. It costs little for few rows,
# and their prediction does not depend on the batch that they are in. Draws use float64 at any
# number of rows.
EXACT_ROWS = 2**8

# Probabilities below this are too near to the end of float32 for their logarithm to be right.
SMALL_PROBABILITY = 1e-30


class Components(NamedTuple):
    """Members at n rows as a mixture of normals, one for each member of the ensemble.

    Attributes
    ----------
    offsets : array of shape (n, n_outputs, n_components)
        Means of the normals less the mean of the mixture.
    variance : array of shape (n, n_outputs)
        Variance of each normal.
    """

    offsets: np.ndarray
    variance: np.ndarray


class Moments(NamedTuple):
    """Moments of the members at n rows, in units of their outputs.

    Attributes
    ----------
    mean, variance : arrays of shape (n, n_outputs)
    """

    mean: np.ndarray
    variance: np.ndarray


class NoiseMoments(NamedTuple):
    """What the noise of y depends on, where members have some moments.

    Attributes
    ----------
    mean, variance : arrays of shape (n, n_outputs)
        Moments of the members as they were fitted.
    multiple : array of shape (n, n_outputs) or float
        By which the noise is multiplied.
    added : array of shape (n, n_outputs) or float
        Variance that is added, in units of the members'.
    further : array of shape (n, n_outputs) or float
        Multiple of what the tails of the members' variance add, beyond that at their own variance.
    """

    mean: np.ndarray
    variance: np.ndarray
    multiple: Any = 1.0
    added: Any = 0.0
    further: Any = 0.0

    @property
    def is_changed(self) -> bool:
        """Whether the noise is another one than that of the fitted members."""
        return isinstance(self.multiple, np.ndarray)


class StudentMembers(ABC):
    """Predictions of the members of a fitted student, in units of the members' outputs.

    Students of regressors need ``moments`` too.

    Parameters
    ----------
    network : Network
        Trained network.
    units : Units
        Units of its outputs.
    """

    # Whether the rows of a call, which come in parts, are few; None if they come at once.
    is_exact: bool | None = None

    def __init__(self, network: Any, units: Units):
        self.network = network
        self.units = units

    #: Law of the latent variables, if it is not Gaussian.
    law: LatentLaw | None = None

    #: Law at a row, if it is not Gaussian. Draws have it.
    member_law: MemberLaw | None = None

    def as_gaussian(self) -> StudentMembers:
        """Return members of the same mean and covariance whose law is Gaussian."""
        return self._with_laws(None, None)

    def with_member_law(self: Own, member_law: MemberLaw | None) -> Own:
        """Return members with another law at a row."""
        return self._with_laws(self.law, member_law)

    def _with_laws(self: Own, law: LatentLaw | None, member_law: MemberLaw | None) -> Own:
        if self.law is law and self.member_law is member_law:
            return self
        members = copy.copy(self)
        members.law, members.member_law = law, member_law
        return members

    @property
    def n_outputs(self) -> int:
        """Latent outputs."""
        return len(self.units.center)

    @property
    def n_classes(self) -> int:
        """Classes of a student of classifiers; two classes have one latent output."""
        return max(self.n_outputs, 2)

    @property
    @abstractmethod
    def row_numbers(self) -> int:
        """Numbers of 8 bytes that a row takes at most while its moments are evaluated."""

    @abstractmethod
    def start_draws(self, n_samples: int, random_state: np.random.RandomState) -> Draws:
        """Return a function that draws members at rows: blocks of them, one after another.

        It returns (n, n_outputs, n_samples). The first rows do not depend on later ones.
        """

    def draw(
        self, X: np.ndarray, n_samples: int, random_state: np.random.RandomState
    ) -> np.ndarray:
        """Draw members at all rows, (n, n_outputs, n_samples)."""
        return self.start_draws(n_samples, random_state)(X)

    @abstractmethod
    def probabilities(
        self, X: np.ndarray, with_entropy: bool = False
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Mean probabilities (n, n_classes), and mean entropy (n,) of the members' in nats."""

    @abstractmethod
    def log_probabilities(self, X: np.ndarray) -> np.ndarray:
        """Logarithm of the mean probabilities (n, n_classes), finite at every row."""

    def moments_in_units_of_y(
        self, X: np.ndarray, transformation: TransformedTarget | None
    ) -> Moments | Bunch:
        """``mean`` and ``variance`` (n, n_outputs) of members, transformed back."""
        moments = self.moments(X)
        if transformation is None:
            return moments
        return transformation.moments(moments.mean, moments.variance)

    def moments(self, X: np.ndarray, exact: bool = False) -> Any:
        """Moments, or a Bunch of them; for students of regressors."""
        raise NotImplementedError

    def noise_moments(
        self, noise: TargetNoise, X: np.ndarray, moments: Any, exact: bool = False
    ) -> NoiseMoments:
        """What the noise of y depends on, where members have some moments.

        Members after an update keep the noise of those before, or more.
        """
        return NoiseMoments(moments.mean, moments.variance)

    def counting_for(self, noise: TargetNoise) -> tuple[StudentMembers, TargetNoise]:
        """Return the part of the members that counts for y, and the noise around it."""
        return self, noise

    def points(self, X: np.ndarray) -> np.ndarray:
        """Return rows as points (n, n_features), whose columns and distances mean something.

        Standardised rows are points. The standardised features of the body stand for raw rows.
        """
        return X if self.network.takes_points else self.network_for(X).evaluate_points(X)

    def network_for(self, X: np.ndarray, exact: bool = False) -> Any:
        """Network that only predicts, in float64 for few rows or if ``exact``."""
        are_few = len(X) <= EXACT_ROWS if self.is_exact is None else self.is_exact
        return self.network.frozen(exact or are_few)


class LatentFactorMembers(StudentMembers):
    """Members of a latent factor model: ``mean(x) + loadings(x) z + e(x)``.

    The noise ``e(x)`` is correlated over the outputs of a row, and between near rows
    (`_latent.member_process`).

    Parameters
    ----------
    network, units
        As in `StudentMembers`.
    law : LatentLaw or None
        Law of ``z``; None is the standard normal.
    member_law : MemberLaw or None
        Law at a row; None is the normal.
    """

    def __init__(
        self,
        network: Any,
        units: Units,
        law: LatentLaw | None = None,
        member_law: MemberLaw | None = None,
    ):
        super().__init__(network, units)
        self.law, self.member_law = law, member_law

    def components(self, X: np.ndarray) -> Components:
        """Members as a mixture of normals, if their law is not Gaussian."""
        assert self.law is not None
        process = self.process(X)
        variance = process.local_variance + np.square(process.loadings * self.law.std).sum(axis=-1)
        return Components(process.loadings @ self.law.centers.T, variance)

    def mean(self, X: np.ndarray) -> np.ndarray:
        """Mean (n, n_outputs)."""
        center, scale, _ = self.units
        return center + scale * self.network_for(X).evaluate_mean(X)

    def moments(self, X: np.ndarray, exact: bool = False) -> Moments:
        few = self._few_rows(X)
        if few is not None:
            return Moments(*few.moments(X))
        center, scale, spread = self.units
        mean, variance = self.network_for(X, exact).evaluate_moments(X)
        return Moments(center + scale * mean, spread**2 * variance)

    def _few_rows(self, X: np.ndarray) -> FewRows | None:
        """Return what evaluates few rows in less time; None for more, or if there is none."""
        return None if len(X) > EXACT_ROWS or self.is_exact is False else self._make_few_rows()

    def _make_few_rows(self) -> FewRows | None:
        network = self.network.frozen(True)
        return few_rows_of(network, self.units) if network.is_double else None

    def process(self, X: np.ndarray, exact: bool = False) -> MemberProcess:
        """Parameters of the process that the members are draws of."""
        heads = self.network_for(X, exact).evaluate(X)
        return split_process(heads, self.units, self.factor_shares)

    @property
    def factor_shares(self) -> np.ndarray:
        """Share of each factor that all rows have in common (q,)."""
        return self._buffer("factor_shares")

    @property
    def row_correlation(self) -> RowCorrelation:
        """Correlation of the local part between rows."""
        return RowCorrelation(*self._buffer("row_correlation").tolist())

    def _buffer(self, name: str) -> np.ndarray:
        """Values of a buffer of the network, float64."""
        return getattr(self.network, name).cpu().numpy().astype(np.float64)

    def covariance(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean (n, n_outputs), and covariance over rows (n, n, n_outputs)."""
        process = self.process(X)
        return process.mean, process.row_covariance(self.row_correlation, self.correlated(X))

    def correlated(self, X: np.ndarray) -> np.ndarray:
        """Return the points whose distances `row_correlation` takes; rows if it takes none."""
        return self.points(X) if self.row_correlation.share > 0 else X

    @property
    def row_numbers(self):
        # Mean, noise, loadings and shares of the noise, some of them in two precisions, and
        # squares of them; the normals of a law.
        n_normals = 0 if self.law is None else len(self.law.centers)
        return self.n_outputs * (8 + 4 * self.network.q + 2 * n_normals)

    def start_draws(self, n_samples, random_state):
        # All functions first, then what is independent row by row, so that first rows do not depend
        # on later ones.
        functions = MemberFunctions(
            self.network.latent_shape, self.row_correlation, n_samples, random_state, self.law
        )

        def draw(X):
            draws = np.empty((len(X), self.n_outputs, n_samples))
            for rows in row_blocks(len(X), DRAW_ROWS):
                process = self.process(X[rows], exact=True)
                draws[rows] = functions.evaluate(process, self.correlated(X[rows]))
                if self.member_law is not None:
                    draws[rows] = process.with_law(draws[rows], self.member_law)
            return draws

        return draw

    def probabilities(self, X, with_entropy=False):
        if self.law is not None:
            return average_under_law(self.process, X, self.law, with_entropy)
        few = None if with_entropy else self._few_rows(X)
        averaged = None if few is None else few.probabilities(X)
        if averaged is not None:
            return averaged, None
        probabilities = np.empty((len(X), self.n_classes))
        entropy = np.empty(len(X)) if with_entropy else None
        for rows in row_blocks(len(X), DRAW_ROWS):
            heads = self.network_for(X[rows]).evaluate(X[rows])
            probabilities[rows], part = average_probabilities(
                heads, self.units, with_entropy, every_row=True
            )
            if entropy is not None:
                entropy[rows] = part
        return probabilities, entropy

    def log_probabilities(self, X):
        def log_average(rows):
            if self.law is not None:
                return log_average_under_law(self.process, rows, self.law)
            heads = self.network_for(rows, exact=True).evaluate(rows)
            return average_log_probabilities(heads, self.units)

        return finite_logarithm(self.probabilities(X)[0], X, log_average)


def finite_logarithm(
    probabilities: np.ndarray, X: np.ndarray, log_average: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Logarithm of probabilities (n, K) at rows X, finite where these are too small for a float.

    ``log_average`` takes rows, and returns the logarithms that are used there.
    """
    small = np.flatnonzero(probabilities.min(axis=1) < SMALL_PROBABILITY)
    logarithms = np.log(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    for block in row_blocks(len(small), DRAW_ROWS):
        logarithms[small[block]] = log_average(X[small[block]])
    return logarithms


def split_process(heads: Heads, units: Units, factor_shares: np.ndarray) -> MemberProcess:
    """Return the process at the rows of some heads."""
    parameters = heads.in_units(units)
    loadings, mixing = parameters.loadings, parameters.mixing
    shares = None if heads.noise_shares is None else heads.noise_shares.astype(np.float64)
    local = []
    if (factor_shares < 1).any():
        rest = loadings * np.sqrt(1 - factor_shares)
        loadings = loadings * np.sqrt(factor_shares)
        if mixing is not None:  # the same covariance by c factors in place of c q
            rest = np.sqrt(np.square(rest).sum(axis=-1, keepdims=True)) * mixing
        local.append(rest)
    together, own_std = join_local(np.sqrt(parameters.member_variance), shares, local)
    return MemberProcess(parameters.mean, loadings, mixing, together, own_std)


def join_local(
    std: np.ndarray, shares: np.ndarray | None, factors: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return all that is local: loadings that outputs have together, and each one's own std.

    Parameters
    ----------
    std : array of shape (n, n_outputs)
        Standard deviation of the noise.
    shares : array of shape (n, n_outputs, r) or None
        Shares of the noise that outputs have together, as `split_noise` takes them.
    factors : list of arrays (n, n_outputs, m)
        Loadings of factors that are local.
    """
    noise, own_std = split_noise(std, shares)
    parts = factors if noise is None else [noise, *factors]
    n_rows, n_outputs = own_std.shape
    together = np.concatenate([np.empty((n_rows, n_outputs, 0)), *parts], axis=-1)
    if n_outputs == 1:  # all that is local is one function
        own_std = np.sqrt(own_std**2 + np.square(together).sum(axis=-1))
        together = together[..., :0]
    return together, own_std
