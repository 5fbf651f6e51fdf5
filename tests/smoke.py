"""Fit, save and load a student of an installed package, from a folder that is not the checkout.

``make dist`` runs it where nothing but the package and what it needs is installed.
"""

import pickle
from importlib.metadata import metadata, version
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

import sklearn_dlf
from sklearn_dlf import DLFClassifier, DLFRegressor, baselines, datasets, ensembles, metrics

CHECKOUT = Path(__file__).resolve().parents[1]
FOLDER = Path(sklearn_dlf.__file__).resolve().parent
QUICK = {"q": 3, "hidden_layer_sizes": (20,), "n_epochs": 1, "tol": 1.0, "random_state": 0}


def check_package():
    """Fail if the files are those of the checkout, or if some are missing."""
    assert FOLDER.parent != CHECKOUT, f"the checkout was imported from {FOLDER}"
    assert sklearn_dlf.__version__ == version("sklearn-dlf")
    described = metadata("sklearn-dlf")
    assert "BSD-3-Clause" in (described.get("License-Expression"), described.get("License"))
    assert (FOLDER / "py.typed").is_file()
    for module in (sklearn_dlf, baselines, datasets, ensembles, metrics):
        assert all(hasattr(module, name) for name in module.__all__)


def check_regressor():
    X, y = load_diabetes(return_X_y=True)
    forest = RandomForestRegressor(20, random_state=0).fit(X, y)
    student = DLFRegressor(**QUICK).fit(X, y, ensemble=forest)
    mean, std = student.predict(X, return_std=True)
    assert np.corrcoef(mean, forest.predict(X))[0, 1] > 0.8
    assert (std > 0).all()
    assert (np.diff(student.predict_interval(X, 0.9)) > 0).all()
    again = pickle.loads(pickle.dumps(student))
    assert (again.predict(X) == student.predict(X)).all()


def check_classifier():
    X, y = load_iris(return_X_y=True)
    forest = RandomForestClassifier(20, random_state=0).fit(X, y)
    student = DLFClassifier(**QUICK).fit(X, y, ensemble=forest)
    assert student.score(X, y) > 0.8
    assert (student.predict_uncertainty(X).epistemic >= 0).all()


if __name__ == "__main__":
    check_package()
    check_regressor()
    check_classifier()
    print(f"sklearn_dlf {sklearn_dlf.__version__} in {FOLDER}: both students fitted")
