"""
A Gaussian process at the price of a network
============================================

The time that a Gaussian process needs for a standard deviation grows with the square of the number
of rows that it was fitted to. A student's does not depend on them.
"""

# %%
# Teacher and student
# -------------------
# Two columns, 1,500 rows, and none of them in a ring. The student learns from a thousand draws of
# the posterior. ``q=30`` has room for the directions in which draws vary.
import timeit

import matplotlib.pyplot as plt
import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from sklearn_dlf import DLFRegressor

rng = np.random.RandomState(0)
X = rng.uniform(-3, 3, size=(3000, 2))
radius = np.hypot(*X.T)
X = X[(radius < 1.2) | (radius > 2.2)][:1500]
y = np.sin(1.5 * X[:, 0]) * np.cos(X[:, 1]) + 0.2 * rng.standard_normal(len(X))

kernel = 1.0 * RBF(0.7) + WhiteKernel(0.04)
process = GaussianProcessRegressor(kernel, optimizer=None, random_state=0).fit(X, y)
everywhere = rng.uniform(-3, 3, size=(2000, 2))  # rows of the ring too, without y
student = DLFRegressor(q=30, augment=None, random_state=0)
student = student.fit(X, ensemble=process, X_unlabeled=everywhere)

# %%
# Both spreads on a grid
# ----------------------
# The process returns the standard deviation of its latent function and of the noise together. The
# noise is taken off here: it is no part of a member.
axis = np.linspace(-3, 3, 60)
grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
mean, std = process.predict(grid, return_std=True)
std = np.sqrt(std**2 - kernel.k2.noise_level)
own_mean, own_std = student.predict(grid, return_std=True)
print(f"error of the mean, in its std over the grid: {(own_mean - mean).std() / mean.std():.3f}")
print(f"correlation of the spreads: {np.corrcoef(std, own_std)[0, 1]:.3f}")


def seconds(model):
    """Return the shortest of three times to predict mean and spread at the grid."""
    return min(timeit.repeat(lambda: model.predict(grid, return_std=True), number=1, repeat=3))


print(f"time of the process / time of the student: {seconds(process) / seconds(student):.0f}")

figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
limits = {"vmin": 0, "vmax": std.max(), "extent": (-3, 3, -3, 3), "origin": "lower"}
for ax, values, title in zip(axes, (std, own_std), ("process", "student"), strict=False):
    image = ax.imshow(values.reshape(60, 60), **limits)
    ax.scatter(*X.T, s=0.3, color="w")
    ax.set_title(f"spread: {title}")
figure.colorbar(image, ax=axes[:2], shrink=0.8)
axes[2].scatter(std, own_std, s=4)
axes[2].plot([0, std.max()], [0, std.max()], color="0.5", linewidth=0.8)
axes[2].set(xlabel="spread of the process", ylabel="spread of the student", aspect="equal")
plt.show()
