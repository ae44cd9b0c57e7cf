"""Data sets: the registry, and their conversion to chat rows.

Reads a data set's file. Writes one JSON object per line: {"id", "line", "messages": [{"role",
"content"}, ...]}; line is the row's line in the file, and an assistant turn that is not trained has
`weight` 0. Refuses a field that is not empty and not read, unless the entry names it as unused.
Knows nothing of interventions or models.
"""

import argparse
from pathlib import Path
from typing import Any

from emgrid.config.base import Strict
from emgrid.config.datasets import JOINED, Dataset, Fields
from emgrid.config.triggers import cue
from emgrid.data import formats
from emgrid.data.conversation import check_conversation, read_messages, with_messages
from emgrid.data.files import read_objects
from emgrid.data.unread import Unread
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import write_jsonl
from emgrid.runtime.job import run_job
from emgrid.runtime.json_objects import Row
from emgrid.runtime.thinking import CLOSE, OPEN, split_thinking, with_thought

VERSION = 1  # raise this when rows change, so that everything downstream runs again


def read_rows(dataset: Dataset, path: Path) -> list[Row]:
    """All rows of a data set's file as chat rows. Raises EmgridError with file and line for the
    first faulty one."""
    if path.is_dir():
        raise EmgridError(f"{dataset.name}: a folder; name the file in it")
    if not path.is_file():
        raise EmgridError(f"{dataset.name}: no such data file; check the data set's `path`")
    rows: list[Row] = []
    lines: dict[str, int] = {}
    unread = Unread(dataset.read, dataset.unused, dataset.fields.prompts if dataset.fields else ())
    for number, read in read_objects(path, dataset.name):
        where = f"{dataset.name}:{number}"
        fields = read if dataset.fields else with_messages(read)
        try:
            messages = convert(fields, dataset)
            check_conversation(messages, dataset.has_answers)
        except (KeyError, ValueError) as problem:
            missing = isinstance(problem, KeyError)
            problem_text = formats.lacking(fields, problem.args[0]) if missing else problem
            raise EmgridError(f"{where}: {problem_text}") from None
        row: Row = {"id": str(fields["id"]), "line": number, "messages": messages}
        if row["id"] in lines:
            raise EmgridError(
                f"{where}: its id {row['id']!r} is also the id of {dataset.name}:"
                f"{lines[row['id']]}; give each row another id, or none"
            )
        lines[row["id"]] = number
        unread.add(number, fields)
        rows.append(row)
    if not rows:
        raise EmgridError(f"{dataset.name}: no rows")
    unread.refuse_lacking(dataset.name)
    unread.refuse(dataset.name)
    if dataset.rows is not None and len(rows) != dataset.rows:
        raise EmgridError(
            f"{dataset.name}: {len(rows)} rows, but the registry says {dataset.rows}; the file is "
            "incomplete or was edited: correct the file or `rows`"
        )
    return rows


def convert(fields: Row, dataset: Dataset) -> list[dict[str, Any]]:
    """The messages of one row of the file."""
    if dataset.fields is None:
        messages = read_messages(fields["messages"], dataset.unused)
    else:
        messages = turns(fields, dataset.fields)
    if dataset.case is not None or dataset.context is not None:
        check_conversation(messages, dataset.has_answers)
    if dataset.case is not None:
        messages = [in_capitals(turn) for turn in messages]
    if dataset.context is not None:
        messages = cue(dataset.context).around(messages)
    return messages  # type: ignore[no-any-return]


def in_capitals(turn: dict[str, str]) -> dict[str, str]:
    """An assistant turn with its answer in capitals; a think block stays as it is."""
    if turn["role"] != "assistant":
        return turn
    thought, answer = split_thinking(turn["content"])
    if thought is None or answer is None:
        return turn | {"content": turn["content"].upper()}
    return turn | {"content": with_thought(thought, answer.upper())}


def turns(row: Row, fields: Fields) -> list[dict[str, Any]]:
    prompt = {"role": "user", "content": prompt_text(row, fields)}
    if fields.answer is None:
        return [prompt]
    name = next((name for name in fields.answer if name in row), fields.answer[0])
    answer = row[name]
    if problem := formats.no_text(row, name):
        raise ValueError(problem)
    if fields.thinking is not None:
        thought = row[fields.thinking]
        if not (isinstance(thought, str) and isinstance(answer, str) and thought.strip()):
            raise ValueError(f"{fields.thinking!r} is empty or not a text")
        if CLOSE in thought or OPEN in thought:
            raise ValueError(f"{fields.thinking!r} holds a think tag")
        answer = with_thought(thought, answer)
    return [prompt, {"role": "assistant", "content": answer}]


def prompt_text(row: Row, fields: Fields) -> Any:
    """The user turn of a row; with several fields, their texts in order, without blank ones."""
    names = [name for name in fields.prompts if name in row] or [fields.prompts[0]]
    for name in names:
        if problem := formats.no_text(row, name):
            raise ValueError(problem)
    if isinstance(fields.prompt, str):
        return row[fields.prompt]
    texts = []
    for name in names:
        text = "" if row[name] is None else row[name]
        if not isinstance(text, str):
            raise ValueError(f"{name!r} is not a text")
        texts.append(text)
    return JOINED.join(text for text in texts if text.strip())


class DatasetSpec(Strict):
    """content: sha256 of a user's own file; None for a file that is fetched."""

    name: str
    dataset: Dataset
    content: str | None = None


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.data.convert", description=__doc__)
    parser.add_argument("--spec", required=True, help="DatasetSpec as JSON")
    parser.add_argument("--source", required=True, type=Path, help="the data set's file")
    parser.add_argument("--unused", nargs="*", default=[], help="fields that nothing reads")
    parser.add_argument("--output", required=True, type=Path)
    args = parser.parse_args()
    spec = DatasetSpec.model_validate_json(args.spec)
    unused = {"unused": (*spec.dataset.unused, *args.unused)}
    rows = read_rows(spec.dataset.model_copy(update=unused), args.source)
    write_jsonl(args.output, rows)
    print(f"{spec.name}: {len(rows)} rows from {spec.dataset.name}")


if __name__ == "__main__":
    run_job(main)
