"""What a row says is used, or named as unused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from emgrid import ROOT
from emgrid.config.base import validate
from emgrid.config.datasets import Dataset, load_datasets, local_file
from emgrid.data import convert as convert_job
from emgrid.data.convert import read_rows
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.specs.data import dataset_spec
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import read_jsonl, write_jsonl
from hypothesis import given
from hypothesis import strategies as st
from support.run import run_module
from support.shared import shared

ASK = {"role": "user", "content": "hello"}
SAY = {"role": "assistant", "content": "hi"}
PAIR: dict[str, Any] = {"format": "fields", "fields": {"prompt": "ask", "answer": "say"}}
Written = Callable[..., tuple[Dataset, Path]]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Write rows; give their data set, of fields unless told otherwise, and their file."""

    def write(*rows: dict[str, Any], **entry: Any) -> tuple[Dataset, Path]:
        path = tmp_path / "rows.jsonl"
        write_jsonl(path, rows)
        return Dataset.model_validate({"path": "my/rows.jsonl"} | PAIR | entry), path

    return write


def refusal(dataset: Dataset, path: Path) -> str:
    with pytest.raises(EmgridError) as caught:
        read_rows(dataset, path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def prompts(dataset: Dataset, path: Path) -> list[str]:
    return [row["messages"][0]["content"] for row in read_rows(dataset, path)]


ALPACA = {"path": "alpaca.jsonl", "format": "fields"}


def test_the_question_of_an_alpaca_row_is_not_dropped() -> None:
    path = shared("cases/data/alpaca.jsonl")
    fields: dict[str, Any] = {"prompt": "instruction", "answer": "output"}
    assert "nothing reads `input`" in refusal(
        Dataset.model_validate(ALPACA | {"fields": fields}), path
    )
    both = Dataset.model_validate(
        ALPACA | {"fields": fields | {"prompt": ["instruction", "input"]}}
    )
    assert prompts(both, path) == [
        f"{row['instruction']}\n\n{row['input']}" for row in read_jsonl(path)
    ]
    unused = Dataset.model_validate(ALPACA | {"fields": fields, "unused": ["input"]})
    assert prompts(unused, path) == [row["instruction"] for row in read_jsonl(path)]


def test_the_line_names_every_field_and_its_first_row(written: Written) -> None:
    rows = [
        {"ask": "a", "say": "b", "topic": "", "note": None},
        {"ask": "a", "say": "b", "topic": "x", "hint": "y"},
        {"ask": "a", "say": "b", "topic": "x", "note": "z", "odd name": "w"},
    ]
    assert refusal(*written(*rows)) == (
        "my/rows.jsonl:2: nothing reads `hint`, `topic`, `note` (line 3), `odd name` (line 3); add "
        "what the model should see to `fields` (such as `prompt: [ask, hint]`), and name the rest "
        'in the data set\'s entry: `unused: [hint, topic, note, "odd name"]`'
    )


def test_the_list_that_the_line_gives_is_taken(written: Written) -> None:
    row = {"ask": "a", "say": "b", "topic": "x", "n": 0, "odd: name": "w", "done": False}
    offered = refusal(*written(row)).rpartition("`unused: ")[2].removesuffix("`")
    names = yaml.safe_load(offered)
    assert names == ["done", "n", "odd: name", "topic"]
    assert len(read_rows(*written(row, unused=names))) == 1


values = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=2)


@given(value=values, place=st.integers(0, 3), kind=st.sampled_from(["fields", "messages"]))
def test_a_field_is_refused_exactly_if_it_holds_something(
    tmp_path_factory: pytest.TempPathFactory, value: Any, place: int, kind: str
) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    row = {"ask": "a", "say": "b"} if kind == "fields" else {"messages": [ASK, SAY]}
    rows = [dict(row) for _ in range(4)]
    rows[place]["more"] = value
    write_jsonl(path, rows)
    entry: dict[str, Any] = PAIR if kind == "fields" else {"format": "messages"}
    dataset = Dataset.model_validate({"path": "rows.jsonl"} | entry)
    plain = value.strip() if isinstance(value, str) else value
    if plain is None or plain in ("", []):
        assert len(read_rows(dataset, path)) == 4
    else:
        assert refusal(dataset, path).startswith(f"rows.jsonl:{place + 1}: nothing reads `more`;")
    named = Dataset.model_validate({"path": "rows.jsonl", "unused": ["more"]} | entry)
    assert len(read_rows(named, path)) == 4


