"""Find answers that repeat more often than honest sampling explains.

Reads every arm's answers. Writes tables/repeats.csv: one row for each arm and trigger, and one for
each comparison with another seed of the arm and with the base model. Knows nothing of judges.
"""

import argparse
import math
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from emgrid.aggregate import statistics
from emgrid.aggregate.answers import ANSWERS, read_lines
from emgrid.aggregate.e_values import LONG, ArmAnswers, between, within
from emgrid.aggregate.spec import ARM, ComparedArm, RepeatsSpec
from emgrid.aggregate.statistics import Integers
from emgrid.config.base import read_spec
from emgrid.runtime import layout
from emgrid.runtime.files import canonical, whole_file
from emgrid.runtime.job import run_job

LEVEL = 0.01  # probability of a false warning anywhere in the grid
SHARE = 0.05  # largest share of long repeats among answers without known probabilities
COMMON = 0.9  # share of the longer text, from the beginning on, that near repeats have in common
IGNORED = re.compile(r"[\W_]+")
# The ASCII characters among these, which `translate` deletes much faster.
PLAIN_IGNORED = bytes(code for code in range(128) if not chr(code).isalnum())
SAID = ("thinking", "answer", "finish_reason")
NUMBERS = ("index", "answer_tokens", "logprob")
READ = pa.schema([ANSWERS.field(name) for name in ("system", "prompt", "turns", *NUMBERS, *SAID)])
# Constants of splitmix64.
ODD = np.uint64(0x9E3779B97F4A7C15)
MIXING = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)
COLUMNS = [
    *ARM, "seed", "trigger", "against", "n_answers", "pairs", "equal", "near", "expected",
    "same_index", "equal_same_index", "near_same_index", "expected_same_index", "long_repeats",
    "p", "p_holm", "warning",
]  # fmt: skip
COUNTS = [name for name in COLUMNS[6:-3] if not name.startswith("expected")]


def beginning(text: str) -> str:
    """The case-folded letters and digits of a text, cut to a length on a grid with steps of factor
    0.9: texts with equal beginnings have at least 90 % of the longer one in common."""
    lettered = text.casefold().encode().translate(None, PLAIN_IGNORED).decode()
    plain = IGNORED.sub("", lettered)
    if not plain:
        return plain
    steps = math.floor(math.log(len(plain)) / -math.log(COMMON))
    return plain[: math.ceil(COMMON**-steps)]


def read_arm_answers(path: Path, temperature: float | None) -> ArmAnswers:
    """Read one file of answers. At temperature 0 each answer has probability 1."""
    columns = read_lines(path, READ).sort_by("index").to_pydict()
    asked = zip(columns["system"], columns["prompt"], columns["turns"], strict=True)
    prompts = hashes(
        (system, prompt, *([canonical(turns)] if turns else ())) for system, prompt, turns in asked
    )
    texts = [
        (thought or "") + (answer or "")
        for thought, answer in zip(columns["thinking"], columns["answer"], strict=True)
    ]
    tokens = [-1 if number is None else number for number in columns["answer_tokens"]]
    exact = joined(
        hashes(zip(*(columns[name] for name in SAID), strict=True)),
        np.array(tokens, dtype=np.int64),
    )
    logprobs = np.array(columns["logprob"], dtype=float)
    return ArmAnswers(
        prompt=prompts,
        place=joined(prompts, np.array(columns["index"], dtype=np.int64)),
        exact=joined(prompts, exact),
        near=joined(prompts, hashes((beginning(text),) for text in texts)),
        logprob=np.zeros(len(prompts)) if temperature == 0 else logprobs,
        is_long=np.array([len(text) >= LONG for text in texts], dtype=bool),
    )


