"""Scorers that ask more of a fitted estimator than its predictions."""

from __future__ import annotations

from copy import copy
from inspect import signature

from sklearn.utils.metadata_routing import MetadataRequest


class Scorer:
    """Callable ``scorer(estimator, X, y, **metadata)`` for ``scoring=``; greater is better.

    Parameters
    ----------
    name : str
        What it is called in messages.
    function : callable
        Takes a fitted estimator, X and y; its keyword arguments are settings or metadata.
    sign : {1, -1}, default=1
        -1 for losses.
    **settings
        Fixed keyword arguments of `function`.
    """

    def __init__(self, name, function, sign=1, **settings):
        self._name = name
        self._function = function
        self._sign = sign
        self._settings = settings
        self._requests: dict = {}

    def __call__(self, estimator, X, y=None, **metadata):
        """Score a fitted estimator at rows X with observed values y."""
        return self._sign * self._function(estimator, X, y, **self._settings, **metadata)

    def set_score_request(self, **requests):
        """Return the same scorer, with the metadata it asks a search or a cross-validation for.

        Parameters
        ----------
        **requests
            ``name=True``, False, None or another name under which the metadata is passed, as in
            scikit-learn's metadata routing.
        """
        unknown = set(requests) - self._metadata()
        if unknown:
            raise TypeError(
                f"{self!r} takes no metadata {sorted(unknown)}; expected any of "
                f"{sorted(self._metadata())}."
            )
        scorer = copy(self)
        scorer._requests = {**self._requests, **requests}
        return scorer

    def get_metadata_routing(self):
        """Metadata that is asked for, as scikit-learn's searches want to know it."""
        request = MetadataRequest(owner=self._name)
        for name in self._metadata():
            request.score.add_request(param=name, alias=self._requests.get(name))
        return request

    def _metadata(self):
        """Names of what can be asked for."""
        parameters = signature(self._function).parameters.values()
        names = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
        return names - set(self._settings)

    def __repr__(self):
        return self._name
