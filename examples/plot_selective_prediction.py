"""
Leave the doubtful rows to somebody else
========================================

A classifier that may abstain errs less on the rows that it keeps. Which rows should it leave out?
This example ranks digits by the teacher's and the student's uncertainties.
"""

# %%
# Teacher and student
# -------------------
# Few digits are learnt from, so that there is something to doubt.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_dlf import DLFClassifier
from sklearn_dlf.ensembles import DeepEnsembleClassifier
from sklearn_dlf.metrics import mutual_information

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, train_size=300, stratify=y, random_state=0)
teacher = DeepEnsembleClassifier(10, random_state=0).fit(X, y)
student = DLFClassifier(random_state=0).fit(X, y, ensemble=teacher)

# %%
# Errors of the rows that are kept
# --------------------------------
# Rows are left out from the most doubtful one on, by three rankings: the entropy of the averaged
# probabilities (total), its epistemic part, and the teacher's epistemic part. The last one is the
# least that could be done: rows at random.
members = teacher.member_predictions(X_test)
wrong = student.predict(X_test) != y_test
parts = student.predict_uncertainty(X_test)
rankings = {
    "student, total": parts.total,
    "student, epistemic": parts.epistemic,
    "teacher, epistemic": mutual_information(members),
    "random": np.random.RandomState(0).uniform(size=len(wrong)),
}
kept = np.arange(1, len(wrong) + 1)
curves = {name: np.cumsum(wrong[doubt.argsort()]) / kept for name, doubt in rankings.items()}
shares = [1.0, 0.95, 0.9, 0.8, 0.7]
print(f"{'error at a share kept':24}" + "".join(f"{share:9.0%}" for share in shares))
for name, curve in curves.items():
    errors = [curve[int(share * len(wrong)) - 1] for share in shares]
    print(f"{name:24}" + "".join(f"{error:9.2%}" for error in errors))

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for name, curve in curves.items():
    ax.plot(kept[100:] / len(wrong), curve[100:], label=name)
ax.set(xlabel="share of the rows that is kept", ylabel="error rate of the student on them")
ax.set_title("Digits left out by uncertainty")
ax.legend(frameon=False, loc=(0.05, 0.18))
plt.show()
