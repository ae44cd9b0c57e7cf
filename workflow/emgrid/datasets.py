"""Data sets: the registry, and their conversion to chat rows.

Reads a data set's file. Writes one JSON object a line: {"id", "line", "messages": [{"role",
"content"}, ...]}; line is the row's place in the file. Knows nothing of interventions or models.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from emgrid import RESOURCES, ROOT
from emgrid.errors import EmgridError, run_stage, suggestion
from emgrid.fetch import refuse_moving
from emgrid.files import users_path, write_jsonl
from emgrid.strict import Strict, read_yaml, validate
from emgrid.thinking import CLOSE, OPEN, with_thought
from emgrid.triggers import Texts, cue

VERSION = 1  # raised when a row would change: whatever comes after runs again
Row = dict[str, Any]
ROLES = ("system", "user", "assistant")
LONGEST_ROW = 1_000_000


class Fields(Strict):
    """Which fields of a row hold what. answer: the first of these that a row has; a set without
    it holds prompts only. thinking: a thought that is put before the answer."""

    prompt: str
    answer: Texts | None = None
    thinking: str | None = None

    @model_validator(mode="after")
    def a_thought_needs_an_answer(self) -> "Fields":
        if self.thinking is not None and self.answer is None:
            raise ValueError("`thinking` stands before an answer; name the `answer` field too")
        return self


class Dataset(Strict):
    """An entry of resources/datasets.yaml, or of a config's `datasets` section.

    path is a local file. With url, or hub and revision, `file` is its name below a mirror folder
    (and in the Hub repository). sha256 may be its first digits where no more is known.
    """

    path: str | None = None
    url: str | None = None
    hub: str | None = None
    revision: str | None = None
    file: str | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{8,64}$")] | None = None
    bytes: PositiveInt | None = None
    rows: PositiveInt | None = None
    format: Literal["messages", "fields"]
    fields: Fields | None = None
    context: str | None = None
    licence: str = ""
    about: str = ""

    @model_validator(mode="after")
    def parts_belong_together(self) -> "Dataset":
        if sum(origin is not None for origin in (self.path, self.url, self.hub)) != 1:
            raise ValueError("exactly one of `path`, `url` and `hub` must be given")
        if (self.hub is None) != (self.revision is None):
            raise ValueError("`hub` needs `revision`, a commit to pin it to, and only `hub` does")
        if self.sha256 is None:
            refuse_moving(self.revision)
        if (self.path is None) != (self.file is not None):
            raise ValueError("`file` (its name below a mirror) is needed with `url` or `hub` only")
        if (self.format == "fields") != (self.fields is not None):
            raise ValueError("`fields` is needed with format fields, and only there")
        if self.context is not None:
            cue(self.context)
        return self

    @property
    def name(self) -> str:
        """How messages name the file; holds no path of this machine but the user's own."""
        return str(self.path or self.file)

    @property
    def has_answers(self) -> bool:
        return self.fields is None or self.fields.answer is not None


def load_registry() -> dict[str, Dataset]:
    """The data sets of resources/datasets.yaml."""
    entries = read_yaml(RESOURCES / "datasets.yaml").items()
    return {name: validate(Dataset, entry, f"datasets.yaml: {name}") for name, entry in entries}


def local_file(dataset: Dataset) -> Path:
    """The file of a data set with a path: below where Snakemake is started, else the repository."""
    here = users_path(str(dataset.path))
    return here if here.exists() else ROOT / str(dataset.path)


def read_rows(dataset: Dataset, path: Path) -> list[Row]:
    """All rows of a data set's file as chat rows; the first fault stops with file and line."""
    if not path.is_file():
        raise EmgridError(f"{dataset.name}: no such data file; check the data set's `path`")
    rows: list[Row] = []
    lines: dict[str, int] = {}
    for number, fields in read_objects(path, dataset.name):
        where = f"{dataset.name}:{number}"
        try:
            row: Row = {
                "id": str(fields["id"]),
                "line": number,
                "messages": convert(fields, dataset),
            }
            check_conversation(row["messages"], dataset.has_answers)
        except (KeyError, ValueError) as problem:
            what = f"no {problem} field" if isinstance(problem, KeyError) else problem
            raise EmgridError(f"{where}: {what}") from None
        if row["id"] in lines:
            first = f"{dataset.name}:{lines[row['id']]}"
            raise EmgridError(f"{where}: id {row['id']!r} stands already at {first}")
        lines[row["id"]] = number
        rows.append(row)
    if not rows:
        raise EmgridError(f"{dataset.name}: no rows")
    if dataset.rows is not None and len(rows) != dataset.rows:
        raise EmgridError(
            f"{dataset.name}: {len(rows)} rows where the registry says {dataset.rows}; "
            "the file is incomplete or was edited: fix one of them"
        )
    return rows


