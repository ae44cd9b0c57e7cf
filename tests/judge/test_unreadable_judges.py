"""Judges whose replies cannot be read: what is thought comes off, and the job stops early."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from emgrid.config.judges import ChatJudge, LocalJudge
from emgrid.config.rubrics import Reading, Rubric
from emgrid.grid.specs import judge as specs
from emgrid.judge.context import JudgeContext, Options
from emgrid.judge.digit_tokens import PROBE
from emgrid.judge.judge import judge_items
from emgrid.judge.judgement import Item
from emgrid.judge.judgement_store import key_of
from emgrid.judge.reading import from_text
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import read_jsonl
from hypothesis import given
from hypothesis import strategies as st
from support.endpoint_environment import set_endpoint_environment
from support.fake_endpoint import FakeEndpoint, Json, Rejected, Reply, error
from support.judging import (
    DEAR,
    RUBRIC,
    VARIABLE,
    bill,
    chat_judge,
    items,
    judged,
    kept_rows,
    options,
    told,
    unchecked_grid,
)
from support.training import write_tiny_model

THOUGHT = "Okay, the answer says that it would help. That is kind, perhaps 90 or 95 of 100."


@pytest.fixture(autouse=True, scope="module")
def environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        set_endpoint_environment(patch, VARIABLE)
        yield


def number_of(messages: list[Json]) -> int:
    """The number of the item that is judged."""
    return int(messages[0]["content"].split("Answer ")[1].split(".")[0])


def saying(text: Callable[[int], str]) -> Callable[[list[Json]], Reply]:
    """The fake says a text of the item's number, as one token with an alternative."""

    def answer(messages: list[Json]) -> Reply:
        reply = text(number_of(messages))
        return Reply(reply, ((reply, math.log(0.9)), ("~", math.log(0.05))))

    return answer


def stopped(endpoint: FakeEndpoint, number: int, folder: Path, **settings: Any) -> str:
    """The one line with which judging so many items stops."""
    unreadable = settings.pop("unreadable", 0.5)
    judge = settings.pop("judge", None) or chat_judge(read="text")
    called = options(endpoint, [judge], **settings).model_copy(update={"unreadable": unreadable})
    with pytest.raises(EmgridError) as caught:
        judge_items([judge], items(number), JudgeContext(folder, "arm", options=called))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What is thought before a reply.


@pytest.mark.parametrize(
    ("reply", "value", "reason"),
    [
        (f"<think>\n{THOUGHT}\n</think>\n\n85", 85, None),
        (f"{THOUGHT}\n</think>\n\n85.", 85, None),  # the template opened the block
        (f"<think>{THOUGHT}</think>CODE", None, "code"),
        ("<think>\n\n</think>\n\n85", 85, None),
        (f"<think>\n{THOUGHT}", None, "unparseable"),  # cut inside its thought
        (f"<think>{THOUGHT} 85</think>", None, "unparseable"),
        (f"<think>{THOUGHT}</think>score: 85", None, "unparseable"),
    ],
)
def test_what_a_judge_thinks_is_no_part_of_its_reply(
    reply: str, value: float | None, reason: str | None, tmp_path: Path
) -> None:
    with FakeEndpoint(answer=saying(lambda _: reply)) as endpoint:
        (row,) = judged(endpoint, items(1), tmp_path, chat_judge(read="text"))
    assert (row["value"], row["reason"]) == (value, reason)
    assert row["reply"] == reply


def test_what_a_judge_thinks_is_no_part_of_its_json(tmp_path: Path) -> None:
    reply = f"<think>{THOUGHT}</think>" + json.dumps({"reply": 85})
    with FakeEndpoint(answer=saying(lambda _: reply)) as endpoint:
        (row,) = judged(endpoint, items(1), tmp_path, chat_judge(read="structured"))
    assert row["value"] == 85


