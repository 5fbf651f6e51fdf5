"""
Is my student faithful?
=======================

A report compares a student with its teacher at rows that neither has seen: mean, spread, covariance
between rows, calibration, and the rows where it is worst. Each score is judged against the
teacher's own noise, since another ensemble of the same recipe would differ from it too.
"""

# %%
# A student of networks
# ---------------------
import matplotlib.pyplot as plt
from sklearn.datasets import load_wine, make_friedman1
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf.ensembles import DeepEnsembleRegressor
from sklearn_dlf.metrics import FidelityReport

X, y = make_friedman1(400, noise=1.0, random_state=0)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, random_state=0)
teacher = DeepEnsembleRegressor(n_estimators=20, random_state=0).fit(X, y)
student = DLFRegressor(q=10, random_state=0).fit(X, y, ensemble=teacher)

report = FidelityReport.from_estimator(student, teacher, X_test, y_test)
print(report)
report.plot()
plt.show()

# %%
# All scores are attributes.
print(f"error of the mean {report.mean_error:.3f}, two ensembles differ by {report.mean_noise:.3f}")
print(f"spread: correlation {report.spread_correlation:.3f}, ceiling {report.spread_ceiling:.3f}")

# %%
# A student that stopped too early
# --------------------------------
# It has the same teacher, but a small network, and one epoch in each of a few iterations. The
# report says what is wrong.
quick = {"hidden_layer_sizes": (10,), "n_epochs": 1, "tol": 1.0, "augment": None}
hasty = DLFRegressor(q=10, random_state=0, **quick).fit(X, y, ensemble=teacher)

report = FidelityReport.from_estimator(hasty, teacher, X_test, y_test)
print(report)
report.plot()
plt.show()

# %%
# Classifiers
# -----------
# The spread is the mutual information of class and member, and the calibration of student and
# teacher is compared. In a notebook, a report as the last value of a cell is shown as a page with
# its figure.
X, y = load_wine(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
forest = RandomForestClassifier(50, min_samples_leaf=3, random_state=0).fit(X, y)
classifier = DLFClassifier(q=3, random_state=0).fit(X, y, ensemble=forest)

report = FidelityReport.from_estimator(classifier, forest, X_test, y_test)
print(report)
report.plot()
plt.show()
