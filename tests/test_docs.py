from importlib import import_module
from pathlib import Path

import pytest

REFERENCE = Path(__file__).parents[1] / "docs" / "api.rst"
PUBLIC_MODULES = ["ensembles", "baselines", "metrics", "plotting", "datasets", "exceptions"]


@pytest.mark.parametrize(
    "module", ["sklearn_dlf", *(f"sklearn_dlf.{name}" for name in PUBLIC_MODULES)]
)
def test_reference_has_every_public_name(module):
    listed = {line.strip().split(".")[-1] for line in REFERENCE.read_text().splitlines()}
    assert set(import_module(module).__all__) - listed == set()
