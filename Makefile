# Set-up is one stamp file: every target that needs the environment asks for it, in any order.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test slow lint types bench coverage golden mutants clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(STAMP)

demo: $(STAMP)  ## set up, then run the main job on the synthetic sample world
	$(BIN)/backtest run --agent finmem --ticker TSLA

test: $(STAMP) lint types  ## set up, then lint, types and tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

slow: $(STAMP)  ## the long trials
	$(BIN)/python -m pytest -n 2 -m slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(STAMP)
	$(BIN)/mypy

bench: $(STAMP)  ## speed, with versions and load
	$(BIN)/python -m benchmarks

coverage: $(STAMP)  ## how often noise is called an edge, as the table of docs/statistics.md
	$(BIN)/python -m benchmarks.coverage

golden: $(STAMP)  ## write the golden files anew; explain the difference in CHANGELOG.md
	$(BIN)/python -m pytest tests/test_golden.py --update-golden

mutants: $(STAMP)  ## how many small faults the tests notice: a drawn sample, not part of test
	$(BIN)/python -m tests.mutants --size $(or $(SIZE),200) --seed $(or $(SEED),20261130)

clean:
	rm -rf $(VENV) build dist *.egg-info
