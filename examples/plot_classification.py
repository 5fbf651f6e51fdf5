"""
Digits that the networks disagree on
====================================

Twenty networks are trained on the digits that scikit-learn bundles, and are distilled into one
student. If the networks disagree at a row, its class is uncertain for lack of knowledge. This
*epistemic* uncertainty is measured by the mutual information of class and network. The student
should be uncertain at the same rows as its teacher. It should also separate digits from rows that
are no digits: here, test rows in which the values of every pixel are permuted over the rows.
"""

# %%
# Teacher and student
# -------------------
import pickle
import timeit

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split

from sklearn_dlf import DLFClassifier
from sklearn_dlf.ensembles import DeepEnsembleClassifier
from sklearn_dlf.metrics import expected_calibration_error
from sklearn_dlf.plotting import SpreadDisplay, UncertaintyDisplay

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
X_permuted = np.random.default_rng(0).permuted(X_test, axis=0)

print("digits: training 20 networks ...", flush=True)
teacher = DeepEnsembleClassifier(n_estimators=20, random_state=0).fit(X, y)
print("distilling them ...", flush=True)
student = DLFClassifier(q=10, random_state=0).fit(X, y, ensemble=teacher)

# %%
# What the student kept
# ---------------------
# Top: histograms of the epistemic uncertainty at test digits and at permuted pixels, on a
# logarithmic axis, for the teacher and for the student; and the student's against the teacher's,
# row by row. Bottom: the test digits at which the student's epistemic uncertainty is largest, each
# with its label and its two most probable classes according to the student.
panels = [["teacher", "student", "rows"], ["digits"] * 3]
figure, axes = plt.subplot_mosaic(
    panels, figsize=(12, 5.8), height_ratios=[3, 1.1], layout="constrained"
)
style = {"bins": np.geomspace(1e-6, 2, 45), "names": ("test digits", "permuted pixels")}
teachers = UncertaintyDisplay.from_estimator(
    teacher, X_test, X_permuted, ax=axes["teacher"], **style
)
students = UncertaintyDisplay.from_estimator(
    student, X_test, X_permuted, ax=axes["student"], **style
)
rows = SpreadDisplay.from_predictions(
    teachers.inside, students.inside, label=students.label, ax=axes["rows"]
)
axes["teacher"].set(title="Teacher: 20 networks")
axes["student"].set(title="Student: one network", ylim=axes["teacher"].get_ylim())
axes["rows"].set(xscale="log", yscale="log")

proba = student.predict_proba(X_test)
unsure = students.inside.argsort()[:-13:-1]
tiles = [np.pad(row.reshape(8, 8), 1) for row in X_test[unsure]]
likeliest = proba[unsure].argsort(axis=1)[:, :-3:-1]
labels = [f"{label}: {a} or {b}?" for label, (a, b) in zip(y_test[unsure], likeliest, strict=True)]
axes["digits"].imshow(np.hstack(tiles), cmap="gray_r")
axes["digits"].set_xticks(4.5 + 10 * np.arange(len(labels)), labels)
axes["digits"].set_yticks([])
axes["digits"].tick_params(length=0)
axes["digits"].spines[:].set_visible(False)
axes["digits"].set_title(
    "Digits of largest epistemic uncertainty: label, and the student's two most probable classes"
)

# %%
# Side by side
# ------------
# Prediction times are those of ``predict_proba``. The teacher averages over twenty networks, the
# student over 100 draws of members.
many = np.random.default_rng(0).choice(X_test, 20_000)


def seconds(predict):
    """Return the shortest of three times to predict 20,000 rows."""
    return min(timeit.repeat(lambda: predict(many), number=1, repeat=3))


def describe(model, display, n_parameters):
    """Return one column of the table."""
    proba = model.predict_proba(X_test)
    return [
        accuracy_score(y_test, model.classes_[proba.argmax(axis=1)]),
        log_loss(y_test, proba),
        expected_calibration_error(y_test, proba),
        display.inside.mean(),
        display.auroc,
        n_parameters,
        len(pickle.dumps(model)) / 1024,
        seconds(model.predict_proba),
    ]


labels = {
    "accuracy": ".3f",
    "NLL (nats)": ".4f",
    "expected calibration error": ".4f",
    "mean mutual information (nats)": ".4f",
    "AUROC of permuted pixels": ".3f",
    "parameters": ",",
    "pickle (KiB)": ",.0f",
    "20,000 predictions (s)": ".3f",
}
columns = [
    describe(teacher, teachers, sum(a.size for a in teacher.coefs_ + teacher.intercepts_)),
    describe(student, students, sum(p.numel() for p in student.student_.parameters())),
]
print(f"\n{f'on {len(y_test)} test digits':32}{'teacher':>12}{'student':>12}")
for (label, form), of_teacher, of_student in zip(labels.items(), *columns, strict=True):
    print(f"{label:32}{of_teacher:>12{form}}{of_student:>12{form}}")
correlation = spearmanr(teachers.inside, students.inside).statistic
print(f"\nrank correlation of mutual information: {correlation:.3f}")
plt.show()
