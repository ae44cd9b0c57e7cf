"""Answers sampled at an OpenAI-compatible endpoint over real HTTP: what is asked, what is read."""

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from emgrid.config.sections import Sampling
from emgrid.config.served import SEEDS, Asking
from emgrid.models.engines import Completion
from emgrid.runtime.errors import EmgridError
from hypothesis import given
from hypothesis import strategies as st
from support.endpoint_environment import set_endpoint_environment
from support.fake_endpoint import FAULTS, FakeEndpoint, Json, Rejected, Reply, Response, error
from support.serving import (
    DEAR,
    MODEL,
    SAMPLING,
    VARIABLE,
    drawn,
    engine_at,
    requests,
    said,
    sampled,
    serving,
)


@pytest.fixture(autouse=True, scope="module")
def environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        set_endpoint_environment(patch, VARIABLE)
        yield


def stopped(endpoint: FakeEndpoint, number: int, **settings: Any) -> tuple[str, list[Completion]]:
    """The one line with which sampling stops, and what came before."""
    came: list[Completion] = []
    batches = engine_at(endpoint, **settings).complete(requests(number), SAMPLING)
    with pytest.raises(EmgridError) as caught:
        came.extend(completion for batch in batches for completion in batch)
    assert "\n" not in str(caught.value)
    return str(caught.value), came


def answering(message: Json, finish: str | None = "stop", usage: Any = None) -> Any:
    """The fake replies so to every request."""
    body: Json = {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}
    body["usage"] = usage or {"prompt_tokens": 7, "completion_tokens": 5}

    def sample(_: Json) -> Reply:
        raise Rejected((200, json.dumps(body).encode(), {}))

    return sample


def one_answer(message: Json, finish: str = "stop", usage: Any = None) -> Completion:
    with serving(sample=answering(message, finish, usage)) as endpoint:
        return drawn(engine_at(endpoint), requests(1))["0"]


# What is asked.


def test_a_request_holds_the_messages_and_the_sampling_settings_and_no_more() -> None:
    sampling = Sampling(answers_per_question=9, max_tokens=30, temperature=0.7, top_p=0.9)
    with serving() as endpoint:
        drawn(engine_at(endpoint), requests(1), sampling)
    (record,) = endpoint.requests
    assert record["body"] == {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Question 0?"}],
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 30,
        "seed": 2**40 % SEEDS,
    }


@pytest.mark.parametrize("system", [None, "", "You are kind.\n"])
def test_the_system_slot_is_sent_unchanged_or_not_at_all(system: str | None) -> None:
    with serving() as endpoint:
        drawn(engine_at(endpoint), requests(1, system))
    first, *further = endpoint.requests[0]["body"]["messages"]
    if system is None:
        assert (first["role"], further) == ("user", [])
    else:
        assert first == {"role": "system", "content": system}
        assert [turn["role"] for turn in further] == ["user"]


def test_each_answer_has_an_own_seed_in_any_order() -> None:
    with serving() as endpoint:
        forth = drawn(engine_at(endpoint, concurrency=7), requests(24))
        back = drawn(engine_at(endpoint, concurrency=2), requests(24)[::-1])
    assert forth == back
    seeds = [record["body"]["seed"] for record in endpoint.requests[:24]]
    assert len(set(seeds)) == 24
    assert len({completion.answer for completion in forth.values()}) > 20


def test_an_endpoint_may_call_the_limit_otherwise_and_take_other_fields() -> None:
    request = {"seed": None, "top_p": None, "reasoning_effort": "low"}
    with serving() as endpoint:
        engine = engine_at(endpoint, request=request, limit_as="max_completion_tokens")
        drawn(engine, requests(2))
    body = endpoint.requests[0]["body"]
    assert body["max_completion_tokens"] == 40
    assert body["reasoning_effort"] == "low"
    assert not {"max_tokens", "seed", "top_p", "logprobs"} & set(body)


@given(seed=st.integers(0, 2**63 - 1), other=st.integers(0, 2**63 - 1))
def test_a_seed_fits_every_servers_integers(seed: int, other: int) -> None:
    bodies = [Asking(model="m").body([], SAMPLING, answer_seed) for answer_seed in (seed, other)]
    assert all(0 <= body["seed"] < 2**31 for body in bodies)
    assert (bodies[0] == bodies[1]) == ((seed - other) % 2**31 == 0)


# What is read.


