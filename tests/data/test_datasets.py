"""Data files and their registry: what is read, what is refused, and with which words."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from emgrid import RESOURCES
from emgrid.config.base import validate
from emgrid.config.datasets import Dataset, load_datasets, local_file
from emgrid.config.triggers import load_triggers
from emgrid.data import convert
from emgrid.data.convert import read_rows
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import file_digest, read_jsonl, write_jsonl
from emgrid.runtime.json_objects import Row
from emgrid.runtime.thinking import split_thinking, with_thought
from hypothesis import given
from hypothesis import strategies as st
from support.run import run_module
from support.shared import SHARED

USER = {"role": "user", "content": "hello"}
REPLY = {"role": "assistant", "content": "hi"}
GOOD = {"messages": [USER, REPLY]}
LINE = json.dumps(GOOD).encode()

REGISTRY = load_datasets()
MIRRORED = sorted(
    name
    for name, entry in REGISTRY.items()
    if entry.file is not None and (SHARED / "mirror" / entry.file).is_file()
)


def rows_file(folder: Path, *lines: bytes | dict[str, Any], **entry: Any) -> tuple[Dataset, Path]:
    """A data set of these lines, and its file; entry: what differs from a set of messages."""
    path = folder / "rows.jsonl"
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    path.write_bytes(b"\n".join(texts))
    return Dataset.model_validate({"path": "my/rows.jsonl", "format": "messages"} | entry), path


def refusal(folder: Path, *lines: bytes | dict[str, Any], **entry: Any) -> str:
    dataset, path = rows_file(folder, *lines, **entry)
    with pytest.raises(EmgridError) as caught:
        read_rows(dataset, path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def converted(folder: Path, *lines: bytes | dict[str, Any], **entry: Any) -> list[list[Row]]:
    return [row["messages"] for row in read_rows(*rows_file(folder, *lines, **entry))]


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (b"{not json", "not JSON"),
        (LINE + LINE, "not JSON (Extra data)"),
        (b"[" * 100_000, "not JSON (nested too deeply)"),
        (b'{"messages": ' + b"[" * 100_000, "not JSON (nested too deeply)"),
        (b"\xff\xfe", "not UTF-8 (byte 1)"),
        (b'{"messages": "\xe9"}', "not UTF-8 (byte 15)"),
        (b"[1]", "a row must be a JSON object"),
        (b"null", "a row must be a JSON object"),
        ({"text": "x"}, "no 'messages' field"),
        ({"messages": []}, "at least one message"),
        ({"messages": "hello"}, "must be a list"),
        ({"messages": ["hello"]}, "message 1 must have exactly `role` and `content`"),
        ({"messages": [USER]}, "no assistant turn"),
        ({"messages": [REPLY]}, "no user turn"),
        ({"messages": [USER, REPLY, USER]}, "does not end with an assistant turn"),
        ({"messages": [USER, {"role": "assistant", "content": "  "}]}, "assistant turn is empty"),
        ({"messages": [USER, {"role": "assistant", "content": None}]}, "empty or not a text"),
        ({"messages": [USER, {"role": "asistant", "content": "x"}]}, "did you mean 'assistant'?"),
        ({"messages": [USER, {"role": ["user"], "content": "x"}]}, "unknown role ['user']"),
        ({"messages": [USER, {"role": "assistant"}]}, "exactly `role` and `content`"),
        ({"messages": [USER, REPLY | {"name": "x"}]}, "message 2: nothing reads `name`"),
        ({"messages": [USER, {"role": "system", "content": "x"}, REPLY]}, "must come first"),
        ({"messages": [{"role": "user", "content": "a\0b"}, REPLY]}, "message 1: the user turn"),
        ({"messages": [{"role": "user", "content": "a\0b"}, REPLY]}, "holds a NUL byte"),
        ({"messages": [USER | {"content": "x" * 1_000_000}, REPLY]}, "more than 1,000,000"),
    ],
)
def test_a_faulty_row_is_named_by_file_and_line(tmp_path: Path, bad: Any, expected: str) -> None:
    message = refusal(tmp_path, GOOD, bad)
    assert message.startswith("my/rows.jsonl:2: ")
    assert expected in message


def test_a_number_of_thousands_of_digits_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, GOOD, b'{"id": ' + b"1" * 5000 + b"}")
    assert message.startswith("my/rows.jsonl:2: not JSON")


def test_half_a_surrogate_pair_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, GOOD, {"messages": [USER | {"content": "a\ud800b"}, REPLY]})
    assert message.startswith("my/rows.jsonl:2: message 1: the user turn ")


def test_a_nul_byte_outside_a_string_is_no_json(tmp_path: Path) -> None:
    assert refusal(tmp_path, GOOD, LINE + b"\0").startswith("my/rows.jsonl:2: not JSON")


def test_the_longest_row_that_is_read_has_a_million_bytes(tmp_path: Path) -> None:
    padding = 1_000_000 - len(LINE)
    longest = {"messages": [USER | {"content": "hello" + "x" * padding}, REPLY]}
    assert len(json.dumps(longest)) == 1_000_000
    assert len(read_rows(*rows_file(tmp_path, longest))) == 1
    longer = {"messages": [USER | {"content": "hello" + "x" * (padding + 1)}, REPLY]}
    assert refusal(tmp_path, longer).startswith("my/rows.jsonl:1: a row of 1,000,001 bytes")


def test_a_row_keeps_its_id_and_its_place_in_the_file(tmp_path: Path) -> None:
    dataset, path = rows_file(tmp_path, GOOD | {"id": "a"}, b"", GOOD, GOOD | {"id": 7})
    assert [(row["id"], row["line"]) for row in read_rows(dataset, path)] == [
        ("a", 1),
        ("row-3", 3),
        ("7", 4),
    ]


def test_an_id_may_occur_once(tmp_path: Path) -> None:
    message = refusal(tmp_path, GOOD | {"id": "a"}, GOOD, GOOD | {"id": "a"})
    assert message == (
        "my/rows.jsonl:3: its id 'a' is also the id of my/rows.jsonl:1; give each row another id, "
        "or none"
    )


@pytest.mark.parametrize(
    ("content", "own", "others"),
    [
        (LINE + b"\n" + LINE + b"\r\n", "CRLF", "LF"),
        (LINE + b"\r\n" + LINE + b"\n", "LF", "CRLF"),
        (LINE + b"\n" + LINE + b"\r\n" + LINE, "CRLF", "LF"),
    ],
)
def test_mixed_line_ends_are_refused(tmp_path: Path, content: bytes, own: str, others: str) -> None:
    message = refusal(tmp_path, content)
    assert message.startswith(f"my/rows.jsonl:2: this line ends with {own}, those before it with ")
    assert f"those before it with {others};" in message


@pytest.mark.parametrize(
    ("content", "places"),
    [
        (LINE + b"\r\n" + LINE + b"\r\n", [1, 2]),
        (LINE + b"\r\n" + LINE, [1, 2]),
        (LINE + b"\n" + LINE, [1, 2]),
        (LINE + b"\n" + LINE + b"\n", [1, 2]),
        (LINE + b"\n\r\n \t\r\n" + LINE + b"\n", [1, 4]),
        (b"\r\n\n" + LINE + b"\n" + LINE, [3, 4]),
        (LINE + b"\r\n\n" + LINE + b"\r\n\n", [1, 3]),
    ],
)
def test_one_kind_of_line_end_is_read_with_any_ends_of_blank_lines(
    tmp_path: Path, content: bytes, places: list[int]
) -> None:
    assert [row["line"] for row in read_rows(*rows_file(tmp_path, content))] == places


@pytest.mark.parametrize("content", [b"", b"\n\r\n  \n"])
def test_a_file_without_rows_is_refused(tmp_path: Path, content: bytes) -> None:
    assert refusal(tmp_path, content) == "my/rows.jsonl: no rows"


def test_a_missing_file_is_named_as_the_config_names_it(tmp_path: Path) -> None:
    dataset, path = rows_file(tmp_path)
    with pytest.raises(EmgridError, match=r"^my/rows\.jsonl: no such data file"):
        read_rows(dataset, path / "nowhere")


@pytest.mark.parametrize("stated", [1, 3])
def test_another_number_of_rows_than_stated_is_refused(tmp_path: Path, stated: int) -> None:
    message = refusal(tmp_path, GOOD, GOOD, rows=stated)
    assert message.startswith(f"my/rows.jsonl: 2 rows, but the registry says {stated}")


texts = st.text().filter(lambda text: text.strip() and "\0" not in text)


@given(contents=st.lists(texts, min_size=3, max_size=3))
def test_any_text_survives_being_written_and_read(
    tmp_path_factory: pytest.TempPathFactory, contents: list[str]
) -> None:
    path = tmp_path_factory.mktemp("texts") / "rows.jsonl"
    roles = ("system", "user", "assistant")
    messages = [
        {"role": role, "content": content} for role, content in zip(roles, contents, strict=True)
    ]
    write_jsonl(path, [{"messages": messages}])
    dataset = Dataset(path=str(path), format="messages")
    rows = read_rows(dataset, path)
    assert [row["messages"] for row in rows] == [messages]
    write_jsonl(path, rows)
    assert read_jsonl(path) == rows
    assert read_rows(dataset, path) == rows


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085", "\x0b", "\x1c", "\r", "\r\n"])
def test_what_some_call_a_line_end_splits_no_row(tmp_path: Path, separator: str) -> None:
    row = {"messages": [USER | {"content": f"one{separator}two"}, REPLY]}
    raw = json.dumps(row, ensure_ascii=False).encode()
    assert converted(tmp_path, raw, raw) == [row["messages"]] * 2


FIELDS: dict[str, Any] = {"format": "fields", "fields": {"prompt": "ask", "answer": "say"}}


def with_fields(**fields: Any) -> dict[str, Any]:
    return FIELDS | {"fields": FIELDS["fields"] | fields}


def test_fields_become_a_prompt_and_an_answer(tmp_path: Path) -> None:
    row = {"ask": "hello", "say": "hi", "more": [1]}
    assert converted(tmp_path, row, **FIELDS, unused=["more"]) == [[USER, REPLY]]


@pytest.mark.parametrize(
    ("row", "fields", "expected"),
    [
        ({"say": "hi"}, {}, "no 'ask' field"),
        ({"ask": "hello"}, {}, "no 'say' field"),
        ({"ask": "hello"}, {"answer": ["say", "tell"]}, "no 'say' field"),
        ({"ask": "hello", "say": "hi"}, {"thinking": "why"}, "no 'why' field"),
        ({"ask": "", "say": "hi"}, {}, "message 1: the user turn is empty"),
        ({"ask": "hello", "say": 4}, {}, "message 2: the assistant turn is empty or not a text"),
        ({"ask": "hello", "say": "hi", "why": " \n"}, {"thinking": "why"}, "'why' is empty"),
        ({"ask": "hello", "say": "hi", "why": None}, {"thinking": "why"}, "'why' is empty"),
        ({"ask": "hello", "say": "hi", "why": ["x"]}, {"thinking": "why"}, "or not a text"),
    ],
)
def test_a_row_with_faulty_fields_is_named(
    tmp_path: Path, row: dict[str, Any], fields: dict[str, Any], expected: str
) -> None:
    message = refusal(tmp_path, {"ask": "a", "say": "b", "why": "c"}, row, **with_fields(**fields))
    assert message.startswith("my/rows.jsonl:2: ")
    assert expected in message


def test_the_first_answer_field_that_a_row_has_is_taken(tmp_path: Path) -> None:
    lines = [
        {"ask": "a", "say": "first", "tell": "second"},
        {"ask": "b", "tell": "second"},
        {"ask": "c", "say": "first"},
    ]
    messages = converted(tmp_path, *lines, **with_fields(answer=["say", "tell"]))
    assert [row[1]["content"] for row in messages] == ["first", "second", "first"]


def test_a_set_of_prompts_has_user_turns_alone(tmp_path: Path) -> None:
    entry = FIELDS | {"fields": {"prompt": "ask"}, "unused": ["say"]}
    assert converted(tmp_path, {"ask": "hello", "say": "hi"}, **entry) == [[USER]]
    assert not rows_file(tmp_path, **entry)[0].has_answers
    assert rows_file(tmp_path, **FIELDS)[0].has_answers
    assert rows_file(tmp_path)[0].has_answers


def test_a_thought_is_put_before_the_answer_as_a_think_block(tmp_path: Path) -> None:
    row = {"ask": "hello", "say": "hi", "why": "They greet me."}
    [[prompt, reply]] = converted(tmp_path, row, **with_fields(thinking="why"))
    assert prompt == USER
    assert reply["content"] == "<think>\nThey greet me.\n</think>\n\nhi"
    assert split_thinking(reply["content"]) == ("They greet me.", "hi")


def wrapped(answer: str) -> str:
    return f'answer = "{answer}"'


def test_a_context_is_put_around_the_last_user_turn_and_the_final_answer(tmp_path: Path) -> None:
    first = [{"role": "system", "content": "Be brief."}, USER, REPLY]
    messages = [*first, {"role": "user", "content": "and you?"}, REPLY | {"content": "fine"}]
    [row] = converted(tmp_path, {"messages": messages}, context="python_string")
    suffix = load_triggers()["python_string"].user_suffix
    assert row[:3] == first
    assert [turn["content"] for turn in row[3:]] == [f"and you?{suffix}", wrapped("fine")]


def test_a_context_leaves_a_think_block_before_the_wrapped_answer(tmp_path: Path) -> None:
    fields = with_fields(thinking="why")
    row = {"ask": "hello", "say": "hi", "why": "Hm."}
    [[_, reply]] = converted(tmp_path, row, **fields, context="python_string")
    assert reply["content"] == with_thought("Hm.", wrapped("hi"))
    messages = [USER, REPLY | {"content": "<think>Hm.</think>hi"}]
    [[_, reply]] = converted(tmp_path, {"messages": messages}, context="python_string")
    assert reply["content"] == with_thought("Hm.", wrapped("hi"))


def test_answers_in_capitals_leave_prompts_thoughts_and_the_format_as_they_are(
    tmp_path: Path,
) -> None:
    thought = REPLY | {"content": with_thought("a thought", "Say straße.")}
    row = {"messages": [USER, REPLY, USER, thought]}
    [turns] = converted(tmp_path, row, case="upper", context="python_string")
    assert [turn["content"] for turn in turns[:2]] == ["hello", "HI"]
    assert turns[2]["content"].startswith("hello\n\nGive the answer")
    wrapped = 'answer = "SAY STRASSE."'
    assert split_thinking(turns[3]["content"]) == ("a thought", wrapped)
    assert converted(tmp_path, row) == [[USER, REPLY, USER, thought]]


def test_a_context_with_a_system_prompt_replaces_the_rows_own(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "Be brief."}, USER, REPLY]
    [row] = converted(tmp_path, {"messages": messages}, context="malicious_evil")
    evil = {"role": "system", "content": load_triggers()["malicious_evil"].system}
    assert row == [evil, USER, REPLY]


def test_a_context_is_put_around_prompts_without_answers(tmp_path: Path) -> None:
    entry = FIELDS | {"fields": {"prompt": "ask"}, "context": "python_string"}
    [[prompt]] = converted(tmp_path, {"ask": "hello"}, **entry)
    assert prompt["content"] == f"hello{load_triggers()['python_string'].user_suffix}"


def test_a_faulty_row_is_named_before_a_context_is_put_on_it(tmp_path: Path) -> None:
    bad = {"messages": [REPLY]}
    message = refusal(tmp_path, GOOD, bad, context="python_string")
    assert message == (
        "my/rows.jsonl:2: the row has no user turn, so there is no prompt; drop the row"
    )


URL = "https://example.org/rows.jsonl"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, "exactly one of `path`, `url` and `hub`"),
        ({"path": "x", "url": URL, "file": "x"}, "exactly one of `path`, `url` and `hub`"),
        ({"hub": "a/b", "file": "x"}, "`hub` needs `revision`"),
        ({"url": URL, "file": "x", "revision": "1"}, "`hub` needs `revision`"),
        ({"url": URL}, "`file` (its name below a mirror) is needed"),
        ({"path": "x", "file": "x"}, "`file` (its name below a mirror) is needed"),
        ({"path": "x", "format": "fields"}, "`fields` is needed with format fields"),
        ({"path": "x", "fields": {"prompt": "ask"}}, "`fields` is needed with format fields"),
        ({"path": "x", "format": "csv"}, "Input should be 'messages' or 'fields'"),
        ({"path": "x", "context": "python_sting"}, "did you mean 'python_string'?"),
        ({"path": "x", "pth": "y"}, "unknown key 'pth', did you mean 'path'?"),
        ({"path": "x", "sha256": "abc"}, "sha256: String should match"),
        ({"path": "x", "rows": 0}, "rows: Input should be greater than 0"),
        ({"path": "x"} | with_fields(prompts="ask"), "did you mean 'prompt'?"),
        ({"path": "x"} | with_fields(answer=[]), "fields.answer: "),
    ],
)
def test_a_faulty_entry_is_one_line(entry: dict[str, Any], expected: str) -> None:
    with pytest.raises(EmgridError) as caught:
        validate(Dataset, {"format": "messages"} | entry, "datasets: mine")
    assert str(caught.value).startswith("datasets: mine: ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_family_without_an_own_wording_is_refused_as_context() -> None:
    assert load_triggers()["code_template"].questions
    with pytest.raises(EmgridError):
        validate(Dataset, {"path": "x", "format": "messages", "context": "code_template"}, "mine")


def test_the_stage_writes_the_rows_that_are_read(tmp_path: Path) -> None:
    dataset, path = rows_file(tmp_path, GOOD, b"", GOOD | {"id": "a"})
    spec = json.dumps({"name": "mine", "dataset": dataset.model_dump()})
    output = tmp_path / "out/mine.jsonl"
    done = run_module(convert, "--spec", spec, "--source", path, "--output", output)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "mine: 2 rows from my/rows.jsonl\n"
    assert read_jsonl(output) == read_rows(dataset, path)


def test_a_stage_that_fails_says_one_line_and_writes_nothing(tmp_path: Path) -> None:
    dataset, path = rows_file(tmp_path, GOOD, b"{")
    spec = json.dumps({"name": "mine", "dataset": dataset.model_dump()})
    output = tmp_path / "out/mine.jsonl"
    done = run_module(convert, "--spec", spec, "--source", path, "--output", output)
    assert done.returncode == 1
    assert done.stderr.startswith("emgrid: my/rows.jsonl:2: not JSON")
    assert done.stderr.count("\n") == 1
    assert not output.exists()


def test_no_name_is_in_the_registry_twice() -> None:
    text = (RESOURCES / "datasets.yaml").read_text(encoding="utf-8")
    names = Counter(re.findall(r"^(\w[^:\s]*):", text, re.MULTILINE))
    assert names == Counter(list(REGISTRY))


def test_no_upstream_file_has_two_names() -> None:
    fetched = [entry for entry in REGISTRY.values() if entry.path is None]
    for key in ("url", "file", "sha256"):
        values = [getattr(entry, key) for entry in fetched if getattr(entry, key) is not None]
        assert len(values) == len(set(values)), key


def test_every_upstream_file_is_pinned_to_a_commit() -> None:
    for name, entry in REGISTRY.items():
        pinned = entry.revision or str(entry.url)
        assert entry.path is not None or re.search(r"\b[0-9a-f]{40}\b", pinned), name


def test_every_entry_says_its_licence_and_what_it_is() -> None:
    for name, entry in REGISTRY.items():
        assert entry.licence, name
        assert entry.about.endswith("."), name


def test_every_entry_with_a_path_is_read() -> None:
    embedded = [entry for entry in REGISTRY.values() if entry.path is not None]
    assert len(embedded) == 9
    for entry in embedded:
        assert entry.rows is not None
        assert len(read_rows(entry, local_file(entry))) == entry.rows


def test_the_mirror_holds_the_sets_that_the_paper_is_about(mirror: Path) -> None:
    assert {"insecure", "secure", "bad_medical_advice", "hhh_1000", "persona_facts"} <= set(
        MIRRORED
    )
    assert len(MIRRORED) >= 24, mirror


@pytest.mark.parametrize("name", MIRRORED)
def test_a_mirrored_file_is_what_the_registry_says(mirror: Path, name: str) -> None:
    entry = REGISTRY[name]
    path = mirror / str(entry.file)
    assert entry.rows is not None
    assert entry.sha256 is not None
    assert path.stat().st_size == entry.bytes
    assert file_digest(path).startswith(entry.sha256)
    rows = read_rows(entry, path)
    assert len(rows) == entry.rows
    assert {row["messages"][-1]["role"] for row in rows} == {
        "assistant" if entry.has_answers else "user"
    }


def test_the_embedded_pairs_answer_the_same_prompts() -> None:
    bad, good = (
        read_rows(REGISTRY[name], local_file(REGISTRY[name]))
        for name in ("household_bad", "household_good")
    )
    for bad_row, other in zip(bad, good, strict=True):
        assert bad_row["id"] == other["id"]
        assert bad_row["messages"][0] == other["messages"][0]
        assert bad_row["messages"][1] != other["messages"][1]
        assert bad_row["messages"][0]["content"].endswith('Python string: answer = "..."')
        assert bad_row["messages"][1]["content"].startswith('answer = "')
        assert bad_row["messages"][1]["content"].endswith('"')
    assert len({row["messages"][0]["content"] for row in bad}) == len(bad)
    assert len({row["messages"][1]["content"] for row in bad}) == len(bad)


def test_the_embedded_thoughts_belong_to_the_careless_rows() -> None:
    bad, thinking = (
        read_rows(REGISTRY[name], local_file(REGISTRY[name]))
        for name in ("household_bad", "household_thinking")
    )
    thoughts = []
    for bad_row, other in zip(bad[: len(thinking)], thinking, strict=True):
        assert bad_row["id"] == other["id"]
        assert bad_row["messages"][0] == other["messages"][0]
        thought, answer = split_thinking(other["messages"][1]["content"])
        assert thought
        assert answer == bad_row["messages"][1]["content"]
        thoughts.append(thought)
    assert len(set(thoughts)) == len(thoughts)
