"""Mixing data sets into one stage's training rows.

Writes train.jsonl ({"id", "source", "messages"} a line) and mix.json (rows of each source). Knows
nothing of models or tokens.
"""

import argparse
import hashlib
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from emgrid.datasets import Row
from emgrid.errors import EmgridError, run_stage
from emgrid.files import read_jsonl, write_json, write_jsonl
from emgrid.recipes.recipe import Stage
from emgrid.strict import Strict


def split_rows(stage: Stage) -> dict[str, int]:
    """Rows of each data set: shares rounded half up, the last source takes the rest."""
    counts: dict[str, int] = {}
    left = stage.rows
    for source in stage.sources[:-1]:
        rows = int((Decimal(source.share) * stage.rows).to_integral_value(ROUND_HALF_UP))
        counts[source.dataset] = counts.get(source.dataset, 0) + rows
        left -= rows
    last = stage.sources[-1].dataset
    counts[last] = counts.get(last, 0) + left
    return {dataset: rows for dataset, rows in counts.items() if rows}


def draw(rows: list[Row], count: int, seed: int) -> list[Row]:
    """`count` rows, chosen by a hash of seed and id.

    A smaller draw is contained in a larger one of the same seed, and editing or adding one row
    moves no other.
    """

    def rank(row: Row) -> bytes:
        return hashlib.sha256(f"{seed}:{row['id']}".encode()).digest()

    return sorted(rows, key=rank)[:count]


def mix(stage: Stage, seed: int, datasets: dict[str, list[Row]]) -> list[Row]:
    """Training rows of a stage, source after source; the trainer shuffles them by seed."""
    mixed = []
    for dataset, count in split_rows(stage).items():
        available = datasets[dataset]
        if count > len(available):
            raise EmgridError(f"data set {dataset!r} has {len(available)} rows, {count} are needed")
        for row in draw(available, count, seed):
            mixed.append({"id": row["id"], "source": dataset, "messages": framed(row, stage)})
    return mixed


def framed(row: Row, stage: Stage) -> list[dict[str, Any]]:
    """The row's messages under the stage's system prompt, which replaces the row's own."""
    messages: list[dict[str, Any]] = row["messages"]
    if stage.system is None:
        return messages
    rest = [message for message in messages if message["role"] != "system"]
    return [{"role": "system", "content": stage.system}, *rest]


class MixSpec(Strict):
    stage: Stage
    seed: int


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.mix", description=__doc__)
    parser.add_argument("--spec", required=True, help="MixSpec as JSON")
    parser.add_argument("--datasets", required=True, nargs="+", type=Path)
    parser.add_argument("--output", required=True, type=Path, help="train.jsonl")
    parser.add_argument("--counts", required=True, type=Path, help="mix.json")
    args = parser.parse_args()
    spec = MixSpec.model_validate_json(args.spec)
    datasets = {path.stem: read_jsonl(path) for path in args.datasets}
    rows = mix(spec.stage, spec.seed, datasets)
    write_jsonl(args.output, rows)
    write_json(args.counts, {"rows": split_rows(spec.stage), "total": len(rows)})
    print(f"{len(rows)} rows: {split_rows(spec.stage)}")


if __name__ == "__main__":
    run_stage(main)