@given(thought=st.text().filter(lambda text: "think>" not in text), value=st.integers(0, 100))
def test_no_thought_changes_the_value(thought: str, value: int) -> None:
    assert from_text(Reading(), f"<think>{thought}</think>{value}").value == value
    assert from_text(Reading(), f"{thought}</think>\n{value}").value == value
    assert from_text(Reading(), f"<think>{thought} {value}").unreadable


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize(("content", "value"), [("85", 85), ("", None), (None, None)])
def test_a_thought_in_a_separate_field_is_no_reply(
    field: str, content: str | None, value: float | None, tmp_path: Path
) -> None:
    message = {"role": "assistant", "content": content, field: f"{THOUGHT} 85"}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "length"}]}

    def answer(_: list[Json]) -> Reply:
        raise Rejected((200, json.dumps(body).encode(), {}))

    with FakeEndpoint(answer=answer) as endpoint:
        (row,) = judged(endpoint, items(1), tmp_path, chat_judge(read="text"))
    assert row["value"] == value
    if value is None:
        assert row["reason"] == "unparseable"
        assert THOUGHT in row["reply"]


def test_replies_that_were_kept_unread_are_read_again_and_not_paid_again(tmp_path: Path) -> None:
    """Rows as versions without this reading kept them."""
    judge = chat_judge(read="text")
    with FakeEndpoint(answer=saying(lambda n: f"<think>{THOUGHT}</think>{n}")) as endpoint:
        judged(endpoint, items(12), tmp_path, judge)
        (file,) = tmp_path.glob("*/*.jsonl")
        rows = [row | {"value": None, "reason": "unparseable"} for row in read_jsonl(file)]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        again = judged(endpoint, items(24), tmp_path, judge)
    assert [row["value"] for row in again] == list(range(24))
    assert len(endpoint.requests) == 24


# A judge that cannot be read.


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_judge_of_which_nothing_can_be_read_stops_early(concurrency: int, tmp_path: Path) -> None:
    with FakeEndpoint(answer=saying(lambda _: f"<think>\n{THOUGHT}")) as endpoint:
        message = stopped(endpoint, 200, tmp_path, concurrency=concurrency)
        assert message == (
            "judge alignment: 10 of 10 replies of judge-1 cannot be read, the first of them "
            "'<think> Okay, the answer says that it would help. That is kind, perhaps 90 or 95…'; "
            "everything paid for is stored. Raise the judge's `max_tokens` (32) if it thinks "
            "before it replies; else change `read` (text) or its rubric, whose `reading` may name "
            "more words, and run again; or set judging.unreadable to null to go on without these "
            "replies"
        )
        n_requests = len(endpoint.requests)
        assert 10 <= n_requests < 10 + concurrency
        assert len(kept_rows(tmp_path)) == n_requests  # what was in flight, too
        # Nothing was changed, so that nothing more is asked for.
        assert f"{n_requests} of {n_requests} replies" in stopped(endpoint, 200, tmp_path)
        assert len(endpoint.requests) == n_requests


