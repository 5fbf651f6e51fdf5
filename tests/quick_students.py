"""Parameters of a quick fit, and a quick student of classifiers, for tests of new labels."""

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from sklearn_dlf import DLFClassifier

QUICK = {
    "q": 2,
    "tol": 2.0,
    "n_epochs": 2,
    "body": "mlp",
    "augment": None,
    "hidden_layer_sizes": 10,
    "random_state": 0,
}


def make_classifier(X, y):
    """Return a student of a forest of the classes "high" and "low", with rows and labels."""
    labels = np.where(y > np.median(y), "high", "low")
    forest = RandomForestClassifier(10, random_state=0).fit(X, labels)
    return DLFClassifier(refine=False, **QUICK).fit(X, labels, ensemble=forest), X, labels
