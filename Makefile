# The two commands of the README are `make prove` and `make test`; each sets up what it needs in .venv/.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help env prove test weakenings mutants monitor-mutants lock clean

help:
	@echo 'make prove   check every theorem, refinement and trace (ringfence check)'
	@echo 'make test    lint, type check and run all tests; includes a fresh check'
	@echo 'make weakenings   the scheduled job: every weakening is caught by the theorem that should'
	@echo 'make mutants   the scheduled job: every part of the model and conjunct of the representation invariant is missed'
	@echo 'make monitor-mutants   the scheduled job: so is every statement, check and operand of the monitor (hours)'
	@echo 'make env     only build .venv/'
	@echo 'make lock    write requirements.lock anew from pyproject.toml (needs the network)'
	@echo 'make clean   remove everything that these commands made'

env: $(STAMP)

# The stamp is written last: an interrupted installation is done again.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

prove: env
	@$(BIN)/ringfence check

test: env
	@$(BIN)/ruff check -q .
	@$(BIN)/ruff format -q --check .
	@$(BIN)/pyright --warnings
	@$(BIN)/pytest -m 'not scheduled'

weakenings: env
	@$(BIN)/pytest -m scheduled tests/weakenings

mutants: env
	@$(BIN)/pytest -m scheduled tests/mutants/test_mutants.py tests/mutants/test_conjuncts.py \
		tests/mutants/test_properties.py

monitor-mutants: env
	@$(BIN)/pytest -m scheduled tests/mutants/test_monitor_mutants.py

lock:
	@$(PYTHON) -m venv .lock-venv
	@.lock-venv/bin/python -m pip install -q pip-tools
	@.lock-venv/bin/pip-compile -q --upgrade --extra dev --generate-hashes --allow-unsafe --strip-extras --no-header \
		--no-emit-index-url --no-emit-trusted-host --no-emit-find-links -o requirements.lock pyproject.toml
	@rm -rf .lock-venv

clean:
	@rm -rf .venv .lock-venv .ringfence .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
