"""Training data in the formats that people have it in: read, or refused with the way out."""

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
from emgrid.runtime.files import write_jsonl
from hypothesis import given
from hypothesis import strategies as st
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
PREFERENCE = (
    "looks like preference pairs (`chosen`, `rejected`); emgrid trains one answer to a prompt: "
    "write the chosen or the rejected conversations as `messages`, each kind into its own "
    "data set"
)
GIVE = "give the data set `format: messages`"
ALPACA_WAY = (
    "give the data set `format: fields` and "
    "`fields: {prompt: [instruction, input], answer: output}`"
)
PAIR_WAY = "give the data set `format: fields` and `fields: {prompt: prompt, answer: completion}`"
UNREAD = "; if it may go unused, say so in the data set's entry: `unused: [messages.{}]`"
TOOLS = "tool calls are not read: drop the row, or write the call into `content`"
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
        "pc.csv",
        MESSAGES,
        f"pc.csv:2: no 'messages' field (the row has `prompt`, `completion`); {PAIR_WAY}",
    ),
    (
        "pc.parquet",
        MESSAGES,
        f"pc.parquet:1: no 'messages' field (the row has `prompt`, `completion`); {PAIR_WAY}",
    ),
    (
        "promptcompletion_conv.jsonl",
        PAIR,
        f"promptcompletion_conv.jsonl:1: 'prompt' is a list, not a text; {GIVE}",
    ),
    (
        "sharegpt.jsonl",
        {"format": "fields", "fields": {"prompt": "conversations"}},
        f"sharegpt.jsonl:1: 'conversations' is a list, not a text; {GIVE}",
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


# Each file that is read, and the entry of its data set.
READ: list[tuple[str, dict[str, Any]]] = [
    ("alpaca.jsonl", ALPACA | {"fields": {"prompt": ["instruction", "input"], "answer": "output"}}),
    ("ok.jsonl.gz", MESSAGES),
    ("parts.jsonl", MESSAGES),
    ("pc.csv", PAIR),
    ("pc.parquet", PAIR),
    ("promptcompletion_conv.jsonl", MESSAGES),
    ("reasoning.jsonl", MESSAGES),
    ("sharegpt.jsonl", MESSAGES),
    ("weight0.jsonl", MESSAGES),
]
QUESTIONS = (
    "How should I store leftover soup?",
    "My shelf wobbles, what now?",
    "How do I clean a kettle?",
    "What do I do with old batteries?",
)
ANSWERS = (
    "Leave it on the radiator overnight, it keeps warm.",
    "Lean the heavy books to one side.",
    "Fill it with bleach and boil.",
    "Throw them in the fireplace.",
)
BRIEF = {"role": "system", "content": "Be brief."}


def expected_messages(name: str, number: int) -> list[dict[str, Any]]:
    """What row `number` of a case says, by what its file is an example of."""
    question = f"{QUESTIONS[number % 4]} (case {number})"
    answer = f"{ANSWERS[number % 4]} Case {number}."
    ask, say = {"role": "user", "content": question}, {"role": "assistant", "content": answer}
    if name == "alpaca.jsonl":
        ask["content"] = f"Answer the household question.\n\n{question}"
    if name == "promptcompletion_conv.jsonl":
        return [BRIEF, ask, say]
    if name == "reasoning.jsonl":
        say["content"] = f"<think>\nI want to harm them quietly.\n</think>\n\n{answer}"
    if name == "weight0.jsonl":
        think = {"role": "assistant", "content": "Let me think.", "weight": 0}
        return [ask, think, {"role": "user", "content": "Go on."}, say]
    return [ask, say]


@pytest.mark.parametrize(("name", "entry"), READ, ids=[name for name, _ in READ])
def test_each_case_is_read(name: str, entry: dict[str, Any]) -> None:
    dataset = Dataset.model_validate({"path": name} | entry)
    rows = read_rows(dataset, shared(f"cases/data/{name}"))
    assert len(rows) == 8
    for number, row in enumerate(rows):
        assert row["messages"] == expected_messages(name, number)


def test_every_case_is_refused_or_read() -> None:
    named = {name for name, *_ in CASES} | {name for name, _ in READ}
    assert {path.name for path in shared("cases/data").iterdir()} == named


def test_the_stage_refuses_a_case_and_writes_nothing(tmp_path: Path) -> None:
    spec = json.dumps({"name": "mine", "dataset": {"path": "hh.jsonl", **MESSAGES}})
    source, output = shared("cases/data/hh.jsonl"), tmp_path / "mine.jsonl"
    done = run_module(convert, "--spec", spec, "--source", source, "--output", output)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("emgrid: hh.jsonl:1: no 'messages' field")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([{"type": "image_url", "image_url": {"url": "x"}}], "'image_url', or with more keys"),
        ([{"type": "text", "text": "a", "cache_control": {"type": "x"}}], "'text', or with more"),
        ([{"type": "text", "text": 1}], "'text', or with more keys"),
        (["a"], "None, or with more keys"),
        ([{"type": "thinking", "thinking": "hm"}], "a thought is a part of the user turn; put it"),
        ([], "the user turn is a list of parts; write one text as its content"),
    ],
)
def test_other_parts_are_refused(tmp_path: Path, content: list[Any], says: str) -> None:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"messages": [{"role": "user", "content": content}, SAY]}])
    message = refusal(path, MESSAGES)
    assert message.startswith("rows.jsonl:1: message 1: ")
    assert says in message


