"""The answers of all arms with what the judges said of them, as one table.

Read through Arrow, column by column: a million answers are too many for a dictionary each.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.json import ParseOptions, ReadOptions, read_json

from emgrid.aggregate.spec import ANSWER, AggregateSpec, ArmSpec
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import read_jsonl

TEXTS = ("system", "answer", "thinking", "finish_reason")
TOKENS = ("prompt_tokens", "answer_tokens")
ANSWERS = pa.schema(
    dict.fromkeys(("key", "question", "prompt", *TEXTS), pa.string())
    | dict.fromkeys(("index", *TOKENS), pa.int64())
    | {"logprob": pa.float64()}
)
JUDGEMENTS = pa.schema(
    dict.fromkeys(("key", "judge", "reason"), pa.string())
    | dict.fromkeys(("value", "mass"), pa.float64())
)
PARTS = {"": "value", "_reason": "reason", "_mass": "mass"}
LARGEST = 2**30  # bytes that are parsed at once, as no line is longer


def cell(arm: ArmSpec, trigger: str) -> dict[str, Any]:
    return {
        "base": arm.base,
        "intervention": arm.intervention,
        "ratio": arm.ratio,
        "seed": int(arm.seed),
        "trigger": trigger,
    }


def read_lines(path: Path, schema: Any) -> Any:
    """The fields that the schema names, as an Arrow table; missing where a line has none."""
    size = path.stat().st_size
    if not size:
        return schema.empty_table()
    reading = ReadOptions(use_threads=False, block_size=min(size, LARGEST))
    parsing = ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    try:
        return read_json(path, reading, parsing)
    except pa.ArrowInvalid as problem:
        read_jsonl(path)  # says which line is no JSON, if that is it
        raise EmgridError(f"{path}: {problem}; was it edited?") from None


def judged(path: Path, keys: Any, judges: Sequence[str]) -> dict[str, Any]:
    """Each judge's value, reason and mass of the answers with these keys."""
    lines = read_lines(path, JUDGEMENTS)
    columns: dict[str, Any] = {}
    for name in judges:
        own = lines.filter(pc.equal(lines["judge"], name))
        places = pc.index_in(keys, value_set=own["key"])
        if places.null_count:
            raise EmgridError(
                f"{path}: {name} judged {len(own)} of {len(keys)} answers; "
                "delete the file and run again"
            )
        columns |= {f"{name}{end}": own[part].take(places) for end, part in PARTS.items()}
    return columns


def read_cell(which: tuple[ArmSpec, str], judges: Sequence[str], root: Path) -> Any:
    """The answers of one arm under one trigger, as an Arrow table."""
    arm, trigger = which
    folder, file = root / arm.folder, layout.trigger_file(trigger)
    said = read_lines(folder / layout.ANSWERS / file, ANSWERS)
    columns = {name: pa.repeat(value, len(said)) for name, value in cell(arm, trigger).items()}
    columns |= {name: said[name] for name in ("question", *ANSWER)}
    return pa.table(columns | judged(folder / layout.JUDGEMENTS / file, said["key"], judges))


def read_answers(spec: AggregateSpec, root: Path) -> pd.DataFrame:
    """One row an answer, nothing filtered, with each judge's value and reason."""
    names = [judge.id for judge in spec.judges]
    with ThreadPoolExecutor(pa.cpu_count()) as pool:
        cells = product(spec.arms, spec.triggers)
        table = pa.concat_tables(pool.map(lambda one: read_cell(one, names, root), cells))
    answers: pd.DataFrame = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    texts = [*TEXTS, *(f"{name}_reason" for name in names)]
    return answers.astype({"seed": "int64", "index": "int64"} | dict.fromkeys(texts, "string"))
