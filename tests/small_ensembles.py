"""Small data and ensembles that several tests of `sklearn_dlf.ensembles` use."""

import numpy as np
from sklearn.datasets import make_regression
from sklearn.linear_model import LogisticRegression, Ridge

from sklearn_dlf.ensembles import Members, register_ensemble

X, y = make_regression(60, 4, noise=5.0, random_state=0)
labels = np.array(["a", "b", "c"])[np.digitize(y, np.quantile(y, [1 / 3, 2 / 3]))]


def fitted_ridges(rows=X):
    return [Ridge(alpha).fit(rows, y) for alpha in (0.1, 10.0, 1000.0)]


def classifiers_of(*pairs):
    """One classifier for each string of labels, fitted on the rows with these labels only."""
    masks = [np.isin(labels, list(pair)) for pair in pairs]
    return [LogisticRegression().fit(X[mask], labels[mask]) for mask in masks]


class Constants:
    """An ensemble of another library, without scikit-learn's interface."""

    def __init__(self, *values, n_announced=None):
        self.values = values
        self.n_announced = n_announced or len(values)


def constant_outputs(ensemble, kind="regressor"):
    def predict(X):
        return (np.broadcast_to(value, (len(X), *np.shape(value))) for value in ensemble.values)

    return Members(kind, ensemble.n_announced, predict)


register_ensemble(Constants, constant_outputs)


class Probabilities(Constants):
    pass


register_ensemble(Probabilities, lambda ensemble: constant_outputs(ensemble, "classifier"))
