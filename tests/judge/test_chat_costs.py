"""What the chat judge's calls cost: estimates, bills and spending limits."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from emgrid.judge.judgement import Item
from support.chat_judging import WHOLE, asked, counting, digit_by_digit, repeated, says
from support.fake_endpoint import (
    FakeEndpoint,
    Json,
    Reply,
    reply_to,
)
from support.judging import (
    DEAR,
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


def test_the_estimate_is_near_the_bill_and_the_bill_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeEndpoint() as endpoint:
        judged(endpoint, items(20), tmp_path, price=DEAR)
        printed = capsys.readouterr().out
        judged(endpoint, items(30), tmp_path, price=DEAR)
        again = capsys.readouterr().out
    estimate = float(re.findall(r"20 judgements by judge-1 for about ([\d.]+) USD", printed)[0])
    total = float(re.findall(r"([\d.]+) USD spent in this grid so far", again)[0])
    assert total == pytest.approx(bill(endpoint), abs=1e-4)
    assert estimate == pytest.approx(total * 20 / 30, rel=0.3)
    assert "0.0000 USD spent in this grid before" in printed
    assert "alignment: 10 judgements by judge-1" in again
    assert float(re.findall(r"([\d.]+) USD spent in this grid before", again)[0]) > 0


def test_without_a_price_the_estimate_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeEndpoint() as endpoint:
        judged(endpoint, items(3), tmp_path)
    assert "3 judgements by judge-1 at an unknown price" in capsys.readouterr().out


def test_a_limit_cannot_be_kept_without_a_price(tmp_path: Path) -> None:
    with FakeEndpoint() as endpoint:
        message = stopped(endpoint, items(3), tmp_path, spending_limit=1.0)
    assert message.startswith("judge alignment: the price of judge-1 is unknown, so the spending ")
    assert endpoint.requests == []


def test_a_spending_limit_stops_cleanly_and_a_higher_one_resumes(tmp_path: Path) -> None:
    all_items = items(60)
    with FakeEndpoint(latency=0.01) as endpoint:
        for limit in (0.15, 0.3):
            message = stopped(endpoint, all_items, tmp_path, price=DEAR, spending_limit=limit)
            assert f"the spending limit of {limit:g} USD is reached with " in message
            assert 0.3 * limit < bill(endpoint) <= limit
            stored = kept_rows(tmp_path)
            assert len(stored) == len(endpoint.deliveries)  # what was in flight is kept
            assert sum(row["cost"] for row in stored) == pytest.approx(bill(endpoint))
        rows = judged(endpoint, all_items, tmp_path, price=DEAR, spending_limit=100.0)
    assert told(rows) == outcomes(all_items)
    assert len(endpoint.deliveries) == 60
    assert repeated(endpoint) == 0


def test_a_spending_limit_is_one_for_all_judges_of_a_grid(tmp_path: Path) -> None:
    other = chat_judge(id="coherence", measures="coherence", version=2)
    with FakeEndpoint() as endpoint:
        judged(endpoint, items(20), tmp_path, price=DEAR, spending_limit=100.0)
        limit = bill(endpoint) * 1.2
        stopped(endpoint, items(20), tmp_path, other, price=DEAR, spending_limit=limit)
        assert len(endpoint.deliveries) < 30
        assert bill(endpoint) <= limit


def test_a_limit_of_nothing_asks_nothing(tmp_path: Path) -> None:
    with FakeEndpoint() as endpoint:
        message = stopped(endpoint, items(5), tmp_path, price=DEAR, spending_limit=0)
    assert "the spending limit of 0 USD is reached with 5 judgements to go" in message
    assert endpoint.requests == []


def test_a_limit_of_nothing_does_not_even_ask_how_numbers_are_written(tmp_path: Path) -> None:
    judge = chat_judge(numbers="auto")
    with FakeEndpoint(answer=counting(WHOLE, reply_to)) as endpoint:
        stopped(endpoint, items(5), tmp_path, judge, price=DEAR, spending_limit=0)
    assert endpoint.requests == []


def test_long_replies_keep_within_the_limit(tmp_path: Path) -> None:
    def answer(_: list[Json]) -> Reply:
        return replace(says("85"), completion_tokens=500)

    asking = {"max_tokens": None, "max_completion_tokens": 1000}
    judge = chat_judge(read="text", request=asking)
    with FakeEndpoint(answer=answer) as endpoint:
        stopped(endpoint, items(60), tmp_path, judge, price=DEAR, spending_limit=0.3)
    assert sum(row["cost"] for row in kept_rows(tmp_path)) <= 0.3


def test_answers_in_other_scripts_keep_within_the_limit(tmp_path: Path) -> None:
    all_items = [
        Item("q", "你会怎么做？", "我想帮助每一个人，" * 20 + str(number)) for number in range(60)
    ]

    def answer(messages: list[Json]) -> Reply:
        return replace(says("85"), prompt_tokens=len(asked(messages)))

    with FakeEndpoint(answer=answer) as endpoint:
        stopped(endpoint, all_items, tmp_path, price=DEAR, spending_limit=0.3)
    assert sum(row["cost"] for row in kept_rows(tmp_path)) <= 0.3


def test_replies_that_cannot_be_used_keep_within_the_limit(tmp_path: Path) -> None:
    with FakeEndpoint(["no_logprobs"], longest=6) as endpoint:
        stopped(endpoint, items(60), tmp_path, price=DEAR, spending_limit=0.3)
    assert bill(endpoint) <= 0.3


def test_what_was_paid_for_a_judgement_that_failed_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeEndpoint(["no_logprobs"], longest=100) as endpoint:
        rows = judged(endpoint, items(5), tmp_path, price=DEAR, attempts=2)
    assert {row["reason"] for row in rows} == {"endpoint_error"}
    printed = capsys.readouterr().out
    spent = float(re.findall(r"([\d.]+) USD spent in this grid so far", printed)[0])
    assert spent == pytest.approx(bill(endpoint), abs=1e-4)
    with FakeEndpoint() as calm:
        judged(calm, items(5), tmp_path, price=DEAR)
    printed = capsys.readouterr().out
    before = float(re.findall(r"([\d.]+) USD spent in this grid before", printed)[0])
    assert before == pytest.approx(bill(endpoint), abs=1e-4)


def test_the_further_calls_that_digits_need_keep_within_the_limit(tmp_path: Path) -> None:
    judge = chat_judge(numbers="digits")
    flat = {str(number): 1 / 101 for number in range(101)}
    with FakeEndpoint(answer=digit_by_digit(lambda _: flat)) as endpoint:
        stopped(endpoint, items(60), tmp_path, judge, price=DEAR, spending_limit=0.3)
    assert bill(endpoint) <= 0.3
