"""Students of members that fall into groups: the smoothed law against the Gaussian.

Prints a Markdown table. Members are random smooth functions of three columns, in two groups at a
distance in units of their spread within a group. Cells are energy distances (squared, mean over
rows, or of all rows jointly) under the smoothed law, relative to those under the Gaussian law of
the same student: to the learnt members, and to 400 held-out ones. The last column is the distance
between learnt and held-out members, in the same unit: students of so few members can hardly be
nearer. Means over seeds:

    python benchmarks/groups.py [--seeds 3]

False alarms: how many of 100 students take the smoothed law though their members are draws of a
Gaussian process, of random length scale and number. Students are small, for speed:

    python benchmarks/groups.py --false-alarms 100
"""

from __future__ import annotations

import argparse
import copy
import warnings

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import energy_distance
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from sklearn_dlf import DLFRegressor

# Distance of the groups, and members that are learnt.
CASES = [(8, 50), (8, 100), (4, 50), (4, 100), (0, 100)]

N_HELD_OUT, N_DRAWS = 400, 1000


def make_members(X, distance, n_members, functions, rng):
    """Return members (n, n_members) in two groups of equal size."""
    frequencies, phases, direction = functions
    features = np.cos(X @ frequencies + phases) * np.sqrt(2 / len(phases))
    members = features @ rng.normal(size=(len(phases), n_members))
    side = rng.permutation(np.arange(n_members) % 2) - 0.5
    return members + distance * side * (1 + 0.5 * np.sin(X @ direction))[:, None]


def by_row(left, right):
    """Return the mean over rows of the squared energy distance of two sets of members."""
    return np.mean([energy_distance(a, b) ** 2 for a, b in zip(left, right, strict=True)])


def jointly(left, right):
    """Return the squared energy distance of two sets of members, as vectors over rows."""
    own = [
        cdist(each.T, each.T).sum() / (each.shape[1] * (each.shape[1] - 1))
        for each in (left, right)
    ]
    return 2 * cdist(left.T, right.T).mean() - sum(own)


def measure(distance, n_members, seed):
    """Return the gain, and the ratios of energy distances."""
    rng = np.random.RandomState(seed)
    functions = rng.normal(size=(3, 40)), rng.uniform(0, 7, size=40), rng.normal(size=3)
    X, X_fresh = rng.normal(size=(600, 3)), rng.normal(size=(200, 3))
    rows = np.concatenate([X, X_fresh])
    members = make_members(rows, distance, n_members + N_HELD_OUT, functions, rng)
    learnt, held_out = members[:, :n_members], members[:, n_members:]
    smoothed = DLFRegressor(q=10, latent="smoothed", random_state=seed)
    smoothed.fit(X, predictions=learnt[: len(X)])
    gaussian = copy.copy(smoothed)
    gaussian.latent_law_ = None
    learnt, held_out = learnt[len(X) :], held_out[len(X) :]
    own, other = (
        each.sample_predictions(X_fresh, N_DRAWS, random_state=seed)
        for each in (smoothed, gaussian)
    )
    return [
        smoothed.latent_gain_,
        by_row(learnt, own) / by_row(learnt, other),
        by_row(held_out, own) / by_row(held_out, other),
        jointly(held_out, own) / jointly(held_out, other),
        by_row(learnt, held_out) / by_row(held_out, other),
    ]


def find_gain(seed):
    """Return the gain and the chosen law of a student of draws of a Gaussian process."""
    rng = np.random.RandomState(seed)
    X = rng.normal(size=(80, 2))
    process = GaussianProcessRegressor(RBF(rng.uniform(0.7, 3.0)), alpha=1e-6)
    members = process.sample_y(X, rng.randint(20, 101), random_state=seed)
    student = DLFRegressor(
        q=5, tol=0.1, hidden_layer_sizes=30, body="mlp", augment=None, random_state=seed
    )
    student.fit(X, predictions=members)
    return student.latent_gain_, student.latent_law_ is not None


def print_false_alarms(n_ensembles):
    """Print how often groups are found where there are none."""
    gains, alarms = np.array([find_gain(seed) for seed in range(n_ensembles)]).T
    print(
        f"{alarms.sum():.0f} false alarms in {n_ensembles} ensembles; gain in nats: median "
        f"{np.median(gains):.2f}, largest {gains.max():.2f}"
    )


def main():
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--false-alarms", type=int, metavar="N", help="ensembles without groups")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    if args.false_alarms:
        print_false_alarms(args.false_alarms)
        return
    columns = ["distance", "members", "gain (nats)", "learnt, by row", "held out, by row"]
    columns += ["held out, jointly", "learnt from held out"]
    print("| " + " | ".join(columns) + " |\n|" + " --- |" * len(columns), flush=True)
    for distance, n_members in CASES:
        values = np.mean([measure(distance, n_members, s) for s in range(args.seeds)], axis=0)
        cells = [f"{values[0]:.0f}", *(f"{value:.2f}" for value in values[1:])]
        print(f"| {distance} | {n_members} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
