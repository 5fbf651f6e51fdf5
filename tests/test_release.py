"""What a release is made from says the same everywhere."""

import re
from configparser import ConfigParser
from pathlib import Path

import sklearn_dlf

ROOT = Path(__file__).parents[1]
WORKFLOW = (ROOT / ".github" / "workflows" / "tests.yml").read_text()
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_every_supported_python_has_a_leg():
    settings = ConfigParser()
    settings.read(ROOT / "setup.cfg")
    supported = re.findall(r"Python :: (3\.\d+)", settings["metadata"]["classifiers"])
    legs = re.search(r"python-version: \[(.*)\]", WORKFLOW).group(1)
    assert re.findall(r"3\.\d+", legs) == supported
    assert settings["options"]["python_requires"] == f">={supported[0]}"


def test_targets_of_the_workflow_are_in_the_makefile():
    wanted = set(re.findall(r"run: make ([a-z-]+)", WORKFLOW))
    there = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert {"test", "test-oldest", "test-newest", "lint", "docs", "dist"} <= wanted <= there


def test_changelog_begins_with_the_version_and_has_the_usual_sections():
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    versions = [line[3:] for line in lines if line.startswith("## ")]
    assert re.fullmatch(r"\d+\.\d+\.\d+ \((unreleased|\d{4}-\d\d-\d\d)\)", versions[0])
    assert versions[0].split()[0] == sklearn_dlf.__version__
    sections = [line[4:] for line in lines if line.startswith("### ")]
    assert sections
    assert set(sections) <= KINDS


def test_citation_names_the_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.*)$", citation, flags=re.MULTILINE).group(1) == (
        sklearn_dlf.__version__
    )
