"""scikit-learn's callbacks, which are called when a task of a fit begins and when it ends.

Versions of scikit-learn before 1.9 have none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands for the class of that name, which this version of scikit-learn lacks."""


class FitTasks:
    """Tasks of a fit, or of a part of it, for which callbacks are called.

    Parameters
    ----------
    estimator : estimator
        What is fitted.
    context : CallbackContext or None
        Context of the whole that these are the tasks of; None if there are no callbacks.
    """

    def __init__(self, estimator: Any = None, context: Any = None):
        self._estimator = estimator
        self._context = context

    @classmethod
    def started(cls, estimator: Any, X: Any, y: Any) -> FitTasks:
        """Call the callbacks of an estimator at the start of its fit, and return its tasks."""
        is_called = bool(getattr(estimator, "_skl_callbacks", None))
        if not is_called or not isinstance(estimator, CallbackSupportMixin):
            return cls()
        context = estimator._init_callback_context(max_subtasks=None)
        return cls(estimator, context.call_on_fit_task_begin(estimator=estimator, X=X, y=y))

    @classmethod
    def of(cls, estimator: Any) -> FitTasks:
        """Return the tasks of an estimator that is being fitted."""
        return cls(estimator, getattr(estimator, "_callback_fit_ctx", None))

    def part(self, name: str, n_tasks: int | None = None) -> FitTasks:
        """Call the callbacks at the start of a part, and return its tasks, ``n_tasks`` if known."""
        if self._context is None:
            return self
        context = self._context.subcontext(task_name=name, max_subtasks=n_tasks)
        return FitTasks(self._estimator, context.call_on_fit_task_begin(estimator=self._estimator))

    def end(self) -> bool:
        """Call the callbacks at the end of all this; return whether one ends the rest."""
        if self._context is None:
            return False
        return bool(self._context.call_on_fit_task_end(estimator=self._estimator))

    def run(self, name: str, task: Callable[[], Any]) -> bool:
        """Run a task without parts; return whether a callback ends the rest."""
        if self._context is None:
            task()
            return False
        one = self.part(name, 0)
        task()
        return one.end()
