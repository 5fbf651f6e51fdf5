"""
A forest with bands
===================

A random forest is distilled. The student keeps how much the trees disagree, and adds an interval of
y, which a forest does not have, from residuals at rows that a tree has not seen.
"""

# %%
# Teacher and student
# -------------------
# The noise of y grows with x, and there are no rows between 4 and 5.5. All trees have at least ten
# rows in a leaf, so that they do not learn the noise.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import RandomForestRegressor

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import member_predictions
from sklearn_dlf.metrics import interval_coverage

rng = np.random.RandomState(0)


def observe(n_rows):
    """Return rows between 0 and 8, and values with a noise that grows."""
    x = rng.uniform(0, 6.5, n_rows)
    x = np.where(x < 4, x, x + 1.5)
    return x[:, None], np.sin(x) + (0.05 + 0.08 * x) * rng.standard_normal(n_rows)


X, y = observe(400)
X_test, y_test = observe(2000)
forest = RandomForestRegressor(200, min_samples_leaf=10, random_state=0).fit(X, y)
student = DLFRegressor(random_state=0).fit(X, y, ensemble=forest)

# %%
# Coverage
# --------
# Two intervals of 90 %, on 2,000 new rows: the student's interval of y, and the range of the middle
# 90 % of the trees. The latter says where the trees lie and leaves out the noise of y.
trees = member_predictions(forest, X_test)
intervals = {
    "student, predict_interval": student.predict_interval(X_test, 0.9),
    "middle 90 % of the trees": np.quantile(trees, [0.05, 0.95], axis=1).T,
}
print(f"{'':28}{'coverage':>10}{'x below 4':>12}{'x above 5.5':>13}{'mean width':>13}")
low = X_test[:, 0] < 4
for name, interval in intervals.items():
    parts = [interval_coverage(y_test[part], interval[part]) for part in (low | ~low, low, ~low)]
    width = np.diff(interval).mean()
    print(f"{name:28}{parts[0]:10.3f}{parts[1]:12.3f}{parts[2]:13.3f}{width:13.2f}")

# %%
# Bands
# -----
# Left: members. Right: intervals of y, of which the blue one grows with the noise. Between 4 and
# 5.5 a forest continues its steps, and the student of a forest follows it: neither takes into
# account that there are no rows.
grid = np.linspace(0, 8, 400)[:, None]
mean, std = student.predict(grid, return_std=True)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
left.plot(grid, member_predictions(forest, grid)[:, :40], color="0.6", linewidth=0.4)
left.plot([], [], color="0.6", label="40 trees")
left.plot(grid, mean, color="tab:blue", label="student: mean of the members")
band = {"color": "tab:blue", "alpha": 0.25, "linewidth": 0}
left.fill_between(grid[:, 0], mean - 2 * std, mean + 2 * std, label="two spreads", **band)
left.set(title="Members", xlabel="x", ylabel="y")
right.scatter(X, y, s=6, color="0.5", label="rows of fit")
interval = student.predict_interval(grid, 0.9)
right.fill_between(grid[:, 0], *interval.T, label="90 % interval of y", **band)
right.plot(grid, np.sin(grid), color="k", linestyle=":", label="truth")
right.axvspan(4, 5.5, color="tab:orange", alpha=0.1, label="no rows")
right.set(title="Intervals of y", xlabel="x", ylim=(-2.5, 2.5))
for ax in (left, right):
    ax.legend(frameon=False, fontsize=8, loc="lower left", ncols=2)
plt.show()
