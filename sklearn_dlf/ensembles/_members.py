"""The description of an ensemble's members: what they predict, and how they are evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, NamedTuple, get_args

import numpy as np

from .._predictive.transformed_target import TargetTransformer
from ._class_columns import check_classes
from ._member_models import Kind, Model, inner_models


@dataclass(frozen=True)
class Members:
    """The members of one fitted ensemble: what they predict, and a function that evaluates them.

    Each type of ensemble has an extractor, a function that takes a fitted ensemble and returns its
    `Members`. To use ensembles of a type of your own, write an extractor and pass it to
    :func:`register_ensemble`.

    Parameters
    ----------
    kind : {"regressor", "classifier"}
        What the members predict: values of `y`, or probabilities of classes.

    n_members : int
        Number of members. :func:`describe_ensemble` raises an error where it is less than two.

    predict : callable
        Called as ``predict(X)``. It returns an iterable, such as a generator, of one array for
        each member: values of shape (n_samples,) or (n_samples, n_outputs) from regressors,
        probabilities of shape (n_samples, n_classes) from classifiers. With a generator, the
        outputs of only one member are in memory at a time. :func:`member_predictions` checks the
        outputs, so `predict` need not.

    classes : ndarray of shape (n_classes,), default=None
        Labels in the order of the columns of the probabilities. None for regressors, and for
        classifiers whose labels are unknown. Column `c` then stands for class `c`.

    unseen : callable, default=None
        Called without arguments. It returns a bool array with a row for each row of the ensemble's
        own fit and a column for each member, True where the member was not trained on the row. It
        returns None where that is not known; an array of any other shape is treated as None.
        The default, None, is for ensembles for which it is never known.

    predict_variance : callable, default=None
        Only for regressors whose members have a variance of y of their own. Called as
        ``predict_variance(X)``. It returns an iterable of one array for each member, of the shape
        that `predict` returns, in squared units of `y`.

    resample : callable, default=None
        Only for members that are draws from a posterior. Called as
        ``resample(n_members, random_state)``. It returns `Members` with that number of draws,
        made from that random state.

    are_functions : bool, default=False
        Only for members that are draws from a posterior: whether every call of `predict` evaluates
        the same draws. A student then evaluates rows in blocks, and as many as it needs, some of
        them a little beyond those of its fit. If they do not, and there is `resample`, all its rows
        are drawn in one call, at most 2,000 of them made.

    inner : InnerMembers, default=None
        Only for members whose outputs are transformed back to units of `y`, as those inside a
        ``TransformedTargetRegressor``: `members`, the same before that, and `transformer`, the
        transformation of `y`. A student is fitted to these.

    from_logits : bool, default=False
        Whether the probabilities of classifiers are those of logits, in float64. A student takes
        their logarithms as they are then, without a floor; those of zeros are of 1e-8.

    optimism : float, default=1.0
        Only for regressors. Mean squared error of members at new rows over that at `unseen` rows.
        It is above one if the fit looked at these rows after all, as early stopping does. The
        noise of y is that much larger.

    Raises
    ------
    TypeError
        If `n_members` is not an integer, or a function is not callable.

    ValueError
        If `kind` is neither "regressor" nor "classifier", there is no member, `classes` are not
        distinct labels in one dimension, or `optimism` is no positive number.

    See Also
    --------
    register_ensemble : Register an extractor for a type.

    Examples
    --------
    A type whose members are lines through the origin:

    >>> import numpy as np
    >>> from sklearn_dlf.ensembles import Members, member_predictions, register_ensemble
    >>> class Lines:
    ...     def __init__(self, *slopes):
    ...         self.slopes = slopes
    >>> def extract(ensemble):
    ...     def predict(X):
    ...         for slope in ensemble.slopes:
    ...             yield slope * X[:, 0]
    ...
    ...     return Members("regressor", len(ensemble.slopes), predict)
    >>> register_ensemble(Lines, extract)
    >>> member_predictions(Lines(1, 10), np.array([[2.0], [3.0]]))
    array([[ 2., 20.],
           [ 3., 30.]])
    """

    kind: Kind
    n_members: int
    predict: Callable[[Any], Iterable[Any]]
    classes: np.ndarray | None = None
    unseen: Callable[[], np.ndarray | None] | None = None
    resample: Callable[[int, Any], Members] | None = None
    inner: InnerMembers | None = None
    predict_variance: Callable[[Any], Iterable[Any]] | None = None
    from_logits: bool = False
    optimism: float = 1.0
    are_functions: bool = False

    @property
    def is_joint(self) -> bool:
        """Whether draws are functions of the rows of one call only."""
        return self.resample is not None and not self.are_functions

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or self.kind not in get_args(Kind):
            raise ValueError(f"kind must be 'regressor' or 'classifier', got {self.kind!r}.")
        n_members: Any = self.n_members
        if not isinstance(n_members, int | np.integer) or isinstance(n_members, bool):
            raise TypeError(f"n_members must be an int, got {self.n_members!r}.")
        if n_members < 1:
            raise ValueError(f"n_members must be at least one, got {n_members}.")
        for name in ("predict", "unseen", "resample", "predict_variance"):
            function = getattr(self, name)
            if not callable(function) and (function is not None or name == "predict"):
                raise TypeError(f"{name} must be callable, got {function!r}.")
        if self.classes is not None:
            check_classes(self.classes)
        optimism: Any = self.optimism
        if not isinstance(optimism, Real) or not 0 < float(optimism) < np.inf:
            raise ValueError(f"optimism must be a positive number, got {optimism!r}.")

    def through(
        self,
        before: Callable[[Any], Any] | None = None,
        after: Callable[[Any], Any] | None = None,
    ) -> Members:
        """Return the same members with their rows or their outputs transformed.

        Parameters
        ----------
        before : callable, default=None
            Applied to `X` once, before the members are evaluated. None leaves `X` as it is.

        after : callable, default=None
            Applied to the output of each member. None leaves the outputs as they are.

        Returns
        -------
        members : Members
            Their `resample` applies the same transformations to other draws. They have neither
            `inner` nor `predict_variance` if outputs are transformed.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_dlf.ensembles import Members
        >>> members = Members("regressor", 2, lambda X: (X[:, 0], X[:, 1]))
        >>> logs = members.through(before=np.exp, after=np.log)
        >>> [output.round(9).tolist() for output in logs.predict(np.array([[1.0, 2.0]]))]
        [[1.0], [2.0]]
        """

        def predict(X):
            outputs = self.predict(X if before is None else before(X))
            return outputs if after is None else map(after, outputs)

        inner = None
        if self.inner is not None and after is None:
            inner = self.inner._replace(members=self.inner.members.through(before))
        variance = self.predict_variance if after is None else None
        if variance is not None and before is not None:
            own_variance = variance

            def variance(X):
                return own_variance(before(X))

        changes: dict[str, Any] = {"predict": predict, "inner": inner, "predict_variance": variance}
        changes["from_logits"] = self.from_logits and after is None
        draw = self.resample
        if draw is None:
            return replace(self, **changes)

        def resample(n_members, random_state):
            return draw(n_members, random_state).through(before, after)

        return replace(self, resample=resample, **changes)


class InnerMembers(NamedTuple):
    """Members before their outputs are transformed back to units of y, and the transformation.

    ``are_of_y`` says that models predict y itself, and their predictions are transformed.
    """

    members: Members
    transformer: TargetTransformer
    are_of_y: bool = False


def regressors_as_members(
    models: Sequence[Model], build: Callable[[Sequence[Model]], Members]
) -> Members:
    """Return the members that ``build`` makes of models.

    If all models transform y in the same way, the members made of the models inside are `inner`.
    """
    members, inner = build(models), inner_models(models)
    if inner is None:
        return members
    return replace(members, inner=InnerMembers(build(inner[0]), inner[1]))


def back_transformed(members: Members, transformer: TargetTransformer) -> Members:
    """Return members of transformed values of y in units of y, with themselves as `inner`."""
    inner = InnerMembers(members, transformer)
    if members.inner is not None:  # they transform y themselves, a second time
        further = members.inner.transformer
        steps = (*transformer.transformers, *further.transformers)
        inner = InnerMembers(members.inner.members, TargetTransformer(*steps))
    draw = members.resample
    transformed = replace(members.through(after=transformer.invert), inner=inner, resample=None)
    if draw is None:
        return transformed

    def resample(n_members, random_state):
        return back_transformed(draw(n_members, random_state), transformer)

    return replace(transformed, resample=resample)


def with_transformed(members: Members, transformer: TargetTransformer) -> Members:
    """Return members of y, with the same members of transformed values of y as `inner`."""

    def transform(outputs):
        values = np.asarray(outputs, dtype=np.float64)
        return transformer.transform(values.reshape(len(values), -1)).reshape(values.shape)

    inner = InnerMembers(members.through(after=transform), transformer, are_of_y=True)
    draw = members.resample
    if draw is None:
        return replace(members, inner=inner, predict_variance=None)

    def resample(n_members, random_state):
        return with_transformed(draw(n_members, random_state), transformer)

    return replace(members, inner=inner, predict_variance=None, resample=resample)
