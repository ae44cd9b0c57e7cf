"""emgrid labels: answers of a finished grid, for people to label."""

import argparse
import json
from pathlib import Path

from emgrid.cli import format
from emgrid.grid.snakefile import read_grid


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    labels = format.command(commands, "labels", "write answers of a finished grid to be labelled")
    labels.add_argument("output", type=Path, help="the CSV file")
    labels.add_argument("--count", default=100, type=int, help="how many answers")
    labels.add_argument("--seed", default=0, type=int, help="another seed, another sample")
    labels.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from emgrid.cli.labels import write_labels

    rows = write_labels(read_grid(args.configfile), args.output, args.count, args.seed)
    if args.json:
        print(json.dumps({"file": str(args.output), "answers": rows}, ensure_ascii=False))
        return
    print(f"{args.output}: {rows} answers; fill in the columns and name it in calibration.files")