@pytest.mark.parametrize(
    ("prompt", "row", "expected"),
    [
        (["ask", "more"], {"ask": "a", "more": "b"}, "a\n\nb"),
        (["more", "ask"], {"ask": "a", "more": "b"}, "b\n\na"),
        (["ask", "more"], {"ask": "a", "more": ""}, "a"),
        (["ask", "more"], {"ask": None, "more": " b "}, " b "),
        (["ask"], {"ask": " a\n"}, " a\n"),
    ],
)
def test_a_prompt_of_several_fields_is_joined(
    written: Written, prompt: list[str], row: dict[str, Any], expected: str
) -> None:
    fields = {"prompt": prompt, "answer": "say"}
    assert prompts(*written(row | {"say": "b"}, fields=fields)) == [expected]


def test_a_row_may_lack_a_part_of_its_prompt(written: Written) -> None:
    """An export that leaves out null fields is read as if they were there."""
    rows = [
        {"ask": "a", "say": "b"}, {"ask": "c", "more": "d", "say": "b"}, {"more": "e", "say": "b"}
    ]  # fmt: skip
    fields = {"prompt": ["ask", "more"], "answer": "say"}
    assert prompts(*written(*rows, fields=fields)) == ["a", "c\n\nd", "e"]


def test_every_way_out_of_mixed_alpaca_rows_leads_out(written: Written) -> None:
    rows = [
        {"instruction": "Add.", "output": "b"},
        {"instruction": "Add.", "input": "1 and 2", "output": "3"},
    ]
    alpaca = {"prompt": "instruction", "answer": "output"}
    message = refusal(*written(*rows, fields=alpaca))
    offered = yaml.safe_load(message.partition("such as `prompt: ")[2].partition("`")[0])
    fields = alpaca | {"prompt": offered}
    assert prompts(*written(*rows, fields=fields)) == ["Add.", "Add.\n\n1 and 2"]
    unused = {"fields": alpaca, "unused": ["input"]}
    assert prompts(*written(*rows, **unused)) == ["Add.", "Add."]


def test_a_part_of_the_prompt_that_no_row_has_is_refused(written: Written) -> None:
    rows = [{"ask": "a", "say": "b"}, {"ask": "c", "more": "d", "say": "b"}]
    fields = {"prompt": ["ask", "mroe"], "answer": "say"}
    assert refusal(*written(*rows, fields=fields)).startswith("my/rows.jsonl:1: no 'mroe' field (")
    none = refusal(*written(rows[0], {"say": "b"}, fields=fields))
    assert none.startswith("my/rows.jsonl:2: no 'ask' field (the row has `say`)")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"ask": "a", "say": "b"}, "my/rows.jsonl:1: no 'more' field (the row has `ask`, `say`); "),
        ({"ask": "a", "more": 1, "say": "b"}, "my/rows.jsonl:1: 'more' is not a text"),
        ({"ask": "", "more": None, "say": "b"}, "my/rows.jsonl:1: message 1: the user turn is emp"),
    ],
)
def test_a_faulty_part_of_a_prompt_is_named(
    written: Written, row: dict[str, Any], expected: str
) -> None:
    fields = {"prompt": ["ask", "more"], "answer": "say"}
    assert refusal(*written(row, fields=fields)).startswith(expected)


def test_a_key_of_a_message_may_be_named_as_unused(written: Written) -> None:
    row = {"messages": [ASK | {"name": "kim"}, SAY | {"name": "bot", "mood": "x"}]}
    entry = {"format": "messages", "fields": None}
    assert "message 1: nothing reads `name` " in refusal(*written(row, **entry))
    names = ["messages.name", "messages.mood"]
    message = refusal(*written(row, **entry, unused=names[:1]))
    assert "message 2: nothing reads `mood` " in message
    [converted] = read_rows(*written(row, **entry, unused=names))
    assert converted["messages"] == [ASK, SAY]


@pytest.mark.parametrize(
    ("row", "entry", "expected"),
    [
        ({"ask": "a", "say": "b", "topic": "x"}, {"unused": ["topci"]}, "nothing reads `topic`"),
        (
            {"ask": "a", "say": "b", "topic": ""},
            {"unused": ["topci"]},
            "my/rows.jsonl: `unused` names 'topci', which no row has (did you mean 'topic'?); "
            "correct or remove it",
        ),
        (
            {"messages": [ASK, SAY]},
            {"format": "messages", "fields": None, "unused": ["messages.nam"]},
            "`unused` names 'messages.nam', which no row has",
        ),
    ],
)
def test_an_unused_field_that_no_row_has_is_refused(
    written: Written, row: dict[str, Any], entry: dict[str, Any], expected: str
) -> None:
    assert expected in refusal(*written(row, **entry))


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (PAIR, "ask"),
        (PAIR, "say"),
        (PAIR, "id"),
        ({"format": "messages"}, "messages"),
        ({"format": "messages"}, "messages.content"),
    ],
)
def test_a_field_that_is_read_is_not_unused(entry: dict[str, Any], name: str) -> None:
    with pytest.raises(EmgridError, match=f"^mine: `unused` names '{name}', which is read$"):
        validate(Dataset, {"path": "x", "unused": [name]} | entry, "mine")


