"""
Traps of teachers
=================

A student learns whatever its teacher predicts at the rows that it is given. Most mistakes are
therefore mistakes about the teacher. This example makes five of them on purpose, and shows what
``fit`` says.
"""

# %%
# The right way
# -------------
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.preprocessing import StandardScaler

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import FittedEnsemble, member_predictions
from sklearn_dlf.metrics import member_fidelity

X, y = load_diabetes(return_X_y=True, scaled=False)
X, X_test, y, y_test = train_test_split(X, y, train_size=150, random_state=0)
forest = RandomForestRegressor(50, min_samples_leaf=3, random_state=0).fit(X, y)
members = member_predictions(forest, X_test)
results = {}
options = {"n_augmented": 2000, "random_state": 0}  # few made rows, to be quick


def last_line(message):
    """Return the last line: scikit-learn's messages of failed fits hold the whole traceback."""
    return str(message).strip().splitlines()[-1]


def attempt(name, fit, rows=X_test):
    """Print what a fit says, and the fidelity of the student that comes out."""
    print(f"--- {name}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            student = fit()
        except (TypeError, ValueError) as error:
            print(f"{type(error).__name__}: {last_line(error)}\n")
            return
    for line in dict.fromkeys(f"{w.category.__name__}: {last_line(w.message)}" for w in caught):
        print(line)
    fidelity = member_fidelity(members, *student.predict(rows, return_std=True))
    results[name] = fidelity
    print(
        f"error of the mean {fidelity.mean_error:.2f}, "
        f"correlation of the spreads {fidelity.std_correlation:.2f}\n"
    )


attempt("as it should be", lambda: DLFRegressor(**options).fit(X, y, ensemble=forest))

# %%
# Rows that the teacher does not know
# -----------------------------------
# The rows were scaled, and the forest was fitted to rows that were not. ``X_ensemble`` says how
# the forest takes them: a function that makes its rows, or these rows.
scaler = StandardScaler().fit(X)
attempt(
    "scaled rows",
    lambda: DLFRegressor(**options).fit(scaler.transform(X), y, ensemble=forest),
    scaler.transform(X_test),
)
attempt(
    "scaled rows, with the way back",
    lambda: DLFRegressor(**options).fit(
        scaler.transform(X), y, ensemble=forest, X_ensemble=scaler.inverse_transform
    ),
    scaler.transform(X_test),
)

# %%
# Rows in another order
# ---------------------
# A forest records by their number which rows a tree has not seen. The student is nearly as
# faithful, but the noise of y cannot be learnt from that record.
order = np.random.RandomState(0).permutation(len(X))
attempt("shuffled rows", lambda: DLFRegressor(**options).fit(X[order], y[order], ensemble=forest))

# %%
# y in other units
# ----------------
attempt("y in other units", lambda: DLFRegressor(**options).fit(X, y / 1000, ensemble=forest))

# %%
# One boosted model
# -----------------
# Its trees correct each other. They are no alternatives, and their disagreement means nothing.
boosted = GradientBoostingRegressor(n_estimators=50, random_state=0).fit(X, y)
attempt("one boosted model", lambda: DLFRegressor(**options).fit(X, y, ensemble=boosted))

# %%
# A list of fitted models in a search
# -----------------------------------
# A search clones what is in the constructor, and clones are not fitted. ``FittedEnsemble`` stays
# as it is.
quick = {"n_epochs": 1, "tol": 1.0, "random_state": 0}
models = [
    GradientBoostingRegressor(n_estimators=30, subsample=0.5, random_state=i).fit(X, y)
    for i in range(5)
]


def search(teacher):
    """Fit a search over q."""
    return (
        GridSearchCV(DLFRegressor(teacher, **quick), {"q": [1, 2]}, cv=2).fit(X, y).best_estimator_
    )


attempt("a list in a search", lambda: search(models))
attempt("the same in a FittedEnsemble", lambda: search(FittedEnsemble(models)))

# %%
# Side by side
# ------------
# Students of the forest. The error of the mean is in units of the standard deviation of the
# forest's mean over rows.
shown = {name: each for name, each in results.items() if "FittedEnsemble" not in name}
figure, axes = plt.subplots(1, 2, figsize=(9, 2.8), sharey=True, layout="constrained")
for ax, score, title in zip(
    axes,
    ("mean_error", "std_correlation"),
    ("error of the mean (0 is best)", "correlation of the spreads (1 is best)"),
    strict=True,
):
    ax.barh(list(shown), [getattr(each, score) for each in shown.values()])
    ax.set_title(title)
axes[0].invert_yaxis()
plt.show()
