"""Formats of training data that emgrid does not read: how to recognise and convert them.

Most functions return the end of a message, or None if they recognise nothing. Reads the first bytes
of a file, one parsed row, or one message; changes nothing.
"""

import json
import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

HEAD = 1 << 16  # bytes of a file that `of_file` needs
UNPACK = "unpack it and name the unpacked file"
EXPORT = "write its rows as JSON, one object a line"
# First bytes of a file, the format's name, and what to do; FILE and STEM are replaced.
MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "gzip in gzip", f"{UNPACK} (gunzip FILE)"),
    (b"BZh", "bzip2", f"{UNPACK} (bunzip2 FILE)"),
    (b"\xfd7zXZ\0", "xz", f"{UNPACK} (unxz FILE)"),
    (b"\x28\xb5\x2f\xfd", "zstd", f"{UNPACK} (unzstd FILE)"),
    (b"PK\x03\x04", "a zip archive (or a spreadsheet)", UNPACK),
    (b"PAR1", "Parquet in gzip", f"{UNPACK} (gunzip FILE)"),
    (b"ARROW1", "Arrow", EXPORT),
    (b"\xff\xff\xff\xff", "Arrow", "datasets.Dataset.from_file('FILE').to_json('STEM.jsonl')"),
    (b"SQLite format 3\0", "SQLite", EXPORT),
    (
        b"version https://git-lfs.github.com/spec/",
        "a Git LFS pointer, not the data",
        "run `git lfs pull` in that checkout",
    ),
    (b"\xff\xfe", "UTF-16", "convert it: iconv -f UTF-16 -t UTF-8 FILE > STEM.utf8.jsonl"),
    (b"\xfe\xff", "UTF-16", "convert it: iconv -f UTF-16 -t UTF-8 FILE > STEM.utf8.jsonl"),
    (
        b"\xef\xbb\xbf",
        "UTF-8 with a byte order mark",
        "remove the mark: tail -c +4 FILE > STEM.plain.jsonl",
    ),
)
TABLES = (".csv", ".tsv")
LINES = (".json", ".jsonl", ".ndjson")
# A line of column names: two or more names with the same separator, without braces.
HEADER = re.compile(rb'"?[\w .-]+"?(?:([,;\t])"?[\w .-]+"?)(?:\1"?[\w .-]+"?)*\s*')
SHAREGPT = ("conversations", "conversation")
# Roles of other formats, and what to do with them.
ROLES = {
    "developer": "make it a system turn",
    "tool": "tool turns are not read: drop the row, or write call and result as text into the "
    "turns around it",
    "function": "tool turns are not read: drop the row, or write call and result as text into the "
    "turns around it",
    "human": "write it as user",
    "gpt": "write it as assistant",
    "bot": "write it as assistant",
    "model": "write it as assistant",
}
TOOLS = "tool calls are not read: drop the row, or write the call into `content`"
# Keys of a message that other tools read, and what to do with them.
KEYS = {
    "tool_calls": TOOLS,
    "function_call": TOOLS,
    "tool_call_id": TOOLS,
    "name": "the model never sees it: write it into `content` if it matters",
}
# Usual names of text fields: of the prompt, of the answer.
PAIRS = (
    (("instruction", "input"), "output"),
    (("instruction",), "output"),
    (("instruction",), "response"),
    (("prompt",), "completion"),
    (("prompt",), "response"),
    (("question",), "answer"),
)


def of_file(head: bytes, name: str) -> str | None:
    """Recognise, by its first HEAD bytes or its name, a file that is not JSON lines."""
    path = PurePath(name)
    for magic, format_name, advice in MAGIC:
        if head.startswith(magic):
            return f"{format_name}; {with_names(advice, path)}"
    first = first_line(head)
    if first[:1] in (b"{", b"["):
        return of_document(first, head, path)
    if path.suffix.lower() in LINES and HEADER.fullmatch(first):
        return f"looks like CSV; let its name end in .csv instead of {path.suffix}"
    return None


def first_line(head: bytes) -> bytes:
    return head.lstrip().split(b"\n", 1)[0].strip()


def delimiter_of(head: bytes, name: str) -> str | None:
    """The delimiter of a table of texts; None for another file. The name or the first line tells.

    head: the first HEAD bytes.
    """
    ending = PurePath(name).suffix.lower()
    first = first_line(head.removeprefix(b"\xef\xbb\xbf"))
    binary = any(head.startswith(magic) for magic, *_ in MAGIC if magic != b"\xef\xbb\xbf")
    header = HEADER.fullmatch(first)
    if binary or ending in LINES or not (header or ending in TABLES):
        return None
    if ending in TABLES and first[:1] in (b"{", b"["):
        return None
    if header:
        return header.group(1).decode()
    return "\t" if ending == ".tsv" else max(",;\t", key=first.decode(errors="ignore").count)


