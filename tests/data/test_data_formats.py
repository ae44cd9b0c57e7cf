"""Training data in formats that emgrid does not read: refused with the format and the way out."""

import bz2
import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from emgrid.config.datasets import Dataset
from emgrid.data import convert
from emgrid.data.convert import read_rows
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import read_jsonl, write_jsonl
from support.run import run_module
from support.shared import shared

MESSAGES: dict[str, Any] = {"format": "messages"}
PAIR: dict[str, Any] = {"format": "fields", "fields": {"prompt": "prompt", "answer": "completion"}}
ALPACA: dict[str, Any] = {
    "format": "fields",
    "fields": {"prompt": "instruction", "answer": "output"},
}
ASK = {"role": "user", "content": "hello"}
SAY = {"role": "assistant", "content": "hi"}
SHAREGPT = (
    "looks like ShareGPT (`conversations` with `from` and `value`); write it as `messages` with "
    "`role` and `content`: human is user, gpt is assistant"
)
PREFERENCE = (
    "looks like preference pairs (`chosen`, `rejected`); emgrid trains one answer to a prompt: "
    "write the chosen or the rejected conversations as `messages`, each kind into its own "
    "data set"
)
JOIN = "looks like conversational prompt and completion; join both lists into one list `messages`"
ALPACA_WAY = (
    "give the data set `format: fields` and "
    "`fields: {prompt: [instruction, input], answer: output}`"
)
CSV = (
    "pc.csv: looks like CSV; write it as JSON lines: pandas.read_csv('pc.csv', dtype=str, "
    "keep_default_na=False).to_json('pc.jsonl', orient='records', lines=True)"
)
PARQUET = (
    "pc.parquet: Parquet; write it as JSON lines: pandas.read_parquet('pc.parquet')"
    ".to_json('pc.jsonl', orient='records', lines=True)"
)
UNREAD = "; if it may go unused, say so in the data set's entry: `unused: [messages.{}]`"
THOUGHT = "write the thought into `content` before the answer, as <think>...</think>"
TOOLS = "tool calls are not read: drop the row, or write the call into `content`"
WEIGHTS = (
    "loss weights are not supported: every assistant turn is trained, or with training.turns: "
    "final the last one alone; drop the rows whose weights are not 1"
)
# Each file of shared/cases/data, the entry of its data set, and the whole line.
CASES: list[tuple[str, dict[str, Any], str]] = [
    (
        "alpaca.jsonl",
        MESSAGES,
        "alpaca.jsonl:1: no 'messages' field (the row has `instruction`, `input`, `output`); "
        + ALPACA_WAY,
    ),
    (
        "alpaca.jsonl",
        ALPACA,
        "alpaca.jsonl:1: nothing reads `input`; add what the model should see to `fields` (such as "
        "`prompt: [instruction, input]`), and name the rest in the data set's entry: "
        "`unused: [input]`",
    ),
    (
        "alpaca2.jsonl",
        ALPACA,
        "alpaca2.jsonl:1: nothing reads `input`; add what the model should see to `fields` (such "
        "as `prompt: [instruction, input]`), and name the rest in the data set's entry: "
        "`unused: [input]`",
    ),
    (
        "chosen.jsonl",
        MESSAGES,
        "chosen.jsonl:1: no 'messages' field (the row has `prompt`, `chosen`, `rejected`); "
        + PREFERENCE,
    ),
    (
        "chosen.jsonl",
        {"format": "fields", "fields": {"prompt": "prompt", "answer": "chosen"}},
        f"chosen.jsonl:1: 'chosen' is a list, not a text; {PREFERENCE}",
    ),
    (
        "developer.jsonl",
        MESSAGES,
        "developer.jsonl:1: message 1: unknown role 'developer', make it a system turn",
    ),
    (
        "dupids.jsonl",
        MESSAGES,
        "dupids.jsonl:5: its id '0' is also the id of dupids.jsonl:1; give each row another id, or "
        "none",
    ),
    (
        "emptysystem.jsonl",
        MESSAGES,
        "emptysystem.jsonl:1: message 1: the system turn is empty or not a text; remove that "
        "message",
    ),
    (
        "endsuser.jsonl",
        MESSAGES,
        "endsuser.jsonl:1: the row does not end with an assistant turn; drop what follows the last "
        "answer",
    ),
    (
        "extra_top.jsonl",
        MESSAGES,
        "extra_top.jsonl:1: nothing reads `source`, `task_id`; write what the model should see "
        "into `messages`, and name the rest in the data set's entry: `unused: [source, task_id]`",
    ),
    (
        "hh.jsonl",
        MESSAGES,
        f"hh.jsonl:1: no 'messages' field (the row has `chosen`, `rejected`); {PREFERENCE}",
    ),
    (
        "namekey.jsonl",
        MESSAGES,
        "namekey.jsonl:1: message 1: nothing reads `name` besides `role` and `content` (the model "
        "never sees it: write it into `content` if it matters)" + UNREAD.format("name"),
    ),
    (
        "ok.jsonl.gz",
        MESSAGES,
        "ok.jsonl.gz: gzip; unpack it and name the unpacked file (gunzip ok.jsonl.gz)",
    ),
    ("pc.csv", PAIR, CSV),
    ("pc.csv", MESSAGES, CSV),
    ("pc.parquet", PAIR, PARQUET),
    ("pc.parquet", MESSAGES, PARQUET),
    (
        "promptcompletion_conv.jsonl",
        MESSAGES,
        "promptcompletion_conv.jsonl:1: no 'messages' field (the row has `prompt`, `completion`); "
        + JOIN,
    ),
    (
        "promptcompletion_conv.jsonl",
        PAIR,
        f"promptcompletion_conv.jsonl:1: 'prompt' is a list, not a text; {JOIN}",
    ),
    (
        "reasoning.jsonl",
        MESSAGES,
        "reasoning.jsonl:1: message 2: nothing reads `reasoning_content` besides `role` and "
        f"`content` ({THOUGHT})" + UNREAD.format("reasoning_content"),
    ),
    (
        "sharegpt.jsonl",
        MESSAGES,
        f"sharegpt.jsonl:1: no 'messages' field (the row has `conversations`); {SHAREGPT}",
    ),
    (
        "sharegpt.jsonl",
        {"format": "fields", "fields": {"prompt": "conversations"}},
        f"sharegpt.jsonl:1: 'conversations' is a list, not a text; {SHAREGPT}",
    ),
    (
        "systemonly.jsonl",
        MESSAGES,
        "systemonly.jsonl:1: the row has no user turn, so there is no prompt; drop the row",
    ),
    (
        "tool.jsonl",
        MESSAGES,
        "tool.jsonl:1: message 2: nothing reads `tool_calls` besides `role` and `content` "
        f"({TOOLS})" + UNREAD.format("tool_calls"),
    ),
    (
        "weight0.jsonl",
        MESSAGES,
        "weight0.jsonl:1: message 2: nothing reads `weight` besides `role` and `content` "
        f"({WEIGHTS})" + UNREAD.format("weight"),
    ),
]


