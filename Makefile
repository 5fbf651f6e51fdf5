# Each target is enough on a machine that has Python (>= 3.10) and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
DOCUMENTED := $(VENV)/documented
OLDEST := .venv-oldest
NEWEST := .venv-newest
RELEASE := .venv-release
BARE := .venv-bare

.PHONY: help demo test coverage lint docs test-oldest test-newest dist clean

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

coverage: $(INSTALLED)  ## the same, with the share of lines that tests run; below 95 % is an error
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --cov --cov-report=
	$(BIN)/python -m coverage report --skip-covered --fail-under=95

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

# Deprecations of other packages are warnings here, and errors in `make test`.
test-newest:  ## run the tests with the newest versions of all packages
	$(PYTHON) -m venv --clear $(NEWEST)
	$(NEWEST)/bin/pip install --quiet --editable ".[plot,test]"
	OMP_NUM_THREADS=1 $(NEWEST)/bin/python -m pytest -n 2 -W default

# The sdist is built first, and the wheel from it, so that both are complete. A bare environment has
# what the package needs and nothing else; it is used from another folder.
dist:  ## build wheel and sdist, check their metadata, install each and fit a student
	rm -rf dist
	$(PYTHON) -m venv --clear $(RELEASE)
	$(RELEASE)/bin/pip install --quiet build cffconvert twine
	$(RELEASE)/bin/cffconvert --validate
	$(RELEASE)/bin/python -m build --outdir dist .
	$(RELEASE)/bin/twine check --strict dist/*
	$(PYTHON) -m venv --clear $(BARE)
	for file in dist/*.whl dist/*.tar.gz; do \
		$(BARE)/bin/pip install --quiet --constraint constraints.txt $$file || exit 1; \
		$(BARE)/bin/pip check || exit 1; \
		(cd $(BARE) && bin/python ../tests/smoke.py) || exit 1; \
		$(BARE)/bin/pip uninstall --quiet --yes sklearn-dlf; \
	done

clean:  ## remove what the targets made
	rm -rf $(VENV) $(OLDEST) $(NEWEST) $(RELEASE) $(BARE) dist build *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .coverage demo_*.png
	rm -rf docs/_build docs/auto_examples docs/generated docs/sg_execution_times.rst
