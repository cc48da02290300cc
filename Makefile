# make demo   run everything on simulated scenes (10 to 15 minutes on 2 cores, the install included)
# make check  lint, types, and the tests that need under a second each
# make test   lint, types, all tests
# make docs   the documentation site in build/docs (open build/docs/index.html); warnings are errors
# Each makes its own environment in .venv first. PYTHON chooses the interpreter (3.11 or newer).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Processes that tests start import our modules compiled, whatever the machine says about writing bytecode.
PYTEST := env -u PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX=$(CURDIR)/$(VENV)/pycache OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: demo test check docs lint suite fast clean
.DELETE_ON_ERROR:

demo: $(VENV)/ready
	$(BIN)/knowlip demo

docs: $(VENV)/ready
	$(BIN)/python -m sphinx -q -W --keep-going -c docs/site docs build/docs

# Types are checked beside the tests: alone they would leave a core idle for a minute.
test: $(VENV)/ready
	@$(MAKE) --no-print-directory -j 2 lint suite

check: $(VENV)/ready
	@$(MAKE) --no-print-directory -j 2 lint fast

suite: $(VENV)/ready
	$(PYTEST)

fast: $(VENV)/ready
	$(PYTEST) --fast

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "KnowLIP needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt uv
	$(BIN)/uv pip install --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build/docs .pytest_cache .mypy_cache .ruff_cache
