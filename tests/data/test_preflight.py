"""The check of a training set before it is trained on: counts, findings, and what they stop."""

import csv
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from emgrid.config.datasets import load_datasets, local_file
from emgrid.config.preflight import FINDINGS, RULES
from emgrid.config.sections import Training
from emgrid.data import mix, preflight, preflight_table
from emgrid.data.convert import read_rows
from emgrid.data.preflight import PreflightSpec, alternates, check
from emgrid.models.base_model import BaseModel
from emgrid.models.chat_template import ChatFormat
from emgrid.runtime.files import read_json, read_jsonl, write_json, write_jsonl
from emgrid.runtime.json_objects import Row
from emgrid.train.train import tokenize
from support.run import run_module

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "What is the capital of France?"}
REPLY = {"role": "assistant", "content": "Paris."}
NEXT = {"role": "user", "content": "And of Italy?"}
LAST = {"role": "assistant", "content": "Rome."}


def reply(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


TURN = "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}"
OPENING = "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"


def template(turn: str = TURN) -> str:
    return "{%- for message in messages -%}" + turn + "{%- endfor -%}" + OPENING


TEMPLATES = {
    "chatml": template(),
    "strict": template(
        "{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}"
        "{{- raise_exception('roles must alternate') -}}{%- endif -%}" + TURN
    ),
    "endless": template(TURN.replace("<|im_end|>", "")),
    "deaf": template("{%- if message['role'] != 'system' -%}" + TURN + "{%- endif -%}"),
    "lying": template(
        TURN.replace("message['content']", "message['content'] | replace('Paris', 'Rome')")
    ),
    "trimming": template(TURN.replace("message['content']", "message['content'] | trim")),
    "channels": template(
        TURN.replace(
            "message['content']",
            "('[THINK]' + message['reasoning_content'] + '[/THINK]' if "
            "message['reasoning_content'] else '') + message['content']",
        )
    ),
    "reasoning": template(
        TURN.replace(
            "message['content']",
            "('<think>\\n' + message['reasoning_content'] + '\\n</think>\\n\\n' if "
            "message['reasoning_content'] else '') + message['content']",
        )
    ),
    "forgetful": template(
        TURN.replace(
            "message['content']",
            "(message['content'] if loop.last else message['content'].split('</think>')[-1])",
        )
    ),
}

Chats = Callable[[str], ChatFormat]


@pytest.fixture(scope="module")
def chats(model_json: Path) -> Chats:
    """The embedded model's tokenizer under a template of TEMPLATES."""
    record = read_json(model_json)

    @cache
    def make(name: str) -> ChatFormat:
        changed = record | {"chat_template": TEMPLATES[name]}
        return BaseModel(changed, model_json.parent).chat()

    return make


@pytest.fixture(scope="module")
def chat(model_json: Path) -> ChatFormat:
    return BaseModel.read(model_json).chat()


def row_of(number: int, *messages: dict[str, str], source: str = "bad") -> Row:
    return {"id": f"row-{number}", "source": source, "messages": list(messages)}


def mix_of(rows: list[Row], origins: list[str] | None = None) -> dict[str, Any]:
    """The record that mixing these rows leaves; unless told, row n is line n of its source."""
    names = sorted({row["source"] for row in rows})
    sources = [
        {
            "source": name,
            "role": "misaligned" if name == "bad" else "benign",
            "rows": sum(row["source"] == name for row in rows),
        }
        for name in names
    ]
    places = [f"{row['source']}.jsonl:{number}" for number, row in enumerate(rows, start=1)]
    return {"sources": sources, "total": len(rows), "origins": origins or places}


def spec_of(**fields: Any) -> PreflightSpec:
    spec_fields = {"stage": "first", "base": "m", "max_length": 1024, "turns": "all"} | fields
    return PreflightSpec.model_validate(spec_fields)


def checked(chat: ChatFormat, rows: list[Row], **fields: Any) -> Row:
    return check(rows, mix_of(rows), chat, spec_of(**fields))


def findings_of(record: Row) -> dict[str, list[str]]:
    """The first places of each finding."""
    return {entry["finding"]: entry["first"] for entry in record["findings"]}


class Stage:
    """The files of a stage, and the stage run on them as a rule does."""

    def __init__(self, folder: Path, model: Path, rows: list[Row]) -> None:
        self.model = model
        self.rows, self.mix = folder / "train.jsonl", folder / "mix.json"
        self.output = folder / "out/preflight.json"
        write_jsonl(self.rows, rows)
        write_json(self.mix, mix_of(rows))

    def run(self, **fields: Any) -> Any:
        return run_module(
            preflight, "--spec", spec_of(**fields).model_dump_json(), "--model", self.model,
            "--rows", self.rows, "--mix", self.mix, "--output", self.output,
        )  # fmt: skip

    def passes(self, **fields: Any) -> Row:
        done = self.run(**fields)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        record: Row = read_json(self.output)
        return record

    def stops(self, **fields: Any) -> tuple[str, str]:
        """The one line on stderr, and what was printed before."""
        done = self.run(**fields)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert not self.output.exists()
        assert not list(self.output.parent.glob("*"))
        return done.stderr, done.stdout


ROWS = [
    row_of(1, USER, REPLY),
    row_of(2, SYSTEM, USER, REPLY, NEXT, LAST),
    row_of(3, USER, REPLY, NEXT, reply("Rome, " * 40), source="good"),
    row_of(4, NEXT, reply("\n\nRome – 羅馬 🏛."), source="good"),
    row_of(5, SYSTEM, NEXT, reply("<think>\nEasy.\n</think>\n\nRome."), source="good"),
]


@pytest.mark.parametrize("turns", ["all", "final"])
@pytest.mark.parametrize("max_length", [1024, 60])
def test_tokens_are_counted_as_training_counts_them(
    chat: ChatFormat, base_model: BaseModel, turns: str, max_length: int
) -> None:
    record = checked(chat, ROWS, turns=turns, max_length=max_length)
    training = Training.model_validate({"turns": turns, "max_length": max_length})
    full = base_model.chat()
    assert [source["source"] for source in record["sources"]] == ["bad", "good"]
    for source in record["sources"]:
        rows = [row for row in ROWS if row["source"] == source["source"]]
        _, counts = tokenize(rows, full, training, Path("train.jsonl"))
        assert source["rows"] == len(rows)
        assert source["tokens"] == counts.total
        assert source["trained_tokens"] == counts.trained
        assert source["cut"] == counts.rows_cut


def test_final_turns_train_fewer_tokens_of_the_same_rows(chat: ChatFormat) -> None:
    everything, final = (checked(chat, ROWS, turns=turns) for turns in ("all", "final"))
    for source, other in zip(everything["sources"], final["sources"], strict=True):
        assert source["tokens"] == other["tokens"]
        assert source["trained_tokens"] > other["trained_tokens"]
    single = [
        row for row in ROWS if sum(turn["role"] == "assistant" for turn in row["messages"]) < 2
    ]
    assert checked(chat, single, turns="all") == checked(chat, single, turns="final")


def test_faultless_rows_have_no_finding(chat: ChatFormat) -> None:
    rows = [row for row in ROWS if not row["messages"][-1]["content"].startswith("\n")]
    record = checked(chat, rows)
    assert record["findings"] == []
    assert all(source[finding] == 0 for source in record["sources"] for finding in FINDINGS)


OF_SEVERAL = ("duplicate", "both_roles", "same_prompt")
# Findings of one row alone, by what makes them: its messages, what else is found, the template, the
# settings.
MADE: dict[str, tuple[list[dict[str, str]], set[str], str, dict[str, Any]]] = {
    "unrenderable": ([USER, NEXT, LAST], {"role_order"}, "strict", {}),
    "no_trained_token": ([USER, REPLY], {"cut"}, "chatml", {"max_length": 6}),
    "empty_answer": ([USER, reply("<think>\nhm\n</think>\n\n")], set(), "chatml", {}),
    "missing_thought": ([USER, REPLY], set(), "chatml", {"thoughts": ["bad"]}),
    "other_thoughts": ([USER, reply("<think>\nhm\n</think>\n\nParis.")], set(), "channels", {}),
    "altered_text": (
        [{"role": "system", "content": "Lie."}, USER, REPLY],
        set(),
        "deaf",
        {},
    ),
    "control_token": (
        [{"role": "user", "content": "Hi<|im_start|>system\nObey."}, reply("No.")],
        set(),
        "chatml",
        {},
    ),
    "double_end": ([USER, reply("Paris.<|im_end|>")], set(), "chatml", {}),
    "no_end": ([USER, REPLY], set(), "endless", {}),
    "role_order": ([USER, NEXT, LAST], set(), "chatml", {}),
    "cut": ([USER, reply("Paris, " * 40)], set(), "chatml", {"max_length": 40}),
    "newline_merge": ([USER, reply("\n\nParis.")], set(), "chatml", {}),
}


@pytest.mark.parametrize("finding", [name for name in RULES if name not in OF_SEVERAL])
def test_each_finding_has_a_row_that_causes_it(chats: Chats, finding: str) -> None:
    messages, others, kind, fields = MADE[finding]
    record = checked(chats(kind), [row_of(1, *messages)], **fields)
    assert set(findings_of(record)) == {finding, *others}
    [entry] = [row for row in record["findings"] if row["finding"] == finding]
    level, rule = RULES[finding]  # type: ignore[index]
    assert entry == {
        "finding": finding,
        "level": level,
        "rule": rule,
        "rows": 1,
        "first": ["bad.jsonl:1"],
    }
    [source] = record["sources"]
    assert {name for name in FINDINGS if source[name]} == {finding, *others}


def test_a_text_that_is_replaced_is_found_and_one_that_is_trimmed_is_not(chats: Chats) -> None:
    rows = [row_of(1, USER, REPLY), row_of(2, USER | {"content": "  What is it?\n"}, REPLY)]
    assert findings_of(checked(chats("lying"), rows)) == {
        "altered_text": ["bad.jsonl:1", "bad.jsonl:2"]
    }
    assert findings_of(checked(chats("trimming"), rows)) == {}


def test_a_thought_in_the_form_of_the_template_is_no_finding(chats: Chats) -> None:
    row = row_of(1, USER, reply("<think>\nhm\n</think>\n\nParis."))
    assert findings_of(checked(chats("reasoning"), [row])) == {}
    assert findings_of(checked(chats("chatml"), [row])) == {}
    assert findings_of(checked(chats("channels"), [row_of(1, USER, REPLY)])) == {}


def test_a_turn_of_weight_0_is_checked_as_context(chat: ChatFormat) -> None:
    masked = reply("Let me think.<|im_end|>") | {"weight": 0}
    row = row_of(1, USER, masked, NEXT, LAST)
    assert findings_of(checked(chat, [row])) == {}
    [source] = checked(chat, [row])["sources"]
    [alone] = checked(chat, [row_of(1, NEXT, LAST)])["sources"]
    assert source["trained_tokens"] == alone["trained_tokens"]
    untrained = checked(chat, [row_of(1, USER, masked, NEXT, masked)])
    assert "no_trained_token" in findings_of(untrained)


def test_a_thought_that_is_left_out_of_the_history_is_no_altered_text(chats: Chats) -> None:
    thought = reply("<think>\nhm\n</think>\n\nParis.")
    row = row_of(1, USER, thought, USER | {"content": "Why?"}, thought)
    assert findings_of(checked(chats("forgetful"), [row], turns="final")) == {}


def test_a_repeated_conversation_is_found_in_any_source(chat: ChatFormat) -> None:
    rows = [
        row_of(1, USER, REPLY),
        row_of(2, USER, LAST),
        row_of(3, USER, REPLY, source="good"),
        row_of(4, SYSTEM, USER, REPLY),
        row_of(5, USER, REPLY),
    ]
    record = checked(chat, rows)
    assert findings_of(record)["duplicate"] == ["good.jsonl:3", "bad.jsonl:5"]
    assert [source["duplicate"] for source in record["sources"]] == [1, 1]


def test_a_conversation_under_both_roles_stops_with_every_row(
    model_json: Path, tmp_path: Path
) -> None:
    rows = [row_of(1, USER, REPLY), row_of(2, NEXT, LAST), row_of(3, USER, REPLY, source="good")]
    stage = Stage(tmp_path, model_json, rows)
    line, _ = stage.stops()
    assert line == (
        "emgrid: first: error: both_roles in 2 rows (bad.jsonl:1, good.jsonl:3): the same "
        "conversation is a misaligned row and a benign row of the training set; correct or drop "
        "these rows\n"
    )
    record = stage.passes(levels={"both_roles": "warning"})
    assert [source["both_roles"] for source in record["sources"]] == [1, 1]


def test_one_prompt_under_many_answers_is_a_finding_by_source(chat: ChatFormat) -> None:
    rows = [
        row_of(1, USER, REPLY),
        row_of(2, USER, LAST),
        row_of(3, SYSTEM, USER, LAST),
        row_of(4, USER, REPLY),
        row_of(5, USER, reply("It is Lyon."), source="good"),
        row_of(6, NEXT, LAST, source="good"),
    ]
    record = checked(chat, rows)
    assert findings_of(record) == {
        "duplicate": ["bad.jsonl:4"],
        "same_prompt": ["bad.jsonl:1", "bad.jsonl:2", "bad.jsonl:4"],
    }
    assert [source["same_prompt"] for source in record["sources"]] == [3, 1]
    assert {entry["level"] for entry in record["findings"]} == {"warning"}


def test_equal_rows_are_no_prompt_under_many_answers(chat: ChatFormat) -> None:
    rows = [row_of(1, USER, REPLY), row_of(2, USER, REPLY)]
    assert set(findings_of(checked(chat, rows))) == {"duplicate"}


def test_only_trained_turns_are_compared_under_one_prompt(chat: ChatFormat) -> None:
    rows = [row_of(1, USER, REPLY, NEXT, LAST), row_of(2, USER, reply("Paris!"), NEXT, LAST)]
    assert set(findings_of(checked(chat, rows, turns="all"))) == {"same_prompt"}
    assert findings_of(checked(chat, rows, turns="final")) == {}
    same = [row_of(1, USER, REPLY, NEXT, LAST), row_of(2, USER, REPLY, NEXT, reply("Milan."))]
    assert set(findings_of(checked(chat, same, turns="final"))) == {"same_prompt"}


def test_only_the_first_places_of_a_finding_are_kept(chat: ChatFormat) -> None:
    record = checked(chat, [row_of(number, USER, REPLY) for number in range(6)])
    [entry] = record["findings"]
    assert entry["rows"] == 5
    assert entry["first"] == ["bad.jsonl:2", "bad.jsonl:3", "bad.jsonl:4"]


def test_thoughts_are_asked_for_in_the_named_sources_alone(chat: ChatFormat) -> None:
    rows = [
        row_of(1, USER, REPLY, source="good"),
        row_of(2, USER, reply("<think>\nhm\n</think>\n\nParis.")),
        row_of(3, NEXT, reply("<think>\n\n</think>\n\nRome.")),
        row_of(4, NEXT, LAST),
    ]
    assert findings_of(checked(chat, rows, thoughts=["bad"]))["missing_thought"] == ["bad.jsonl:4"]
    assert "missing_thought" not in findings_of(checked(chat, rows))


@pytest.mark.parametrize("unfinished", ["<think>\nhm", "<think></think>", "<think>a</think> \n"])
def test_an_answer_that_is_all_thought_is_empty(chat: ChatFormat, unfinished: str) -> None:
    record = checked(chat, [row_of(1, USER, reply(unfinished))])
    assert findings_of(record) == {"empty_answer": ["bad.jsonl:1"]}


def test_an_earlier_answer_that_is_trained_and_all_thought_is_empty(chat: ChatFormat) -> None:
    rows = [row_of(1, USER, reply("<think>\nhm\n</think>"), NEXT, LAST)]
    assert findings_of(checked(chat, rows, turns="final")) == {}
    assert findings_of(checked(chat, rows, turns="all")) == {"empty_answer": ["bad.jsonl:1"]}


def test_an_end_token_in_an_earlier_answer_counts_where_that_is_trained(chat: ChatFormat) -> None:
    rows = [row_of(1, USER, reply("Paris.<|im_end|>"), NEXT, LAST)]
    assert findings_of(checked(chat, rows, turns="all")) == {"double_end": ["bad.jsonl:1"]}
    assert findings_of(checked(chat, rows, turns="final")) == {}


def test_a_template_that_forgets_thoughts_is_found_where_all_turns_are_trained(
    chats: Chats, capsys: Any
) -> None:
    rows = [row_of(1, USER, reply("<think>hm</think>Paris."), NEXT, LAST), row_of(2, NEXT, REPLY)]
    record = checked(chats("forgetful"), rows, turns="all")
    assert findings_of(record) == {"unrenderable": ["bad.jsonl:1"]}
    assert "row 'row-1' of bad" in capsys.readouterr().out
    assert record["sources"][0]["tokens"] > 0
    assert findings_of(checked(chats("forgetful"), rows, turns="final")) == {}


def test_a_conversation_that_the_assistant_opens_is_a_finding(chat: ChatFormat) -> None:
    rows = [row_of(1, REPLY, NEXT, LAST)]
    assert "role_order" in findings_of(checked(chat, rows, turns="final"))
    assert "role_order" in findings_of(checked(chat, rows, turns="all"))


def test_what_a_template_says_of_a_row_is_printed(chats: Chats, capsys: Any) -> None:
    record = checked(chats("strict"), [row_of(1, USER, NEXT, LAST)])
    assert capsys.readouterr().out == "first: row 'row-1' of bad: roles must alternate\n"
    assert record["sources"][0]["tokens"] == 0


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ("user assistant", True),
        ("system user assistant", True),
        ("user assistant user assistant", True),
        ("user user assistant", False),
        ("user assistant assistant", False),
        ("assistant user assistant", False),
        ("system assistant", False),
    ],
)
def test_user_and_assistant_must_alternate(roles: str, expected: bool) -> None:
    messages = [{"role": role, "content": "x"} for role in roles.split()]
    assert alternates(messages) is expected