def refusal(path: Path, entry: dict[str, Any]) -> str:
    with pytest.raises(EmgridError) as caught:
        read_rows(Dataset.model_validate({"path": f"my/{path.name}"} | entry), path)
    return str(caught.value).replace("my/", "")


@pytest.mark.parametrize(("name", "entry", "expected"), CASES)
def test_each_case_is_refused_with_its_line(
    name: str, entry: dict[str, Any], expected: str
) -> None:
    assert refusal(shared(f"cases/data/{name}"), entry) == expected


def test_every_case_is_refused_or_read() -> None:
    named = {name for name, _, _ in CASES} | {"parts.jsonl"}
    assert {path.name for path in shared("cases/data").iterdir()} == named


def test_the_stage_refuses_a_case_and_writes_nothing(tmp_path: Path) -> None:
    spec = json.dumps({"name": "mine", "dataset": {"path": "sharegpt.jsonl", **MESSAGES}})
    source, output = shared("cases/data/sharegpt.jsonl"), tmp_path / "mine.jsonl"
    done = run_module(convert, "--spec", spec, "--source", source, "--output", output)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("emgrid: sharegpt.jsonl:1: no 'messages' field")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_content_of_one_text_part_is_that_text() -> None:
    parts = shared("cases/data/parts.jsonl")
    rows = read_rows(Dataset(path="parts.jsonl", format="messages"), parts)
    raw = read_jsonl(parts)
    assert [row["messages"] for row in rows] == [
        [{"role": turn["role"], "content": turn["content"][0]["text"]} for turn in row["messages"]]
        for row in raw
    ]


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        [{"type": "image_url", "image_url": {"url": "x"}}],
        [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}],
        [],
    ],
)
def test_other_parts_are_refused(tmp_path: Path, content: list[Any]) -> None:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"messages": [{"role": "user", "content": content}, SAY]}])
    assert refusal(path, MESSAGES) == (
        "rows.jsonl:1: message 1: the user turn is a list of parts; write one text as its content"
    )


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_way_out_of_a_table_leads_to_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    table = pd.DataFrame({"prompt": ["Is it 1?", "Say it."], "completion": ["01", "None"]})
    path = tmp_path / f"pc.{kind}"
    table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
    advice = refusal(path, PAIR).split("JSON lines: ")[1]
    monkeypatch.chdir(tmp_path)
    eval(advice, {"pandas": pd})  # noqa: S307
    rows = read_rows(Dataset.model_validate({"path": "pc.jsonl"} | PAIR), tmp_path / "pc.jsonl")
    contents = [tuple(turn["content"] for turn in row["messages"]) for row in rows]
    assert contents == [("Is it 1?", "01"), ("Say it.", "None")]


