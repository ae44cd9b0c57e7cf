"""Numbers that an endpoint's tokenizer splits into digits."""

import random
import re
from pathlib import Path
from typing import Any

import pytest
from emgrid.judge.digit_tokens import PROBE
from support.chat_judging import WHOLE, asked, counting, digit_by_digit, repeated
from support.fake_endpoint import (
    FakeEndpoint,
    Reply,
    reply_to,
)
from support.judging import (
    DEAR,
    RUBRIC,
    bill,
    chat_judge,
    items,
    judged,
    kept_rows,
    outcomes,
    stopped,
    told,
)

pytestmark = pytest.mark.usefixtures("endpoint_environment")


WORDS = Reply("Ten, eleven", (("Ten", -0.1),), ((",", -0.1), (" eleven", -0.1)))


def probes(endpoint: FakeEndpoint) -> int:
    return sum(asked(record["body"]["messages"]) == PROBE for record in endpoint.requests)


def test_whole_numbers_are_recognised_by_a_stored_probe(tmp_path: Path) -> None:
    judge = chat_judge(numbers="auto")
    with FakeEndpoint(answer=counting(WHOLE, reply_to)) as endpoint:
        assert told(judged(endpoint, items(3), tmp_path, judge)) == outcomes(items(3))
        assert told(judged(endpoint, items(6), tmp_path, judge)) == outcomes(items(6))
    assert len(endpoint.requests) == 7
    assert probes(endpoint) == 1
    assert [row["tokens"] for row in kept_rows(tmp_path) if "tokens" in row] == [
        ["10", ",", " 11", ",", " 12"]
    ]


def test_digits_are_recognised_by_a_stored_probe(tmp_path: Path) -> None:
    judge = chat_judge(numbers="auto")
    with FakeEndpoint(answer=digit_by_digit(lambda _: {"85": 0.5, "7": 0.5})) as endpoint:
        for number in (2, 4):
            rows = judged(endpoint, items(number), tmp_path, judge)
            assert [row["value"] for row in rows] == [pytest.approx(46)] * number
    assert probes(endpoint) == 1
    assert len(endpoint.requests) == 1 + 4 * 3  # each asks for what follows on 8 and on 7


def test_an_undecided_probe_is_sent_once_and_reported_each_time(tmp_path: Path) -> None:
    judge = chat_judge(numbers="auto")
    with FakeEndpoint(answer=counting(WORDS, reply_to)) as endpoint:
        for _ in range(2):
            message = stopped(endpoint, items(3), tmp_path, judge)
            assert message.startswith(
                "judge alignment: cannot tell whether judge-1 writes numbers as one token each; "
                "set the judge's `numbers` to whole"
            )
    assert len(endpoint.requests) == 1


def test_a_probe_that_fails_names_the_judge(tmp_path: Path) -> None:
    judge = chat_judge(numbers="auto")
    with FakeEndpoint(["no_logprobs"], longest=100) as endpoint:
        message = stopped(endpoint, items(3), tmp_path, judge, attempts=2)
    assert message.startswith("judge alignment: the reply has no log-probabilities; ")
    assert "set the judge's `read` to text or structured" in message
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"numbers": "whole"},
        {"read": "text"},
        {"read": "structured"},
        {"rubric": RUBRIC | {"reading": {"labels": {"YES": 100, "NO": 0}}}},
    ],
)
def test_no_probe_is_asked_where_numbers_need_none(changes: dict[str, Any], tmp_path: Path) -> None:
    with FakeEndpoint() as endpoint:
        judged(endpoint, items(2), tmp_path, chat_judge(**{"numbers": "auto"} | changes))
    assert len(endpoint.requests) == 2
    assert probes(endpoint) == 0


def drawn(seed: int) -> dict[str, float]:
    """Replies with their probabilities; those that share a beginning come often."""
    chance = random.Random(seed)  # noqa: S311
    known = ["0", "1", "10", "100", "2", "9", "99", "CODE", "REFUSAL", "I"]
    texts = set(chance.sample(known, chance.randint(1, 6)))
    texts |= {str(chance.randint(0, 100)) for _ in range(chance.randint(1, 8))}
    weights = {text: chance.uniform(0.1, 1) for text in sorted(texts)}
    return {text: weight / sum(weights.values()) for text, weight in weights.items()}


