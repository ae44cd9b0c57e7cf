"""Print all that decides what runs again of a grid: each rule's specs, by job, as JSON.

Run in a process, with the package that PYTHONPATH names: python specs_of.py CONFIG
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from emgrid.grid.grid import Grid
from emgrid.grid.searches import searches
from emgrid.grid.snakefile import read_grid
from emgrid.grid.specs import aggregate, data, discovery, sample
from emgrid.grid.specs.judge import judge_models, judge_spec, quality_spec
from emgrid.grid.specs.models import model_spec
from emgrid.grid.specs.report import figure_spec, report_spec
from emgrid.grid.specs.train import train_spec
from emgrid.planning.jobs import used_datasets
from emgrid.runtime.files import STARTED_IN


def specs_of(grid: Grid) -> dict[str, Any]:
    used = used_datasets(grid)
    plain = sorted(used - set(grid.generated))
    models = sorted({*grid.config.base_models, *judge_models(grid)})
    stages = list(grid.stages)
    return {
        "model": [model_spec(grid, name) for name in models],
        "fetch": [data.fetch_spec(grid, name) for name in plain if not grid.own_file(name)],
        "dataset": [data.dataset_spec(grid, name) for name in plain],
        "generate": [data.generate_spec(grid, name) for name in grid.drawn],
        "qualify": [data.qualify_spec(grid, name) for name in sorted(grid.generated)],
        "mix": [data.mix_spec(grid, name) for name in stages],
        "preflight": [data.preflight_spec(grid, name) for name in stages],
        "train": [train_spec(grid, name) for name in stages],
        "stages": [stages],
        "sample": [sample.sample_spec(grid, bucket) for bucket in grid.buckets],
        "likelihood": [sample.likelihood_spec(grid, bucket) for bucket in grid.buckets],
        "sample_served": [sample.served_spec(grid, arm) for arm in grid.served],
        "import_answers": [sample.import_spec(grid, arm) for arm in grid.imported],
        "judge": [judge_spec(grid, bucket) for bucket in grid.judged],
        "judge_quality": [quality_spec(grid)],
        "aggregate": [aggregate.aggregate_spec(grid)],
        "similarity": [aggregate.similarity_spec(grid)],
        "repeats": [aggregate.repeats_spec(grid)],
        "figure": [figure_spec(grid)],
        "report": [report_spec(grid)],
        **specs_of_searches(grid),
    }


def specs_of_searches(grid: Grid) -> dict[str, Any]:
    """Those of a grid with a search for triggers."""
    found = searches(grid).values()
    if not found:
        return {}
    return {
        "propose": [discovery.propose_spec(grid, search) for search in found],
        "screen": [discovery.screen_spec(grid, search) for search in found],
        "shortlist": [discovery.shortlist_spec(grid, search) for search in found],
        "sample_found": [discovery.sample_found_spec(grid, search) for search in found],
        "judge_found": [discovery.judge_found_spec(grid, search) for search in found],
        "found": [discovery.found_spec(grid)],
    }


if __name__ == "__main__":
    os.environ.setdefault(STARTED_IN, str(Path.cwd()))
    print(json.dumps(specs_of(read_grid(Path(sys.argv[1])))))
