"""The package as it was at an earlier commit, for benchmarks that compare two versions."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def checked_out(commit: str) -> Iterator[tuple[Path, Path]]:
    """Check a commit out for a block; yield its folder, and one for temporary files."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "earlier"
        add = ["git", "worktree", "add", "--quiet", "--detach", str(tree), commit]
        subprocess.run(add, cwd=ROOT, check=True)
        try:
            yield tree, Path(folder)
        finally:
            remove = ["git", "worktree", "remove", "--force", str(tree)]
            subprocess.run(remove, cwd=ROOT, check=True)


def run_with(tree: Path, command: list[str], **options) -> subprocess.CompletedProcess:
    """Run a command on one thread, with the package of a tree; raise if it fails."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, cwd=tree, check=True, **options)
