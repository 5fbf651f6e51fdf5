"""
Serving a student by ONNX
=========================

A server may have neither torch nor scikit-learn. One file has all that predicts: scaling, network,
noise of y and quantiles. This example writes it, runs it, and draws members from its outputs.
"""

# %%
# From the teacher to a file
# --------------------------
import pickle
import tempfile
import timeit
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import DeepEnsembleRegressor

X, y = load_diabetes(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, random_state=0)
networks = DeepEnsembleRegressor(50, random_state=0).fit(X, y)
student = DLFRegressor(random_state=0).fit(X, y, ensemble=networks)

folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "student.onnx"
student.to_onnx(path, quantiles=(0.05, 0.5, 0.95))
print(f"pickle of 50 networks {len(pickle.dumps(networks)) / 1024:8,.0f} KiB")
print(f"pickle of the student {len(pickle.dumps(student)) / 1024:8,.0f} KiB")
print(f"file of ONNX          {path.stat().st_size / 1024:8,.0f} KiB")

# %%
# What a server does
# ------------------
# It needs ``onnxruntime`` and numpy.
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(path, options)
names = [each.name for each in session.get_outputs()]
out = dict(zip(names, session.run(None, {"X": X_test}), strict=True))
for name, value in out.items():
    print(f"{name:14} {value.shape}")

mean, std = student.predict(X_test, return_std=True)
difference = max(
    np.abs(out["mean"][:, 0] / mean - 1).max(),
    np.abs(out["std"][:, 0] / std - 1).max(),
    np.abs(out["quantiles"][:, 0] / student.predict_quantiles(X_test) - 1).max(),
)
print(f"largest relative difference from the student: {difference:.1e}")

# %%
# One row at a time
# -----------------
row = X_test[:1]


def microseconds(predict, number):
    """Return the shortest mean time of a call."""
    return min(timeit.repeat(predict, number=number, repeat=3)) / number * 1e6


times = {
    "50 networks, mean": microseconds(lambda: networks.predict(row), 20),
    "student, mean and spread": microseconds(lambda: student.predict(row, return_std=True), 200),
    "ONNX, all outputs": microseconds(lambda: session.run(None, {"X": row}), 200),
    "ONNX, mean and spread": microseconds(lambda: session.run(["mean", "std"], {"X": row}), 200),
}
for name, time in times.items():
    print(f"{name:26}{time:10,.0f} us")

# %%
# Members without Python's packages
# ---------------------------------
# The file returns what members are drawn from. The factors are common to all rows. What they do not
# explain is drawn anew at each row, so that draws are rougher than those of ``sample_predictions``.


def draw_members(out, n_samples, rng):
    """Return draws of members (n, n_outputs, n_samples)."""
    factors = rng.standard_normal((out["loadings"].shape[2], n_samples))
    noise = rng.standard_normal((*out["own_noise"].shape, n_samples))
    members = out["latent_mean"][..., None] + out["loadings"] @ factors
    return members + out["own_noise"][..., None] * noise


members = draw_members(out, 4000, np.random.default_rng(0))[:, 0]
ratio = members.std(axis=1) / std
print(f"spread of 4,000 draws / the student's: {ratio.min():.3f} to {ratio.max():.3f}")

# %%
# Along one column, others at their median: quantiles of y, and draws.
path_rows = np.tile(np.median(X, axis=0), (200, 1))
path_rows[:, 2] = np.linspace(X[:, 2].min(), X[:, 2].max(), 200)
out = dict(zip(names, session.run(None, {"X": path_rows}), strict=True))
low, median, high = out["quantiles"][:, 0].T
draws = draw_members(out, 40, np.random.default_rng(0))[:, 0]

figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
x = path_rows[:, 2]
ax.fill_between(x, low, high, alpha=0.2, label="5 % to 95 % quantile of y")
ax.plot(x, draws, color="0.5", linewidth=0.4)
ax.plot([], [], color="0.5", label="40 drawn members")
ax.plot(x, median, color="tab:blue", label="median of y")
ax.set(xlabel="body mass index (standardised)", ylabel="disease progression")
ax.set_title("From one file, by onnxruntime and numpy")
ax.legend(frameon=False, loc="upper left")
plt.show()
folder.cleanup()
