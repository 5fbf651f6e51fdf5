"""
A list of boosted models
========================

A single boosted model is no ensemble of alternatives. A list of them is, if each has seen other
rows. This example distils twenty and shows what an interval of y needs: rows that a model has not
been fitted to.
"""

# %%
# Twenty models of bootstrap samples
# ----------------------------------
import warnings
from copy import deepcopy

import matplotlib.pyplot as plt
import numpy as np
from lightgbm import LGBMRegressor
from sklearn.datasets import make_friedman1

from sklearn_dlf import DLFRegressor
from sklearn_dlf.exceptions import SeenRowsWarning
from sklearn_dlf.metrics import interval_coverage

X, y = make_friedman1(2600, noise=1.5, random_state=0)
X, X_held_out, X_test = X[:300], X[300:600], X[600:]
y, y_held_out, y_test = y[:300], y[300:600], y[600:]

rng = np.random.RandomState(0)
samples = [rng.randint(len(X), size=len(X)) for _ in range(20)]
models = [
    LGBMRegressor(n_estimators=60, num_leaves=15, n_jobs=1, verbose=-1).fit(X[rows], y[rows])
    for rows in samples
]

# %%
# Three students
# --------------
# Nothing in a list says which rows a model has seen. Without a word on it, ``fit`` warns, and the
# noise of y is taken from residuals that are too small. ``unseen=`` says it here: a row is unseen
# where it is not in the bootstrap sample. The third student is the first one, whose intervals are
# given a guarantee by held-out rows.
unseen = np.ones((len(X), len(models)), dtype=bool)
for model, rows in enumerate(samples):
    unseen[rows, model] = False

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    plain = DLFRegressor(random_state=0).fit(X, y, ensemble=models)
print(next(each.message for each in caught if each.category is SeenRowsWarning), "\n")
students = {
    "list alone": plain,
    "unseen=": DLFRegressor(random_state=0).fit(X, y, ensemble=models, unseen=unseen),
    "conformalize": deepcopy(plain).conformalize(X_held_out, y_held_out),
}

# %%
# Coverage
# --------
levels = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
coverage = {
    name: [interval_coverage(y_test, student.predict_interval(X_test, p)) for p in levels]
    for name, student in students.items()
}
print(f"on {len(y_test)} test rows" + "".join(f"{p:>9.0%}" for p in levels))
for name, values in coverage.items():
    print(f"{name:17}" + "".join(f"{value:9.3f}" for value in values))

figure, ax = plt.subplots(figsize=(5.5, 4.2), layout="constrained")
ax.plot(levels, levels, color="0.6", linestyle=":", label="nominal")
for name, values in coverage.items():
    ax.plot(levels, values, "o-", label=name)
ax.set(xlabel="level of the interval", ylabel="coverage of y on test rows")
ax.set_title("Intervals of students of a list of boosted models")
ax.legend(frameon=False)
plt.show()
