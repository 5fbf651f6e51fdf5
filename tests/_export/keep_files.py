"""Writes the files of this format that `test_state.py` reads.

``PYTHONPATH=.:tests python tests/_export/keep_files.py``, where the format has grown only. Files of
earlier formats are kept.
"""

import pickle
from pathlib import Path

import numpy as np
from every_student import make_student

from sklearn_dlf._export.state import FORMAT

KINDS = ["noise_of_rows", "separable_classes", "frame"]
FOLDER = Path(__file__).parent / "kept"


def predict(student, X):
    """Return what is compared: quantiles of y, or probabilities."""
    return (
        student.predict_proba(X)
        if hasattr(student, "predict_proba")
        else student.predict_interval(X)
    )


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    expected = {}
    for kind in KINDS:
        student, X = make_student(kind)
        # Protocol 4 is read by every version of Python that is supported.
        (FOLDER / f"format_{FORMAT}_{kind}.pickle").write_bytes(pickle.dumps(student, protocol=4))
        expected[kind] = predict(student, X[:10])
    np.savez_compressed(FOLDER / f"format_{FORMAT}.npz", **expected)
    for path in sorted(FOLDER.iterdir()):
        print(f"{path.stat().st_size:6} bytes {path.name}")
