# Only Python 3.11+ (with venv) and make are needed: uv comes from PyPI into .venv when the machine has none.
SHELL := /bin/sh
PYTHON ?= python3
PORT ?= 8000
ONLY ?=
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
TOOLS := build/tools
UV := $(shell command -v uv 2>/dev/null || echo $(TOOLS)/bin/uv)
PYTEST := $(BIN)/pytest
.DEFAULT_GOAL := help

.PHONY: help demo serve test test-fast lint format types contracts bench docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(TOOLS)/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed (PYTHON=…)." >&2; exit 1; }
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/pip install --quiet --disable-pip-version-check 'uv>=0.9'

build/.installed: pyproject.toml uv.lock | $(UV)
	@mkdir -p build
	@VIRTUAL_ENV= $(UV) sync --quiet --locked --python $(PYTHON)
	@touch $@

build/.installed-demo: pyproject.toml uv.lock | $(UV)
	@mkdir -p build
	@VIRTUAL_ENV= $(UV) sync --quiet --locked --inexact --no-dev --extra demo --python $(PYTHON)
	@touch $@

demo: build/.installed-demo ## load a real retailer's year and serve it on 127.0.0.1:8000 (PORT=)
	@exec $(BIN)/jangbu demo --port $(PORT)

# A file's tests run in one worker and share what is slow to make. (Groups of files would do, but pytest-xdist 3.8 no longer sees
# its own groups with pytest 9.2: pytest-dev/pytest-xdist#1386.)
test: build/.installed ## everything that can run on this machine
	@$(PYTEST) -n $(WORKERS) --dist loadfile

test-fast: build/.installed ## the inner loop: without what takes seconds
	@$(PYTEST) -n $(WORKERS) --dist loadfile -m 'not slow and not real'

lint: build/.installed ## format, lint, types, import contracts
	@$(BIN)/ruff format --check --quiet src tests bench docs
	@$(BIN)/ruff check --quiet src tests bench docs
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: build/.installed ## put the code in its format
	@$(BIN)/ruff format src tests bench docs
	@$(BIN)/ruff check --fix src tests bench docs

bench: build/.installed ## speed beside the raw engine and a peer (ONLY=name)
	@$(BIN)/python -m bench $(ONLY)

docs: build/.installed ## build docs/reference
	@$(BIN)/python -m docs.build

clean: ## remove what was built, the environment included
	@rm -rf build $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
