"""
What a student depends on
=========================

A student is a scikit-learn estimator, so that tools of explanation take it. Since it predicts fast,
they are cheap; and since it draws members, they get a spread of their own.
"""

# %%
# Teacher and student
# -------------------
import timeit

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance
from sklearn.model_selection import train_test_split

from sklearn_dlf import DLFRegressor

X, y = load_diabetes(return_X_y=True, as_frame=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, random_state=0)
forest = RandomForestRegressor(200, min_samples_leaf=3, random_state=0).fit(X, y)
student = DLFRegressor(random_state=0).fit(X, y, ensemble=forest)

# %%
# Permutation importance
# ----------------------
# By how much R^2 on test rows falls if a column is permuted. Student and teacher should agree; if
# they do not, the importances are those of the student and not of its teacher.
settings = {"n_repeats": 10, "random_state": 0}
began = timeit.default_timer()
own = permutation_importance(student, X_test, y_test, **settings)
middle = timeit.default_timer()
teachers = permutation_importance(forest, X_test, y_test, **settings)
end = timeit.default_timer()
order = teachers.importances_mean.argsort()[::-1]
for column in order[:5]:
    of_teacher, of_student = teachers.importances_mean[column], own.importances_mean[column]
    print(f"{X.columns[column]:4}  forest {of_teacher:.3f}  student {of_student:.3f}")
correlation = np.corrcoef(own.importances_mean, teachers.importances_mean)[0, 1]
print(f"correlation over columns: {correlation:.3f}")
print(f"time of the forest / time of the student: {(end - middle) / (middle - began):.0f}")

# %%
# Partial dependence, with a spread
# ---------------------------------
# The mean prediction over test rows as one column takes each of its values. Each drawn member has a
# curve of its own: ``random_state`` draws the same members at every value, so that a curve belongs
# to one of them. A part of a member's deviation, large for trees, is drawn nearly anew at each row,
# so that the curve at a single row is rougher than a tree's. The mean over rows takes it away.


def partial_dependence(column, n_members=200):
    """Return values of a column, and the partial dependence of drawn members (n, n_members)."""
    values = np.linspace(*X[column].quantile([0.05, 0.95]), 25)
    rows = X_test.loc[np.repeat(X_test.index, len(values))].copy()
    rows[column] = np.tile(values, len(X_test))
    members = student.sample_predictions(rows, n_members, random_state=0)
    return values, members.reshape(len(X_test), len(values), n_members).mean(axis=0)


figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
position = np.arange(len(order))
axes[0].bar(position - 0.2, teachers.importances_mean[order], 0.4, color="0.6", label="forest")
axes[0].bar(position + 0.2, own.importances_mean[order], 0.4, label="student")
axes[0].set_xticks(position, X.columns[order])
axes[0].set(title="Permutation importance", ylabel="fall of R$^2$")
axes[0].legend(frameon=False)
for ax, column in zip(axes[1:], X.columns[order[:2]], strict=True):
    values, curves = partial_dependence(column)
    mean, std = curves.mean(axis=1), curves.std(axis=1)
    ax.plot(values, curves[:, :30], color="tab:blue", linewidth=0.4, alpha=0.5)
    ax.plot(values, mean, color="tab:blue", linewidth=2)
    ax.fill_between(values, mean - 2 * std, mean + 2 * std, color="tab:blue", alpha=0.2)
    ax.locator_params(axis="x", nbins=5)
    ax.set(title=f"Partial dependence on {column}", xlabel=column, ylabel="disease progression")
plt.show()

# %%
# Shapley values
# --------------
# The package ``shap`` takes any function of rows. It is used here if it is installed. The spread
# may be explained in the same way: which columns make the members disagree?


def mean(rows):
    """Return the mean of the members, of rows that have lost the names of their columns."""
    return student.predict(pd.DataFrame(rows, columns=X.columns))


def spread(rows):
    """Return the standard deviation of the members."""
    return student.predict(pd.DataFrame(rows, columns=X.columns), return_std=True)[1]


try:
    import shap
except ImportError:
    print("shap is not installed: pip install shap")
else:
    background = X.sample(50, random_state=0).to_numpy()
    rows = X_test.head(20).to_numpy()
    for function in (mean, spread):
        explanation = shap.Explainer(function, background, seed=0)(rows)
        size = np.abs(explanation.values).mean(axis=0)
        top = size.argsort()[::-1][:3]
        print(f"{function.__name__}: " + ", ".join(f"{X.columns[i]} {size[i]:.2f}" for i in top))
