# Only Python 3.11+ (with venv) and make are needed: uv comes from PyPI into .venv when the machine has none.
SHELL := /bin/sh
PYTHON ?= python3
PORT ?= 8000
ONLY ?=
RUNS ?= 5000
SECONDS ?= 300
WORKERS ?= 3
UP ?=
DOWN ?=
VENV := .venv
BIN := $(VENV)/bin
TOOLS := build/tools
UV := $(shell command -v uv 2>/dev/null || echo $(TOOLS)/bin/uv)
PYTEST := $(BIN)/pytest
.DEFAULT_GOAL := help
# A registry may be away for a moment.
export UV_HTTP_RETRIES ?= 8

.PHONY: help demo demo-distributed serve test test-fast lint format types contracts bench soak faults docs services services-fetch services-install clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(TOOLS)/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed (PYTHON=…)." >&2; exit 1; }
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/pip install --quiet --disable-pip-version-check 'uv>=0.9'

# Compiled ahead: the tests start hundreds of processes, which may not be allowed to keep what they compile.
build/.installed: pyproject.toml uv.lock | $(UV)
	@mkdir -p build
	@VIRTUAL_ENV= $(UV) sync --quiet --locked --compile-bytecode --python $(PYTHON)
	@$(BIN)/python -m compileall -q src services tests
	@touch $@

build/.installed-demo: pyproject.toml uv.lock | $(UV)
	@mkdir -p build
	@VIRTUAL_ENV= $(UV) sync --quiet --locked --inexact --no-default-groups --extra demo --python $(PYTHON)
	@touch $@

demo: build/.installed-demo ## load a real retailer's year and serve it on 127.0.0.1:8000 (PORT=)
	@exec $(BIN)/jangbu demo --port $(PORT)

build/.installed-distributed: pyproject.toml uv.lock | $(UV)
	@mkdir -p build
	@VIRTUAL_ENV= $(UV) sync --quiet --locked --inexact --no-default-groups $(addprefix --extra ,demo postgres redis s3 sqs trino) --python $(PYTHON)
	@touch $@

demo-distributed: build/.installed-distributed ## the same at scale: 2 APIs, 2 workers, scheduler over real servers (PORT=, and the next; Java)
	@exec $(BIN)/python -m services demo --port $(PORT)

# A file's tests run in one worker and share what is slow to make. (Groups of files would do, but pytest-xdist 3.8 no longer sees
# its own groups with pytest 9.2: pytest-dev/pytest-xdist#1386.) Three, as they wait for servers and processes half of the time.
test: build/.installed ## everything that can run on this machine
	@$(PYTEST) -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-fast: build/.installed ## the inner loop: without what takes seconds
	@$(PYTEST) -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m 'not slow and not real and not services'

lint: build/.installed ## format, lint, types, import contracts
	@$(BIN)/ruff format --check --quiet src tests bench docs services
	@$(BIN)/ruff check --quiet src tests bench docs services
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: build/.installed ## put the code in its format
	@$(BIN)/ruff format src tests bench docs services
	@$(BIN)/ruff check --fix src tests bench docs services

bench: build/.installed ## speed beside the raw engine and a peer (ONLY=name; ROWS=1M,3M: the sizes of scale)
	@ROWS=$(ROWS) $(BIN)/python -m bench $(ONLY)

soak: build/.installed ## kill loads and upkeep 5,000 times (RUNS=), then let processes die beside readers for 300 s (SECONDS=)
	@PYTHONPATH=tests $(BIN)/python -m faults.soak $(RUNS) $(SECONDS)

faults: build/.installed ## kill, freeze, cut off and slow each server while questions and loads go on (ONLY=part)
	@PYTHONPATH=tests $(BIN)/python -m faults.matrix $(ONLY)

docs: build/.installed ## build docs/reference
	@$(BIN)/python -m docs.build

services: build/.installed ## real servers for work by hand: list, start, stop (UP=postgres,trino DOWN=all)
	@$(BIN)/python -m services $(if $(UP),up $(UP),$(if $(DOWN),down $(DOWN),list))

services-fetch: build/.installed ## fetch the software of all real servers ahead of the tests
	@$(BIN)/python -m services fetch all

services-install: ## what some real servers need from Debian (as root)
	@sh services/install.sh

clean: ## remove what was built, the environment included
	@rm -rf build $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
