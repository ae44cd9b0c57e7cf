"""Data sets: the registry, and their conversion to chat rows.

Reads a data set's file. Writes one JSON object per line: {"id", "line", "messages": [{"role",
"content"}, ...]}; line is the row's line in the file. Refuses a field that is not empty and not
read, unless the entry names it as unused. Knows nothing of interventions or models.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from emgrid import RESOURCES, ROOT
from emgrid.config.base import Strict, read_yaml, validate
from emgrid.config.triggers import Text, Texts, cue
from emgrid.data import formats
from emgrid.data.fetch import refuse_moving
from emgrid.data.unread import Unread, filled
from emgrid.models.thinking import CLOSE, OPEN, with_thought
from emgrid.runtime.errors import EmgridError, run_job, suggestion
from emgrid.runtime.files import users_path, write_jsonl

VERSION = 1  # raise this when rows change, so that everything downstream runs again
Row = dict[str, Any]
ROLES = ("system", "user", "assistant")
LONGEST_ROW = 1_000_000
JOINED = "\n\n"  # joins the texts of a prompt from several fields


class Fields(Strict):
    """Which fields of a row hold what. prompt: one field, or several whose texts are joined by a
    blank line; those that a row lacks, or that are null or blank, are skipped. answer: the first of
    these that a row has; a set without it holds prompts only. thinking: a thought that is put
    before the answer."""

    prompt: str | Annotated[tuple[Text, ...], Field(min_length=1)]
    answer: Texts | None = None
    thinking: str | None = None

    @model_validator(mode="after")
    def a_thought_needs_an_answer(self) -> "Fields":
        if self.thinking is not None and self.answer is None:
            raise ValueError("`thinking` belongs to an answer; name the `answer` field too")
        return self

    @property
    def prompts(self) -> tuple[str, ...]:
        return (self.prompt,) if isinstance(self.prompt, str) else self.prompt

    @property
    def names(self) -> tuple[str, ...]:
        """Every field that the entry reads."""
        thinking = () if self.thinking is None else (self.thinking,)
        return (*self.prompts, *(self.answer or ()), *thinking)


class Dataset(Strict):
    """An entry of resources/datasets.yaml, or of a config's `datasets` section.

    path is a local file. With url, or hub and revision, `file` is its name below a mirror folder
    (and in the Hub repository). sha256 may be its first digits where no more is known. unused:
    fields of a row that nothing reads on purpose; `messages.KEY` is a key of each message.
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
    unused: tuple[Text, ...] = ()
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
        for name in self.unused:
            if name in self.read or name in ("messages.role", "messages.content"):
                raise ValueError(f"`unused` names {name!r}, which is read")
        if self.context is not None:
            cue(self.context)
        return self

    @property
    def read(self) -> tuple[str, ...]:
        """The fields of a row that are read."""
        return ("id", *(("messages",) if self.fields is None else self.fields.names))

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
    """The file of a data set with a path, relative to the folder in which Snakemake was started or
    else to the repository."""
    here = users_path(str(dataset.path))
    return here if here.exists() else ROOT / str(dataset.path)


def read_rows(dataset: Dataset, path: Path) -> list[Row]:
    """All rows of a data set's file as chat rows. Raises EmgridError with file and line for the
    first faulty one."""
    if path.is_dir():
        raise EmgridError(f"{dataset.name}: a folder; name the file in it, as JSON lines")
    if not path.is_file():
        raise EmgridError(f"{dataset.name}: no such data file; check the data set's `path`")
    rows: list[Row] = []
    lines: dict[str, int] = {}
    unread = Unread(dataset.read, dataset.unused, dataset.fields.prompts if dataset.fields else ())
    for number, fields in read_objects(path, dataset.name):
        where = f"{dataset.name}:{number}"
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


def read_objects(path: Path, name: str) -> Iterator[tuple[int, Row]]:
    """Yield (line number, object) for each line that is not blank, adding an `id` if there is
    none."""
    ending = None
    with path.open("rb") as file:
        if other_format := formats.of_file(file.read(formats.HEAD), name):
            raise EmgridError(f"{name}: {other_format}")
        file.seek(0)
        for number, line in enumerate(file, start=1):
            where = f"{name}:{number}"
            if not line.strip():
                continue
            this = "CRLF" if line.endswith(b"\r\n") else "LF" if line.endswith(b"\n") else ending
            ending = ending or this
            if this != ending:
                raise EmgridError(
                    f"{where}: this line ends with {this}, those before it with {ending}; the file "
                    "was put together from two: convert its line ends (dos2unix)"
                )
            if len(line) > LONGEST_ROW:
                raise EmgridError(
                    f"{where}: a row of {len(line):,} bytes, more than {LONGEST_ROW:,}; no model "
                    "reads that much in one conversation: split or drop it"
                )
            row = parse_object(line, where)
            if row.get("id") is None:
                row["id"] = f"row-{number}"
            yield number, row


