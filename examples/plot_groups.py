"""
Members in two groups
=====================

Members of an ensemble may agree on one of two answers. A Gaussian student has their mean and
spread, but its draws lie between the groups, where no member is. By default, a student finds the
groups, and draws members like those of the ensemble.
"""

# %%
# An ensemble with two groups of members
# --------------------------------------
# Sixty smooth functions; half of them go up where the others go down.
import warnings

import matplotlib.pyplot as plt
import numpy as np

from sklearn_dlf import DLFRegressor

rng = np.random.RandomState(0)
X = np.linspace(-3, 3, 300)[:, None]
side = np.repeat([-1.0, 1.0], 30)
frequencies, phases = rng.normal(size=20), rng.uniform(0, 2 * np.pi, 20)
wiggles = np.cos(X * frequencies + phases) @ rng.normal(size=(20, 60)) / np.sqrt(20)
members = 0.3 * wiggles + side / (1 + np.exp(-3 * X))

# %%
# Two students
# ------------
# ``latent="auto"``, the default, compares the likelihood of members near one another with that of
# Gaussian ones. ``latent="gaussian"`` warns if groups are lost.
student = DLFRegressor(random_state=0).fit(X, predictions=members)
print(f"gain of the smoothed law over the Gaussian: {student.latent_gain_:.0f} nats")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    gaussian = DLFRegressor(latent="gaussian", random_state=0).fit(X, predictions=members)
print(next(str(each.message) for each in caught if "Gaussian" in str(each.message)))

# %%
# Draws of both
# -------------
# Both have the same mean and spread. The draws differ.
figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), sharey=True, layout="constrained")
axes[0].plot(X, members, color="0.5", linewidth=0.6)
axes[0].set_title("60 members of the ensemble")
for axis, each, name in ((axes[1], gaussian, "gaussian"), (axes[2], student, "auto")):
    mean, std = each.predict(X, return_std=True)
    axis.plot(X, each.sample_predictions(X, 60, random_state=1), color="tab:blue", linewidth=0.6)
    axis.fill_between(X[:, 0], mean - std, mean + std, color="k", alpha=0.15, label="one spread")
    axis.set_title(f'60 draws, latent="{name}"')
axes[1].legend(frameon=False, loc="upper left")
plt.show()
