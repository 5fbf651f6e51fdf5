"""
Rows unlike those of the fit
============================

Where there was nothing to learn from, the members of an ensemble may disagree, and a student should
disagree there too. Whether they do depends on the teacher, and on the rows at which the student was
taught. This example has three teachers of one curved cloud of rows, and rows around it.
"""

# %%
# Teachers and students
# ---------------------
# The rows of `fit` lie on two half moons; rows out of distribution lie in a wide ring around them.
# Each teacher is distilled at the rows of `fit` and what is made of them. The smooth ones are
# distilled once more, with further rows without y from a large square, ``X_unlabeled``.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons
from sklearn.ensemble import RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.metrics import roc_auc_score

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import DeepEnsembleRegressor, FittedEnsemble, member_predictions

rng = np.random.RandomState(0)


def observe(n_rows, seed):
    """Return rows near two half moons, and noisy values of a smooth function."""
    X, _ = make_moons(n_rows, noise=0.15, random_state=seed)
    return X, np.sin(2 * X[:, 0]) + X[:, 1] + 0.1 * rng.standard_normal(n_rows)


X, y = observe(200, 0)
X_test, _ = observe(500, 1)
angle, radius = rng.uniform(0, 2 * np.pi, 500), rng.uniform(2.5, 4, 500)
X_ring = np.array([0.5, 0.25]) + radius[:, None] * np.c_[np.cos(angle), np.sin(angle)]
X_square = rng.uniform([-4, -4], [5, 4.5], size=(300, 2))

kernel = 1.0 * RBF(1.0) + WhiteKernel(0.01)
process = GaussianProcessRegressor(kernel, random_state=0).fit(X, y)
teachers = {
    "process": FittedEnsemble(process, n_members=100),
    "networks": DeepEnsembleRegressor(10, random_state=0).fit(X, y),
    "forest": RandomForestRegressor(100, min_samples_leaf=3, random_state=0).fit(X, y),
}

# %%
# How well spreads tell the ring from test rows
# ---------------------------------------------
# The area under the ROC curve is 1 if the spread is larger at every row of the ring than at any
# test row, and 0.5 by chance. The last column compares the student's spread with the teacher's at
# the rows of the ring.
axis = np.linspace(-4, 5, 60)
grid = np.stack(np.meshgrid(axis, axis - 0.25), axis=-1).reshape(-1, 2)
is_outside = np.repeat([0, 1], 500)
everything = np.concatenate([X_test, X_ring, grid])
maps = {}
print(f"{'':30}{'AUROC':>8}{'spread in the ring, of its teacher':>36}")
for name, teacher in teachers.items():
    spreads = {name: member_predictions(teacher, everything).std(axis=1)}
    for more, further in (("", None), (", square", X_square)):
        if name == "forest" and further is not None:
            continue
        student = DLFRegressor(q=10, n_augmented=4000, random_state=0)
        student = student.fit(X, ensemble=teacher, X_unlabeled=further)
        spreads[f"student of {name}{more}"] = student.predict(everything, return_std=True)[1]
    for who, spread in spreads.items():
        auroc = roc_auc_score(is_outside, spread[:1000])
        share = spread[500:1000].mean() / spreads[name][500:1000].mean()
        print(f"{who:30}{auroc:8.3f}{share:36.2f}")
        maps[who] = spread[1000:]

# %%
# Spreads on the plane
# --------------------
# A row of panels has one scale of colours.
figure, axes = plt.subplots(3, 3, figsize=(10, 8.6), layout="constrained")
for row, name in zip(axes, teachers, strict=True):
    shown = [(who, values) for who, values in maps.items() if who.split(",")[0].endswith(name)]
    for ax in row[len(shown) :]:
        ax.set_axis_off()
    for ax, (who, values) in zip(row, shown, strict=False):
        image = ax.pcolormesh(axis, axis - 0.25, values.reshape(60, 60), vmin=0)
        image.set_clim(0, shown[0][1].max())
        ax.scatter(*X.T, color="w", s=2)
        ax.set_title(who, fontsize=10)
        ax.set_aspect("equal")
    figure.colorbar(image, ax=row, shrink=0.9, label="spread")
plt.show()