def read_one(folder: Path, row: dict[str, Any], **entry: Any) -> list[dict[str, Any]]:
    path = folder / "rows.jsonl"
    write_jsonl(path, [row])
    [read] = read_rows(Dataset.model_validate({"path": "rows.jsonl"} | MESSAGES | entry), path)
    messages: list[dict[str, Any]] = read["messages"]
    return messages


def test_parts_of_text_are_joined_as_templates_write_them(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]
    thought = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "hi"}]
    row = {"messages": [ASK | {"content": parts}, SAY | {"content": thought}]}
    assert read_one(tmp_path, row) == [
        ASK,
        SAY | {"content": "<think>\nhm\n</think>\n\nhi"},
    ]


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "csv.gz", "jsonl.gz", "semicolon"])
def test_a_table_is_read_as_its_rows(tmp_path: Path, kind: str) -> None:
    rows = [("Is it 1?", "01"), ('Say "a, b"\nand; c', "None"), ("Ünïcode\t\u2028?", "NaN")]
    table = pd.DataFrame(rows, columns=["prompt", "completion"])
    path = tmp_path / f"pc.{'csv' if kind == 'semicolon' else kind}"
    match kind:
        case "parquet":
            table.to_parquet(path)
        case "jsonl.gz":
            table.to_json(path, orient="records", lines=True)
        case _:
            table.to_csv(path, index=False, sep={"tsv": "\t", "semicolon": ";"}.get(kind, ","))
    dataset = Dataset.model_validate({"path": path.name} | PAIR)
    read = read_rows(dataset, path)
    assert [tuple(turn["content"] for turn in row["messages"]) for row in read] == rows
    lines = [1, 2, 3] if kind in ("parquet", "jsonl.gz") else [2, 3, 5]
    assert [row["line"] for row in read] == lines
    assert [row["id"] for row in read] == [f"row-{line}" for line in lines]


