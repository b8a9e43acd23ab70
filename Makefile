# Stagecast. `make help` lists what can be done here.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOST ?= 127.0.0.1
PORT ?= 8000
# More pytest arguments: make test ARGS='tests/unit -k channel'
ARGS ?=

# Every artefact is checked against its hash. --no-deps: the locks are complete, so pip has nothing to resolve.
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet --no-deps
# Without isolation the build uses the setuptools of the lock: nothing that is not pinned is ever downloaded.
INSTALL_PROJECT := $(PIP_INSTALL) --no-build-isolation --editable .

.PHONY: help setup run test faults bench knee system-packages lint format types layers compose-check check lock clean

help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z%-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready-dev ## .venv with everything that running, testing and checking need

run: $(VENV)/.ready-run ## set-up, migrations, then the server at http://127.0.0.1:8000 (PORT=, HOST=)
	@$(BIN)/stagecast migrate
	@exec $(BIN)/stagecast serve --host $(HOST) --port $(PORT)

test: setup system-packages ## set-up, then all tests (ARGS= for pytest)
	$(BIN)/python -m pytest $(ARGS)

# How long the faults strike, over both stacks, and the seed that repeats a run (none: a new one is drawn and printed).
SECONDS ?= 600
SEED ?=
faults: setup system-packages ## ten minutes of random faults; writes docs/faults.md and its picture (SECONDS=, SEED=)
	@$(BIN)/python -m tests.faults.run --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) --write docs

# Nothing else should run on the machine meanwhile. ARGS='--pairs 9' for more rounds; fewer than 5 write nothing.
bench: $(VENV)/.ready-bench ## every bar against its peers, at most 15 minutes; writes loadtests/results/bench.* and the README's table
	@.ci/system-packages bench
	@$(BIN)/python -m loadtests.bench $(ARGS)

bench-%: $(VENV)/.ready-bench ## one bar: make bench-P1
	@.ci/system-packages bench
	@$(BIN)/python -m loadtests.bench $* $(ARGS)

knee: $(VENV)/.ready-bench ## realistic guests at growing load until the knee, under 4 minutes; writes loadtests/results/knee.* and the README's lines
	@$(BIN)/python -m loadtests.knee $(ARGS)

system-packages: ## what the tests need of the system: redis-server, postgresql, chromium, a CJK font
	@.ci/system-packages

lint: setup ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup ## ruff: put the format right, and what else it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup ## mypy, strict
	$(BIN)/mypy

layers: setup ## who may import whom
	$(BIN)/lint-imports --no-logo

compose-check: setup ## compose.yaml against the compose schema (offline)
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml

check: lint types layers compose-check ## everything but the tests

# uv resolves for every platform and Python at once, which pip can't; only this target needs it. All locks also hold
# what builds the project itself, and have the same versions.
# UPGRADE=--upgrade takes the newest versions that pyproject.toml allows.
UPGRADE ?=
LOCK_OPTIONS := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet
BUILD_REQUIRES := $(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")'
lock: $(VENV)/.ready-dev ## resolve pyproject.toml anew into the three lock files (UPGRADE=--upgrade)
	$(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet 'uv>=0.9'
	$(BUILD_REQUIRES) | $(BIN)/uv pip compile pyproject.toml - --extra dev $(LOCK_OPTIONS) $(UPGRADE) --output-file requirements.lock
	$(BUILD_REQUIRES) | $(BIN)/uv pip compile pyproject.toml - --constraint requirements.lock $(LOCK_OPTIONS) --output-file requirements-run.lock
	$(BUILD_REQUIRES) | $(BIN)/uv pip compile pyproject.toml - --extra dev --extra bench --constraint requirements.lock $(LOCK_OPTIONS) --output-file requirements-bench.lock

clean: ## remove .venv, caches and build output (never data/)
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps: a second `make` has nothing to install. pyproject.toml is in them for the console script.
$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is missing. Python 3.11 or newer is needed; name it with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $$($(PYTHON) --version) is too old. Python 3.11 or newer is needed; name it with PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: $(PYTHON) has no venv module. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.ready-run: $(VENV)/bin/python requirements-run.lock pyproject.toml
	@echo "Installing what the server needs (requirements-run.lock); the first time takes about half a minute"
	@$(PIP_INSTALL) --require-hashes --requirement requirements-run.lock
	@$(INSTALL_PROJECT)
	@touch $@

$(VENV)/.ready-dev: $(VENV)/bin/python requirements.lock pyproject.toml
	@echo "Installing what the tests and checks need (requirements.lock); the first time takes about a minute"
	@$(PIP_INSTALL) --require-hashes --requirement requirements.lock
	@$(INSTALL_PROJECT)
	@touch $(VENV)/.ready-run $@

$(VENV)/.ready-bench: $(VENV)/bin/python requirements-bench.lock pyproject.toml
	@echo "Installing what the benchmark needs (requirements-bench.lock)"
	@$(PIP_INSTALL) --require-hashes --requirement requirements-bench.lock
	@$(INSTALL_PROJECT)
	@touch $(VENV)/.ready-run $(VENV)/.ready-dev $@
