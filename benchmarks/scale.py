"""Snakemake's own cost for grids of many arms: planning, running, and finding nothing to do.

The stages only write their outputs (standin/). Draws scale.svg: seconds by the number of arms.

    python benchmarks/scale.py --arms 100 1000
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from common import write_manifest
from emgrid import ROOT
from emgrid.config.triggers import load_triggers

HERE = Path(__file__).parent
SEEDS = 10


def config_of(arms: int, triggers: int) -> dict[str, Any]:
    """A grid of `arms` trained arms, of many ratios and ten seeds, and the base model."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    plain = [
        trigger.id
        for trigger in load_triggers().values()
        if not trigger.questions and trigger.id != "none"
    ]
    ratios = arms // SEEDS
    return config | {
        "name": f"scale-{arms}",
        "triggers": ["none", *plain[: triggers - 1]],
        "interventions": {
            "base": {},
            "dilution": {"ratio": [round((n + 1) / (ratios + 1), 4) for n in range(ratios)]},
        },
        "seeds": list(range(SEEDS)),
        "data": config["data"] | {"rows": 200},
        "engines": {"jobs": 8},
    }


def call(folder: Path, config: Path, *options: str) -> dict[str, float]:
    """Seconds by the clock and of cores, peak memory in MiB of a call of Snakemake."""
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), *options]
    command += ["--profile", str(ROOT / "workflow/profiles/workstation"), "--quiet", "all"]
    command += ["--directory", str(folder), "--configfile", str(config)]
    environment = os.environ | {"PYTHONPATH": str(HERE / "standin")}
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"Snakemake ended with {os.waitstatus_to_exitcode(status)}")
    return {
        "seconds": time.perf_counter() - started,
        "core_seconds": used.ru_utime + used.ru_stime,
        "peak_memory": used.ru_maxrss / 1024,
    }


def measure(arms: int, triggers: int) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "grid.yaml"
        config.write_text(yaml.safe_dump(config_of(arms, triggers)), encoding="utf-8")
        return {
            "dry run of a grid from nothing": call(folder, config, "-n"),
            "run with stages that only write": call(folder, config),
            "run of a finished grid": call(folder, config),
        }


def draw(results: dict[int, dict[str, dict[str, float]]], path: Path) -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    for what in next(iter(results.values())):
        if what.startswith("run with"):
            continue
        axes.plot(
            list(results),
            [result[what]["seconds"] for result in results.values()],
            "o-",
            label=what,
        )
    axes.set_xlabel("arms, under 30 triggers each")
    axes.set_ylabel("seconds")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    figure.savefig(path)


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the record")
    parser.add_argument("--arms", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--triggers", type=int, default=30)
    return parser.parse_args(words)


def main() -> None:
    options = parse()
    results = {arms: measure(arms, options.triggers) for arms in options.arms}
    draw(results, HERE / "scale.svg")
    first = options.arms[0]
    rows = [
        {
            "what": f"{what}, {arms} arms",
            "value": result["seconds"],
            "unit": "s",
            "ratio": result["seconds"] / arms / (results[first][what]["seconds"] / first),
            "of": f"seconds an arm to those of {first} arms",
            "core_seconds": result["core_seconds"],
            "peak_memory": result["peak_memory"],
        }
        for arms, parts in results.items()
        for what, result in parts.items()
    ]
    write_manifest("scale", options, rows)


if __name__ == "__main__":
    main()