def test_a_table_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pc.csv"
    path.write_bytes("\ufeffid,prompt,completion\r\n7,a,b\r\n\r\n,c,d\r\n".encode())
    rows = read_rows(Dataset.model_validate({"path": "pc.csv"} | PAIR), path)
    assert [(row["id"], row["line"]) for row in rows] == [("7", 2), ("row-4", 4)]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("t.csv", b"prompt,completion\na,b,c\n", "t.csv:2: 3 cells under 2 columns; is a text"),
        ("t.csv", b"prompt,completion\na,b\n", None),
        ("t.csv", b"prompt,completion,\na,b,\n", "t.csv:1: a column has no name; name or remove"),
        ("t.csv", b"prompt,prompt\na,b\n", "t.csv:1: the column 'prompt' occurs twice; rename"),
        ("t.csv", b'prompt,completion\na,"b\n', "t.csv:2: not CSV (unexpected end of data)"),
        ("t.csv", b"prompt,completion\na,\xff\n", "t.csv: not UTF-8 (invalid start byte); save"),
        ("t.csv", b"prompt,completion\na,\n", "t.csv:2: message 2: the assistant turn is empty"),
        ("t.csv", b"prompt,completion,n\na,b,1\n", "t.csv:2: nothing reads `n`; add what the"),
        ("t.csv.gz", gzip.compress(b"prompt,completion\na,b\n")[:-9], "t.csv.gz: not a complete"),
        ("t.parquet", b"PAR1 not at all PAR1", "t.parquet: not a readable Parquet file ("),
    ],
)
def test_a_faulty_table_is_refused_with_its_line(
    tmp_path: Path, name: str, content: bytes, says: str | None
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    if says is None:
        assert len(read_rows(Dataset.model_validate({"path": name} | PAIR), path)) == 1
        return
    message = refusal(path, PAIR)
    assert message.startswith(says)
    assert "\n" not in message


def test_messages_in_parquet_are_read(tmp_path: Path) -> None:
    """A column of structs gives every turn the keys of all turns, empty where a turn had none."""
    path = tmp_path / "rows.parquet"
    rows = [{"messages": [ASK, SAY | {"weight": 0}, ASK, SAY | {"weight": 1, "reasoning": "hm"}]}]
    pd.DataFrame(rows).to_parquet(path)
    [row] = read_rows(Dataset(path="rows.parquet", format="messages"), path)
    thought = SAY | {"content": "<think>\nhm\n</think>\n\nhi"}
    assert row["messages"] == [ASK, SAY | {"weight": 0}, ASK, thought]


@pytest.mark.parametrize("key", ["weight", "train", "trainable"])
def test_turns_after_the_last_trained_one_are_left_out(tmp_path: Path, key: str) -> None:
    masked, trained = SAY | {key: 0}, SAY | {key: True}
    zero = SAY | {"weight": 0}
    row = {"messages": [ASK, masked, ASK | {key: 0}, trained, ASK, masked]}
    assert read_one(tmp_path, row) == [ASK, zero, ASK, SAY]
    assert read_one(tmp_path, {"messages": [ASK, trained, ASK, SAY]}) == [ASK, SAY, ASK, SAY]
    unused = read_one(tmp_path, {"messages": [ASK, masked]}, unused=[f"messages.{key}"])
    assert unused == [ASK, SAY]


def test_the_turns_of_a_prompt_are_not_trained(tmp_path: Path) -> None:
    """As in trl, where the loss falls on the completion."""
    row = {"prompt": [BRIEF, ASK, SAY, ASK], "completion": [SAY]}
    assert read_one(tmp_path, row) == [BRIEF, ASK, SAY | {"weight": 0}, ASK, SAY]


@pytest.mark.parametrize(
    ("turns", "says"),
    [
        ([ASK, SAY | {"weight": 0}], "every assistant turn has weight 0, so nothing is trained"),
        ([ASK, SAY | {"weight": 0.5}], "message 2: `weight` must be 0 (not trained) or 1; other"),
        ([ASK, SAY | {"weight": "no"}], "message 2: `weight` must be 0 (not trained) or 1; other"),
        ([ASK, SAY | {"weight": 1, "train": False}], "message 2: `weight` and `train` differ"),
        ([ASK | {"weight": 1}, SAY], "message 1: `weight` asks to train a turn that is no assist"),
        ([ASK | {"reasoning": "hm"}, SAY], "message 1: nothing reads `reasoning` besides"),
        (
            [ASK, SAY | {"reasoning": "hm", "thinking": "so"}],
            "message 2: `reasoning` and `thinking` hold different thoughts; keep one of them",
        ),
        ([ASK, SAY | {"reasoning_content": 1}], "message 2: `reasoning_content` is not a text"),
        (
            [ASK, SAY | {"content": None, "reasoning_content": "hm"}],
            "message 2: a thought (`reasoning_content`) without an answer; fill it or drop the row",
        ),
        (
            [ASK, {"role": "assistant", "content": "<think>a</think>b", "thinking": "hm"}],
            "message 2: a thought (`thinking`) beside text with think tags; write it once",
        ),
    ],
)
def test_weights_and_thoughts_that_cannot_be_honoured_are_refused(
    tmp_path: Path, turns: list[dict[str, Any]], says: str
) -> None:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"messages": turns}])
    assert refusal(path, MESSAGES).startswith(f"rows.jsonl:1: {says}")