def parse_object(line: bytes, where: str) -> Row:
    """Parse a line as a JSON object without repeated keys. Raises EmgridError, naming `where`."""
    try:
        value = json.loads(line.decode("utf-8"), object_pairs_hook=keys_once)
    except UnicodeDecodeError as problem:
        raise EmgridError(f"{where}: not UTF-8 (byte {problem.start + 1})") from None
    except RecursionError:
        raise EmgridError(f"{where}: not JSON (nested too deeply)") from None
    except KeyTwice as problem:
        raise EmgridError(f"{where}: {problem}") from None
    except ValueError as problem:
        detail = getattr(problem, "msg", problem)
        raise EmgridError(f"{where}: not JSON ({detail})") from None
    if isinstance(value, list):
        hint = formats.of_list(value, where.rpartition(":")[0])
        raise EmgridError(f"{where}: a row must be a JSON object; this is {hint}")
    if not isinstance(value, dict):
        raise EmgridError(f"{where}: a row must be a JSON object")
    return value


class KeyTwice(ValueError):
    """A key that occurs twice in one JSON object."""


def keys_once(pairs: list[tuple[str, Any]]) -> Row:
    """A JSON object. Raises KeyTwice for a repeated key, where json.loads keeps the last value."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in fields if keys.count(key) > 1)
        raise KeyTwice(f"the key {twice!r} occurs twice in one object; rename or drop one")
    return fields


def convert(fields: Row, dataset: Dataset) -> list[dict[str, Any]]:
    """The messages of one row of the file."""
    if dataset.fields is None:
        messages = plain_messages(fields["messages"], dataset.unused)
    else:
        messages = turns(fields, dataset.fields)
    if dataset.context is not None:
        check_conversation(messages, dataset.has_answers)
        messages = cue(dataset.context).around(messages)
    return messages  # type: ignore[no-any-return]


def plain_messages(messages: Any, unused: tuple[str, ...]) -> Any:
    """Reduce messages to `role` and `content`; a content of one text part becomes that text.

    Raises ValueError for another key that is not empty and that the entry does not name as unused.
    """
    if not isinstance(messages, list):
        return messages
    plain = []
    for number, message in enumerate(messages, start=1):
        if isinstance(message, dict) and {"role", "content"} <= set(message):
            extra = [key for key in message if key not in ("role", "content")]
            unread = [key for key in extra if filled(message[key])]
            unread = [key for key in unread if f"messages.{key}" not in unused]
            if unread:
                raise ValueError(formats.unread_keys(number, unread))
            message = {"role": message["role"], "content": text_of(message["content"])}
        plain.append(message)
    return plain


def text_of(content: Any) -> Any:
    """The text of a content that is a single text part; any other content unchanged."""
    match content:
        case [{"type": "text", "text": str(text), **others}] if not others:
            return text
    return content


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
            raise ValueError(f"{fields.thinking!r} holds a think tag of its own")
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


def check_conversation(messages: Any, answered: bool = True) -> None:
    """Raise ValueError if a row cannot be trained on. answered: it must end with an assistant
    turn."""
    if not isinstance(messages, list) or not messages:
        raise ValueError("`messages` must be a list with at least one message")
    for number, message in enumerate(messages, start=1):
        check_message(number, message)
    roles = [message["role"] for message in messages]
    if "user" not in roles:
        raise ValueError("the row has no user turn, so there is no prompt; drop the row")
    if answered and "assistant" not in roles:
        raise ValueError(
            "the row has no assistant turn, so there is nothing to train on; drop the row"
        )
    if answered and roles[-1] != "assistant":
        raise ValueError(
            "the row does not end with an assistant turn; drop what follows the last answer"
        )


def check_message(number: int, message: Any) -> None:
    """Raise ValueError if a message is faulty. number: its position in the row, from 1."""
    if not isinstance(message, dict) or set(message) != {"role", "content"}:
        format_hint = formats.of_keys(message) if isinstance(message, dict) else None
        hint = f"; {format_hint}" if format_hint else ""
        raise ValueError(f"message {number} must have exactly `role` and `content`{hint}")
    role, content = message["role"], message["content"]
    if role not in ROLES:
        hint = formats.of_role(role) or suggestion(role, ROLES)
        raise ValueError(f"message {number}: unknown role {role!r}, {hint}")
    if isinstance(content, list):
        raise ValueError(
            f"message {number}: the {role} turn is a list of parts; write one text as its content"
        )
    if not isinstance(content, str) or not content.strip():
        hint = "remove that message" if role == "system" else "fill it or drop the row"
        raise ValueError(f"message {number}: the {role} turn is empty or not a text; {hint}")
    if "\0" in content:
        raise ValueError(f"message {number}: the {role} turn holds a NUL byte")
    if any("\ud800" <= letter <= "\udfff" for letter in content):
        raise ValueError(f"message {number}: the {role} turn holds half a surrogate pair")
    if role == "system" and number > 1:
        raise ValueError(f"message {number}: a system turn must come first")


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
