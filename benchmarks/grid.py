"""What share of a grid's wall time, on all cores that it had, a model was computing.

The rest is Snakemake, imports, loading, statistics, figures, and cores without a job. The grid is
run from nothing in a temporary folder; let nothing else run on the machine.

    python benchmarks/grid.py --json grid.json
    python benchmarks/grid.py --config benchmarks/pairs.yaml --until likelihood
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from common import write_manifest
from emgrid import ROOT
from emgrid.config.models import load_models
from emgrid.planning.measurements import Measurement, measures_of

COMPUTE = re.compile(r"^model compute: ([0-9.]+) s of", re.MULTILINE)


def seconds_of_jobs(root: Path) -> dict[str, list[float]]:
    """Wall seconds of every job, by stage, as Snakemake measured them."""
    seconds_by_rule: dict[str, list[float]] = defaultdict(list)
    for path in (root / "benchmarks").rglob("*.tsv"):
        stage = path.relative_to(root / "benchmarks").parts[0].removesuffix(".tsv")
        header, *lines = path.read_text(encoding="utf-8").splitlines()
        place = header.split("\t").index("s")
        seconds_by_rule[stage] += [float(line.split("\t")[place]) for line in lines]
    return seconds_by_rule


def compute_of_jobs(root: Path) -> dict[str, float]:
    """Seconds of model compute, by stage, as the jobs' logs say."""
    seconds_by_rule: dict[str, float] = defaultdict(float)
    for path in (root / "logs").rglob("*.log"):
        stage = path.relative_to(root / "logs").parts[0].removesuffix(".log")
        text = path.read_text(encoding="utf-8", errors="replace")
        seconds_by_rule[stage] += sum(map(float, COMPUTE.findall(text)))
    return seconds_by_rule


def run_grid(folder: Path, config: Path, cores: int, until: list[str]) -> tuple[Path, float]:
    """The grid's folder, and the seconds that the whole of it took."""
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", str(config.resolve())]
    command += ["--profile", str(ROOT / "workflow/profiles/workstation"), "--cores", str(cores)]
    command += ["--until", *until] if until else []
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the grid failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    seconds = time.monotonic() - started
    (root,) = (folder / "results").iterdir()
    return root, seconds


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="file for the record")
    parser.add_argument("--config", type=Path, default=Path("config.yaml"))
    parser.add_argument("--cores", type=int, default=2, help="jobs that run at one time")
    parser.add_argument("--until", nargs="+", help="rules to stop after; all of the grid if none")
    return parser.parse_args(words)


def measures(root: Path) -> list[dict[str, Any]]:
    """What each rule did in how long, from which `emgrid plan` reckons for other grids."""
    parameters = {name: model.parameters for name, model in load_models().items()}
    groups: dict[tuple[str, str, int | None], list[Measurement]] = defaultdict(list)
    for measurement in measures_of(root, parameters):
        groups[measurement.rule, measurement.device, measurement.parameters].append(measurement)
    return [
        {"rule": rule, "device": device, "parameters": size}
        | {"seconds": round(sum(measurement.seconds for measurement in each), 2)}
        | {"work": sum(measurement.work for measurement in each)}
        | {"start": round(sum(measurement.start for measurement in each), 2), "jobs": len(each)}
        for (rule, device, size), each in groups.items()
    ]


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        root, wall = run_grid(Path(folder), options.config, options.cores, options.until or [])
        jobs, compute = seconds_of_jobs(root), compute_of_jobs(root)
        done = measures(root)
    rows = [
        {
            "what": "whole grid, model compute",
            "value": sum(compute.values()),
            "unit": "s",
            "ratio": sum(compute.values()) / (wall * options.cores),
            "of": f"model compute to {options.cores} cores for {wall:.0f} s",
        }
    ]
    for stage, seconds in sorted(jobs.items(), key=lambda item: -sum(item[1])):
        rows.append(
            {
                "what": f"{stage}, {len(seconds)} job{'s' if len(seconds) > 1 else ''}",
                "value": sum(seconds),
                "unit": "s",
                "ratio": compute.get(stage, 0.0) / sum(seconds) if sum(seconds) else 0.0,
                "of": "model compute to the jobs' time",
            }
        )
    # The record of another config stands beside that of the default grid.
    other = {"of": options.config.stem} if options.config.stem != "config" else {}
    write_manifest("grid", options, rows, measures=done, **other)


if __name__ == "__main__":
    main()
