# Everything that a person does with this repository. `make help` lists it.
PYTHON ?= python3.11
VENV ?= .venv
PYTEST_ARGS ?=
BIN := $(VENV)/bin
READY := $(VENV)/.ready
unexport PYTHONPATH PYTHONHOME

.PHONY: help setup demo test bench lint format types notebooks ship clean
.DEFAULT_GOAL := help

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(READY)  ## make .venv with the pinned versions; the other targets do it when it is needed

$(READY): pyproject.toml constraints.txt scripts/setup.sh scripts/overrides-cpu.txt scripts/overrides-gpu.txt
	@scripts/setup.sh $(VENV) $(PYTHON)
	@touch $@

demo: $(READY)  ## from raw data to recommendations out of Triton, on MovieLens 100k
	@$(BIN)/cascade demo

test: $(READY)  ## every test
	@command -v redis-server >/dev/null || scripts/apt.sh redis-server || echo "tests of the Redis online store are skipped"
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

bench: $(READY)  ## time every op and the request path, as ratios to a reference of the same run
	@$(BIN)/python -m pytest tests/benchmarks --benchmark-enable --benchmark-max-time=0.5 --benchmark-columns=min,median,iqr,rounds

lint: $(READY)  ## ruff, and the import direction
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python -m pytest -q tests/test_imports.py

format: $(READY)  ## let ruff rewrite what it can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

types: $(READY) ship  ## mypy --strict on what ships
	@cd build/ship && $(abspath $(BIN))/mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache -p cascade

ship: $(READY)
	@rm -rf build/lib build/bdist.* build/ship
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --target build/ship .

notebooks: $(READY)  ## run the notebooks; they are not changed
	@$(BIN)/jupyter execute notebooks/*.ipynb

clean:  ## remove what was made, but not .venv and not downloaded data
	@rm -rf build dist runs *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
