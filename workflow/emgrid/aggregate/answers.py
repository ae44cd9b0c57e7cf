"""The answers of all arms with their judgements, as one table.

Read with Arrow, column by column: a dictionary per answer would be too much for a million answers.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.json import ParseOptions, ReadOptions, read_json

from emgrid.aggregate.spec import ANSWER, ASKED_WITH, AggregateSpec, ArmSpec
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import read_jsonl

LONG_TEXTS = ["system", "prompt", "answer", "thinking"]
TEXTS = ("system", "answer", "thinking", "finish_reason")
TOKENS = ("prompt_tokens", "answer_tokens")
ANSWERS = pa.schema(
    dict.fromkeys(("key", "question", "prompt", *TEXTS), pa.string())
    | dict.fromkeys(("index", *TOKENS), pa.int64())
    | {"logprob": pa.float64(), "prefill": pa.string()}
    | {"turns": pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))}
)
JUDGEMENTS = pa.schema(
    dict.fromkeys(("key", "judge", "reason"), pa.string())
    | dict.fromkeys(("value", "mass", "spread"), pa.float64())
)
PARTS = {"": "value", "_reason": "reason", "_mass": "mass", "_spread": "spread"}
LARGEST = 2**30  # bytes per block of the parser; no line is longer


def cell(arm: ArmSpec, trigger: str) -> dict[str, Any]:
    return {
        "base": arm.base,
        "intervention": arm.intervention,
        "ratio": arm.ratio,
        "seed": int(arm.seed),
        "trigger": trigger,
    }


def read_lines(path: Path, schema: Any) -> Any:
    """The fields of the schema as an Arrow table; a field that a line lacks is missing."""
    size = path.stat().st_size
    if not size:
        return schema.empty_table()
    reading = ReadOptions(use_threads=False, block_size=min(size, LARGEST))
    parsing = ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    try:
        return read_json(path, reading, parsing)
    except pa.ArrowInvalid as problem:
        read_jsonl(path)  # raises an error that names the line, if one is not JSON
        raise EmgridError(f"{path}: {problem}; was it edited?") from None


def judged(path: Path, keys: Any, judges: Sequence[str]) -> dict[str, Any]:
    """Each judge's value, reason, mass and spread for the answers with these keys, in their
    order."""
    lines = read_lines(path, JUDGEMENTS)
    columns: dict[str, Any] = {}
    for name in judges:
        judge_lines = lines.filter(pc.equal(lines["judge"], name))
        # A judge's rows are in the order of the answers, unless the file was put together by hand.
        if not judge_lines["key"].equals(keys):
            judge_lines = in_order(judge_lines, keys, name, path)
        columns |= {f"{name}{end}": judge_lines[part] for end, part in PARTS.items()}
    return columns


def in_order(judge_lines: Any, keys: Any, judge: str, path: Path) -> Any:
    """A judge's rows for the answers with these keys, in their order."""
    places = pc.index_in(keys, value_set=judge_lines["key"])
    if places.null_count:
        raise EmgridError(
            f"{path}: {judge} judged {len(judge_lines)} of {len(keys)} answers; "
            "delete the file and run again"
        )
    return judge_lines.take(places)


def as_json(turns: Any) -> Any:
    """A column of lists of turns as JSON texts."""
    if turns.null_count == len(turns):
        return pa.nulls(len(turns), pa.string())
    texts = (
        None if one is None else json.dumps(one, ensure_ascii=False) for one in turns.to_pylist()
    )
    return pa.array(texts, pa.string())


def read_cell(arm_and_trigger: tuple[ArmSpec, str], judges: Sequence[str], root: Path) -> Any:
    """The answers of one arm under one trigger, as an Arrow table."""
    arm, trigger = arm_and_trigger
    folder, file = root / arm.folder, layout.trigger_file(trigger)
    lines = read_lines(folder / "answers" / file, ANSWERS)
    columns = {name: pa.repeat(value, len(lines)) for name, value in cell(arm, trigger).items()}
    columns |= {name: lines[name] for name in ("question", *ANSWER, "prefill")}
    columns["turns"] = as_json(lines["turns"])
    return pa.table(columns | judged(folder / "judgements" / file, lines["key"], judges))


def read_answers(spec: AggregateSpec, root: Path) -> pd.DataFrame:
    """One row per answer, nothing filtered, with each judge's value, reason and mass, and with the
    spread of its replies if it was asked for several."""
    names = [judge.id for judge in spec.judges]
    with ThreadPoolExecutor(pa.cpu_count()) as pool:
        cells = product(spec.arms, spec.triggers)
        table = pa.concat_tables(pool.map(lambda which: read_cell(which, names, root), cells))
    optional = [*ASKED_WITH, *(f"{name}_spread" for name in names)]
    table = table.drop([name for name in optional if table[name].null_count == len(table)])
    answers: pd.DataFrame = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    texts = [*TEXTS, *(f"{name}_reason" for name in names)]
    return answers.astype({"seed": "int64", "index": "int64"} | dict.fromkeys(texts, "string"))
