"""Collect the preflight records of all training stages in one table.

Reads preflight.json of every stage. Writes tables/preflight.csv.
"""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from emgrid.config.preflight import FINDINGS
from emgrid.runtime.files import read_json, whole_file
from emgrid.runtime.job import run_job

COUNTS = ("rows", "tokens", "trained_tokens")


def stage_rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    """A row over all sources (with an empty source), then a row per source."""
    summed = (*COUNTS, *FINDINGS)
    total = {key: sum(source[key] for source in record["sources"]) for key in summed}
    rows = []
    for part in [{"source": "", "role": ""} | total, *record["sources"]]:
        shares = {f"share_{key}": part[key] / max(total[key], 1) for key in COUNTS}
        fields = {key: part[key] for key in ("source", "role", *COUNTS)}
        findings = {key: part[key] for key in FINDINGS}
        rows.append({"stage": record["stage"]} | fields | shares | findings)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.data.preflight_table", description=__doc__)
    parser.add_argument("--records", required=True, type=Path, help="a JSON list of the files")
    parser.add_argument("--output", required=True, type=Path)
    args = parser.parse_args()
    rows = [row for path in read_json(args.records) for row in stage_rows(read_json(Path(path)))]
    names = ["stage", "source", "role", *COUNTS, *[f"share_{key}" for key in COUNTS], *FINDINGS]
    with whole_file(args.output) as draft:
        pd.DataFrame(rows, columns=names).to_csv(draft, index=False)


if __name__ == "__main__":
    run_job(main)
