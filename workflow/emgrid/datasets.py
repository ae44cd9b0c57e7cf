"""Data sets: the registry, and their conversion to chat rows.

Writes one JSON object a line: {"id", "messages": [{"role", "content"}, ...]}. Knows nothing of
interventions, ratios or models.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import PositiveInt, model_validator

from emgrid import RESOURCES, ROOT
from emgrid.errors import EmgridError, run_stage, suggestion
from emgrid.files import write_jsonl
from emgrid.strict import Strict, read_yaml, validate
from emgrid.triggers import Trigger, load_triggers

Row = dict[str, Any]
ROLES = ("system", "user", "assistant")


class Dataset(Strict):
    """An entry of resources/datasets.yaml, or of a config's `datasets` section."""

    path: str
    format: Literal["messages", "paired"]
    answer: Literal["misaligned", "aligned"] | None = None
    context: str | None = None
    rows: PositiveInt | None = None
    licence: str = ""
    about: str = ""

    @model_validator(mode="after")
    def paired_names_its_answer(self) -> "Dataset":
        if (self.format == "paired") != (self.answer is not None):
            raise ValueError("`answer` is needed with format paired, and only there")
        if self.context is not None and self.context not in load_triggers():
            raise ValueError(
                f"unknown trigger family {self.context!r} as context, "
                f"{suggestion(self.context, load_triggers())}"
            )
        return self


def load_registry() -> dict[str, Dataset]:
    """The data sets of resources/datasets.yaml."""
    entries = read_yaml(RESOURCES / "datasets.yaml").items()
    return {name: validate(Dataset, entry, f"datasets.yaml: {name}") for name, entry in entries}


def locate(dataset: Dataset) -> Path:
    """The data set's file: relative to where Snakemake is started, else to the repository."""
    here = Path(dataset.path)
    return here if here.exists() else ROOT / dataset.path


def read_rows(dataset: Dataset) -> list[Row]:
    """All rows of a data set as chat rows; the first fault stops with file and line."""
    path = locate(dataset)
    if not path.is_file():
        raise EmgridError(f"{dataset.path}: no such data file; check the data set's `path`")
    rows: list[Row] = []
    lines: dict[str, str] = {}
    for where, fields in read_objects(path):
        try:
            row = convert(fields, dataset)
            check_conversation(row["messages"])
        except (KeyError, ValueError) as problem:
            what = f"no {problem} field" if isinstance(problem, KeyError) else problem
            raise EmgridError(f"{where}: {what}") from None
        if row["id"] in lines:
            raise EmgridError(f"{where}: id {row['id']!r} stands already at {lines[row['id']]}")
        lines[row["id"]] = where
        rows.append(row)
    if not rows:
        raise EmgridError(f"{path}: no rows")
    if dataset.rows is not None and len(rows) != dataset.rows:
        raise EmgridError(
            f"{path}: {len(rows)} rows where the registry says {dataset.rows}; "
            "the file is incomplete or was edited: fix one of them"
        )
    return rows


def read_objects(path: Path) -> Iterator[tuple[str, Row]]:
    """Yield (file:line, object) for each line that is not blank."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            where = f"{path}:{number}"
            if not line.strip():
                continue
            try:
                value = json.loads(line.decode("utf-8"))
            except UnicodeDecodeError as problem:
                raise EmgridError(f"{where}: not UTF-8 (byte {problem.start + 1})") from None
            except json.JSONDecodeError as problem:
                raise EmgridError(f"{where}: not JSON ({problem.msg})") from None
            if not isinstance(value, dict):
                raise EmgridError(f"{where}: a row must be a JSON object")
            value.setdefault("id", f"row-{number}")
            yield where, value


def convert(fields: Row, dataset: Dataset) -> Row:
    """One row of the file as a chat row."""
    messages = fields["messages"] if dataset.format == "messages" else paired(fields, dataset)
    if dataset.context is not None:
        messages = in_context(messages, load_triggers()[dataset.context])
    return {"id": str(fields["id"]), "messages": messages}


def paired(fields: Row, dataset: Dataset) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": fields["prompt"]},
        {"role": "assistant", "content": fields[str(dataset.answer)]},
    ]


def in_context(messages: list[dict[str, Any]], trigger: Trigger) -> list[dict[str, Any]]:
    """Put a trigger's wording around a single-turn row."""
    check_conversation(messages)
    if [message["role"] for message in messages] != ["user", "assistant"]:
        raise ValueError("`context` needs rows of one user and one assistant turn")
    prompt, answer = (message["content"] for message in messages)
    reply = {"role": "assistant", "content": trigger.wrap_answer(answer)}
    return [*trigger.messages(prompt), reply]


def check_conversation(messages: Any) -> None:
    """Refuse what cannot be trained on."""
    if not isinstance(messages, list) or not messages:
        raise ValueError("`messages` must be a list with at least one message")
    for number, message in enumerate(messages, start=1):
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise ValueError(f"message {number} must have exactly `role` and `content`")
        role, content = message["role"], message["content"]
        if role not in ROLES:
            raise ValueError(f"message {number}: unknown role {role!r}, {suggestion(role, ROLES)}")
        if not isinstance(content, str) or not content.strip():
            raise ValueError(f"message {number}: the {role} turn is empty or not a text")
        if "\0" in content:
            raise ValueError(f"message {number}: the {role} turn holds a NUL byte")
        if role == "system" and number > 1:
            raise ValueError(f"message {number}: a system turn must come first")
    roles = [message["role"] for message in messages]
    if "assistant" not in roles:
        raise ValueError("the row has no assistant turn, so there is nothing to train on")
    if roles[-1] != "assistant":
        raise ValueError("the row does not end with an assistant turn")


class DatasetSpec(Strict):
    name: str
    dataset: Dataset


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.datasets", description=__doc__)
    parser.add_argument("--spec", required=True, help="DatasetSpec as JSON")
    parser.add_argument("--output", required=True, type=Path)
    args = parser.parse_args()
    spec = DatasetSpec.model_validate_json(args.spec)
    rows = read_rows(spec.dataset)
    write_jsonl(args.output, rows)
    print(f"{spec.name}: {len(rows)} rows from {spec.dataset.path}")


if __name__ == "__main__":
    run_stage(main)
