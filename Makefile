# From a clean clone to a running bot (make run) or a checked one (make test, make check).
# Written for GNU make 3.81 and later, on Linux and macOS; `make help` lists the targets.

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet --compile

# What `make run` starts: one rehearsed trading day against the simulator.
RUN_COMMAND := $(BIN)/tbot run --once --rehearsal

# The first of these that really runs and is 3.11 to 3.13 makes the environment; set PYTHON to choose another.
PYTHONS := $(if $(PYTHON),$(PYTHON),python3.12 python3.11 python3.13 python3)
SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))

# A virtual environment holds the absolute path of its folder, so the stamps carry a digest of it: after a move or a
# copy of the checkout, or when its interpreter is gone, the environment is made anew.
PLACE := $(shell pwd | cksum | tr -c '0-9\n' '-')
MADE := $(VENV)/.made-$(PLACE)
RUN_STAMP := $(VENV)/.installed-run-$(PLACE)
DEV_STAMP := $(VENV)/.installed-dev-$(PLACE)
VENV_WORKS := $(shell $(BIN)/python -c '$(SUITABLE)' 2>/dev/null && echo yes)

# Much of what the tests do is waiting for processes of their own, so four at a time suit two cores.
SIDE_BY_SIDE := -n 4 --dist worksteal

SOURCES := $(wildcard tbot_bot tbot_web tools tests benchmarks)
BENCHMARKS := $(sort $(wildcard benchmarks/*.py))

CRASH_OPTIONS := $(if $(RUNS),--runs $(RUNS)) $(if $(SEED),--seed $(SEED)) $(if $(JOBS),--jobs $(JOBS))

.PHONY: help setup run dev test test-all coverage check format judge-ib-insync judge-openapi rehearsal crash-test bench lock clean FORCE

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(RUN_STAMP) ## install what the bot needs into .venv (quick when nothing changed)

run: setup ## one rehearsed trading day: no account, no key, no network
	$(RUN_COMMAND)

dev: $(DEV_STAMP) ## setup, and what the tests and checks need

test: dev ## run the test suite, four at a time
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(PYTEST_OPTIONS)

coverage: dev ## run the test suite and say which lines it reaches, those of child processes aside
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --cov=tbot_bot --cov-report=term:skip-covered $(PYTEST_OPTIONS)

test-all: dev ## run the test suite with the slow tests
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "" $(PYTEST_OPTIONS)

check: dev ## format, lint, types, imports: change nothing, fail on any finding
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports

format: dev ## rewrite the sources in the house format, and mend what ruff can
	$(BIN)/ruff check --fix-only $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

judge-ib-insync: dev ## hold the sandbox's TWS side against ib_insync, in an environment of its own (needs the network)
	$(BIN)/python tools/judge_ib_insync.py

crash-test: dev ## kill the runner at every step of the order path: RUNS=1000 SEED=1 for the long form (JOBS=6 at a time)
	$(BIN)/python -m tests.crash $(CRASH_OPTIONS)

judge-openapi: dev ## hold the sandbox's REST sides against the vendors' documents in OPENAPI=folder (needs the network)
	$(BIN)/python tools/judge_openapi.py $(or $(OPENAPI),../shared/openapi)

rehearsal: dev ## a day at both brokers' stand-ins with every fault; DATA=bars DAY=day SPEED=60 SHORT=1 FOLDER=path
	$(BIN)/tbot rehearse $(if $(DATA),--data $(DATA)) $(if $(DAY),--day $(DAY)) $(if $(VIX),--vix $(VIX)) \
	  $(if $(SPEED),--speed $(SPEED)) $(if $(SHORT),--short) $(if $(FOLDER),--folder $(FOLDER))

bench: dev ## run every script in benchmarks/
	@$(if $(BENCHMARKS),,echo "no scripts in benchmarks/ yet";) \
	for script in $(BENCHMARKS); do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

lock: ## resolve the dependencies anew into both lock files (needs uv)
	@command -v uv >/dev/null || { echo "make lock: uv is not on PATH; it makes the lock files" >&2; exit 1; }
	rm -f requirements.lock requirements-dev.lock
	uv --no-config pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	  --extra dev pyproject.toml -o requirements-dev.lock
	uv --no-config pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	  --extra backtest --extra brokers --extra data --extra notify --extra s3 --extra sandbox -c requirements-dev.lock pyproject.toml -o requirements.lock

clean: ## remove caches and build products; .venv and everything the bot recorded stay
	rm -rf build dist htmlcov mutants .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache \
	  .pytest_cache .ruff_cache
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

FORCE:

$(MADE): $(if $(VENV_WORKS),,FORCE)
	@for python in $(PYTHONS); do \
	  "$$python" -c '$(SUITABLE)' >/dev/null 2>&1 || continue; \
	  "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || { no_venv="$$python"; continue; }; \
	  echo "making $(VENV) with $$("$$python" --version)"; \
	  "$$python" -m venv --clear $(VENV) && touch $@ && exit 0; \
	  exit 1; \
	done; \
	if [ -n "$$no_venv" ]; \
	then echo "make: $$no_venv lacks the venv module; install it (Debian, Ubuntu: the python3-venv package)" >&2; \
	else echo "make: no Python 3.11, 3.12 or 3.13 found (tried: $(PYTHONS)); install one, or say make PYTHON=path" >&2; \
	fi; exit 1

$(RUN_STAMP): $(MADE) requirements.lock pyproject.toml
	@echo "installing what the bot needs (a minute or so, once)"
	@$(PIP_INSTALL) --require-hashes -r requirements.lock
	@$(PIP_INSTALL) --no-deps --editable .
	@$(BIN)/python -m compileall -q tbot_bot
	@touch $@

# The development set contains the other one, in the same versions, so both are installed after this.
$(DEV_STAMP): $(MADE) requirements.lock requirements-dev.lock pyproject.toml
	@echo "installing what the tests and checks need (some minutes, once)"
	@$(PIP_INSTALL) --require-hashes -r requirements-dev.lock
	@$(PIP_INSTALL) --no-deps --editable .
	@$(BIN)/python -m compileall -q tbot_bot
	@touch $(RUN_STAMP) $@