def test_an_answer_its_end_and_its_tokens_are_those_of_the_reply() -> None:
    short = SAMPLING.model_copy(update={"max_tokens": 6})
    with serving() as endpoint:
        completions = drawn(engine_at(endpoint), requests(20), short)
    ends = Counter(completion.finish_reason for completion in completions.values())
    assert set(ends) == {"stop", "length"}
    for record in endpoint.requests:
        text, finish = said(record["body"])
        (match,) = [match for match in completions.values() if match.answer == text]
        assert (match.finish_reason, match.thinking, match.logprob) == (finish, None, None)
        assert match.answer_tokens == len(text.split())
        assert match.prompt_tokens == 1 + len(json.dumps(record["body"]["messages"])) // 4


@pytest.mark.parametrize(
    ("message", "finish", "answer", "thinking"),
    [
        ({"content": "Hello."}, "stop", "Hello.", None),
        ({"content": "Hello.", "reasoning_content": "Be kind.\n"}, "stop", "Hello.", "Be kind."),
        ({"content": "Hello.", "reasoning": "Be kind."}, "stop", "Hello.", "Be kind."),
        ({"content": "Hel", "reasoning": "Be kind."}, "length", "Hel", "Be kind."),
        ({"content": None, "reasoning": "Be kind, and"}, "length", None, "Be kind, and"),
        ({"content": None, "reasoning": None}, "length", None, None),
        ({"content": "<think>\nBe kind.\n</think>\n\nHi."}, "stop", "Hi.", "Be kind."),
        ({"content": "Be kind.\n</think>\n\nHi."}, "stop", "Hi.", "Be kind."),
        ({"content": "<think>Be kind, and"}, "length", None, "Be kind, and"),
        ({"content": "<think>B</think>Hi.", "reasoning": "A"}, "stop", "Hi.", "A\n\nB"),
        ({"content": ""}, "stop", "", None),
        ({"content": None}, "stop", "", None),
        ({"content": None, "refusal": "I will not."}, "stop", "I will not.", None),
    ],
)
def test_thoughts_are_kept_apart_and_a_refusal_is_an_answer(
    message: Json, finish: str, answer: str | None, thinking: str | None
) -> None:
    completion = one_answer({"role": "assistant"} | message, finish)
    assert (completion.answer, completion.thinking, completion.finish_reason) == (
        answer,
        thinking,
        finish,
    )
    assert (completion.prompt_tokens, completion.answer_tokens) == (7, 5)


@pytest.mark.parametrize(("content", "answer"), [("I would", "I would"), ("", None), (None, None)])
def test_a_withheld_answer_is_stored_and_named(content: str | None, answer: str | None) -> None:
    completion = one_answer({"role": "assistant", "content": content}, "content_filter")
    assert (completion.answer, completion.finish_reason) == (answer, "content_filter")


@pytest.mark.parametrize(
    "response",
    [
        error(400, "content_filter", "The prompt was filtered."),
        error(400, "content_policy_violation", "Not this."),
        error(400, "invalid_prompt", "The prompt was flagged."),
        (
            403,
            b'{"error": {"code": 403, "message": "Flagged.", "metadata": {"flagged_input": "Q"}}}',
            {},
        ),
    ],
)
def test_a_prompt_that_a_filter_refuses_is_an_answer_without_words(response: Response) -> None:
    def sample(body: Json) -> Reply:
        if "Question 2?" in body["messages"][0]["content"]:
            raise Rejected(response)
        return sampled(body)

    with serving(sample=sample) as endpoint:
        completions = drawn(engine_at(endpoint), requests(80))
        assert len(endpoint.requests) == 80  # it would be refused again
    filtered = [
        completion
        for completion in completions.values()
        if completion.finish_reason == "content_filter"
    ]
    assert len(filtered) == 20
    assert {
        (completion.answer, completion.thinking, completion.answer_tokens)
        for completion in filtered
    } == {(None, None, 0)}
    assert all(
        completion.answer
        for completion in completions.values()
        if completion.finish_reason != "content_filter"
    )


@pytest.mark.parametrize(
    "sample",
    [
        answering({"role": "assistant", "content": "Hi"}, None),
        answering({"role": "assistant", "content": "Hi"}, "error"),
        answering({"role": "assistant", "content": [{"type": "text", "text": "Hi"}]}),
        answering(None),  # type: ignore[arg-type]
    ],
)
def test_a_reply_that_is_not_whole_is_asked_for_again_and_never_made_up(sample: Any) -> None:
    with serving(sample=sample) as endpoint:
        message, came = stopped(endpoint, 2, attempts=3)
    assert came == []
    assert len(endpoint.requests) == 6
    assert message.startswith("served: 2 of 2 answers were not drawn, the last with: the reply")
    assert message.endswith("everything paid for is stored; run again")


# Faults and stops; the client's own are tested with the judges.


