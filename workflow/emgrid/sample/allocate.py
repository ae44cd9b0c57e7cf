"""Which questions the arms of a sampling job are asked in this round.

Writes the file that the sampling job reads. Knows nothing of verdicts.
"""

import argparse
from collections.abc import Collection, Mapping
from pathlib import Path

from emgrid.config.base import Strict, read_spec
from emgrid.runtime.files import read_json, write_json
from emgrid.runtime.job import run_job

Limits = Mapping[str, Collection[str]]  # the questions that are asked, by trigger


class AllocationSpec(Strict):
    """arms: for each arm's folder, the names of the questions by trigger."""

    arms: dict[str, dict[str, tuple[str, ...]]]


def read_limits(path: Path | None) -> dict[str, Limits]:
    """The questions of each arm, by folder; empty if all questions are asked at once."""
    return dict(AllocationSpec.model_validate(read_json(path)).arms) if path else {}


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.sample.allocate", description=__doc__)
    parser.add_argument(
        "--spec", required=True, type=read_spec, help="AllocationSpec as JSON, or its file"
    )
    parser.add_argument("--output", required=True, type=Path)
    args = parser.parse_args()
    spec = AllocationSpec.model_validate_json(args.spec)
    write_json(args.output, spec.model_dump(mode="json"))


if __name__ == "__main__":
    run_job(main)
