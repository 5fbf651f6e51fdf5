"""The code cites the equations of docs/equations.md by number."""

import re
from pathlib import Path

import sklearn_dlf._latent

PAGE = Path(__file__).parents[2] / "docs" / "equations.md"
MODULES = sorted(Path(sklearn_dlf._latent.__file__).parent.glob("*.py"))


def cited_numbers(text):
    """Numbers of all "Eq. (5)", "Eqs. (2) and (17)" of a text."""
    citations = re.findall(r"Eqs?\. \(\d+\)(?:(?:,| and| to) \(\d+\))*", text)
    return {int(number) for citation in citations for number in re.findall(r"\d+", citation)}


def labels():
    return [int(number) for number in re.findall(r"^:label: eq(\d+)$", PAGE.read_text(), re.M)]


def test_labels_are_the_numbers_that_sphinx_gives():
    assert labels() == list(range(1, len(labels()) + 1))


def test_the_code_and_the_page_cite_equations_that_exist_and_the_code_cites_all():
    code = set().union(*(cited_numbers(module.read_text()) for module in MODULES))
    assert code == set(labels())
    assert cited_numbers(PAGE.read_text()) <= set(labels())
