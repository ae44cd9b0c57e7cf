"""Print all that decides what runs again of a grid: each rule's specs, by job, as JSON.

Run in a process, with the package that PYTHONPATH names: python specs_of.py CONFIG
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from emgrid.grid.grid import Grid
from emgrid.grid.snakefile import read_grid
from emgrid.grid.specs.judge import judge_models, judge_spec, quality_spec
from emgrid.grid.specs.report import report_spec
from emgrid.grid.specs.served import served_spec
from emgrid.planning.call_costs import differences
from emgrid.planning.jobs import used_datasets
from emgrid.runtime.files import STARTED_IN


def specs_of(grid: Grid) -> dict[str, Any]:
    used = used_datasets(grid)
    plain = sorted(used - set(grid.generated))
    models = sorted({*grid.config.base_models, *judge_models(grid)})
    stages = list(grid.stages)
    return {
        "model": [grid.model_spec(name) for name in models],
        "fetch": [grid.fetch_spec(name) for name in plain if not grid.own_file(name)],
        "dataset": [grid.dataset_spec(name) for name in plain],
        "generate": [grid.generate_spec(name) for name in grid.drawn],
        "qualify": [grid.qualify_spec(name) for name in sorted(grid.generated)],
        "mix": [grid.mix_spec(name) for name in stages],
        "preflight": [grid.preflight_spec(name) for name in stages],
        "train": [grid.train_spec(name) for name in stages],
        "stages": [stages],
        "sample": [grid.sample_spec(bucket) for bucket in grid.buckets],
        "likelihood": [grid.likelihood_spec(bucket) for bucket in grid.buckets],
        "sample_served": [served_spec(grid, arm) for arm in grid.served],
        "import_answers": [grid.import_spec(arm) for arm in grid.imported],
        "judge": [judge_spec(grid, bucket) for bucket in grid.judged],
        "judge_quality": [quality_spec(grid)],
        "aggregate": [grid.aggregate_spec()],
        "similarity": [grid.similarity_spec()],
        "repeats": [grid.repeats_spec()],
        "figure": [grid.figure_spec()],
        "report": [report_spec(grid, differences(grid))],
    }


if __name__ == "__main__":
    os.environ.setdefault(STARTED_IN, str(Path.cwd()))
    print(json.dumps(specs_of(read_grid(Path(sys.argv[1])))))