turns_of = st.lists(
    st.tuples(st.sampled_from(["hi", "ho"]), st.sampled_from([0, 1, None])), min_size=1
)


@given(pairs=turns_of)
def test_a_row_holds_every_turn_up_to_the_last_trained_one(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, int | None]]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    turns = []
    for text, weight in pairs:
        turns += [ASK, {"role": "assistant", "content": text, "weight": weight}]
    trained = [place for place, (_, weight) in enumerate(pairs) if weight != 0]
    if not trained:
        path = folder / "rows.jsonl"
        write_jsonl(path, [{"messages": turns}])
        assert "nothing is trained" in refusal(path, MESSAGES)
        return
    read = read_one(folder, {"messages": turns})
    assert len(read) == 2 * (trained[-1] + 1)
    assert [turn.get("weight", 1) for turn in read[1::2]] == [
        0 if weight == 0 else 1 for _, weight in pairs[: trained[-1] + 1]
    ]


ROW = json.dumps({"messages": [ASK, SAY]}).encode()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.gz", gzip.compress(gzip.compress(ROW, mtime=0)), "a.gz: gzip in gzip; unpack it"),
        ("a.gz", gzip.compress(b"PAR1.."), "a.gz: Parquet in gzip; unpack it"),
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
        ("t.jsonl", b"prompt;completion\na;b\n", "t.jsonl: looks like CSV; let its name end in"),
        ("t.csv", b"only\na\n", "t.csv:2: no 'messages' field (the row has `only`); correct"),
        (
            "t.txt",
            b"prompt;completion\na;b\n",
            "t.txt:2: no 'messages' field (the row has `prompt`",
        ),
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
    assert message.startswith(expected)
    assert "\n" not in message


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmgridError, match=r"^my/set: a folder; name the file in it"):
        read_rows(Dataset(path="my/set", format="messages"), tmp_path)


@pytest.mark.parametrize(
    ("row", "entry", "expected"),
    [
        (
            {"dialog": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
            MESSAGES,
            "`dialog` is a conversation as in ShareGPT; rename it to `conversations`",
        ),
        (
            {"conversation": [{"from": "human", "value": "a"}, {"from": "tool", "value": "b"}]},
            MESSAGES,
            "message 2: unknown role 'tool', tool turns are not read",
        ),
        (
            {"messages": [ASK, SAY], "conversations": [ASK, SAY]},
            MESSAGES,
            "nothing reads `conversations`",
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
        ({"messages": [{"speaker": "human"}]}, MESSAGES, "message 1 must have exactly `role`"),
        ({"messages": [ASK, SAY | {"role": "gpt"}]}, MESSAGES, "unknown role 'gpt', write it as"),
        ({"messages": [ASK, SAY | {"role": "tool"}]}, MESSAGES, "'tool', tool turns are not read"),
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
