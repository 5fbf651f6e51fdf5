"""
Serving a student by ONNX
=========================

A server may have neither torch nor scikit-learn. One file has all that predicts: scaling, network,
noise of y and quantiles. This example writes it, runs it, and draws members from its outputs.
"""

# %%
# From the teacher to a file
# --------------------------
# A file holds members that are Gaussian at each row; ``latent="gaussian"`` fits these.
import pickle
import tempfile
import timeit
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import train_test_split

from sklearn_dlf import DLFRegressor

X, y = load_diabetes(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, random_state=0)
forest = RandomForestRegressor(300, min_samples_leaf=3, random_state=0).fit(X, y)
student = DLFRegressor(latent="gaussian", random_state=0).fit(X, y, ensemble=forest)

folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "student.onnx"
student.to_onnx(path, quantiles=(0.05, 0.5, 0.95))
print(f"pickle of the forest  {len(pickle.dumps(forest)) / 1024:8,.0f} KiB")
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
    "forest, mean": microseconds(lambda: forest.predict(row), 5),
    "student, mean and spread": microseconds(lambda: student.predict(row, return_std=True), 200),
    "ONNX, all outputs": microseconds(lambda: session.run(None, {"X": row}), 200),
    "ONNX, mean and spread": microseconds(lambda: session.run(["mean", "std"], {"X": row}), 200),
}
for name, time in times.items():
    print(f"{name:26}{time:10,.0f} us")

# %%
# Members without Python's packages
# ---------------------------------
# The file returns what members are drawn from, so that a server can draw functions of the row: the
# factors are common to all rows.


def draw_members(out, n_samples, rng):
    """Return draws of members (n, n_outputs, n_samples)."""
    factors = rng.standard_normal((out["loadings"].shape[2], n_samples))
    noise = rng.standard_normal((*out["own_noise"].shape, n_samples))
    members = out["latent_mean"][..., None] + out["loadings"] @ factors
    return members + out["own_noise"][..., None] * noise


members = draw_members(out, 4000, np.random.default_rng(0))[:, 0]
ratio = members.std(axis=1) / std
print(f"spread of 4,000 draws / the student's: {ratio.min():.3f} to {ratio.max():.3f}")

order = out["mean"][:, 0].argsort()
low, median, high = out["quantiles"][order, 0].T
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
position = np.arange(len(order))
ax.fill_between(position, low, high, alpha=0.2, label="5 % to 95 % quantile of y")
ax.plot(position, members[order][:, :30], color="0.5", linewidth=0.3)
ax.plot([], [], color="0.5", label="30 drawn members")
ax.plot(position, median, color="tab:blue", label="median")
ax.scatter(position, y_test[order], s=8, color="k", label="y")
ax.set(xlabel="test rows, by their mean", ylabel="disease progression")
ax.set_title("What the server knows, from one file")
ax.legend(frameon=False, ncols=2)
plt.show()
folder.cleanup()
