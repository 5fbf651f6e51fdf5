"""
A deep ensemble in a few kilobytes
==================================

Fifty networks are trained on the diabetes data that scikit-learn bundles, and are distilled into
one student. The example compares teacher and student on rows that neither has seen.
"""

# %%
# Teacher and student
# -------------------
import pickle
import timeit

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import train_test_split

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import DeepEnsembleRegressor
from sklearn_dlf.metrics import (
    crps_ensemble,
    gaussian_mixture_nll,
    interval_coverage,
    member_fidelity,
    neg_nll_scorer,
)
from sklearn_dlf.plotting import SpreadDisplay

X, y = load_diabetes(return_X_y=True, as_frame=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=0)

print("diabetes: training 50 networks ...", flush=True)
teacher = DeepEnsembleRegressor(n_estimators=50, random_state=0).fit(X, y)
print("distilling them ...", flush=True)
student = DLFRegressor(q=10, random_state=0).fit(X, y, ensemble=teacher)

# %%
# Side by side
# ------------
# The teacher's predictive distribution of y is a mixture over its members, each with its own
# variance of the noise of y. The student's has the variance of its members, and the noise of y that
# was fitted to residuals which members have not seen. Prediction times are those of ``predict``, in
# float64 for the teacher and in float32 for the student.
members = teacher.member_predictions(X_test)
noise = teacher.member_noise_variance_
mean, std = student.predict(X_test, return_std=True)

rng = np.random.RandomState(0)
pick = rng.randint(members.shape[1], size=2000)
teacher_y = members[:, pick] + rng.standard_normal((len(mean), 2000)) * np.sqrt(noise[pick])
teacher_interval = np.quantile(teacher_y, [0.025, 0.975], axis=1).T
student_interval = student.predict_interval(X_test, confidence_level=0.95)
many = X_test.sample(20_000, replace=True, random_state=0)


def seconds(predict):
    """Return the shortest of three times to predict 20,000 rows."""
    return min(timeit.repeat(lambda: predict(many), number=1, repeat=3))


rows = [
    (
        "RMSE",
        ".2f",
        root_mean_squared_error(y_test, members.mean(axis=1)),
        root_mean_squared_error(y_test, mean),
    ),
    (
        "NLL (nats)",
        ".3f",
        gaussian_mixture_nll(y_test, members, np.broadcast_to(noise, members.shape)),
        -neg_nll_scorer(student, X_test, y_test),
    ),
    (
        "CRPS",
        ".2f",
        crps_ensemble(y_test, teacher_y),
        crps_ensemble(y_test, student.sample_y(X_test, 2000, random_state=0)),
    ),
    (
        "coverage of the 95 % interval",
        ".3f",
        interval_coverage(y_test, teacher_interval),
        interval_coverage(y_test, student_interval),
    ),
    ("mean spread of members", ".2f", members.std(axis=1, ddof=1).mean(), std.mean()),
    (
        "parameters",
        ",",
        sum(array.size for array in teacher.coefs_ + teacher.intercepts_),
        sum(tensor.numel() for tensor in student.student_.parameters()),
    ),
    ("pickle (KiB)", ",.0f", len(pickle.dumps(teacher)) / 1024, len(pickle.dumps(student)) / 1024),
    ("20,000 predictions (s)", ".3f", seconds(teacher.predict), seconds(student.predict)),
]
print(f"\n{f'on {len(y_test)} test rows':32}{'teacher':>12}{'student':>12}")
for label, form, of_teacher, of_student in rows:
    print(f"{label:32}{of_teacher:>12{form}}{of_student:>12{form}}")

fidelity = member_fidelity(members, mean, std)
print(f"\nerror of the student's mean:    {fidelity.mean_error:.3f} of the mean's std over rows")
print(f"correlation of the two spreads: {fidelity.std_correlation:.3f}")

# %%
# What the student kept
# ---------------------
# Left: the student's spread against the spread of the fifty networks, row by row. Right: the
# teacher's members and members drawn from the student, along the body mass index.
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
SpreadDisplay.from_estimator(student, X_test, ensemble=teacher, ax=left)

grid = np.linspace(X["bmi"].min(), X["bmi"].max(), 200)
path = X.iloc[[0] * len(grid)].copy()
path[:] = X.median().to_numpy()
path["bmi"] = grid
draws = student.sample_predictions(path, 50, random_state=0)
right.plot(grid, teacher.member_predictions(path), color="0.55", linewidth=0.6, alpha=0.6)
right.plot(grid, draws, color="tab:blue", linewidth=0.6, alpha=0.6)
right.plot([], [], color="0.55", label="50 networks")
right.plot([], [], color="tab:blue", label="50 members drawn from the student")
right.set(
    xlabel="body mass index (standardised)",
    ylabel="disease progression",
    title="Members along one feature, others at their median",
)
right.legend(frameon=False)
plt.show()
