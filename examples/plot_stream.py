"""
A stream of rows whose meaning changes
======================================

Rows arrive in small batches, and what they mean drifts. ``update`` learns each batch without
a new fit; with ``forgetting=`` old batches count less and less.
"""

# %%
# Teacher and student
# -------------------
# Thirty networks learn the first 400 rows. Afterwards the curve moves up, slowly for a while, and
# then down at once.
import matplotlib.pyplot as plt
import numpy as np

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import DeepEnsembleRegressor
from sklearn_dlf.metrics import interval_coverage, neg_nll_scorer

rng = np.random.RandomState(0)
N_BATCHES, SIZE = 80, 10
shift = np.concatenate([np.zeros(15), np.linspace(0, 1.2, 35), np.full(30, -0.6)])


def observe(n_rows, shift):
    """Return rows, and noisy values of a curve whose right half is shifted."""
    X = rng.uniform(-2, 2, size=(n_rows, 1))
    moved = shift / (1 + np.exp(-4 * X[:, 0]))
    return X, np.sin(2 * X[:, 0]) + moved + 0.15 * rng.standard_normal(n_rows)


X, y = observe(400, 0)
teacher = DeepEnsembleRegressor(30, random_state=0).fit(X, y)
batches = [observe(SIZE, each) for each in shift]

# %%
# Predict, then learn
# -------------------
# Each batch is scored before it is learnt. The retention of 0.9 was not tuned.
ways = {"not updated": None, "update": {}, "update, forgetting=0.9": {"forgetting": 0.9}}
errors, widths = {}, {}
print(f"{'':24}{'NLL':>8}{'RMSE':>8}{'coverage of 90 %':>18}")
for name, arguments in ways.items():
    student = DLFRegressor(random_state=0).fit(X, y, ensemble=teacher)
    nll, squares, coverage, width = [], [], [], []
    for X_new, y_new in batches:
        interval = student.predict_interval(X_new, 0.9)
        nll.append(-neg_nll_scorer(student, X_new, y_new))
        squares.append(np.mean((student.predict(X_new) - y_new) ** 2))
        coverage.append(interval_coverage(y_new, interval))
        width.append(np.diff(interval).mean())
        if arguments is not None:
            student.update(X_new, y_new, **arguments)
    errors[name], widths[name] = np.sqrt(squares), np.array(width)
    print(f"{name:24}{np.mean(nll):8.3f}{np.sqrt(np.mean(squares)):8.3f}{np.mean(coverage):18.3f}")

# %%
# Over time
# ---------
# Means over five batches.
figure, axes = plt.subplots(3, 1, figsize=(8, 7), sharex=True, layout="constrained")
axes[0].step(np.arange(N_BATCHES), shift, color="k", where="mid")
axes[0].set_ylabel("shift of the curve")
middle = np.arange(2, N_BATCHES - 2)
for name in ways:
    smooth_error, smooth_width = (
        np.convolve(values[name], np.ones(5) / 5, "valid") for values in (errors, widths)
    )
    axes[1].plot(middle, smooth_error, label=name)
    axes[2].plot(middle, smooth_width)
axes[1].set_ylabel("RMSE of the next batch")
axes[1].legend(frameon=False)
axes[2].set(ylabel="width of 90 % intervals", xlabel="batch of ten rows", ylim=(0, None))
plt.show()