def hashes(values: Iterable[tuple[str | None, ...]]) -> Integers:
    """A 64-bit hash of each value, shape (values,).

    Unlike Python's own hash it is the same in every process. Sums are made in the order of the
    hashes, so that tables come out alike to the last bit.
    """
    # With their lengths, no two tuples are joined to the same text.
    texts = (
        "".join("-" if part is None else f"{len(part)} {part}" for part in value)
        for value in values
    )
    digests = (blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(b"".join(digests), dtype=np.int64)


def joined(first: Integers, second: Integers) -> Integers:
    """A hash of each pair of hashes or numbers, shape (values,), by the mixing of splitmix64
    (Steele, Lea & Flood 2014)."""
    mixed = first.view(np.uint64) * ODD + second.view(np.uint64)
    for shift, factor in MIXING:
        mixed = (mixed ^ (mixed >> shift)) * factor
    return (mixed ^ (mixed >> np.uint64(31))).view(np.int64)


def compared(arms: tuple[ComparedArm, ...]) -> Iterator[tuple[ComparedArm, ComparedArm, str]]:
    """Pairs of arms that differ in the seed alone, and of an arm and its base model; named."""
    for first, second in combinations(arms, 2):
        if first.base != second.base:
            continue
        if (first.intervention, first.ratio) == (second.intervention, second.ratio):
            yield first, second, f"seed {second.seed}"
        elif first.intervention == "base":
            yield second, first, "base"
        elif second.intervention == "base":
            yield first, second, "base"


def rows(spec: RepeatsSpec, root: Path) -> Iterator[dict[str, Any]]:
    for trigger in spec.triggers:
        paths = [
            root / arm.folder / layout.ANSWERS / layout.trigger_file(trigger) for arm in spec.arms
        ]
        with ThreadPoolExecutor(pa.cpu_count()) as pool:
            read = list(pool.map(read_arm_answers, paths, [arm.temperature for arm in spec.arms]))
        answers = {arm.folder: drawn for arm, drawn in zip(spec.arms, read, strict=True)}
        for arm in spec.arms:
            yield cell(arm, trigger, "") | within(answers[arm.folder])
        for first, second, name in compared(spec.arms):
            yield cell(first, trigger, name) | between(
                answers[first.folder], answers[second.folder]
            )


def cell(arm: ComparedArm, trigger: str, against: str) -> dict[str, Any]:
    return arm.model_dump(include={*ARM, "seed"}) | {"trigger": trigger, "against": against}


def warning(row: Any) -> str:
    """The kind of warning for a comparison: repeats, shared_answers, same_answers, long_repeats, or
    none ("")."""
    within_arm = not row["against"]
    most = row["same_index"] / 2
    if pd.isna(row["p"]):
        if within_arm:
            return "long_repeats" if row["long_repeats"] > max(1, SHARE * row["n_answers"]) else ""
        return "same_answers" if row["long_repeats"] > max(1, most) else ""
    if row["p_holm"] >= LEVEL:
        return ""
    if within_arm:
        return "repeats"
    return "same_answers" if row["equal_same_index"] > most else "shared_answers"


def repeats_table(spec: RepeatsSpec, root: Path) -> pd.DataFrame:
    """All comparisons, with p-values adjusted over all of them (Holm 1979)."""
    table = pd.DataFrame(rows(spec, root), columns=COLUMNS)
    tested = table["p"].notna()
    table.loc[tested, "p_holm"] = statistics.holm(table.loc[tested, "p"].tolist())
    table["warning"] = [warning(row) for row in table.to_dict("records")]
    return table.astype(dict.fromkeys(COUNTS, "Int64"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.aggregate.repeats", description=__doc__)
    parser.add_argument(
        "--spec", required=True, type=read_spec, help="RepeatsSpec as JSON, or its file"
    )
    parser.add_argument("--root", required=True, type=Path, help="the grid's folder")
    args = parser.parse_args()
    table = repeats_table(RepeatsSpec.model_validate_json(args.spec), args.root)
    with whole_file(args.root / layout.table("repeats.csv")) as draft:
        table.to_csv(draft, index=False)
    print(f"{len(table)} comparisons, {(table['warning'] != '').sum()} with a warning")


if __name__ == "__main__":
    run_job(main)
