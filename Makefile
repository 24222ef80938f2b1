# Everything a fresh machine needs is Debian 12 or 13, Python 3.11 or later with venv, and make.
# `make demo` and `make test` set themselves up in .venv; nothing outside this folder is touched, but for the
# Debian packages of config/debian-packages.txt when `make test` runs as root.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
REQUIREMENTS := config/requirements
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input install
# Stamps: what they depend on has changed, or .venv is new, so pip must look again.
RUNTIME := $(VENV)/.runtime-installed
DEV := $(VENV)/.dev-installed

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test lint types check faults bench clean packages

help:
	@echo "make demo [ARGS=--exit]   two gateways on this machine exchange sample cases"
	@echo "make test                 the whole suite;  ARGS=tests/infra for a part"
	@echo "make lint | types | check style, types, and both with the suite"
	@echo "make faults | bench       fault experiments; measurements"
	@echo "make clean                remove .venv and what tools left behind"

demo: $(RUNTIME)
	@$(BIN)/gateway demo $(ARGS)

# A file's tests stay together and in order: some tell one story, and each file's gateways start once.
test: packages $(DEV)
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV)
	$(BIN)/mypy

check: lint types test

faults: packages $(DEV)
	$(BIN)/pytest tests/faults $(ARGS)

bench: $(RUNTIME)
	@$(BIN)/gateway bench $(ARGS)

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A venv that was moved or whose Python is gone is made anew: its scripts name their interpreter by path.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed; name it: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) \
		|| { echo "Python's venv is missing: apt-get install python3-venv" >&2; exit 1; }

$(RUNTIME): $(REQUIREMENTS)/runtime.txt $(REQUIREMENTS)/build.txt pyproject.toml | $(BIN)/python
	@echo "Setting up .venv ..." >&2
	@$(PIP) --require-hashes -r $(REQUIREMENTS)/runtime.txt -r $(REQUIREMENTS)/build.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): $(REQUIREMENTS)/dev.txt $(RUNTIME)
	@echo "Adding the test tools to .venv ..." >&2
	@$(PIP) --require-hashes -r $(REQUIREMENTS)/dev.txt
	@touch $@

packages:
	@missing=$$(for name in $$(grep -v '^#' config/debian-packages.txt); do \
		dpkg-query --show --showformat='$${db:Status-Status}\n' $$name 2>/dev/null | grep -qx installed \
			|| echo $$name; done); \
	[ -n "$$missing" ] || exit 0; \
	set -- $$missing; \
	if [ "$$(id -u)" = 0 ]; then \
		echo "Installing Debian packages: $$*" >&2; \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get update -qq && apt-get install -qq --yes --no-install-recommends "$$@" >/dev/null; \
	else \
		echo "The suite needs Debian packages that are not here. Install them, then run make again:" >&2; \
		echo "    sudo apt-get install --yes --no-install-recommends $$*" >&2; \
		exit 1; \
	fi