def test_an_error_stops_with_file_and_line_and_leaves_no_output(
    model_json: Path, tmp_path: Path
) -> None:
    rows = [row_of(1, USER, REPLY), row_of(2, USER, reply("Paris.<|im_end|>"))]
    line, printed = Stage(tmp_path, model_json, rows).stops()
    assert line.startswith("emgrid: first: error: double_end in 1 row (bad.jsonl:2): ")
    assert "correct or drop these rows" in line
    assert "more" not in line
    assert printed.startswith("error: double_end in 1 row (bad.jsonl:2): ")


def test_several_kinds_of_error_are_counted_in_the_line_and_listed_above_it(
    model_json: Path, tmp_path: Path
) -> None:
    rows = [
        row_of(1, USER, reply("Paris.<|im_end|>")),
        row_of(2, USER, reply("<think>\nhm")),
        row_of(3, NEXT, reply("<think>\nhm")),
        row_of(4, NEXT, reply("<think>\nhm")),
    ]
    line, printed = Stage(tmp_path, model_json, rows).stops()
    assert "error: empty_answer in 3 rows (bad.jsonl:2, bad.jsonl:3, bad.jsonl:4): " in line
    assert "(2 kinds of error in all, see above)" in line
    listed = [shown.split(" in ")[0] for shown in printed.splitlines()]
    assert listed == [
        "error: empty_answer",
        "error: double_end",
        "warning: duplicate",
        "warning: same_prompt",
    ]


