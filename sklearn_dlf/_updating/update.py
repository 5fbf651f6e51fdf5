"""What updates of both tasks are to a fitted student."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeVar

from .._network.heads import Units
from .._utils.threads import one_blas_thread
from .posterior import Posterior
from .updated_members import UpdatedMembers

Own = TypeVar("Own", bound="Update")


class Update(ABC):
    """What is kept of new rows; subclasses define it, and the posterior that follows from it.

    Attributes
    ----------
    kept : dict
        Attributes of the student that the update has replaced or removed, as they were before.
    recent_level : Residuals or Frequencies, or None
        What the last calls have shown of the level of y; see `levels`.
    recent_labels : Labels or None
        The labels of the last calls; see `other_meaning`.
    quiet_rows : float
        Number of rows that have to come before there is a further warning of several calls.
    """

    recent_level: Any = None
    recent_labels: Any = None
    quiet_rows: float = 0.0

    def __init__(self) -> None:
        self._posterior: Posterior | None = None
        self.kept: dict[str, Any] = {}

    @property
    @abstractmethod
    def is_empty(self) -> bool:
        """Whether no row counts."""

    @property
    def posterior(self) -> Posterior:
        """The members' posterior."""
        if self._posterior is None:
            with one_blas_thread:
                self._posterior = self._find_posterior()
        return self._posterior

    @abstractmethod
    def _find_posterior(self) -> Posterior:
        """Return the posterior of what is kept."""

    def members(self, network: Any, units: Units) -> UpdatedMembers:
        """Return the members after the update, of the fitted network."""
        return UpdatedMembers(network, units, self.posterior)

    def forget_calls(self) -> None:
        """Forget what warnings count over calls."""
        self.recent_level, self.recent_labels, self.quiet_rows = None, None, 0.0

    def copy(self: Own) -> Own:
        """Return a copy, to which rows can be added without a change of this update."""
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__, kept=dict(self.kept))
        return copied

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the posterior, which follows from the rest."""
        return {**self.__dict__, "_posterior": None}
