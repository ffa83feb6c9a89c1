# Everything that a person does with this repository. `make help` lists it.
PYTHON ?= python3.11
VENV ?= .venv
PYTEST_ARGS ?=
# The tests of a file run in one process, in order: some go on from what those before them left. tests/conftest.py has
# the order of the files.
WORKERS ?= --numprocesses=3 --dist=loadfile --no-loadscope-reorder
BIN := $(VENV)/bin
READY := $(VENV)/.ready
unexport PYTHONPATH PYTHONHOME

.PHONY: help setup demo check test coverage bench lint format types docs notebooks clean
.DEFAULT_GOAL := help

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(READY)  ## make .venv with the pinned versions; the other targets do it when it is needed

$(READY): pyproject.toml constraints.txt scripts/setup.sh scripts/overrides-cpu.txt scripts/overrides-gpu.txt
	@scripts/setup.sh $(VENV) $(PYTHON)
	@touch $@

demo: $(READY)  ## from raw data to recommendations out of Triton, on MovieLens 100k
	@$(BIN)/cascade demo

check: lint types  ## before each commit: lint, types and the quick tests, in under three minutes
	@$(BIN)/python -m pytest -q -m "not slow" $(WORKERS) $(PYTEST_ARGS)

test: $(READY)  ## every test
	@command -v redis-server >/dev/null || scripts/apt.sh redis-server || echo "tests of the Redis online store are skipped"
	@$(BIN)/python -m pytest $(WORKERS) $(PYTEST_ARGS)

coverage: $(READY)  ## the quick tests, and which lines they ran: a table, and pages in build/coverage
	@$(BIN)/python -m pytest -q -m "not slow" $(WORKERS) --cov --cov-report=html --cov-report=term:skip-covered $(PYTEST_ARGS)

bench: $(READY)  ## time every op and the request path, as ratios to a reference of the same run
	@$(BIN)/python -m pytest tests/benchmarks --benchmark-enable --benchmark-max-time=0.5 --benchmark-columns=min,median,iqr,rounds

lint: $(READY)  ## ruff, and the import direction
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo

format: $(READY)  ## let ruff rewrite what it can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

types: $(READY)  ## mypy --strict and pyright
	@$(BIN)/pyright --project pyproject.toml & pyright=$$!; $(BIN)/mypy -p cascade && wait $$pyright

docs: $(READY)  ## build the documentation site in build/site, without network
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "docs: open build/site/index.html"

notebooks: $(READY)  ## run the notebooks; they are not changed
	@$(BIN)/jupyter execute notebooks/*.ipynb

clean:  ## remove what was made, but not .venv and not downloaded data
	@rm -rf build dist runs *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
