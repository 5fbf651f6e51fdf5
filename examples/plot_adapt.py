"""
Labels with another meaning
===========================

A student of an ensemble of digits gets rows whose labels mean something else: a label is 9 less the
digit now. ``adapt`` makes a new student, which learns from a few rows what each class is called
now. What the ensemble knew of the images is kept, and so is the disagreement of its members.
"""

# %%
# Teacher and student
# -------------------
# Six networks learn 900 digits.
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dlf import DLFClassifier
from sklearn_dlf.ensembles import DeepEnsembleClassifier

X, y = load_digits(return_X_y=True)
order = np.random.RandomState(0).permutation(len(X))
X, y = X[order], y[order]
teacher = DeepEnsembleClassifier(6, random_state=0).fit(X[:900], y[:900])
student = DLFClassifier(random_state=0).fit(X[:900], y[:900], ensemble=teacher)

# %%
# Fifty rows of the new meaning
# -----------------------------
# The student is not changed: the adapted one is another. A logistic regression that learns from the
# new rows alone stands for a start from scratch.
X_new, y_new = X[900:950], 9 - y[900:950]
X_test, y_test = X[1400:], 9 - y[1400:]
began = time.process_time()
adapted = student.adapt(X_new, y_new)
print(f"labels {adapted.adaptation_.labels}, {time.process_time() - began:.2f} seconds")

scratch = make_pipeline(StandardScaler(), LogisticRegression()).fit(X_new, y_new)
for name, model in {"from scratch": scratch, "adapted": adapted}.items():
    probabilities = model.predict_proba(X_test)
    accuracy, nll = model.score(X_test, y_test), log_loss(y_test, probabilities, labels=range(10))
    print(f"{name}: accuracy {accuracy:.3f}, NLL {nll:.3f}")

# %%
# What was learnt
# ---------------
# Left: the map of labels, the probability of each new label in each class of the student. Right:
# the epistemic uncertainty of test rows, before and after. A map of labels cannot add to what
# members disagree about; where it is sure of the labels, their disagreement stays.
before, after = (each.predict_uncertainty(X_test).epistemic for each in (student, adapted))
figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
image = axes[0].imshow(adapted.adaptation_.label_map, cmap="Blues", vmin=0, vmax=1)
axes[0].set(xlabel="new label", ylabel="class of the student", xticks=range(10), yticks=range(10))
figure.colorbar(image, ax=axes[0], label="probability")
axes[1].scatter(before, after, s=8)
axes[1].axline((0, 0), slope=1, color="0.6", linewidth=1)
axes[1].set(xlabel="epistemic uncertainty before (nats)", ylabel="after (nats)")
plt.show()

# %%
# New classes
# -----------
# With ``labels="kept"``, classes keep their names, and labels that the student does not know are
# new classes. Here, the half of the ones that have the least ink becomes a class of its own, 10.
ink = X.sum(axis=1)
is_thin = (y == 1) & (ink < np.median(ink[y == 1]))
names = np.where(is_thin, 10, y)
wider = student.adapt(X[900:1400], names[900:1400], labels="kept")
found = wider.predict(X[1400:])
print(f"{len(wider.classes_)} classes, accuracy {np.mean(found == names[1400:]):.3f}")
print(f"thin ones found: {np.mean(found[is_thin[1400:]] == 10):.2f}")
