#!/usr/bin/env bash
# Snakemake runs this in the new conda environment, from its working directory.
set -euo pipefail
python -m pip install --quiet -r envs/requirements.txt
python -m pip install --quiet --no-deps -r envs/requirements-no-deps.txt -e .