def read_objects(path: Path, name: str) -> Iterator[tuple[int, Row]]:
    """Yield (line number, object) for each line that is not blank."""
    ending = None
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            where = f"{name}:{number}"
            if not line.strip():
                continue
            own = "CRLF" if line.endswith(b"\r\n") else "LF" if line.endswith(b"\n") else ending
            ending = ending or own
            if own != ending:
                raise EmgridError(
                    f"{where}: this line ends with {own}, those before it with {ending}; the file "
                    "was put together from two: convert its line ends (dos2unix)"
                )
            if len(line) > LONGEST_ROW:
                raise EmgridError(
                    f"{where}: a row of {len(line):,} bytes, more than {LONGEST_ROW:,}; no model "
                    "reads that much in one conversation: split or drop it"
                )
            yield number, parse_object(line, number, where)


def parse_object(line: bytes, number: int, where: str) -> Row:
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as problem:
        raise EmgridError(f"{where}: not UTF-8 (byte {problem.start + 1})") from None
    except RecursionError:
        raise EmgridError(f"{where}: not JSON (nested too deeply)") from None
    except ValueError as problem:
        what = getattr(problem, "msg", problem)
        raise EmgridError(f"{where}: not JSON ({what})") from None
    if not isinstance(value, dict):
        raise EmgridError(f"{where}: a row must be a JSON object")
    if value.get("id") is None:
        value["id"] = f"row-{number}"
    return value


def convert(fields: Row, dataset: Dataset) -> list[dict[str, Any]]:
    """The messages of one row of the file."""
    messages = fields["messages"] if dataset.fields is None else turns(fields, dataset.fields)
    if dataset.context is not None:
        check_conversation(messages, dataset.has_answers)
        messages = cue(dataset.context).around(messages)
    return messages  # type: ignore[no-any-return]


def turns(row: Row, fields: Fields) -> list[dict[str, Any]]:
    prompt = {"role": "user", "content": row[fields.prompt]}
    if fields.answer is None:
        return [prompt]
    answer = row[next((name for name in fields.answer if name in row), fields.answer[0])]
    if fields.thinking is not None:
        thought = row[fields.thinking]
        if not (isinstance(thought, str) and isinstance(answer, str) and thought.strip()):
            raise ValueError(f"{fields.thinking!r} is empty or not a text")
        if CLOSE in thought or OPEN in thought:
            raise ValueError(f"{fields.thinking!r} holds a think tag of its own")
        answer = with_thought(thought, answer)
    return [prompt, {"role": "assistant", "content": answer}]


def check_conversation(messages: Any, answered: bool = True) -> None:
    """Refuse what cannot be trained on; answered: the row must end with an assistant turn."""
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
        if any("\ud800" <= letter <= "\udfff" for letter in content):
            raise ValueError(f"message {number}: the {role} turn holds half a surrogate pair")
        if role == "system" and number > 1:
            raise ValueError(f"message {number}: a system turn must come first")
    roles = [message["role"] for message in messages]
    if "user" not in roles:
        raise ValueError("the row has no user turn, so there is no prompt")
    if answered and "assistant" not in roles:
        raise ValueError("the row has no assistant turn, so there is nothing to train on")
    if answered and roles[-1] != "assistant":
        raise ValueError("the row does not end with an assistant turn")


class DatasetSpec(Strict):
    """content: sha256 of a user's own file, None of one that is fetched."""

    name: str
    dataset: Dataset
    content: str | None = None


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.datasets", description=__doc__)
    parser.add_argument("--spec", required=True, help="DatasetSpec as JSON")
    parser.add_argument("--source", required=True, type=Path, help="the data set's file")
    parser.add_argument("--output", required=True, type=Path)
    args = parser.parse_args()
    spec = DatasetSpec.model_validate_json(args.spec)
    rows = read_rows(spec.dataset, args.source)
    write_jsonl(args.output, rows)
    print(f"{spec.name}: {len(rows)} rows from {spec.dataset.name}")


if __name__ == "__main__":
    run_stage(main)
