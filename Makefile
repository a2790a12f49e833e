# `make run` and `make test` work on a machine with Python 3.10 or newer and nothing else prepared.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run test slow check fix tables bench docs clean help

help:  ## what there is to make
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/'

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "isbench needs Python 3.10 or newer; name one by make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@rm -rf isbench.egg-info  # left by the build: from here, it would hide models added later
	@touch $@

run: $(READY)  ## play the bundled sample, print the table, draw the curves
	$(BIN)/isbench run --model nearest --model grabcut --model csfpn-mini --dataset sample --stop-iou 1.01 --out runs
	$(BIN)/isbench report runs/sample --plot iou_k --out runs/plots

test: $(READY)  ## the test suite
	$(BIN)/python -m pytest -q -n auto -m 'not slow'

slow: $(READY)  ## the runs on real data and the kill tests
	$(BIN)/python -m pytest -q -m slow

check: $(READY)  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fix: $(READY)  ## mend format and what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

tables: $(READY)  ## write results/TABLES.md, tables.html and tables.csv anew from the committed runs
	$(BIN)/isbench reproduce --budget none

bench: $(READY)  ## whole games and the clicker against plain ones, networks, propagation against diffusion
	$(BIN)/python -m benchmarks.evaluate --dataset sample --model csfpn-mini
	$(BIN)/python benchmarks/clicker.py
	$(BIN)/python benchmarks/networks.py
	$(BIN)/python benchmarks/propagation.py

docs: $(READY)  ## the documentation as a site, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

clean:  ## take away what was built
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
