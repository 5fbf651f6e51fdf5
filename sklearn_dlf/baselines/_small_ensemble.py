"""Small ensembles: one small network for each member."""

from __future__ import annotations

from .._fitting.student_bodies import make_student_body
from ._base import MemberClassifier, MemberRegressor, MemberStudent
from ._body_networks import OwnBodiesNetwork
from ._documentation import share_documentation
from ._networks import SmallEnsembleNetwork


class BaseSmallEnsemble(MemberStudent):
    """One network for each member, all trained at once."""

    def _make_network(self, transfer_set, generator):
        _, n_outputs, n_members = transfer_set.contrasts.shape
        if self.body_ == "custom":
            bodies = [make_student_body(self, transfer_set, generator) for _ in range(n_members)]
            return OwnBodiesNetwork(bodies, transfer_set.X, n_outputs, generator)
        sizes = self._sizes(transfer_set)
        return SmallEnsembleNetwork(sizes, self.activation, n_members, generator)


@share_documentation
class SmallEnsembleRegressor(MemberRegressor, BaseSmallEnsemble):
    """Each member distilled into a small network of its own, all at once by batched products.

    The student has one network for each member of the ensemble, so that it is by far the largest of
    all students. `sample_predictions` picks networks with replacement.

    Parameters
    ----------
    {ensemble}

    {activation}

    {body}

    {training}

    Attributes
    ----------
    {attributes}

    {regressor_attributes}

    See Also
    --------
    sklearn_dlf.DLFRegressor : One network for all members.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from sklearn_dlf.baselines import SmallEnsembleRegressor
    >>> X, y = make_regression(200, 4, noise=10.0, random_state=0)
    >>> forest = RandomForestRegressor(30, random_state=0).fit(X, y)
    >>> student = SmallEnsembleRegressor(hidden_layer_sizes=(20,), max_iter=3, random_state=0)
    >>> mean, std = student.fit(X, y, ensemble=forest).predict(X, return_std=True)
    >>> mean.shape, std.shape, student.sample_predictions(X, 7).shape
    ((200,), (200,), (200, 7))
    """


@share_documentation
class SmallEnsembleClassifier(MemberClassifier, BaseSmallEnsemble):
    """Each member distilled into a small network of its own, all at once by batched products.

    The student has one network for each member of the ensemble, so that it is by far the largest of
    all students. `sample_predictions` picks networks with replacement.

    Parameters
    ----------
    {ensemble}

    {activation}

    {body}

    {training}

    Attributes
    ----------
    {attributes}

    {classifier_attributes}

    See Also
    --------
    sklearn_dlf.DLFClassifier : One network for all members.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn_dlf.baselines import SmallEnsembleClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(30, random_state=0).fit(X, y)
    >>> student = SmallEnsembleClassifier(hidden_layer_sizes=(20,), max_iter=3, random_state=0)
    >>> student = student.fit(X, y, ensemble=forest)
    >>> student.predict_proba(X).shape, student.sample_predictions(X, 7).shape
    ((150, 3), (150, 3, 7))
    """
