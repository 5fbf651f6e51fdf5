"""Checks of `gpu.py`: models on a device answer, learn and repeat themselves as they should.

Run as a script, it answers for `check_fresh_process` in a process of its own.
"""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import make_friedman1

from sklearn_dlf.metrics import member_fidelity

N_FEATURES, N_DRAWS, N_CLASSES = 20, 20, 3

# Up to 256 rows are answered in float64, more of them in float32. What is compared is a distance in
# units of the largest answer.
FEW, EXACT_TOLERANCE, SINGLE_TOLERANCE = 100, 1e-9, 2e-5

# A student of the device may have so much more error of the mean, relative to that of the CPU and
# as an absolute share, and so much less correlation of the standard deviation. The two start from
# the same weights and take rows in the same order, but rounding makes them different fits.
MORE_ERROR, ABSOLUTE_ERROR, LESS_CORRELATION = 1.3, 0.01, 0.05


class Checks:
    """Runs checks and parts of the script, and goes on after one that fails."""

    def __init__(self):
        self.failed = []

    def run(self, name, check, *args):
        """Run a check, which raises if it fails; print what it returns, and return it too."""
        try:
            result = check(*args)
        except Exception:
            self.failed.append(name)
            print(f"FAILED {name}\n{traceback.format_exc()}", flush=True)
            return None
        print(f"ok     {name}" + (f": {result}" if isinstance(result, str) else ""), flush=True)
        return result


def make_rows(n_rows, seed):
    """Return rows, values and labels of `N_CLASSES` classes of about the same size."""
    X, y = make_friedman1(n_rows, N_FEATURES, noise=1.0, random_state=seed)
    return X, y, np.digitize(y, [12.0, 17.0])


def all_answers(model, X):
    """Return all answers of a model at rows, by name; draws are those of one seed."""
    answers = {}
    if hasattr(model, "predict_proba"):
        answers["predict_proba"] = model.predict_proba(X)
    else:
        answers["predict"], answers["std"] = model.predict(X, return_std=True)
        if getattr(model, "target_noise_", None) is not None:
            answers["predict_interval"] = model.predict_interval(X)
            answers["sample_y"] = model.sample_y(X, N_DRAWS, random_state=0)
    if hasattr(model, "predict_uncertainty") and hasattr(model, "predict_proba"):
        answers["epistemic"] = model.predict_uncertainty(X).epistemic
    if hasattr(model, "sample_predictions"):
        answers["sample_predictions"] = model.sample_predictions(X, N_DRAWS, random_state=0)
    if hasattr(model, "member_predictions"):
        answers["member_predictions"] = model.member_predictions(X)
    return answers


def compare(answers, others, tolerance):
    """Return the largest distance of two sets of answers as text, or raise if one is too large."""
    distances = {
        name: np.abs(answer - others[name]).max() / np.abs(answer).max()
        for name, answer in answers.items()
    }
    wrong = {name: float(each) for name, each in distances.items() if not each <= tolerance}
    assert not wrong, f"distances beyond {tolerance}: {wrong}"
    name = max(distances, key=distances.get)
    return f"{', '.join(distances)}; largest distance {distances[name]:.1e} ({name})"


def check_device(model, device):
    """Raise if a student's network is not on a device."""
    found = {part.device.type for part in network_tensors(model)}
    assert found == {torch.device(device).type}, found
    return f"{len(network_tensors(model))} parameters and buffers"


def network_tensors(model):
    """Return parameters and buffers of a student's network."""
    return [*model.student_.parameters(), *model.student_.buffers()]


