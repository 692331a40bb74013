# make run    a gateway with a simulated provider, on a fresh machine
# make test   everything that must hold, on a fresh machine (installs what the tests need)
# make thorough what takes too long for every change: all mutants, long looks at the laws
# make check  formatting, lint, types, floors
# make corpus every recorded stream of the providers through its own wire, counted
# make outages the pictures of docs/failover.md, from simulated outages
# make billing tokens counted against tokens reported, by model, into docs/billing.md
# make bench  the gateway against nginx and against no gateway, into docs/performance.md
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: run test ready services clients thorough check corpus outages billing bench llama-server clean

run: $(VENV)/.installed
	$(BIN)/penstock demo

test:
	$(MAKE) --no-print-directory --jobs 4 ready
	$(BIN)/python -m pytest --reruns 1 --numprocesses 4 --dist loadfile --no-loadscope-reorder

# What is fetched is waited for at the same time, and checked meanwhile.
ready: check services clients

services:
	tools/install-test-services

clients: | $(VENV)/bin/python
	tools/install-test-clients

thorough: $(VENV)/.tested services
	HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest -m thorough
	HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest tests/mutants tests/laws tests/policy

check: $(VENV)/.tested
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

corpus: $(VENV)/.installed
	$(BIN)/python -m penstock.testing.report

outages: $(VENV)/.installed
	$(BIN)/python -m penstock.testing.outage_pictures docs/failover

billing: $(VENV)/.installed
	$(BIN)/python -m penstock.testing.counted --write docs/billing.md

bench: $(VENV)/.tested services
	$(BIN)/penstock bench --write docs/performance.md

llama-server:
	tools/build-llama-server

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

$(VENV)/.tested: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist src/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