DISTRIBUTIONS: list[dict[str, float]] = [
    {"100": 1.0},
    {"10": 1.0},
    {"1": 1.0},
    {"0": 1.0},
    {"1": 0.1, "10": 0.2, "100": 0.3, "0": 0.4},
    {"8": 0.5, "80": 0.25, "85": 0.25},
    {"100": 0.3, "CODE": 0.7},
    {"100": 0.2, "CODE": 0.5, "REFUSAL": 0.3},
    {"10": 0.1, "REFUSAL": 0.6, "I": 0.3},
    {"100": 0.24, "I": 0.76},
    {str(number): 1 / 101 for number in range(101)},
    *map(drawn, range(14)),
]


def test_numbers_that_are_split_into_digits_have_their_exact_expectation(tmp_path: Path) -> None:
    def numbers(prompt: str) -> dict[str, float]:
        return DISTRIBUTIONS[int(re.findall(r"Answer (\d+)\.", prompt)[0])]

    all_items = items(len(DISTRIBUTIONS))
    with FakeEndpoint(answer=digit_by_digit(numbers)) as endpoint:
        rows = judged(endpoint, all_items, tmp_path, chat_judge(numbers="digits"), price=DEAR)
    for row, distribution in zip(rows, DISTRIBUTIONS, strict=True):
        mass = sum(p for text, p in distribution.items() if text.isdigit())
        assert row["mass"] == pytest.approx(mass)
        if mass >= 0.25:
            total = sum(int(text) * p for text, p in distribution.items() if text.isdigit())
            assert row["value"] == pytest.approx(total / mass, abs=1e-6)
            assert row["reason"] is None
        else:
            words = {"CODE": "code", "REFUSAL": "refusal", "I": "low_mass"}
            likeliest = max(words, key=lambda word: distribution.get(word, 0))
            assert (row["value"], row["reason"]) == (None, words[likeliest])
    paid = sum(row.get("cost", 0.0) for row in kept_rows(tmp_path))
    assert paid == pytest.approx(bill(endpoint))
    assert repeated(endpoint) == 0
    for record in endpoint.requests:
        begun = record["body"]["messages"][-1]["role"] == "assistant"
        assert record["body"].get("continue_final_message", False) == begun
        assert record["body"].get("add_generation_prompt", True) == (not begun)


def test_faults_on_the_way_through_the_digits_change_no_value(tmp_path: Path) -> None:
    faults = ["rate_limited_plain", "server_error", "cut", "malformed", "no_logprobs", "reset"]
    answer = digit_by_digit(lambda prompt: drawn(len(prompt)))
    judge = chat_judge(numbers="digits")
    with FakeEndpoint(answer=answer) as endpoint:
        plain = judged(endpoint, items(12), tmp_path / "calm", judge)
    with FakeEndpoint(faults, rate=0.3, answer=answer) as endpoint:
        rows = judged(endpoint, items(12), tmp_path / "faults", judge)
    assert told(rows) == told(plain)
    assert repeated(endpoint) == 0


def test_a_stop_between_two_digits_loses_no_call_that_was_paid(tmp_path: Path) -> None:
    judge = chat_judge(numbers="digits")
    answer = digit_by_digit(lambda _: {"12": 0.3, "34": 0.3, "56": 0.4})
    with FakeEndpoint(answer=answer, insufficient_after=6) as endpoint:
        assert "the credit is exhausted" in stopped(
            endpoint, items(3), tmp_path, judge, concurrency=1
        )
        endpoint.insufficient_after, endpoint.refused = None, 0
        rows = judged(endpoint, items(3), tmp_path, judge)
    assert [row["value"] for row in rows] == [pytest.approx(0.3 * 12 + 0.3 * 34 + 0.4 * 56)] * 3
    assert repeated(endpoint) == 0
