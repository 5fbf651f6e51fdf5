"""
Which rows to label next
========================

Labels are expensive. A student says where its members disagree, and ``update`` learns a label
without a new fit. So the next row to label can be chosen anew after each one.
"""

# %%
# A student of few labels
# -----------------------
# The pool has 500 rows without y. Thirty rows of one half of it are labelled, and an ensemble of
# networks is fitted to these and distilled. ``X_unlabeled`` lets the student learn how the members
# differ all over the pool.
from copy import deepcopy

import matplotlib.pyplot as plt
import numpy as np

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import DeepEnsembleRegressor


def target(X, rng):
    """Return noisy values of a smooth function of two columns."""
    return np.sin(2 * X[:, 0]) + 0.5 * X[:, 1] ** 2 + 0.1 * rng.standard_normal(len(X))


def begin(seed):
    """Return a student of 30 labelled rows, the pool, its values, and test rows."""
    rng = np.random.RandomState(seed)
    X = rng.uniform([-2, -2], [0, 2], size=(30, 2))
    pool, X_test = rng.uniform(-2, 2, size=(2, 500, 2))
    y, y_pool = target(X, rng), target(pool, rng)
    teacher = DeepEnsembleRegressor(20, random_state=seed).fit(X, y)
    student = DLFRegressor(random_state=seed)
    student = student.fit(X, y, ensemble=teacher, X_unlabeled=pool)
    return student, pool, y_pool, X_test, np.sin(2 * X_test[:, 0]) + 0.5 * X_test[:, 1] ** 2


# %%
# Forty labels, one at a time
# ---------------------------
# Either the row of the pool whose members disagree most, or a random one. Errors are those of the
# mean against the truth. Three repetitions start from other rows and networks.
N_LABELS, N_REPETITIONS = 40, 3
starts = [begin(seed) for seed in range(N_REPETITIONS)]


def learn(seed, by_spread):
    """Return the error after each label, and the rows that were labelled."""
    student, pool, y_pool, X_test, truth = deepcopy(starts[seed])
    rng = np.random.RandomState(seed)
    errors, chosen = [], []
    for _ in range(N_LABELS + 1):
        errors.append(np.sqrt(np.mean((student.predict(X_test) - truth) ** 2)))
        doubt = student.predict(pool, return_std=True)[1] if by_spread else rng.uniform(size=500)
        doubt[chosen] = -1
        chosen.append(doubt.argmax())
        student.update(pool[chosen[-1:]], y_pool[chosen[-1:]])
    return np.array(errors), pool[chosen[:-1]]


runs = {
    name: [learn(seed, by_spread) for seed in range(N_REPETITIONS)]
    for name, by_spread in (("largest spread", True), ("random rows", False))
}
print(f"{'RMSE after labels':20}" + "".join(f"{n:8d}" for n in (0, 5, 10, 20, 40)))
for name, results in runs.items():
    mean = np.mean([errors for errors, _ in results], axis=0)
    print(f"{name:20}" + "".join(f"{mean[n]:8.3f}" for n in (0, 5, 10, 20, 40)))

figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
for name, color in (("largest spread", "tab:blue"), ("random rows", "0.5")):
    curves = np.array([errors for errors, _ in runs[name]])
    axes[0].plot(curves.T, color=color, linewidth=0.6)
    axes[0].plot(curves.mean(axis=0), color=color, linewidth=2, label=name)
axes[0].set(xlabel="labels", ylabel="RMSE of the mean", title="Errors on the whole square")
axes[0].legend(frameon=False)
for ax, name in zip(axes[1:], runs, strict=True):
    rows = runs[name][0][1]
    shown = ax.scatter(*rows.T, c=np.arange(len(rows)), cmap="viridis", s=18)
    ax.axvspan(-2, 0, color="0.9", zorder=0)
    ax.set(title=f"{name} (grey: labelled half)", aspect="equal", xlim=(-2, 2), ylim=(-2, 2))
figure.colorbar(shown, ax=axes[1:], label="order", shrink=0.8)
plt.show()