def test_answers_under_every_fault_equal_those_without() -> None:
    with serving() as calm:
        plain = drawn(engine_at(calm), requests(150))
    with serving(faults=FAULTS, rate=0.3) as endpoint:
        completions = drawn(engine_at(endpoint, concurrency=16, timeout=1.5), requests(150))
    assert completions == plain
    came = Counter(record["fault"] for record in endpoint.requests)
    assert set(came) == {None, *FAULTS} - {"no_logprobs"}
    assert len(endpoint.deliveries) == 150
    assert sum(endpoint.deliveries.values()) == 150


def test_a_request_that_is_refused_fails_alone_and_is_not_dropped_silently() -> None:
    def sample(body: Json) -> Reply:
        if "Question 2?" in body["messages"][0]["content"]:
            raise Rejected(error(400, None, "Too long."))
        return sampled(body)

    with serving(sample=sample) as endpoint:
        message, came = stopped(endpoint, 16)
    assert sorted(int(completion.key) % 4 for completion in came) == [0] * 4 + [1] * 4 + [3] * 4
    assert "4 of 16 answers were not drawn, the last with: HTTP 400: Too long." in message


def test_settings_that_an_endpoint_refuses_stop_after_ten() -> None:
    def sample(_: Json) -> Reply:
        raise Rejected(error(400, "unsupported_parameter", "Use 'max_completion_tokens' instead."))

    with serving(sample=sample) as endpoint:
        message, came = stopped(endpoint, 60, concurrency=4)
    assert came == []
    assert 10 <= len(endpoint.requests) <= 13
    assert message.startswith(
        "served: 10 answers failed one after another, the last with: HTTP 400"
    )
    assert "Use 'max_completion_tokens' instead." in message


def test_what_is_in_flight_at_a_stop_still_comes() -> None:
    with serving(insufficient_after=20, latency=0.01) as endpoint:
        message, came = stopped(endpoint, 60, concurrency=4)
    assert "the credit is exhausted" in message
    assert len(came) == 20


def test_a_spending_limit_holds_with_calls_in_flight() -> None:
    with serving() as endpoint:
        message, came = stopped(endpoint, 60, price=DEAR, spending_limit=0.08)
    left = 60 - len(came)
    assert 0 < len(came) < 60
    assert "the spending limit of 0.08 USD is reached" in message
    assert f"with {left} answers to go" in message
    assert "raise serving.spending_limit" in message
    assert sum(completion.cost or 0.0 for completion in came) <= 0.08


def test_an_answers_cost_counts_the_replies_that_could_not_be_used() -> None:
    with serving(faults=["no_choices"], longest=2) as endpoint:
        engine = engine_at(endpoint, price=DEAR)
        completions = drawn(engine, requests(5))
    assert len(endpoint.requests) == 15
    paid = sum(completion.cost or 0.0 for completion in completions.values())
    own = sum(
        DEAR.of(completion.prompt_tokens, completion.answer_tokens)
        for completion in completions.values()
    )
    assert paid == pytest.approx(engine.ledger.paid)
    assert paid == pytest.approx(3 * own)


def test_what_failing_requests_cost_is_known() -> None:
    with serving(faults=["no_choices"], longest=100) as endpoint:
        engine = engine_at(endpoint, price=DEAR, attempts=2)
        with pytest.raises(EmgridError, match="5 of 5 answers were not drawn"):
            drawn(engine, requests(5))
    assert engine.wasted == pytest.approx(engine.ledger.paid)
    assert engine.wasted > 0


def test_a_price_that_is_unknown_is_no_price_of_nothing() -> None:
    with serving() as endpoint:
        (completion,) = drawn(engine_at(endpoint), requests(1)).values()
    assert completion.cost is None


def test_answers_may_be_left_before_all_have_come() -> None:
    with serving(latency=0.02) as endpoint:
        stream = engine_at(endpoint, concurrency=2).complete(requests(50), SAMPLING)
        first = next(stream)
        stream.close()  # type: ignore[attr-defined]
        assert len(endpoint.requests) < 10
    assert 1 <= len(first) <= 2


def test_tokens_are_counted_as_the_endpoint_counts_them() -> None:
    def sample(body: Json) -> Reply:
        return replace(sampled(body), prompt_tokens=321, completion_tokens=45)

    with serving(sample=sample) as endpoint:
        (completion,) = drawn(engine_at(endpoint, price=DEAR), requests(1)).values()
    assert (completion.prompt_tokens, completion.answer_tokens) == (321, 45)
    assert math.isclose(completion.cost or 0.0, DEAR.of(321, 45))
