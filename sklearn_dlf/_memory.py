"""Fits and answers of teachers that are kept, so that a grid over students has them once a fold."""

from __future__ import annotations

import warnings
from pickle import PicklingError

import joblib
from sklearn.utils.validation import check_memory

from ._teacher import fit_ensemble
from .ensembles import describe_ensemble, member_predictions


class TeacherMemory:
    """Fits and asks ensembles, or finds what came of it in a joblib memory.

    Parameters
    ----------
    memory : str, joblib.Memory or None
        Where results are kept. With None everything is done anew.
    """

    def __init__(self, memory):
        self._keeps = memory is not None
        self._memory = check_memory(memory)

    def fit(self, prototype, X, y, sample_weight, repeatable):
        """Fit a clone of an ensemble; return it and a function that asks it.

        Only what is ``repeatable`` (every random state is determined) is kept; it is known by the
        ensemble's parameters, rows, values and weights.
        """
        arguments = (prototype, X, y, sample_weight)
        identity = self._identify(arguments, prototype) if repeatable else None
        if identity is None:
            return fit_ensemble(*arguments), member_predictions
        return self._memory.cache(fit_ensemble)(*arguments), self._asker(identity)

    def asker_of(self, ensemble):
        """Function that asks a fitted ensemble, known by all it holds.

        Draws of a posterior are never kept: they may be new ones in each call.
        """
        if not self._keeps or describe_ensemble(ensemble).resample is not None:
            return member_predictions
        identity = self._identify(ensemble, ensemble)
        return member_predictions if identity is None else self._asker(identity)

    def _asker(self, identity):
        """Function that looks answers up by an ensemble's identity and the rows."""
        cached = self._memory.cache(_ask, ignore=["ensemble"])
        return lambda ensemble, X: cached(ensemble, identity, X)

    def _identify(self, content, ensemble):
        """Hash of what determines the answers; None where nothing is kept."""
        if not self._keeps:
            return None
        try:
            return joblib.hash(content)
        except (PicklingError, AttributeError, TypeError) as error:
            warnings.warn(
                f"Nothing of {type(ensemble).__name__} is kept in memory, since it cannot be "
                f"pickled: {error}. Define its functions at the top of a module.",
                UserWarning,
                stacklevel=6,
            )
            return None


def _ask(ensemble, identity, X):
    """Ask the members of the ensemble that is known by ``identity``."""
    return member_predictions(ensemble, X)
