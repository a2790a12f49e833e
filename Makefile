# `make run` and `make test` need only Python 3.10 or newer.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# what is installed: isbench alone, or with the tools and extras of development
RUNTIME := $(VENV)/runtime
READY := $(VENV)/ready
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable
# the model of `isbench demo` and `isbench predict`
MODEL = $(shell $(BIN)/python -c 'from isbench.models.registry import DEFAULT_MODEL; print(DEFAULT_MODEL)')
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help run test slow fuzz check fix tables bench docs clean
.DEFAULT_GOAL := help

help:  ## show the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/'

$(VENV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "isbench needs Python 3.10 or newer; name one by make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(RUNTIME): pyproject.toml constraints.txt | $(VENV)
	@echo "Installing isbench into $(VENV)..."
	@$(INSTALL) .
	@rm -rf isbench.egg-info  # left over from the build; here it would hide models added later
	@touch $@

$(READY): pyproject.toml constraints.txt | $(VENV)
	@echo "Installing isbench and its development tools into $(VENV)..."
	@$(INSTALL) '.[dev]'
	@rm -rf isbench.egg-info
	@touch $@ $(RUNTIME)

run: $(RUNTIME)  ## run models on the bundled sample, print the table, write a plot and an HTML report
	$(BIN)/isbench run --model nearest --model grabcut --model $(MODEL) --dataset sample --out runs
	$(BIN)/isbench report runs/sample --plot noc_hist --html runs/sample.html --out runs/plots

test: $(READY)  ## run the tests
	$(BIN)/python -m pytest -q -n auto -m 'not slow'

slow: $(READY)  ## run the tests on real data and the kill tests
	$(BIN)/python -m pytest -q -m 'slow and not huge'

fuzz: $(READY)  ## fuzz what isbench reads for about two minutes
	ISBENCH_FUZZ_SECONDS=12 $(BIN)/python -m pytest -q tests/fuzz

check: $(READY) docs  ## check format, lint, types and the links of the documentation
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fix: $(READY)  ## fix format, and what lint can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

tables: $(READY)  ## regenerate results/TABLES.md, tables.html and tables.csv from the committed runs
	$(BIN)/isbench reproduce --budget none

bench: $(READY)  ## time whole games and the clicker against plain ones, networks, propagation against diffusion
	$(BIN)/python -m benchmarks.evaluate --dataset sample --model csfpn-lite
	$(BIN)/python benchmarks/clicker.py
	$(BIN)/python benchmarks/networks.py
	$(BIN)/python benchmarks/propagation.py

# not --quiet, with which --strict lets warnings pass
docs: $(READY)  ## build the documentation site in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean:  ## remove everything that was built
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
