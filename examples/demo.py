"""
A deep ensemble in a few kilobytes
==================================

Fifty networks are trained on the diabetes data that scikit-learn bundles, and distilled into one
student. Prints teacher and student side by side on rows that neither has seen, and saves a figure.
"""

# %%
# Teacher and student
# -------------------
import pickle
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import DeepEnsembleRegressor
from sklearn_dlf.metrics import (
    crps_ensemble,
    gaussian_mixture_nll,
    interval_coverage,
    member_fidelity,
)

X, y = load_diabetes(return_X_y=True, as_frame=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=0)

print("training 50 networks ...", flush=True)
teacher = DeepEnsembleRegressor(n_estimators=50, random_state=0).fit(X, y)
print("distilling them ...", flush=True)
student = DLFRegressor(q=10, random_state=0).fit(X, y, ensemble=teacher)

# %%
# Side by side
# ------------
# The teacher's predictive distribution is the mixture of its members, each with the variance of y
# around it; the student's is its Gaussian spread plus its inverse gamma of that variance.
# Prediction times are those of ``predict``: float64 in the teacher, float32 in the student.
members = teacher.member_predictions(X_test)
noise = student.target_noise_.member_variances.T
mean, std = student.predict(X_test, return_std=True)
variance = std[:, None] ** 2 + student.target_noise_.nodes()

rng = np.random.RandomState(0)
pick = rng.randint(members.shape[1], size=2000)
teacher_y = members[:, pick] + rng.standard_normal((len(mean), 2000)) * np.sqrt(noise[:, pick])
teacher_interval = np.quantile(teacher_y, [0.025, 0.975], axis=1).T
student_interval = student.predict_interval(X_test, confidence_level=0.95)


def seconds(predict, n_repeats=5):
    """Shortest time to predict 100,000 rows, after one call to warm up."""
    rows = X_test.sample(100_000, replace=True, random_state=0)
    predict(rows)
    times = []
    for _ in range(n_repeats):
        began = time.perf_counter()
        predict(rows)
        times.append(time.perf_counter() - began)
    return min(times)


def rmse(prediction):
    """Root mean squared error on the test rows."""
    return np.sqrt(np.mean((y_test - prediction) ** 2))


n_inputs, sizes = X.shape[1], [100, 100, 1]
n_weights = sum((a + 1) * b for a, b in zip([n_inputs, 100, 100], sizes, strict=True))
fidelity = member_fidelity(members, mean, std)
rows = [
    ("RMSE", rmse(members.mean(axis=1)), rmse(mean)),
    (
        "NLL (nats)",
        gaussian_mixture_nll(y_test, members, np.broadcast_to(noise, members.shape)),
        gaussian_mixture_nll(y_test, np.broadcast_to(mean[:, None], variance.shape), variance),
    ),
    (
        "CRPS",
        crps_ensemble(y_test, teacher_y),
        crps_ensemble(y_test, student.sample_y(X_test, 2000, random_state=0)),
    ),
    (
        "coverage of the 95 % interval",
        interval_coverage(y_test, teacher_interval),
        interval_coverage(y_test, student_interval),
    ),
    ("mean spread of members", members.std(axis=1, ddof=1).mean(), std.mean()),
    ("parameters", 50 * n_weights, sum(p.numel() for p in student.student_.parameters())),
    ("pickle (KiB)", len(pickle.dumps(teacher)) / 1024, len(pickle.dumps(student)) / 1024),
    ("100,000 predictions (s)", seconds(teacher.predict), seconds(student.predict)),
]
print(f"\n{'on ' + str(len(y_test)) + ' test rows':32}{'teacher':>12}{'student':>12}")
for label, of_teacher, of_student in rows:
    print(f"{label:32}{of_teacher:12,.3f}{of_student:12,.3f}")
print(f"\nerror of the student's mean:   {fidelity.mean_error:.3f} of the mean's std over rows")
print(f"correlation of the two spreads: {fidelity.std_correlation:.3f}")

# %%
# What the student kept
# ---------------------
# Left: spread of the fifty networks against that of the student, row by row. Right: the teacher's
# members and members drawn from the student, along the feature that matters most.
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
teacher_std = members.std(axis=1, ddof=1)
limits = [0, 1.05 * max(teacher_std.max(), std.max())]
left.plot(limits, limits, color="0.7", linewidth=1, zorder=0)
left.scatter(teacher_std, std, s=14, color="tab:blue", alpha=0.7, linewidth=0)
left.set(
    xlabel="spread of the 50 networks",
    ylabel="spread of the student",
    xlim=limits,
    ylim=limits,
    title=f"Spread on test rows, correlation {fidelity.std_correlation:.2f}",
)

grid = np.linspace(X["bmi"].min(), X["bmi"].max(), 200)
path = X.iloc[[0] * len(grid)].copy()
path[:] = X.median().to_numpy()
path["bmi"] = grid
smooth = student.latent_parameters(path)
draws = smooth.mean + smooth.loadings[:, 0] @ rng.standard_normal((student.q_, 50))
right.plot(grid, teacher.member_predictions(path), color="0.55", linewidth=0.6, alpha=0.6)
right.plot(grid, draws, color="tab:blue", linewidth=0.6, alpha=0.6)
right.plot([], [], color="0.55", label="50 networks")
right.plot([], [], color="tab:blue", label="50 draws of the student's factors")
right.set(
    xlabel="body mass index (standardised)",
    ylabel="disease progression",
    title="Members along one feature, others at their median",
)
right.legend(frameon=False)
figure.savefig("demo.png", dpi=150)
print("\nfigure saved to demo.png")
