"""
From a frame with categories and gaps
=====================================

The data of penguins in the Palmer archipelago [Gorman2014]_ are a frame with columns of categories,
and some values are missing. Two ensembles learn the mass of a penguin: boosted models, which know
categories and gaps, and a forest behind an encoder. Each is distilled from the frame in one line.

.. [Gorman2014] Gorman, Williams, Fraser. "Ecological sexual dimorphism and environmental
   variability within a community of Antarctic penguins (genus Pygoscelis)". PLOS ONE 2014. The data
   are those of the package ``palmerpenguins``.
"""

# %%
# The frame
# ---------
import warnings

import matplotlib.pyplot as plt
import numpy as np
from lightgbm import LGBMRegressor
from palmerpenguins import load_penguins
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import member_predictions
from sklearn_dlf.exceptions import SeenRowsWarning
from sklearn_dlf.metrics import member_fidelity

# The intervals of y, of which this warns, are not used here.
warnings.simplefilter("ignore", SeenRowsWarning)

penguins = load_penguins().dropna(subset=["body_mass_g"])
categories = ["species", "island", "sex"]
X = penguins.drop(columns="body_mass_g").astype(dict.fromkeys(categories, "category"))
X, X_test, y, y_test = train_test_split(X, penguins["body_mass_g"], test_size=0.4, random_state=0)
print(X.head(4).to_string())
print(f"gaps: {X.isna().sum().to_dict()}")

# %%
# Two ensembles
# -------------
# Boosted models are fitted to bootstrap samples. Lists of XGBoost, CatBoost and scikit-learn's
# boosted models are given like LightGBM's.
rng = np.random.RandomState(0)
samples = [rng.randint(len(X), size=len(X)) for _ in range(10)]


def encoder():
    """Return an unfitted encoder of the frame."""
    return make_column_transformer(
        (
            OneHotEncoder(handle_unknown="ignore", sparse_output=False),
            make_column_selector(dtype_include="category"),
        ),
        (
            SimpleImputer(strategy="median", add_indicator=True),
            make_column_selector(dtype_exclude="category"),
        ),
    )


teachers = {
    "LightGBM": [LGBMRegressor(n_jobs=1, verbose=-1).fit(X.iloc[i], y.iloc[i]) for i in samples],
    "encoder and forest": make_pipeline(encoder(), RandomForestRegressor(random_state=0)).fit(X, y),
}

# %%
# Two students of each
# --------------------
# The first takes the frame. It reads categories and gaps by itself, and learns at made rows too,
# which are frames like X. The second is behind an encoder, and the frame is passed as
# ``X_ensemble``. It cannot make rows.
#
# The error of the mean is in units of the standard deviation of the ensemble's mean over penguins.
spreads = {}
print(f"\n{'':22}{'correlation of spreads':>24}{'error of the mean':>24}")
print(f"{'':22}{'frame':>12}{'encoder':>12}{'frame':>12}{'encoder':>12}")
for name, teacher in teachers.items():
    student = DLFRegressor(random_state=0).fit(X, y, ensemble=teacher)

    encoded = make_pipeline(encoder(), DLFRegressor(random_state=0))
    encoded.fit(X, y, dlfregressor__ensemble=teacher, dlfregressor__X_ensemble=X)

    members = member_predictions(teacher, X_test)
    own, other = (
        member_fidelity(members, *model.predict(X_test, return_std=True))
        for model in (student, encoded)
    )
    print(
        f"{name:22}{own.std_correlation:12.2f}{other.std_correlation:12.2f}"
        f"{own.mean_error:12.2f}{other.mean_error:12.2f}",
        flush=True,
    )
    spreads[name] = (
        members.std(axis=1),
        student.predict(X_test, return_std=True)[1],
        encoded.predict(X_test, return_std=True)[1],
    )

# %%
# The members' spread
# -------------------
# Each point is a test penguin: the spread of the ensemble's members, and that of its student.
figure, axes = plt.subplots(1, 2, figsize=(7, 4.2), layout="constrained")
for ax, (name, (truth, own, other)) in zip(axes, spreads.items(), strict=True):
    ax.scatter(truth, other, s=8, color="0.6", label="student behind an encoder")
    ax.scatter(truth, own, s=8, color="tab:blue", label="student of the frame")
    limits = 0, 1.05 * max(truth.max(), own.max(), other.max())
    ax.plot(limits, limits, color="0.3", linewidth=0.8)
    ax.set(
        title=name, xlim=limits, ylim=limits, xlabel="spread of the ensemble (g)", aspect="equal"
    )
axes[0].set_ylabel("spread of the student (g)")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
plt.show()