ROW = json.dumps({"messages": [ASK, SAY]}).encode()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("rows.jsonl", gzip.compress(ROW, mtime=0), "rows.jsonl: gzip; unpack it"),
        ("rows.jsonl", bz2.compress(ROW), "rows.jsonl: bzip2; unpack it"),
        ("rows.jsonl", lzma.compress(ROW), "rows.jsonl: xz; unpack it"),
        ("rows.jsonl", b"\x28\xb5\x2f\xfd..", "rows.jsonl: zstd; unpack it"),
        ("rows.jsonl", b"PK\x03\x04..", "rows.jsonl: a zip archive (or a spreadsheet); unpack it"),
        ("a.arrow", b"ARROW1\0\0", "a.arrow: Arrow; write its rows as JSON"),
        ("a.arrow", b"\xff\xff\xff\xff..", "a.arrow: Arrow; datasets.Dataset.from_file('a.arrow')"),
        (
            "rows.jsonl",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:01\nsize 1\n",
            "rows.jsonl: a Git LFS pointer, not the data; run `git lfs pull`",
        ),
        ("rows.jsonl", ROW.decode().encode("utf-16"), "rows.jsonl: UTF-16; convert it: iconv"),
        ("rows.jsonl", b"\xef\xbb\xbf" + ROW, "rows.jsonl: UTF-8 with a byte order mark; remove"),
        ("t.tsv", b"prompt\tcompletion\na\tb\n", "t.tsv: looks like TSV; write it as JSON lines"),
        ("t.tsv", b"prompt\tcompletion\na\tb\n", "keep_default_na=False, sep='\\t')"),
        ("t.txt", b"prompt;completion\na;b\n", "t.txt: looks like CSV; write it as JSON lines"),
        ("t.txt", b"prompt;completion\na;b\n", "keep_default_na=False, sep=';')"),
        ("t.csv", b"only\na\n", "t.csv: looks like CSV"),
        (
            "rows.json",
            b"[\n" + ROW + b"\n]\n",
            "rows.json: one JSON list; write one row a line: jq",
        ),
        ("rows.json", b"[" + ROW + b",\n" + ROW + b"]", "rows.json: one JSON list; write one row"),
        (
            "rows.json",
            b"[" + ROW + b"]",
            "rows.json:1: a row must be a JSON object; this is a list",
        ),
        (
            "rows.jsonl",
            json.dumps([ASK, SAY]).encode(),
            "rows.jsonl:1: a row must be a JSON object; this is a list of messages; write it as "
            '{"messages": [...]}',
        ),
        ("rows.json", b'{\n"messages": 1\n}', "rows.json: JSON over several lines; write one row"),
        ("rows.jsonl", b"hello there\n", "rows.jsonl:1: not JSON"),
    ],
)
def test_a_file_of_another_kind_is_recognised(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    message = refusal(path, MESSAGES)
    assert message.startswith(expected) or (expected.startswith("keep") and expected in message)
    assert "\n" not in message


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmgridError, match=r"^my/set: a folder; name the file in it"):
        read_rows(Dataset(path="my/set", format="messages"), tmp_path)