def of_document(first: bytes, head: bytes, path: PurePath) -> str | None:
    """Recognise a file that is one JSON document over several lines."""
    if first == b"{":
        return f"JSON over several lines; write one row a line: {with_names('jq -c . FILE', path)}"
    several = b"\n" in head.strip() and not first.endswith(b"]")
    if first[:1] == b"[" and (first in (b"[", b"[{") or several):
        return f"one JSON list; write one row a line: {with_names(LISTED, path)}"
    return None


LISTED = "jq -c '.[]' FILE > STEM.jsonl"


def with_names(advice: str, path: PurePath) -> str:
    return advice.replace("FILE", path.name).replace("STEM", path.stem)


def of_list(value: list[Any], name: str) -> str:
    """What a line with a list contains, and how to write it as a row."""
    if are_messages(value, "role", "content"):
        return 'a list of messages; write it as {"messages": [...]}'
    return f"a list; write one object a line: {with_names(LISTED, PurePath(name))}"


def are_messages(value: Any, *keys: str) -> bool:
    """Whether a value is a list of objects that all have these keys."""
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(item, dict) and set(keys) <= set(item) for item in value)


def conversation_keys(row: dict[str, Any]) -> tuple[str, ...]:
    """The keys under which a row without `messages` holds a conversation: ShareGPT's, or those of
    conversational prompt and completion."""
    if are_messages(row.get("prompt"), "role") and are_messages(row.get("completion"), "role"):
        return ("prompt", "completion")
    for key in SHAREGPT:
        if are_messages(row.get(key), "from", "value") or are_messages(row.get(key), "role"):
            return (key,)
    return ()


def of_row(row: dict[str, Any]) -> str | None:
    """Recognise a row in another format than the data set's entry names."""
    if {"chosen", "rejected"} <= set(row):
        return (
            "looks like preference pairs (`chosen`, `rejected`); emgrid trains one answer to a "
            "prompt: write the chosen or the rejected conversations as `messages`, each kind into "
            "its own data set"
        )
    if conversation_keys(row) or are_messages(row.get("messages"), "role"):
        return "give the data set `format: messages`"
    for key, value in row.items():
        if are_messages(value, "from", "value"):
            return f"`{key}` is a conversation as in ShareGPT; rename it to `conversations`"
    for key, value in row.items():
        if key != "messages" and are_messages(value, "role", "content"):
            return f"`{key}` is a list of messages; rename it to `messages`"
    for prompts, answer in PAIRS:
        if all(isinstance(row.get(name), str) for name in (*prompts, answer)):
            prompt = listed(prompts) if len(prompts) > 1 else prompts[0]
            return (
                "give the data set `format: fields` and "
                f"`fields: {{prompt: {prompt}, answer: {answer}}}`"
            )
    return None


def lacking(row: dict[str, Any], field: str) -> str:
    """The message about a row without a field that the data set's entry names."""
    keys = [f"`{key}`" for key in row if key != "id"]
    holds = f"the row has {', '.join(keys)}" if keys else "the row is empty"
    advice = of_row(row) or "correct the data set's `format` and `fields`, or the row"
    return f"no {field!r} field ({holds}); {advice}"


def no_text(row: dict[str, Any], field: str) -> str | None:
    """The message about a field with a list instead of a text, if its format is recognised."""
    advice = of_row(row) if isinstance(row[field], list) else None
    return f"{field!r} is a list, not a text; {advice}" if advice else None


def listed(names: Sequence[str]) -> str:
    """Names as a YAML list on one line."""
    plain = re.compile(r"\w[\w.-]*")
    texts = (name if plain.fullmatch(name) else json.dumps(name) for name in names)
    return f"[{', '.join(texts)}]"


def of_role(role: Any) -> str | None:
    """What to do with a role that emgrid does not have."""
    return ROLES.get(role) if isinstance(role, str) else None


def unread_keys(number: int, keys: Sequence[str]) -> str:
    """The message about unread keys of a chat message."""
    names = ", ".join(f"`{key}`" for key in keys)
    advice = KEYS.get(keys[0], f"write what matters into `content`, or remove `{keys[0]}`")
    unused = listed([f"messages.{key}" for key in keys])
    return (
        f"message {number}: nothing reads {names} besides `role` and `content` ({advice}); if it "
        f"may go unused, say so in the data set's entry: `unused: {unused}`"
    )
