# Each target is enough on a machine that has Python (>= 3.10) and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
DOCUMENTED := $(VENV)/documented
OLDEST := .venv-oldest

.PHONY: help demo test lint docs test-oldest clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[plot,test,lint]"
	@touch $@

demo: $(INSTALLED)  ## distil real ensembles, print teachers and students side by side, save figures
	$(BIN)/python examples/demo.py

test: $(INSTALLED)  ## run the whole test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

lint: $(INSTALLED)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(DOCUMENTED): $(INSTALLED)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[docs]"
	@touch $@

docs: $(DOCUMENTED)  ## build the documentation into docs/_build/html, examples run, warnings are errors
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

$(OLDEST)/installed: setup.cfg pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/pip install --quiet --constraint constraints-oldest.txt --editable ".[plot,test]"
	@touch $@

# Older versions of other packages warn of each other, so that warnings are no errors here. Doctests
# are left out: they print numbers as the newest numpy does.
test-oldest: $(OLDEST)/installed  ## run the tests with the oldest supported versions (Python 3.10, 3.11)
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest -n 2 -W default -p no:doctest -o addopts=--import-mode=importlib tests

clean:  ## remove what the targets made
	rm -rf $(VENV) $(OLDEST) *.egg-info .pytest_cache .mypy_cache .ruff_cache demo_*.png
	rm -rf docs/_build docs/auto_examples docs/generated docs/sg_execution_times.rst
