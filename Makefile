# Two commands for a newcomer: `make demo` runs the main job, `make test` passes the tests. Each sets up what it needs.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_FLAGS := $(if $(EXIT),--exit)

.PHONY: demo dev test lint bench bench-storage setup constraints clean help

help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

demo: setup ## run everything on this machine with a simulated event (EXIT=1: end by itself)
	$(BIN)/mma demo $(DEMO_FLAGS)

dev: setup ## Dagster on dagster_home with the streams that the environment configures
	DAGSTER_HOME=$(CURDIR)/dagster_home $(BIN)/dagster dev -w workspace.yaml

test: setup lint ## lint, types, import directions, all tests
	$(BIN)/python -m pytest

lint: setup ## ruff, mypy, import-linter, docstrings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/lint-imports

bench: setup ## figures beside what a user would run instead, one JSON line each
	$(BIN)/python benchmarks/skymaps.py

bench-storage: setup ## rate of a move between stores beside a plain sequential copy
	PYTHONPATH=$(CURDIR) $(BIN)/python benchmarks/storage.py

setup: $(VENV)/ready ## a virtual environment with every dependency, pinned by hash

$(VENV)/ready: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed (set PYTHON=…)"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) 2>/dev/null || \
	  { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq python3-venv && $(PYTHON) -m venv --clear $(VENV); } || \
	  { echo "cannot make a virtual environment: install python3-venv"; exit 1; }
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r <(sed -n '/^uv==/,/[^\\]$$/p' constraints.txt)
	$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r constraints.txt
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

constraints: ## resolve the dependencies anew
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header -q -o constraints.txt

clean: ## remove the environment, caches and the demo's state
	rm -rf $(VENV) dagster_home/demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
