# Dayfly's tasks. `make run` and `make test` need Python 3.11+ and make, and set up everything else themselves.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
PYTHON ?= python3
BIN := .venv/bin
# All of the machine's cores; `make test JOBS=1` runs in one process.
JOBS ?= auto

.PHONY: help install run test lint format interop bench soak fuzz proto lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  \033[1m%-8s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The lock names every distribution with its hashes, so what is installed is what was tested.
.venv/core: requirements/core.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Dayfly needs Python 3.11 or newer; name one with make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --quiet --require-hashes -r requirements/core.lock
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: .venv/core requirements/dev.lock
	$(BIN)/pip install --disable-pip-version-check --quiet --require-hashes -r requirements/dev.lock
	@touch $@

install: .venv/dev ## Make .venv with Dayfly and its development tools

run: .venv/core ## Start a private instance for development on http://127.0.0.1:5555
	$(BIN)/dayfly dev

test: .venv/dev ## Run the tests
	$(BIN)/pytest -n $(JOBS) -q

lint: .venv/dev ## Check style, types, layers and the files under deploy/
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/hadolint deploy/Dockerfile

format: .venv/dev ## Put the code into its standard form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

interop: .venv/dev ## Drive a live Dayfly with real clients, a real log and a real identity provider
	tests/e2e/install-tools
	$(BIN)/pytest -q tests/e2e --timeout 600

bench: .venv/dev ## Measure what a certificate costs, beside Fulcio where it is installed, and an entry of the log
	$(BIN)/python -m tests.bench

# SOAK_SECONDS, 600 by default, and SOAK_RATE, 60 requests a second.
soak: .venv/dev ## Hold a whole instance under load and mishaps for ten minutes; needs redis-server
	$(BIN)/python -m tests.soak

proto: .venv/dev ## Write ca/rpc/proto/fulcio_pb2.py and .pyi from fulcio.proto
	$(BIN)/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. ca/rpc/proto/fulcio.proto

# FUZZ_SECONDS, 60 by default, for each parser and for the API.
fuzz: export FUZZ_SECONDS ?= 60
fuzz: .venv/dev ## Fuzz everything that reads what others wrote; findings are left in .fuzz/findings
	$(BIN)/python -m tests.fuzz
	$(BIN)/pytest -q tests/faults/test_row_23_api_fuzz.py

lock: ## Resolve the newest versions that pyproject.toml allows into requirements/
	$(BIN)/pip install --disable-pip-version-check --quiet uv
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml --extra grpc --extra login --extra tuf --group build -o requirements/core.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml --all-extras --group build --group dev -c requirements/core.lock -o requirements/dev.lock

clean: ## Remove .venv and what the tools left
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .fuzz dist
