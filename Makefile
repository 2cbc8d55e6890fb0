# mmkd_lab: `make help` lists what can be made. Every target does its own set-up, once.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
WORKERS ?= 2
JOBS ?= 2
# PyTorch's own index of CPU builds, asked when there is no GPU and no other source has one.
export TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu

BIN := $(VENV)/bin
READY := $(VENV)/.ready
VOILA := --Voila.ip=127.0.0.1 --progressive_rendering=True
OLDEST := $(VENV)-oldest
SUITE := -m pytest tests notebooks -p tests.surroundings -p tests.notebooks.numbers -n $(WORKERS) \
  --dist loadscope --no-loadscope-reorder \
  --nbval --nbval-current-env --nbval-sanitize-with tests/notebooks/sanitize.cfg
PUBLIC := tests/house/test_package.py::test_what_is_public_is_documented_and_easy_to_call

.DEFAULT_GOAL := help
.PHONY: help setup run lab app test lint check test-long test-oldest gpu docs dist clean

help:  ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo '  PYTHON=python3.12 chooses the Python of the environment, ARGS="..." is passed on, for example'
	@echo '  make run ARGS="01 --profile full"'

run: $(READY)  ## run the notebooks; the page is runs/latest/index.html
	$(BIN)/mmkd-lab run --jobs $(JOBS) $(ARGS)

lab: $(READY)  ## open JupyterLab on the notebooks
	MMKD_LAB_RESULTS="$(CURDIR)/runs/results" $(BIN)/jupyter lab --notebook-dir=notebooks $(ARGS)

app: $(READY)  ## open the interactive laboratory as a page without code, on this machine alone
	MMKD_LAB_RESULTS="$(CURDIR)/runs/results" $(BIN)/voila notebooks/05_what_if.ipynb $(VOILA) $(ARGS)

test: lint check  ## set-up, lint, types and the tests, but for the long ones

setup: $(READY)  ## make the environment in .venv

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy mmkd_lab

check: $(READY)  ## the tests, and stored notebooks against what they give now
	$(BIN)/python $(SUITE) -m "not long" $(ARGS)

test-long: $(READY)  ## what `make test` leaves out: the notebooks that train, the longest trials
	$(BIN)/python $(SUITE) -m long $(ARGS)

test-oldest: $(OLDEST)/.ready  ## a short suite with the oldest releases that pyproject.toml admits
	$(OLDEST)/bin/python -m pytest tests/core tests/cli $(PUBLIC) -p tests.surroundings \
	  -m "not browser and not kernel" -W default $(ARGS)

docs: $(VENV)/.docs  ## build the site; the page is docs/_build/html/index.html
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html $(ARGS)

dist:  ## build the wheel and the sdist, and try them in an environment of their own
	$(PYTHON) tools/dist.py $(ARGS)

gpu: $(READY)  ## measure on an NVIDIA GPU, and check it against the CPU
	$(BIN)/python benchmarks/gpu.py $(ARGS)

clean:  ## remove the environments and all caches; runs and data stay
	rm -rf $(VENV) $(OLDEST) $(VENV)-dist docs/_build docs/api docs/figures docs/tutorials docs/site .pytest_cache .mypy_cache .ruff_cache build dist *.egg-info
	find mmkd_lab tests tools benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements.lock pyproject.toml tools/setup.py
	$(PYTHON) tools/setup.py --venv $(VENV)
	@touch $@

$(VENV)/.docs: $(READY)
	$(BIN)/python -m pip install -q --constraint requirements.lock --no-build-isolation -e '.[docs]'
	@touch $@

$(OLDEST)/.ready: pyproject.toml tools/setup.py
	$(PYTHON) tools/setup.py --oldest --venv $(OLDEST)
	@touch $@
