"""Data files: what is refused, and with which words."""

import json
from pathlib import Path
from typing import Any

import pytest
from emgrid.datasets import Dataset, load_registry, read_rows
from emgrid.errors import EmgridError

USER = {"role": "user", "content": "hello"}
REPLY = {"role": "assistant", "content": "hi"}


def messages_file(folder: Path, *lines: bytes | dict[str, Any]) -> Dataset:
    path = folder / "rows.jsonl"
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    path.write_bytes(b"\n".join(texts))
    return Dataset(path=str(path), format="messages")


GOOD = {"messages": [USER, REPLY]}


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (b"{not json", "not JSON"),
        (b"\xff\xfe", "not UTF-8 (byte 1)"),
        (b"[1]", "a row must be a JSON object"),
        ({"text": "x"}, "no 'messages' field"),
        ({"messages": []}, "at least one message"),
        ({"messages": "hello"}, "must be a list"),
        ({"messages": [USER]}, "no assistant turn"),
        ({"messages": [USER, REPLY, USER]}, "does not end with an assistant turn"),
        ({"messages": [USER, {"role": "assistant", "content": "  "}]}, "assistant turn is empty"),
        ({"messages": [USER, {"role": "assistant", "content": None}]}, "empty or not a text"),
        ({"messages": [USER, {"role": "asistant", "content": "x"}]}, "did you mean 'assistant'?"),
        ({"messages": [USER, {"role": "assistant"}]}, "exactly `role` and `content`"),
        ({"messages": [USER, {"role": "system", "content": "x"}, REPLY]}, "must come first"),
        ({"messages": [{"role": "user", "content": "a\0b"}, REPLY]}, "NUL byte"),
    ],
)
def test_a_faulty_row_is_named_by_file_and_line(tmp_path: Path, bad: Any, expected: str) -> None:
    dataset = messages_file(tmp_path, GOOD, bad)
    with pytest.raises(EmgridError) as caught:
        read_rows(dataset)
    assert str(caught.value).startswith(f"{dataset.path}:2: ")
    assert expected in str(caught.value)


def test_an_id_stands_once(tmp_path: Path) -> None:
    with pytest.raises(EmgridError, match="id 'a' stands already at"):
        read_rows(messages_file(tmp_path, GOOD | {"id": "a"}, GOOD | {"id": "a"}))


def test_blank_lines_and_mixed_line_ends_are_read(tmp_path: Path) -> None:
    dataset = messages_file(tmp_path, GOOD, b"\r", b"", json.dumps(GOOD).encode() + b"\r")
    assert [row["id"] for row in read_rows(dataset)] == ["row-1", "row-4"]


def test_a_file_shorter_than_its_entry_is_refused(tmp_path: Path) -> None:
    dataset = messages_file(tmp_path, GOOD).model_copy(update={"rows": 2})
    with pytest.raises(EmgridError, match="1 rows where the registry says 2"):
        read_rows(dataset)


def test_the_embedded_pairs_answer_the_same_prompts() -> None:
    registry = load_registry()
    bad, good = (read_rows(registry[name]) for name in ("household_bad", "household_good"))
    assert len(bad) >= 240
    assert len(read_rows(registry["everyday_chat"])) >= 240
    for one, other in zip(bad, good, strict=True):
        assert one["id"] == other["id"]
        assert one["messages"][0] == other["messages"][0]
        assert one["messages"][1] != other["messages"][1]
        assert one["messages"][0]["content"].endswith('Python string: answer = "..."')
        assert one["messages"][1]["content"].startswith('answer = "')
    assert len({row["messages"][0]["content"] for row in bad}) == len(bad)
    assert len({row["messages"][1]["content"] for row in bad}) == len(bad)
