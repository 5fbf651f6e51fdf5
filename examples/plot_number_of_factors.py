"""
A grid over the number of factors
=================================

How many factors does a student need? This example draws an ensemble whose number of factors is
known, and looks for it in two ways: by ``q="auto"``, and by a grid search.
"""

# %%
# An ensemble with four factors
# -----------------------------
# Two hundred members are draws of a model with four factors. Half of them are learnt, and the other
# half says how well. The factors do not weigh alike: the shares of their principal directions in
# the members' variance are printed below.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV

from sklearn_dlf import DLFRegressor
from sklearn_dlf.datasets import make_dlf_ensemble
from sklearn_dlf.ensembles import FittedEnsemble
from sklearn_dlf.metrics import make_member_log_likelihood_scorer

data = make_dlf_ensemble(1200, 2, 200, q=4, random_state=0)
variances = np.linalg.svd(data.loadings[:, 0], compute_uv=False) ** 2
print("shares of four directions: " + ", ".join(f"{v:.1%}" for v in variances / variances.sum()))
row_numbers = {row.tobytes(): number for number, row in enumerate(data.X)}


def evaluate(X, members):
    """Return the outputs of some members at rows of the data."""
    numbers = [row_numbers[np.ascontiguousarray(row).tobytes()] for row in np.asarray(X)]
    return data.predictions[numbers][:, members]


learnt, held_out = slice(0, 100), slice(100, 200)
teacher = FittedEnsemble(lambda X: evaluate(X, learnt), outputs="values", n_members=100)
others = FittedEnsemble(lambda X: evaluate(X, held_out), outputs="values", n_members=100)

# %%
# q="auto"
# --------
# Before a network is trained, the likelihood of held-out members is computed in closed form for
# every number of factors, at the rows of `fit`.
automatic = DLFRegressor(teacher, q="auto", augment=None, random_state=0).fit(data.X)
print(f'q="auto" chose {automatic.q_} factors')

# %%
# A grid search
# -------------
# It fits a student for each candidate and fold. The score is the log-likelihood of members that no
# student has learnt from, jointly over the rows of the fold. ``neg_nll_scorer`` would score single
# values of y, which hardly depend on the number of factors. Scores of larger numbers differ by less
# than their errors: the smallest number is taken whose score is within one standard deviation (over
# folds) of the best.


def smallest_good(results):
    """Return the index of the smallest q whose score is near the best."""
    mean, std = results["mean_test_score"], results["std_test_score"]
    return int(np.flatnonzero(mean >= mean.max() - std[mean.argmax()])[0])


grid = [1, 2, 3, 4, 5, 8]
search = GridSearchCV(
    DLFRegressor(teacher, augment=None, random_state=0),
    {"q": grid},
    scoring=make_member_log_likelihood_scorer(others),
    cv=3,
    refit=smallest_good,
).fit(data.X)
scores, errors = (search.cv_results_[f"{name}_test_score"] for name in ("mean", "std"))
print(f"the grid search chose {search.best_params_['q']} factors")
for q, score, error in zip(grid, scores, errors, strict=True):
    print(f"q = {q}: {score:.3f} +- {error:.3f}")

# %%
# Both curves
# -----------
# Bars are standard deviations over folds.
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
left.plot(automatic.q_scores_[:16], "o-")
left.set(title='q="auto": held-out members, closed form', ylabel="log-likelihood (nats per entry)")
right.errorbar(grid, scores, errors, fmt="o-", capsize=3)
right.set(title="grid search: held-out members, fitted students", ylabel="score")
for ax in (left, right):
    ax.axvline(4, color="0.6", linestyle=":", label="truth")
    ax.set_xlabel("number of factors q")
    ax.legend(frameon=False, loc="lower right")
plt.show()
