"""The code of the page on deployment that needs further packages runs as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "deployment.md"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_blocks_that_need_further_packages_run(tmp_path, monkeypatch):
    for name in ("onnx", "onnxruntime", "safetensors", "skops", "pandas"):
        pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    first = "\n".join(
        line[4:] for line in blocks[0].splitlines() if line.startswith((">>>", "..."))
    )
    plain = [block for block in blocks if ">>>" not in block]
    assert len(plain) == 9
    names = {"np": np}
    for block in [first, *plain]:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["out"]["mean"].shape == (150, 1)