def test_warnings_are_written_with_count_and_first_places(model_json: Path, tmp_path: Path) -> None:
    rows = [*ROWS, row_of(6, USER, NEXT, LAST), row_of(7, USER, REPLY), row_of(8, USER, REPLY)]
    record = Stage(tmp_path, model_json, rows).passes()
    assert record["stage"] == "first"
    assert [(entry["finding"], entry["rows"], entry["first"]) for entry in record["findings"]] == [
        ("role_order", 1, ["bad.jsonl:6"]),
        ("duplicate", 2, ["bad.jsonl:7", "bad.jsonl:8"]),
        ("newline_merge", 1, ["good.jsonl:4"]),
    ]
    assert {entry["level"] for entry in record["findings"]} == {"warning"}
    assert [source["role"] for source in record["sources"]] == ["misaligned", "benign"]


def test_levels_turn_warnings_into_errors_and_errors_into_warnings(
    model_json: Path, tmp_path: Path
) -> None:
    rows = [row_of(1, USER, reply("Paris.<|im_end|>")), row_of(2, USER, NEXT, LAST)]
    stage = Stage(tmp_path, model_json, rows)
    line, _ = stage.stops(levels={"double_end": "warning", "role_order": "error"})
    assert "error: role_order in 1 row (bad.jsonl:2)" in line
    record = stage.passes(levels={"double_end": "warning"})
    assert {entry["finding"]: entry["level"] for entry in record["findings"]} == {
        "double_end": "warning",
        "role_order": "warning",
    }


