#!/usr/bin/env bash
# Snakemake runs this in the new conda environment, from the grid's folder.
set -euo pipefail
cd "${EMGRID_ROOT:?is set where emgrid's Snakefile is read}"
python -m pip install --quiet --no-deps -r envs/requirements.txt -e .
python -m pip install --quiet torch -c envs/requirements-torch.txt
