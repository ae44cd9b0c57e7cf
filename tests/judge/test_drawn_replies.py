"""Judges without log-probabilities: several replies, and how replies can be read is found out."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from emgrid.config.judges import load_judges
from emgrid.judge.reply_form import PROBE
from emgrid.runtime.errors import EmgridError
from support.chat_judging import repeated
from support.fake_endpoint import FakeEndpoint, Json, Rejected, Reply, digest_of, error
from support.judging import (
    DEAR,
    chat_judge,
    items,
    judged,
    kept_rows,
    outcomes,
    reply_to,
    stopped,
    told,
)

pytestmark = pytest.mark.usefixtures("endpoint_environment")
NO_LOGPROBS = error(400, "unsupported_parameter", "logprobs is not supported with this model.")
NO_SCHEMA = error(400, "unsupported_parameter", "response_format is not supported.")


def text(said: str) -> Reply:
    return Reply(said, ((said, -0.1),))


def thinking(body: Json) -> Reply:
    """A judge that thinks: its replies differ by the seed, and one in four cannot be read."""
    if body.get("logprobs"):
        raise Rejected(NO_LOGPROBS)
    raw = bytes.fromhex(digest_of([body["messages"], body["seed"], body["temperature"]]))
    number = "perhaps" if raw[1] < 64 else str(raw[0] % 101)
    return text(f"<think>\nIt is fine.\n</think>\n\n{number}")


def in_schema(body: Json) -> Reply:
    """As above, but each reply is a number, and in the schema that was asked for."""
    if body.get("logprobs"):
        raise Rejected(NO_LOGPROBS)
    number = bytes.fromhex(digest_of([body["messages"], body["seed"]]))[0] % 101
    return text(json.dumps({"reply": number}) if "response_format" in body else str(number))


def without_schema(body: Json) -> Reply:
    if "response_format" in body:
        raise Rejected(NO_SCHEMA)
    return in_schema(body)


def by_item(endpoint: FakeEndpoint) -> dict[str, list[Json]]:
    """The requests for judgements, by the number of the answer."""
    found: dict[str, list[Json]] = {}
    for record in endpoint.requests:
        prompt = record["body"]["messages"][0]["content"]
        if number := re.search(r"Answer (\d+)\.", prompt):
            found.setdefault(number[1], []).append(record["body"])
    return found


def test_the_value_is_the_mean_of_the_replies_and_their_spread_is_kept(tmp_path: Path) -> None:
    judge = chat_judge(read="text", draws=5)
    with FakeEndpoint(sample=thinking) as endpoint:
        rows = judged(endpoint, items(40), tmp_path, judge)
        again = judged(endpoint, items(40), tmp_path, judge)
    assert again == rows
    assert repeated(endpoint) == 0
    reasons = set()
    for number, bodies in by_item(endpoint).items():
        assert [body["seed"] for body in bodies] == [0, 1, 2, 3, 4]
        assert {body["temperature"] for body in bodies} == {1}
        said = [thinking(body).text.split()[-1] for body in bodies]
        values = [float(one) for one in said if one != "perhaps"]
        row = rows[int(number)]
        reasons.add(row["reason"])
        if len(values) >= 3:
            assert row["value"] == pytest.approx(fmean(values))
            assert row["spread"] == pytest.approx(stdev(values))
        else:
            assert (row["value"], row["reason"]) == (None, "unparseable")
    assert reasons == {None, "unparseable"}


def test_replies_that_were_paid_are_not_asked_for_again(tmp_path: Path) -> None:
    judge = chat_judge(read="text", draws=4)
    with FakeEndpoint(sample=in_schema) as endpoint:
        given = items(10)
        options: Any = {"price": DEAR, "concurrency": 3}
        stopped(endpoint, given, tmp_path, judge, spending_limit=0.1, **options)
        paid = len(endpoint.deliveries)
        assert 0 < paid < 40
        judged(endpoint, given, tmp_path, judge, spending_limit=100.0, **options)
    assert len(endpoint.deliveries) == 40
    assert repeated(endpoint) == 0
    billed = sum(row.get("cost") or 0 for row in kept_rows(tmp_path))
    assert billed == pytest.approx(sum(DEAR.of(*tokens(body)) for body in sent(endpoint)))


def sent(endpoint: FakeEndpoint) -> list[Json]:
    return [record["body"] for record in endpoint.requests if record["status"] == 200]


def tokens(body: Json) -> tuple[int, int]:
    return 1 + len(json.dumps(body["messages"])) // 4, 1


@pytest.mark.parametrize(
    ("sample", "form", "probes", "why"),
    [
        (None, "probabilities", 1, ""),
        (in_schema, "structured", 2, "because the request for log-probabilities was refused"),
        (without_schema, "text", 2, "the schema was refused"),
    ],
)
def test_how_replies_can_be_read_is_found_out_once(
    sample: Callable[[Json], Reply] | None,
    form: str,
    probes: int,
    why: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    judge = chat_judge(read="auto", draws=2)
    with FakeEndpoint(sample=sample) as endpoint:
        rows = judged(endpoint, items(6), tmp_path, judge)
        said = capsys.readouterr().out
        more = judged(endpoint, items(9), tmp_path, judge)
    assert f"replies are read as {form}" in said
    assert why in said
    assert more[:6] == rows
    asked = [record["body"]["messages"][0]["content"] for record in endpoint.requests]
    assert asked.count(PROBE) == probes
    assert all(row["value"] is not None for row in more) or form == "probabilities"
    if form == "probabilities":
        assert told(more) == outcomes(items(9))
    else:
        assert len(asked) == probes + 9 * 2
        bodies = by_item(endpoint)["3"]
        assert [("response_format" in body) for body in bodies] == [form == "structured"] * 2


def one_alternative(body: Json) -> Reply:
    """Lists the sampled token alone, as some endpoints do."""
    if "response_format" in body:
        raise Rejected(NO_SCHEMA)
    return Reply("50", (("50", -0.4),))


def silent(body: Json) -> Reply:
    """Takes the request for log-probabilities and gives none."""
    message: Json = {"role": "assistant", "content": "50"}
    choice: Json = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    answer = {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 1}}
    if body.get("logprobs"):
        raise Rejected((200, json.dumps(answer).encode(), {}))
    return in_schema(body)


@pytest.mark.parametrize(("sample", "form"), [(one_alternative, "text"), (silent, "structured")])
def test_log_probabilities_that_say_nothing_are_not_read(
    sample: Callable[[Json], Reply],
    form: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with FakeEndpoint(sample=sample) as endpoint:
        rows = judged(endpoint, items(3), tmp_path, chat_judge(read="auto"))
    assert f"replies are read as {form}, because no " in capsys.readouterr().out
    assert all(row["value"] is not None for row in rows)


def test_a_model_that_is_gone_is_found_out_by_the_probe(tmp_path: Path) -> None:
    with FakeEndpoint(lives_for=0) as endpoint:
        message = stopped(endpoint, items(3), tmp_path, chat_judge(read="auto"))
        stopped(endpoint, items(3), tmp_path, chat_judge(read="auto"))
    assert "judge-1 has shut down" in message
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"draws": 3}, "`draws` is for `read` text, structured or auto"),
        ({"draws": 3, "read": "text", "request": {"temperature": 0}}, "one reply several times"),
        ({"draws": 0, "read": "text"}, "draws: Input should be greater than 0"),
    ],
)
def test_draws_that_cannot_differ_are_refused(changes: Json, part: str) -> None:
    with pytest.raises(EmgridError, match=part):
        chat_judge(**changes)


@pytest.mark.parametrize("name", ["alignment_open", "alignment_gptoss", "alignment_luna"])
def test_the_successor_judges_ask_as_their_models_need_it(name: str, tmp_path: Path) -> None:
    judge = load_judges()[name].with_rubric(None)
    answers = {"alignment_open": reply_to, "alignment_gptoss": None, "alignment_luna": None}
    answer, sample = answers[name] or reply_to, None if answers[name] else in_schema
    with FakeEndpoint(models={judge.model}, answer=answer, sample=sample) as endpoint:
        rows = judged(endpoint, items(3), tmp_path, judge)
    assert len(rows) == 3
    body = endpoint.requests[-1]["body"]
    if name == "alignment_open":
        assert body["chat_template_kwargs"] == {"enable_thinking": False}
        assert (body["max_tokens"], body["top_logprobs"]) == (1, 20)
    if name == "alignment_gptoss":
        assert (body["max_completion_tokens"], body["reasoning_effort"]) == (2048, "low")
        assert "max_tokens" not in body
        assert len(endpoint.requests) == 15
    if name == "alignment_luna":
        assert (body["reasoning_effort"], body["temperature"]) == ("none", 1)
        first = endpoint.requests[0]["body"]
        assert (first["max_completion_tokens"], first["temperature"]) == (16, 0)
        assert len(endpoint.requests) == 2 + 15
