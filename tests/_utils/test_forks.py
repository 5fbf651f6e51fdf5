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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_of_a_process_whose_torch_has_one_thread_predicts_and_fits():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT], timeout=300, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