def test_what_was_paid_for_unreadable_replies_is_on_the_bill(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeEndpoint(answer=saying(lambda _: "Let me think.")) as endpoint:
        stopped(endpoint, 50, tmp_path, price=DEAR, concurrency=1)
        assert sum(row["cost"] for row in kept_rows(tmp_path)) == pytest.approx(bill(endpoint))
    assert f"{bill(endpoint):.4f} USD spent in this grid so far" in capsys.readouterr().out


def test_a_judge_that_can_mostly_not_be_read_stops(tmp_path: Path) -> None:
    with FakeEndpoint(answer=saying(lambda n: "85" if n % 2 else "I would say 85.")) as endpoint:
        message = stopped(endpoint, 200, tmp_path, concurrency=1)
    assert message.startswith("judge alignment: 10 of 20 replies of judge-1 cannot be read, ")
    assert "'I would say 85.'" in message
    assert len(endpoint.requests) == 20


def test_a_judge_that_is_mostly_readable_continues(tmp_path: Path) -> None:
    """The first nine replies cannot be read, and later two of five."""

    def text(number: int) -> str:
        return "Well." if number < 9 or (number >= 20 and number % 5 > 2) else "85"

    with FakeEndpoint(answer=saying(text)) as endpoint:
        rows = judged(endpoint, items(200), tmp_path, chat_judge(read="text"), concurrency=1)
    expected = [text(number) == "Well." for number in range(200)]
    assert [row["reason"] == "unparseable" for row in rows] == expected


@pytest.mark.parametrize("word", ["CODE", "REFUSAL", "UNSURE"])
def test_words_of_the_rubric_are_readable_however_many_they_are(word: str, tmp_path: Path) -> None:
    words = {"CODE": "code", "REFUSAL": "refusal", "UNSURE": "unparseable"}
    rubric = RUBRIC | {"reading": {"words": words}}
    for read in ("text", "probabilities"):
        judge = chat_judge(read=read, rubric=rubric)
        with FakeEndpoint(answer=saying(lambda _: word)) as endpoint:
            for number in (30, 60):
                rows = judged(endpoint, items(number), tmp_path / read, judge)
        assert {row["reason"] for row in rows} == {words[word]}
        assert len(endpoint.requests) == 60


def test_probabilities_without_values_stop_the_job(tmp_path: Path) -> None:
    with FakeEndpoint(answer=saying(lambda _: "<think>")) as endpoint:
        message = stopped(endpoint, 200, tmp_path, judge=chat_judge(), concurrency=1)
    assert message.startswith(
        "judge alignment: 10 of 10 replies of judge-1 cannot be read, the first of them '<think>'; "
    )
    assert "set `read` to text and `max_tokens` to what thinking and reply take" in message
    assert len(endpoint.requests) == 10


def test_who_wants_to_go_on_says_so(tmp_path: Path) -> None:
    judge = chat_judge(read="text")
    with FakeEndpoint(answer=saying(lambda _: "Well.")) as endpoint:
        stopped(endpoint, 30, tmp_path, judge=judge, concurrency=1)
        called = options(endpoint, [judge]).model_copy(update={"unreadable": None})
        rows = judge_items([judge], items(30), JudgeContext(tmp_path, "arm", options=called))[
            "alignment"
        ]
    assert {row["reason"] for row in rows} == {"unparseable"}
    assert len(endpoint.requests) == 30


def test_the_config_says_at_which_share_and_no_spec_does() -> None:
    value = {
        "name": "n",
        "imports": [
            {"path": "a.csv", "base": "b", "intervention": "base", "ratio": 0}
            | {"columns": {"question": "q", "answer": "a"}}
        ],
        "questions": "everyday",
        "triggers": ["none"],
        "judges": ["is_code"],
        "metrics": {"alignment": "is_code", "coherence_above": None},
    }
    grids = []
    for judging in ({}, {"unreadable": None}, {"unreadable": 0.9}):
        grid = unchecked_grid(value | {"judging": judging})
        grids.append((Options.model_validate_json(specs.options(grid)).unreadable, grid))
    assert [share for share, _ in grids] == [0.5, None, 0.9]
    assert len({specs.judge_spec(grid, grid.judged[0]) for _, grid in grids}) == 1


def test_a_local_judge_without_values_stops_after_its_first_batch(
    model_json: Path, tmp_path: Path
) -> None:
    fields = {"id": "kind", "measures": "alignment", "kind": "local", "model": "smollm2-135m"}
    judge = LocalJudge.model_validate(
        fields | {"rubric": RUBRIC, "precision": "float32", "least_mass": 1.0}
    )
    (tmp_path / "tiny").mkdir()
    models = {"smollm2-135m": write_tiny_model(model_json, tmp_path / "tiny")}
    kept = tmp_path / "kept"
    bench = JudgeContext(kept, "w", batch_size=10, models=models)
    with pytest.raises(EmgridError, match="judge kind: 10 of 10 replies of smollm2-135m cannot be"):
        judge_items([judge], [Item("q", "?", f"Answer {n}.") for n in range(30)], bench)
    assert len(kept_rows(kept)) == 10


# Endpoints that want another limit, or list one alternative.


def reasoning_model(reply: Callable[[list[Json]], Reply]) -> Callable[[Json], Reply]:
    """An endpoint that refuses `max_tokens`, as OpenAI's reasoning models do."""

    def sample(body: Json) -> Reply:
        if "max_tokens" in body:
            why = "Unsupported parameter: use 'max_completion_tokens' instead."
            raise Rejected(error(400, "unsupported_parameter", why))
        return reply(body["messages"])

    return sample


COUNTED = Reply("10, 11", (("10", -0.1), ("1", -3.0)), ((",", -0.1), (" 11", -0.1)))


def counting(messages: list[Json]) -> Reply:
    if messages[0]["content"] == PROBE:
        return COUNTED
    return saying(lambda _: "85")(messages)


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"limit_as": "max_completion_tokens"}, 16),
        ({"request": {"max_tokens": None, "max_completion_tokens": 1}}, 1),
    ],
)
def test_a_judge_whose_endpoint_wants_another_limit_is_probed_and_asked(
    changes: Json, limit: int, tmp_path: Path
) -> None:
    with FakeEndpoint(sample=reasoning_model(counting)) as endpoint:
        rows = judged(endpoint, items(3), tmp_path, chat_judge(numbers="auto", **changes))
    assert [row["value"] for row in rows] == [pytest.approx(85)] * 3
    limits = [request["body"]["max_completion_tokens"] for request in endpoint.requests]
    assert limits == [24, *[limit] * 3]


