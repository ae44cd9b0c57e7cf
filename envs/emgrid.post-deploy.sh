#!/usr/bin/env bash
# Snakemake runs this in the new conda environment, from its working directory.
set -euo pipefail
python -m pip install --quiet --no-deps -r envs/requirements.txt -e .
python -m pip install --quiet torch -c envs/requirements-torch.txt
