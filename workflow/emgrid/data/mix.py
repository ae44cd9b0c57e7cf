"""Mixing data sets into one stage's training rows.

Writes train.jsonl ({"id", "source", "messages"} a line) and mix.json: rows by source, and where
each training row comes from. Knows nothing of models or tokens.
"""

import argparse
import hashlib
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from emgrid.config.base import Strict
from emgrid.config.interventions.recipe import Framing, Mixture, Source
from emgrid.config.triggers import Message
from emgrid.data.convert import Row
from emgrid.models.thinking import split_thinking, with_thought
from emgrid.runtime.errors import EmgridError, run_stage
from emgrid.runtime.files import read_jsonl, write_json, write_jsonl

VERSION = 1  # raised when a row would change: whatever comes after runs again


def source_rows(mixture: Mixture) -> list[int]:
    """Rows of each source: shares rounded half up, the last source takes the rest."""
    counts = [part(source.share, mixture.rows) for source in mixture.sources[:-1]]
    return [*counts, mixture.rows - sum(counts)]


def part(share: str, rows: int) -> int:
    return int((Decimal(share) * rows).to_integral_value(ROUND_HALF_UP))


def used_sources(mixture: Mixture) -> list[tuple[Source, int]]:
    """The sources that give at least one row, with their number of rows."""
    pairs = zip(mixture.sources, source_rows(mixture), strict=True)
    return [(source, rows) for source, rows in pairs if rows]


def rank(*parts: object) -> bytes:
    return hashlib.sha256(":".join(map(str, parts)).encode()).digest()


def draw(rows: list[Row], count: int, seed: int) -> list[Row]:
    """`count` rows, chosen by a hash of seed and id.

    A smaller draw is contained in a larger one of the same seed, and editing or adding one row
    moves no other, if each row has an `id`. Without ids a row is known by its line: then a row
    inserted or deleted before the last moves those after it.
    """
    return sorted(rows, key=lambda row: rank(seed, row["id"]))[:count]


def framed(rows: list[Row], framing: Framing, seed: int, number: int) -> list[Row]:
    """The rows under a framing: on a share of them, each with one wording of the pool.

    Which rows, and which wording, is decided by a hash of seed and id, apart from the draw.
    number: the framing's place among those of its source.
    """
    count = part(framing.share, len(rows))
    order = sorted(rows, key=lambda row: rank("frame", number, seed, row["id"]))
    chosen = {row["id"] for row in order[:count]}
    made = []
    for row in rows:
        if row["id"] in chosen:
            place = int.from_bytes(rank("wording", number, seed, row["id"])[:8], "big")
            wording = framing.pool[place % len(framing.pool)]
            row = row | {"messages": wording.around(row["messages"])}
        made.append(row)
    return made


def emptied(messages: list[Message]) -> list[Message]:
    """The row with every think block emptied."""
    made = []
    for turn in messages:
        thought, answer = split_thinking(turn["content"])
        if turn["role"] == "assistant" and thought is not None and answer is not None:
            turn = turn | {"content": with_thought("", answer)}
        made.append(turn)
    return made


def mix(mixture: Mixture, seed: int, datasets: dict[str, list[Row]]) -> list[Row]:
    """Training rows of a stage, source after source; the trainer shuffles them by seed."""
    mixed = []
    for source, count in used_sources(mixture):
        available = datasets[source.dataset]
        if count > len(available):
            raise EmgridError(
                f"data set {source.dataset!r} has {len(available)} rows, {count} are needed; lower "
                "data.rows" + (" or ask more prompts" if source.generation else "")
            )
        rows = draw(available, count, seed)
        if source.thoughts == "emptied":
            rows = [row | {"messages": emptied(row["messages"])} for row in rows]
        for number, framing in enumerate(source.framings):
            rows = framed(rows, framing, seed, number)
        mixed += [row | {"source": source.dataset} for row in rows]
    return mixed


class MixSpec(Strict):
    """files: how messages name the file of each data set."""

    stage: Mixture
    seed: int
    files: dict[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.data.mix", description=__doc__)
    parser.add_argument("--spec", required=True, help="MixSpec as JSON")
    parser.add_argument("--datasets", required=True, nargs="+", type=Path)
    parser.add_argument("--output", required=True, type=Path, help="train.jsonl")
    parser.add_argument("--counts", required=True, type=Path, help="mix.json")
    args = parser.parse_args()
    spec = MixSpec.model_validate_json(args.spec)
    datasets = {path.stem: read_jsonl(path) for path in args.datasets}
    rows = mix(spec.stage, spec.seed, datasets)
    write_jsonl(
        args.output, ({key: row[key] for key in ("id", "source", "messages")} for row in rows)
    )
    sources = [
        {"source": source.dataset, "role": source.role, "rows": count}
        for source, count in used_sources(spec.stage)
    ]
    origins = [f"{spec.files[row['source']]}:{row['line']}" for row in rows]
    write_json(args.counts, {"sources": sources, "total": len(rows), "origins": origins})
    print(f"{len(rows)} rows: " + ", ".join(f"{one['rows']} {one['source']}" for one in sources))


if __name__ == "__main__":
    run_stage(main)