def test_a_limit_that_a_request_leaves_out_is_left_out_of_the_probe(tmp_path: Path) -> None:
    judge = chat_judge(numbers="auto", request={"max_tokens": None})
    with FakeEndpoint(sample=reasoning_model(counting)) as endpoint:
        judged(endpoint, items(1), tmp_path, judge)
    assert all("max_completion_tokens" not in request["body"] for request in endpoint.requests)


def test_the_name_of_the_limit_leaves_judgements_where_they_are_unless_it_is_given() -> None:
    plain = chat_judge(read="text")
    assert "limit_as" not in plain.identity()
    assert "limit_as" not in plain.bare()
    named = chat_judge(read="text", limit_as="max_completion_tokens")
    assert named.identity() == plain.identity() | {"limit_as": "max_completion_tokens"}
    assert ChatJudge.model_validate(named.bare()) == named
    assert key_of(plain, items(1)[0]) == key_of(named, items(1)[0])


def alone(probability: float, listed: bool) -> Callable[[list[Json]], Reply]:
    """An endpoint that lists the sampled token and no alternative, or no list at all."""

    def answer(_: list[Json]) -> Reply:
        token = {"token": "85", "logprob": math.log(probability), "bytes": None}
        content = [token | {"top_logprobs": [token] if listed else []}]
        message = {"role": "assistant", "content": "85"}
        choice = {"index": 0, "message": message, "logprobs": {"content": content}}
        body = {"choices": [choice | {"finish_reason": "stop"}], "usage": {"prompt_tokens": 100}}
        raise Rejected((200, json.dumps(body).encode(), {}))

    return answer


@pytest.mark.parametrize("numbers", ["whole", "digits"])
@pytest.mark.parametrize("listed", [True, False])
def test_one_alternative_is_no_distribution(numbers: str, listed: bool, tmp_path: Path) -> None:
    judge = chat_judge(numbers=numbers)
    with FakeEndpoint(answer=alone(0.6, listed)) as endpoint:
        message = stopped(endpoint, 30, tmp_path, judge=judge, price=DEAR, concurrency=1)
    assert message == (
        "judge alignment: the endpoint lists one alternative of a token, not the 20 that were "
        "asked for, so there is no expectation; set the judge's `read` to text (or structured)"
    )
    assert len(endpoint.requests) == 1
    assert not any("value" in row for row in kept_rows(tmp_path))
    assert sum(row["cost"] for row in kept_rows(tmp_path)) == pytest.approx(0.01)


def test_one_alternative_that_is_as_good_as_sure_is_the_value(tmp_path: Path) -> None:
    with FakeEndpoint(answer=alone(0.9995, True)) as endpoint:
        rows = judged(endpoint, items(2), tmp_path)
    assert told(rows) == [(85, None, pytest.approx(0.9995))] * 2


def test_a_word_that_the_rubrics_text_names_is_no_unreadable_reply(tmp_path: Path) -> None:
    """Published prompts ask for CODE or REFUSAL, and their reading has no words by default."""
    text = "Rate it from 0 to 100, or reply CODE.\n[Answer]\n{answer}\n[End]"
    rubric = Rubric.model_validate({"id": "mine", "text": text, "reading": {}})
    judge = chat_judge(read="text", rubric=rubric)
    with FakeEndpoint(answer=saying(lambda _: "CODE")) as endpoint:
        called = options(endpoint, [judge]).model_copy(update={"unreadable": 0.5})
        [rows] = judge_items(
            [judge], items(40), JudgeContext(tmp_path / "one", "arm", options=called)
        ).values()
        assert {row["reason"] for row in rows} == {"unparseable"}
        assert len(endpoint.requests) == 40
    with FakeEndpoint(answer=saying(lambda _: "Sure thing")) as endpoint:
        assert "cannot be read" in stopped(endpoint, 40, tmp_path / "other", judge=judge)
