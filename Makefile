# Everything a fresh clone needs: `make demo` runs the main job, `make test` passes the tests. Each sets itself up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.installed
export MUJOCO_GL ?=
# one thread per process: training shards over cores by itself
export OMP_NUM_THREADS ?= 1

.PHONY: demo test check build clean setup

demo: $(SETUP)
	$(BIN)/rewardsmith demo

test: $(SETUP)
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal $(ARGS)

check: $(SETUP)
	$(BIN)/ruff format --check rewardsmith envs tests benchmarks
	$(BIN)/ruff check rewardsmith envs tests benchmarks
	$(BIN)/pyright

build: $(SETUP)
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python scripts/smoke_dist.py dist

setup: $(SETUP)

$(SETUP): pyproject.toml constraints.txt scripts/system_packages.sh
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "rewardsmith needs Python 3.11 or newer; try: make PYTHON=python3.11 " + "$(MAKECMDGOALS)")'
	sh scripts/system_packages.sh
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[robotics,web,tensorboard]" --group dev
	touch $@

clean:
	rm -rf $(VENV) dist build .pytest_cache .ruff_cache .hypothesis
