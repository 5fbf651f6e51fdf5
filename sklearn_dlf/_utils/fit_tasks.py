"""scikit-learn's callbacks: they are told which task of a fit has begun and ended.

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
    """Tasks of a fit, or of a part of it, of which callbacks are told.

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
        """Tell the callbacks of an estimator that its fit begins, and return its tasks."""
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
        """Tell the callbacks that a part begins, and return its tasks, ``n_tasks`` if known."""
        if self._context is None:
            return self
        context = self._context.subcontext(task_name=name, max_subtasks=n_tasks)
        return FitTasks(self._estimator, context.call_on_fit_task_begin(estimator=self._estimator))

    def end(self) -> bool:
        """Tell the callbacks that all of this has ended; return whether one wants to stop here."""
        if self._context is None:
            return False
        return bool(self._context.call_on_fit_task_end(estimator=self._estimator))

    def run(self, name: str, task: Callable[[], Any]) -> bool:
        """Run a task without parts; return whether a callback wants no more tasks after it."""
        if self._context is None:
            task()
            return False
        one = self.part(name, 0)
        task()
        return one.end()