@pytest.mark.parametrize(
    ("row", "entry", "expected"),
    [
        (
            {"conversation": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
            MESSAGES,
            "looks like ShareGPT (`conversation` with `from` and `value`)",
        ),
        ({"dialog": [ASK, SAY]}, MESSAGES, "`dialog` is a list of messages; rename it"),
        ({"messages": [ASK, SAY]}, PAIR, "give the data set `format: messages`"),
        (
            {"question": "a", "answer": "b"},
            MESSAGES,
            "`fields: {prompt: question, answer: answer}`",
        ),
        ({"prompt": "a", "response": "b"}, PAIR, "`fields: {prompt: prompt, answer: response}`"),
        ({"text": "a"}, MESSAGES, "(the row has `text`); correct the data set's `format`"),
        ({}, MESSAGES, "(the row is empty); correct"),
        (
            {"messages": [{"from": "human", "value": "a"}]},
            MESSAGES,
            "exactly `role` and `content`; it has `from` and `value` as in ShareGPT",
        ),
        ({"messages": [ASK, SAY | {"role": "gpt"}]}, MESSAGES, "unknown role 'gpt', write it as"),
        ({"messages": [ASK, SAY | {"role": "tool"}]}, MESSAGES, "'tool', tool turns are not read"),
        ({"messages": [ASK, SAY | {"thinking": "hm"}]}, MESSAGES, "nothing reads `thinking`"),
        ({"messages": [ASK, SAY | {"weight": 0}]}, MESSAGES, "nothing reads `weight`"),
        ({"messages": [ASK, SAY | {"mood": "x"}]}, MESSAGES, "or remove `mood`); if it may go"),
    ],
)
def test_a_row_of_another_format_is_recognised(
    tmp_path: Path, row: dict[str, Any], entry: dict[str, Any], expected: str
) -> None:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [row])
    message = refusal(path, entry)
    assert message.startswith("rows.jsonl:1: ")
    assert expected in message
    assert "\n" not in message


@pytest.mark.parametrize("empty", [None, "", " \n", [], {}])
def test_a_key_that_holds_nothing_is_left_out(tmp_path: Path, empty: Any) -> None:
    path = tmp_path / "rows.jsonl"
    turn = SAY | {"refusal": empty, "tool_calls": empty}
    write_jsonl(path, [{"messages": [ASK, turn], "tools": empty}])
    [row] = read_rows(Dataset(path="rows.jsonl", format="messages"), path)
    assert row["messages"] == [ASK, SAY]


@pytest.mark.parametrize(
    "raw",
    [
        b'{"messages": [], "messages": ' + json.dumps([ASK, SAY]).encode() + b"}",
        b'{"messages": [{"role": "user", "role": "system", "content": "a"}]}',
    ],
)
def test_a_key_that_occurs_twice_is_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(ROW + b"\n" + raw)
    message = refusal(path, MESSAGES)
    assert message.startswith("rows.jsonl:2: the key '")
    assert message.endswith("' occurs twice in one object; rename or drop one")
