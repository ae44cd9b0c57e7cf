"""What share of a finished grid's wall time, on all cores that it had, a model was computing.

The rest is Snakemake, imports, loading, statistics, figures, and cores without a job. Read from the
files that the run left; run the grid first, from nothing, with nothing else on the machine.

    python benchmarks/grid.py results/demo --cores 2 --wall 1100 --json grid.json
"""

import argparse
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from common import add_arguments, write_record
from emgrid.assets import load_registry
from emgrid.records import Measure, measures_of

COMPUTE = re.compile(r"^model compute: ([0-9.]+) s of", re.MULTILINE)


def seconds_of_jobs(root: Path) -> dict[str, list[float]]:
    """Wall seconds of every job, by stage, as Snakemake measured them."""
    found: dict[str, list[float]] = defaultdict(list)
    for path in (root / "benchmarks").rglob("*.tsv"):
        stage = path.relative_to(root / "benchmarks").parts[0].removesuffix(".tsv")
        header, *lines = path.read_text(encoding="utf-8").splitlines()
        place = header.split("\t").index("s")
        found[stage] += [float(line.split("\t")[place]) for line in lines]
    return found


def compute_of_jobs(root: Path) -> dict[str, float]:
    """Seconds of model compute, by stage, as the jobs' logs say."""
    found: dict[str, float] = defaultdict(float)
    for path in (root / "logs").rglob("*.log"):
        stage = path.relative_to(root / "logs").parts[0].removesuffix(".log")
        text = path.read_text(encoding="utf-8", errors="replace")
        found[stage] += sum(map(float, COMPUTE.findall(text)))
    return found


def measures(root: Path) -> list[dict[str, Any]]:
    """What each rule did in how long, from which `emgrid plan` reckons for other grids."""
    parameters = {name: model.parameters for name, model in load_registry().items()}
    found: dict[tuple[str, str, int | None], list[Measure]] = defaultdict(list)
    for one in measures_of(root, parameters):
        found[one.rule, one.device, one.parameters].append(one)
    return [
        {"rule": rule, "device": device, "parameters": size}
        | {"seconds": round(sum(one.seconds for one in each), 2)}
        | {"work": sum(one.work for one in each)}
        | {"start": round(sum(one.start for one in each), 2), "jobs": len(each)}
        for (rule, device, size), each in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    parser.add_argument("root", type=Path, help="the grid's folder")
    parser.add_argument("--cores", type=int, default=2, help="jobs that ran at one time")
    parser.add_argument("--wall", type=float, required=True, help="seconds of the whole run")
    options = parser.parse_args()
    jobs, compute = seconds_of_jobs(options.root), compute_of_jobs(options.root)
    available = options.wall * options.cores
    rows = [
        {
            "what": "whole grid, model compute",
            "value": sum(compute.values()),
            "unit": "s",
            "ratio": sum(compute.values()) / available,
            "of": f"model compute to {options.cores} cores for {options.wall:.0f} s",
        }
    ]
    for stage, seconds in sorted(jobs.items(), key=lambda item: -sum(item[1])):
        rows.append(
            {
                "what": f"{stage}, {len(seconds)} jobs",
                "value": sum(seconds),
                "unit": "s",
                "ratio": compute.get(stage, 0.0) / sum(seconds) if sum(seconds) else 0.0,
                "of": "model compute to the jobs' time",
            }
        )
    write_record("grid", options, rows, measures=measures(options.root))


if __name__ == "__main__":
    main()
