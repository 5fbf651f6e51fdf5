"""A process that has forked, as docs/threads.md describes it."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import os
import torch
torch.set_num_threads(1)
from sklearn_dlf import DLFRegressor
from sklearn_dlf.datasets import make_dlf_ensemble

data = make_dlf_ensemble(n_samples=100, n_members=10, random_state=0)

def fit():
    student = DLFRegressor(q=2, n_epochs=1, tol=1.0, augment=None, random_state=0)
    return student.fit(data.X, predictions=data.predictions)

student = fit()
expected = student.predict(data.X)
child = os.fork()
if child == 0:
    models = student, fit()
    equal = all((model.predict(data.X) == expected).all() for model in models)
    os._exit(0 if equal else 3)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


# The parent and its child predict many rows, by layers of which a block of rows is nearly too large
# for one thread.
PREDICTS_IN_THREADS = """
import os
import numpy as np
import torch
from sklearn_dlf import DLFRegressor

torch.set_num_threads(2)
rng = np.random.RandomState(0)
X = rng.standard_normal((100, 3))
members = X @ rng.standard_normal((3, 10))
student = DLFRegressor(
    q=2, hidden_layer_sizes=(200, 200), n_epochs=1, tol=1.0, augment=None, random_state=0
).fit(X, predictions=members)
rows = np.resize(X, (40_000, 3))
expected = student.predict(rows)
child = os.fork()
if child == 0:
    os._exit(0 if (student.predict(rows) == expected).all() else 3)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

# All ways of predicting, at rows for which a library of products might take several threads.
PREDICTS_ALL = """
import os
import numpy as np
import torch
from sklearn_dlf import DLFClassifier, DLFRegressor

torch.set_num_threads(2)
rng = np.random.RandomState(0)
X = rng.standard_normal((120, 20))
brief = dict(n_epochs=1, tol=1.0, max_iter=2, augment=None, random_state=0)
members = X @ rng.standard_normal((20, 12))
students = [DLFRegressor(q=4, **brief).fit(X, members.mean(axis=1), predictions=members)]
for n_classes in (2, 10):
    odds = np.exp(np.einsum("ij,jkm->ikm", X, rng.standard_normal((20, n_classes, 12))))
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    students.append(DLFClassifier(refine=2, **brief).fit(X, predictions=probabilities))

def call():
    for student in students:
        for name in (
            "predict", "predict_proba", "predict_uncertainty", "predict_interval",
            "predict_quantiles", "sample_predictions", "sample_y",
        ):
            for n_rows in (1, 8, 120):
                if hasattr(student, name):
                    getattr(student, name)(X[:n_rows])

call()
child = os.fork()
if child == 0:
    call()
    os._exit(0)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize(
    "script",
    [SCRIPT, PREDICTS_IN_THREADS, PREDICTS_ALL],
    ids=["one thread", "many rows", "all predictions"],
)
def test_a_forked_process_predicts(script):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], timeout=300, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
