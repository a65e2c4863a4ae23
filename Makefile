# Two commands do everything: `make demo` and `make test`. Both make .venv first, from the lock.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# Where an image forbids it, each process of the tests would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE
# Tests wait for sockets and processes more than they compute.
WORKERS ?= $(shell expr 2 '*' $$(getconf _NPROCESSORS_ONLN))

.PHONY: demo test lint types unit bench bench-quality bench-load chaos soak serve lock clean help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: $(STAMP) ## ask one question with simulated members, then serve the page
	@$(BIN)/consortium demo $(DEMO)

test: lint types unit ## lint, types and all tests

lint: $(STAMP)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: $(STAMP)
	@$(BIN)/mypy

unit: $(STAMP)
	@$(BIN)/pytest -n $(WORKERS) --maxprocesses 8 --dist loadgroup

bench: $(STAMP) ## measure speed, memory and pauses
	@$(BIN)/python -m tests.bench $(BENCH)

bench-quality: $(STAMP) ## measure answers and confidence on recorded answers
	@$(BIN)/python -m tests.bench.quality $(BENCH)

bench-load: $(STAMP) ## measure what more workers carry than one process
	@$(BIN)/python -m tests.bench.load $(BENCH)

chaos: $(STAMP) ## kill processes and servers while people ask, and look whether each answer stands once
	@$(BIN)/python -m tests.bench.chaos $(CHAOS)

soak: $(STAMP) ## half of what it carries for 20 minutes, and look what grows
	@$(BIN)/python -m tests.bench.soak $(SOAK)

serve: $(STAMP) ## what the Procfile runs, for development
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/honcho start

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; name it with PYTHON=…" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

lock: ## resolve requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --no-emit-index-url --no-annotate --no-header \
		--python-version 3.11 --output-file requirements.lock

clean: ## remove what was built
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
