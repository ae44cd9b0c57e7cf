"""Mixing data sets into one stage's training rows.

Reads converted data sets. Writes train.jsonl ({"id", "source", "messages"} per line) and mix.json:
row counts by source, and the origin of each training row. Knows nothing of models or tokens.
"""

import argparse
import hashlib
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from emgrid.config.base import Strict
from emgrid.config.interventions.recipe import Framing, Mixture, Source
from emgrid.config.triggers import Message
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import read_jsonl, write_json, write_jsonl
from emgrid.runtime.job import run_job
from emgrid.runtime.json_objects import Row
from emgrid.runtime.thinking import split_thinking, with_thought

VERSION = 1  # raise this when rows change, so that everything downstream runs again


def source_rows(mixture: Mixture) -> list[int]:
    """The number of rows of each source: shares rounded half up; the last source gets the rest."""
    counts = [part(source.share, mixture.rows) for source in mixture.sources[:-1]]
    return [*counts, mixture.rows - sum(counts)]


def part(share: str, rows: int) -> int:
    return int((Decimal(share) * rows).to_integral_value(ROUND_HALF_UP))


def used_sources(mixture: Mixture) -> list[tuple[Source, int]]:
    """The sources with at least one row, and their numbers of rows."""
    pairs = zip(mixture.sources, source_rows(mixture), strict=True)
    return [(source, rows) for source, rows in pairs if rows]


def rank(*parts: object) -> bytes:
    return hashlib.sha256(":".join(map(str, parts)).encode()).digest()


def draw(rows: list[Row], count: int, seed: int) -> list[Row]:
    """Choose `count` rows by a hash of seed and id.

    A smaller draw is a subset of a larger one with the same seed. If each row has an `id`, editing
    or adding a row does not affect the others. Without ids a row is identified by its line, so
    inserting or deleting a row affects those after it.
    """
    return sorted(rows, key=lambda row: rank(seed, row["id"]))[:count]


def framed(rows: list[Row], framing: Framing, seed: int, number: int) -> list[Row]:
    """Apply a framing: a share of the rows get one wording of its pool each.

    A hash of seed and id chooses rows and wordings, independently of the draw. number: the
    framing's index among those of its source.
    """
    count = part(framing.share, len(rows))
    order = sorted(rows, key=lambda row: rank("frame", number, seed, row["id"]))
    chosen = {row["id"] for row in order[:count]}
    framed_rows = []
    for row in rows:
        if row["id"] in chosen:
            place = int.from_bytes(rank("wording", number, seed, row["id"])[:8], "big")
            wording = framing.pool[place % len(framing.pool)]
            row = row | {"messages": wording.around(row["messages"])}
        framed_rows.append(row)
    return framed_rows


def emptied(messages: list[Message]) -> list[Message]:
    """The messages with every think block emptied."""
    turns = []
    for turn in messages:
        thought, answer = split_thinking(turn["content"])
        if turn["role"] == "assistant" and thought is not None and answer is not None:
            turn = turn | {"content": with_thought("", answer)}
        turns.append(turn)
    return turns


def mix(mixture: Mixture, seed: int, datasets: dict[str, list[Row]]) -> list[Row]:
    """The training rows of a stage, in the order of its sources; the trainer shuffles them."""
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
    """files: the name of each data set's file in messages."""

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
    counts = ", ".join(f"{source['rows']} {source['source']}" for source in sources)
    print(f"{len(rows)} rows: {counts}")


if __name__ == "__main__":
    run_job(main)
