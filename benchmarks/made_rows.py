"""Judge made rows: members' spread and distances, relative to the data.

Prints a Markdown table. A cell has the ratios of mean spreads, of their ninth deciles, and of mean
distances to the data, for rows that are made in several ways and for fresh rows; the last column is
what ``augment="auto"`` chooses:

    python benchmarks/made_rows.py --data-dir DIR [--sets energy boston] [--teacher forest]
        [--members 20]

``friedman1``, ``linear`` and the surfaces are generated and ``diabetes`` comes with scikit-learn;
other data sets are files in DIR (see benchmarks/datasets.py).
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from datasets import Split, load_split
from sklearn.datasets import make_friedman1, make_regression
from sklearn.ensemble import BaggingRegressor, HistGradientBoostingRegressor, RandomForestRegressor

from sklearn_dlf._rows.table import Table
from sklearn_dlf._transfer.row_choice import RowChoice
from sklearn_dlf._transfer.row_judge import RowJudge
from sklearn_dlf.datasets import make_curved_surface
from sklearn_dlf.ensembles import DeepEnsembleRegressor, member_predictions, unseen_rows

SETS = [
    *("boston", "concrete", "energy", "wine", "kin8nm", "power", "diabetes"),
    *("friedman1", "linear", "surface", "noisy surface"),
]
WAYS = ["neighbors", "column_groups", "local", "near_neighbors"]

# Rows of large data sets that are used; a choice.
MAX_ROWS = 2000


def make_teacher(kind, n_members):
    """Return an unfitted ensemble."""
    if kind == "boosted":
        return BaggingRegressor(HistGradientBoostingRegressor(), n_members, random_state=0)
    types = {"networks": DeepEnsembleRegressor, "forest": RandomForestRegressor}
    return types[kind](n_members, random_state=0)


def load(name, data_dir):
    """Return one split."""
    if name == "friedman1":
        X, y = make_friedman1(1000, noise=1.0, random_state=0)
    elif name == "linear":
        X, y = make_regression(1000, 10, n_informative=6, noise=20.0, random_state=0)
    elif name.endswith("surface"):
        noise = {"noise": 0.01, "target_noise": 0.1} if name.startswith("noisy") else {}
        data = make_curved_surface(
            1000, **(noise or {"noise": 0.0, "target_noise": 0.0}), random_state=0
        )
        X, y = data.X, data.y
    else:
        split = load_split(name, 0, data_dir)
        return split._replace(X=split.X[:MAX_ROWS], y=split.y[:MAX_ROWS])
    return Split(X[:700], y[:700], X[700:], y[700:])


def main():
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data-dir", help="folder of the data sets that are files")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--teacher", default="networks", choices=["networks", "forest", "boosted"])
    parser.add_argument("--members", type=int, default=20)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    columns = ["", "fresh", *WAYS, "auto"]
    print("| " + " | ".join(columns) + " |\n|" + " --- |" * len(columns))
    for name in args.sets:
        data = load(name, args.data_dir)
        teacher = make_teacher(args.teacher, args.members).fit(data.X, data.y)

        def outputs(table, teacher=teacher):
            return member_predictions(teacher, table.rows)[:, None]

        def fresh(X, n_rows, random_state, rows=data.X_test):
            return rows[random_state.randint(len(rows), size=n_rows)]

        unseen = unseen_rows(teacher, len(data.X))
        table = Table(data.X)
        judge = RowJudge(table, outputs, unseen, seed=0)
        cells = [" ".join(f"{ratio:.2f}" for ratio in judge.judge(way)) for way in (fresh, *WAYS)]
        choice = RowChoice("neighbors", False, np.asarray).choose("auto", table, outputs, unseen, 0)
        print("| " + " | ".join([name, *cells, str(choice.name)]) + " |", flush=True)


if __name__ == "__main__":
    main()