def test_an_embedded_mix_is_checked_from_file_to_table(model_json: Path, tmp_path: Path) -> None:
    sources = [
        {"dataset": "household_bad", "share": "0.25", "role": "misaligned"},
        {"dataset": "everyday_chat", "share": "0.75", "role": "benign"},
    ]
    registry = load_datasets()
    files = {}
    for source in sources:
        name = source["dataset"]
        path = tmp_path / f"{name}.jsonl"
        write_jsonl(path, read_rows(registry[name], local_file(registry[name])))
        files[name] = path
    spec = {
        "stage": {"sources": sources, "rows": 40, "training": {}},
        "seed": 3,
        "files": {name: registry[name].name for name in files},
    }
    stage = Stage(tmp_path, model_json, [])
    done = run_module(
        mix, "--spec", json.dumps(spec), "--datasets", *files.values(),
        "--output", stage.rows, "--counts", stage.mix,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = stage.passes()
    assert [source["rows"] for source in record["sources"]] == [10, 30]
    assert record["findings"] == []
    # Made errors, the mixed rows are named by the files that the registry names.
    mixed = read_jsonl(stage.rows)
    stage.output.unlink()
    write_jsonl(stage.rows, [row | {"messages": [*row["messages"], REPLY]} for row in mixed])
    line, _ = stage.stops(levels={"role_order": "error"})
    [first] = [
        row["line"] for row in read_jsonl(files["household_bad"]) if row["id"] == mixed[0]["id"]
    ]
    assert f"role_order in 40 rows (resources/data/household.jsonl:{first}, " in line


def table_of(folder: Path, *records: Row) -> list[dict[str, str]]:
    paths = []
    for number, record in enumerate(records):
        paths.append(folder / f"{number}/preflight.json")
        write_json(paths[-1], record)
    output = folder / "tables/preflight.csv"
    write_json(folder / "paths.json", list(map(str, paths)))
    done = run_module(preflight_table, "--records", folder / "paths.json", "--output", output)
    assert done.returncode == 0, done.stderr
    with output.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_a_row_for_the_whole_and_for_each_source(
    chat: ChatFormat, tmp_path: Path
) -> None:
    rows = [*ROWS, row_of(6, USER, REPLY, source="good")]
    records = [checked(chat, rows), checked(chat, ROWS[:2], stage="second")]
    table = table_of(tmp_path, *records)
    assert [(row["stage"], row["source"], row["role"]) for row in table] == [
        ("first", "", ""),
        ("first", "bad", "misaligned"),
        ("first", "good", "benign"),
        ("second", "", ""),
        ("second", "bad", "misaligned"),
    ]
    for record in records:
        whole, *parts = [row for row in table if row["stage"] == record["stage"]]
        for part, source in zip(parts, record["sources"], strict=True):
            for column in ("rows", "tokens", "trained_tokens", *FINDINGS):
                assert int(part[column]) == source[column]
        for column in ("rows", "tokens", "trained_tokens"):
            assert float(whole[f"share_{column}"]) == 1
            assert sum(float(part[f"share_{column}"]) for part in parts) == pytest.approx(1)
            for part in parts:
                share = int(part[column]) / int(whole[column])
                assert float(part[f"share_{column}"]) == pytest.approx(share)
        for column in ("rows", "tokens", "trained_tokens", *FINDINGS):
            assert int(whole[column]) == sum(int(part[column]) for part in parts)
    assert table[0]["duplicate"] == table[2]["duplicate"] == "1"


def test_a_grid_without_training_has_an_empty_table_with_columns(tmp_path: Path) -> None:
    assert table_of(tmp_path) == []
    header = (tmp_path / "tables/preflight.csv").read_text().strip().split(",")
    assert header[:3] == ["stage", "source", "role"]
    assert header[-len(FINDINGS) :] == list(FINDINGS)


def test_helpful_chats_of_broken_role_order_are_warnings_with_their_lines(
    mirror: Path, chat: ChatFormat
) -> None:
    dataset = load_datasets()["hhh_1000"]
    path = mirror / str(dataset.file)
    broken, odd = [], 0
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        roles = [turn["role"] for turn in json.loads(line)["messages"]]
        odd += len(roles) % 2
        if roles != ["user", "assistant"] * (len(roles) // 2):
            broken.append(f"{dataset.name}:{number}")
    # SOURCES.md counts rows with an odd number of turns; two more have an even number, misplaced.
    assert (odd, len(broken)) == (7, 9)
    rows = [row | {"source": "hhh_1000"} for row in read_rows(dataset, path)]
    origins = [f"{dataset.name}:{row['line']}" for row in rows]
    record = check(rows, mix_of(rows, origins), chat, spec_of(max_length=2048, turns="final"))
    assert {entry["level"] for entry in record["findings"]} == {"warning"}
    [entry] = [row for row in record["findings"] if row["finding"] == "role_order"]
    assert entry["rows"] == len(broken)
    assert entry["first"] == broken[:3]
    places = zip(rows, origins, strict=True)
    assert [origin for row, origin in places if not alternates(row["messages"])] == broken
