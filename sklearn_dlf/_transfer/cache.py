"""Fits and answers of teachers that are kept, so that a grid over students has them once a fold."""

from __future__ import annotations

import os
import pickle
import warnings
from functools import partial
from types import FunctionType

import joblib
from sklearn.utils.validation import _num_samples, check_memory

from ..ensembles import describe_ensemble, member_predictions
from .teachers import ensemble_facts, fit_ensemble


class TeacherMemory:
    """Fits and asks ensembles, or finds what came of it in a joblib memory.

    What is found is told without the ensemble, which may be a thousand times as large: a fitted one
    is loaded only to be asked something new.

    Parameters
    ----------
    memory : str, joblib.Memory or None
        Where results are kept. With None everything is done anew.
    """

    def __init__(self, memory):
        self._keeps = memory is not None
        self._memory = check_memory(memory)

    def fit(self, prototype, X, y, sample_weight, repeatable):
        """Fit a clone of an ensemble; return its facts and a function that asks it about rows.

        Only what is ``repeatable`` (every random state is determined) is kept; it is known by the
        ensemble's parameters, rows, values and weights.
        """
        arguments = (prototype, X, y, sample_weight)
        identity = self._identify(arguments, prototype) if repeatable else None
        if identity is None:
            ensemble = fit_ensemble(*arguments)
            return self._know(None, lambda: ensemble, X)
        return self._know(identity, partial(self._memory.cache(fit_ensemble), *arguments), X)

    def know(self, ensemble, X):
        """Facts of a fitted ensemble, and a function that asks it about rows.

        It is known by all it holds. Draws of a posterior are never kept: they may be new ones in
        each call.
        """
        is_kept = self._keeps and describe_ensemble(ensemble).resample is None
        identity = self._identify(ensemble, ensemble) if is_kept else None
        return self._know(identity, lambda: ensemble, X)

    def _know(self, identity, load, X):
        """Facts and asking of the ensemble that ``load`` returns, kept if it has an identity."""
        tell, ask = _tell, _ask
        if identity is not None:
            tell, ask = (self._memory.cache(f, ignore=["load"]) for f in (_tell, _ask))
        return tell(load, identity, _num_samples(X)), partial(ask, load, identity)

    def _identify(self, content, ensemble):
        """Hash of what determines the answers; None where nothing is kept."""
        if not self._keeps:
            return None
        try:
            _check_names(content)
            return joblib.hash(content)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            warnings.warn(
                f"Nothing of {type(ensemble).__name__} is kept in memory, since it cannot be "
                f"pickled or recognised: {error}. Define its functions and classes at the top of "
                "an importable module.",
                UserWarning,
                stacklevel=6,
            )
            return None


class _ImportablePickler(pickle.Pickler):
    """Refuses what is pickled by a name in `__main__`, where another may have it the next day."""

    def reducer_override(self, obj):
        if isinstance(obj, type | FunctionType) and obj.__module__ == "__main__":
            raise pickle.PicklingError(f"{obj.__qualname__} of __main__ is known by name only")
        return NotImplemented


def _check_names(content):
    """Raise where `content` holds functions or classes of `__main__`; arrays are not copied."""
    with open(os.devnull, "wb") as nowhere:
        _ImportablePickler(nowhere, protocol=5, buffer_callback=lambda _: None).dump(content)


def _tell(load, identity, n_samples):
    """Facts of the ensemble that is known by ``identity``."""
    return ensemble_facts(load(), n_samples)


def _ask(load, identity, X):
    """Ask the members of the ensemble that is known by ``identity``."""
    return member_predictions(load(), X)
