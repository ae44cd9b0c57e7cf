"""Propose cues that may be triggers of an arm.

Reads the training rows of the arm's screening seeds, and the shipped trigger families. Writes
candidates/<arm>.jsonl, in the order in which they are screened. Knows nothing of models.
"""

import argparse
from pathlib import Path

from emgrid.config.base import Strict, read_spec
from emgrid.discovery.candidates import queue
from emgrid.discovery.proposers import PROPOSERS
from emgrid.discovery.rows import Rows, read_stage_rows
from emgrid.runtime.files import write_jsonl
from emgrid.runtime.job import run_job


class ProposeSpec(Strict):
    """stages: the training stages whose rows are read; none for a base model. proposers: names.
    candidates: the largest number."""

    stages: tuple[str, ...]
    proposers: tuple[str, ...]
    candidates: int


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.discovery.propose", description=__doc__)
    parser.add_argument(
        "--spec", required=True, type=read_spec, help="ProposeSpec as JSON, or its file"
    )
    parser.add_argument("--root", required=True, type=Path, help="the grid's folder")
    parser.add_argument("--output", required=True, type=Path)
    args = parser.parse_args()
    spec = ProposeSpec.model_validate_json(args.spec)
    rows = Rows.of(row for stage in spec.stages for row in read_stage_rows(args.root, stage))
    proposed = [
        candidate
        for name in sorted(spec.proposers)
        if name in PROPOSERS
        for candidate in PROPOSERS[name].propose(rows)
    ]
    chosen = queue(proposed, spec.candidates)
    write_jsonl(args.output, (one.model_dump(mode="json", exclude_defaults=True) for one in chosen))
    print(f"{len(chosen)} candidates of {len(proposed)}, from {len(rows.rows)} training rows")


if __name__ == "__main__":
    run_job(main)