def check_pickle(model, X):
    """Compare the answers of a model with those of its pickle, whose network is on the CPU."""
    restored = pickle.loads(pickle.dumps(model))
    if hasattr(restored, "student_"):
        check_device(restored, "cpu")
    else:  # the parameters of deep ensembles are arrays
        restored.set_params(device="cpu")
    # A body of the user's predicts in float32 at any number of rows.
    exact = SINGLE_TOLERANCE if getattr(model, "body_", None) == "custom" else EXACT_TOLERANCE
    few = compare(all_answers(model, X[:FEW]), all_answers(restored, X[:FEW]), exact)
    many = compare(all_answers(model, X), all_answers(restored, X), SINGLE_TOLERANCE)
    return f"{FEW} rows: {few.rsplit('; ')[-1]}; {len(X)} rows: {many}"


def check_fresh_process(model, X):
    """Compare the answers of a model with those of its pickle in a process that sees no GPU."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pkl"
        path.write_bytes(pickle.dumps((model, X[:FEW])))
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, __file__, str(path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        with np.load(path.with_suffix(".npz")) as others:
            return compare(all_answers(model, X[:FEW]), others, EXACT_TOLERANCE)


def answer(path):
    """Answer for `check_fresh_process`: load a pickle, save all answers beside it."""
    assert not torch.cuda.is_available()
    model, X = pickle.loads(path.read_bytes())
    np.savez(path.with_suffix(".npz"), **all_answers(model, X))


def check_copies(model, X):
    """Compare the answers of a model with those of a copy, and of its network sent to the CPU."""
    rows = X[:FEW]
    wanted = all_answers(model, rows)
    compare(wanted, all_answers(copy.deepcopy(model), rows), EXACT_TOLERANCE)
    device = model.student_.device
    model.student_.to("cpu")
    try:
        return compare(wanted, all_answers(model, rows), EXACT_TOLERANCE)
    finally:
        model.student_.to(device)


def check_conformalize(model, X, y):
    """Check that intervals with a guarantee cover about as often as they claim."""
    half = len(X) // 2
    fitted = copy.copy(model).conformalize(X[:half], y[:half])
    low, high = fitted.predict_interval(X[half:], 0.9).T
    coverage = np.mean((low <= y[half:]) & (y[half:] <= high))
    assert coverage > 0.7, coverage
    return f"covers {coverage:.2f} of {half} new values at a level of 0.9"


def fidelity_of(model, members, X):
    """Return error of the mean, and correlation of the standard deviation with the members'."""
    if hasattr(model, "predict_proba"):  # of the first class
        mean = model.predict_proba(X)[:, 0]
        std = model.sample_predictions(X, 200, random_state=0)[:, 0].std(axis=1)
        members = members[:, 0]
    else:
        mean, std = model.predict(X, return_std=True)
    return member_fidelity(members, mean, std)


def check_quality(models, members, X):
    """Compare the fidelity of a student on the device with one on the CPU."""
    on_cpu, on_device = (fidelity_of(model, members, X) for model in models)
    text = ", ".join(
        f"{name} {on_device[name]:.4f} (CPU {on_cpu[name]:.4f})"
        for name in ("mean_error", "std_ratio", "std_correlation")
    )
    assert on_device.mean_error <= MORE_ERROR * on_cpu.mean_error + ABSOLUTE_ERROR, text
    assert on_device.std_correlation >= on_cpu.std_correlation - LESS_CORRELATION, text
    return text


def check_repeats(make, device, fit):
    """Check that a fit repeats itself, and leaves the device's generator as it was."""
    is_cuda = torch.device(device).type == "cuda"
    before = torch.cuda.get_rng_state(device) if is_cuda else torch.get_rng_state()
    first, second = (fit(make(device=device)) for _ in range(2))
    after = torch.cuda.get_rng_state(device) if is_cuda else torch.get_rng_state()
    assert torch.equal(before, after), "the state of the generator has changed"
    pairs = [*zip(network_tensors(first), network_tensors(second), strict=True)]
    same = all(torch.equal(*pair) for pair in pairs)
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    return f"bit by bit: {'yes' if same else 'no'}"


if __name__ == "__main__":
    answer(Path(sys.argv[1]))