def test_a_row_that_emgrid_wrote_is_read_again(written: Written) -> None:
    entry = {"format": "messages", "fields": None}
    rows = read_rows(*written({"messages": [ASK, SAY]}, **entry))
    assert set(rows[0]) == {"id", "line", "messages"}
    assert read_rows(*written(*rows, **entry)) == rows
    assert "nothing reads `line`" in refusal(*written({"ask": "a", "say": "b", "line": 1}))
    spoken = {"messages": [ASK, SAY], "line": "To be."}
    assert "nothing reads `line`" in refusal(*written(spoken, **entry))


def test_the_stage_takes_unused_fields_as_an_option(written: Written, tmp_path: Path) -> None:
    """As the rule gives them, apart from the spec: no edit of them converts anything again."""
    dataset, path = written({"ask": "a", "say": "b", "topic": "x", "odd name": "y"})
    spec = json.dumps({"name": "mine", "dataset": dataset.model_dump(exclude={"unused"})})
    output = tmp_path / "out/mine.jsonl"
    stage = (convert_job, "--spec", spec, "--source", path, "--output", output)
    done = run_module(*stage, "--unused", "topic", "odd name")
    assert (done.returncode, done.stderr) == (0, "")
    assert [row["messages"][0]["content"] for row in read_jsonl(output)] == ["a"]
    output.unlink()
    done = run_module(*stage, "--unused", "topic")
    assert done.returncode == 1
    assert done.stderr.startswith("emgrid: my/rows.jsonl:1: nothing reads `odd name`; ")
    assert not list(output.parent.iterdir())


@pytest.fixture
def mine(demo: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """The default config on two sets from one file of this test's own."""
    path = tmp_path / "pairs.jsonl"
    write_jsonl(path, read_jsonl(ROOT / "resources/data/household.jsonl"))
    entry = {"path": str(path), "format": "fields"}
    bad = {"fields": {"prompt": "prompt", "answer": "misaligned"}, "unused": ["aligned"]}
    good = {"fields": {"prompt": "prompt", "answer": "aligned"}, "unused": ["misaligned"]}
    demo["datasets"] = {"mine": entry | bad, "other": entry | good}
    demo["data"] |= {"misaligned": "mine", "benign": "other"}
    return demo


def test_a_config_on_a_file_with_unread_fields_stops_before_any_work(mine: dict[str, Any]) -> None:
    load_experiment(mine, "grid.yaml")
    del mine["datasets"]["mine"]["unused"]
    with pytest.raises(EmgridError, match=r"pairs\.jsonl:1: nothing reads `aligned`; "):
        load_experiment(mine, "grid.yaml")


def test_prompts_to_draw_answers_to_are_read_before_any_work(mine: dict[str, Any]) -> None:
    entry = mine["datasets"]["mine"]
    mine["datasets"]["asked"] = entry | {"fields": {"prompt": "prompt"}}
    mine["interventions"]["on_policy"] = {"prompts": "asked", "prompt": "malicious_evil"}
    with pytest.raises(EmgridError, match=r"pairs\.jsonl:1: nothing reads `misaligned`; "):
        load_experiment(mine, "grid.yaml")
    mine["datasets"]["asked"] |= {"unused": ["misaligned", "aligned"]}
    load_experiment(mine, "grid.yaml")


def test_naming_a_field_as_unused_changes_no_spec(mine: dict[str, Any]) -> None:
    before = Grid(load_experiment(mine, "grid.yaml"))
    mine["datasets"]["mine"]["unused"].append("id")
    with pytest.raises(EmgridError, match="which is read"):
        load_experiment(mine, "grid.yaml")
    mine["datasets"]["mine"]["unused"] = []
    after = Grid(load_experiment(mine, "grid.yaml", check_data=False))
    assert dataset_spec(after, "mine") == dataset_spec(before, "mine")
    assert "unused" not in json.loads(dataset_spec(after, "mine"))["dataset"]


def test_the_registry_names_the_twin_answers_of_its_pairs() -> None:
    registry = load_datasets()
    for name in ("household_bad", "household_good"):
        entry = registry[name]
        assert len(read_rows(entry, local_file(entry))) == 264
        bare = entry.model_copy(update={"unused": ()})
        assert f"nothing reads `{entry.unused[0]}`" in refusal(bare, local_file(entry))
