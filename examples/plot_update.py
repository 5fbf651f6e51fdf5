"""
New labelled rows after the fit
===============================

A student was fitted to an ensemble of networks, which knows one part of the data. Then a few values
of y are observed in another part. ``update`` conditions the student on them, in place.
The ensemble is not needed any more.
"""

# %%
# Teacher and student
# -------------------
# Thirty networks learn a curve from rows up to 1. Beyond, they differ more and more, and so does
# the student: its members are draws of a Gaussian process.
import time

import matplotlib.pyplot as plt
import numpy as np

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import DeepEnsembleRegressor
from sklearn_dlf.metrics import interval_coverage

rng = np.random.RandomState(0)


def observe(low, high, n_rows):
    """Return rows between two ends, and noisy values of a curve there."""
    X = rng.uniform(low, high, size=(n_rows, 1))
    return X, np.sin(2 * X[:, 0]) + 0.5 * X[:, 0] + 0.15 * rng.standard_normal(n_rows)


X, y = observe(-2, 1, 200)
teacher = DeepEnsembleRegressor(30, random_state=0).fit(X, y)
student = DLFRegressor(random_state=0).fit(X, y, ensemble=teacher)

# %%
# Twenty new rows
# ---------------
# They lie where the teacher had none. The mean follows them, and the spread of the members falls
# there. Where the student has learnt before, it stays as it is: ``fit`` has kept what its own rows
# tell, in 20 KiB. Intervals of y are scored on 200 further rows.
X_new, y_new = observe(1, 2.5, 20)
X_test, y_test = observe(1, 2.5, 200)
grid = np.linspace(-2, 2.5, 200)[:, None]


def describe():
    """Return what the student predicts on the grid, and print how good it is on test rows."""
    error = np.sqrt(np.mean((student.predict(X_test) - y_test) ** 2))
    coverage = interval_coverage(y_test, student.predict_interval(X_test, 0.9))
    print(f"RMSE {error:.2f}, coverage of 90 % intervals {coverage:.2f}")
    members = student.sample_predictions(grid, 20, random_state=0)
    return student.predict(grid), student.predict_interval(grid, 0.9), members


before = describe()
began = time.perf_counter()
student.update(X_new, y_new)
seconds = time.perf_counter() - began
after = describe()
print(f"update: {seconds:.3f} seconds")

# %%
# The student before and after
# ----------------------------
# Members (thin), their mean, and 90 % intervals of y (shaded).
figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for ax, (mean, interval, members), title in zip(
    axes, (before, after), ("as fitted", "after update with 20 rows"), strict=True
):
    ax.fill_between(grid[:, 0], *interval.T, color="tab:blue", alpha=0.15, linewidth=0)
    ax.plot(grid, members, color="tab:blue", linewidth=0.4, alpha=0.5)
    ax.plot(grid, mean, color="tab:blue", linewidth=2, label="mean of the members")
    ax.scatter(X, y, s=6, color="0.5", label="rows of fit")
    ax.scatter(X_new, y_new, s=22, color="tab:red", zorder=3, label="new rows")
    ax.plot(grid, np.sin(2 * grid) + 0.5 * grid, color="k", linestyle=":", label="truth")
    ax.set(title=title, xlabel="x", ylim=(-4, 4))
axes[0].set_ylabel("y")
axes[0].legend(loc="lower left")
plt.show()

# %%
# Back to the fit
# ---------------
# Updates add up. ``reset_update`` removes them all.
student.reset_update()
print(np.array_equal(student.predict(grid), before[0]))
