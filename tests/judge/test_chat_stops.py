"""What stops the chat judge at once, with one clear line, and loses nothing that was paid."""

import email.utils
import re
import threading
import time
from pathlib import Path

import pytest
from support.chat_judging import (
    BROKE,
    asked,
    rejecting,
    repeated,
)
from support.fake_endpoint import (
    FakeEndpoint,
    Json,
    Rejected,
    Reply,
    Response,
    error,
    reply_to,
)
from support.judging import (
    chat_judge,
    items,
    judged,
    kept_rows,
    outcomes,
    stopped,
    told,
)

pytestmark = pytest.mark.usefixtures("endpoint_environment")


def test_exhausted_credit_stops_at_once_and_nothing_is_paid_twice(tmp_path: Path) -> None:
    all_items = items(60)
    with FakeEndpoint(insufficient_after=20, latency=0.01) as endpoint:
        message = stopped(endpoint, all_items, tmp_path, concurrency=4)
        assert message.startswith(f"{endpoint.url}/: the credit is exhausted (You exceeded your ")
        assert 1 <= endpoint.refused <= 4
        assert len(endpoint.requests) == 20 + endpoint.refused
        assert len(kept_rows(tmp_path)) == 20
        endpoint.insufficient_after, endpoint.refused = None, 0
        assert told(judged(endpoint, all_items, tmp_path)) == outcomes(all_items)
    assert len(endpoint.deliveries) == 60
    assert repeated(endpoint) == 0


@pytest.mark.parametrize(
    ("response", "part"),
    [
        (BROKE, "the credit is exhausted (You exceeded your current quota.)"),
        (error(402, None, "Pay first."), "the credit is exhausted (Pay first.)"),
        (error(429, "billing_hard_limit_reached", "Hard limit."), "the credit is exhausted (Hard"),
        (error(400, "billing_not_active", "Not active."), "the credit is exhausted (Not active.)"),
        (error(401, "invalid_api_key", "Wrong."), "the key is not accepted (Wrong.)"),
        (error(403, None, "Not yours."), "the key is not accepted (Not yours.)"),
        (
            error(404, "model_not_found", "No such."),
            "no model 'judge-1' at this address (No such.)",
        ),
        (
            error(400, "model_not_found", "No such."),
            "no model 'judge-1' at this address (No such.)",
        ),
        ((429, b"{}", {"Retry-After": "86400"}), "asks to wait 86,400 s"),
        ((503, b"Down.", {"Retry-After": "601"}), "asks to wait 601 s"),
    ],
)
def test_what_concerns_every_call_stops_all_at_once(
    response: Response, part: str, tmp_path: Path
) -> None:
    with FakeEndpoint(answer=rejecting("Answer", response), latency=0.01) as endpoint:
        message = stopped(endpoint, items(30), tmp_path, concurrency=4)
    assert message.startswith(f"{endpoint.url}/: ")
    assert part in message
    assert len(endpoint.requests) <= 4
    assert kept_rows(tmp_path) == []


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with FakeEndpoint() as endpoint:
        message = stopped(endpoint, items(30), tmp_path, chat_judge(model="judge-2"))
    assert message.startswith(f"{endpoint.url}/: no model 'judge-2' at this address (The model ")
    assert len(endpoint.requests) <= 8


@pytest.mark.parametrize("fault", ["rate_limited", "rate_limited_date"])
def test_an_endpoint_that_asks_for_a_very_long_wait_is_left(fault: str, tmp_path: Path) -> None:
    date = {"Retry-After": email.utils.formatdate(time.time() + 3600, usegmt=True)}
    answer = reply_to if fault == "rate_limited" else rejecting("", (429, b"{}", date))
    faults = ["rate_limited"] if fault == "rate_limited" else []
    with FakeEndpoint(faults, retry_after=3600, answer=answer) as endpoint:
        message = stopped(endpoint, items(30), tmp_path, concurrency=4)
    assert re.search(r"asks to wait 3,(600|59\d) s", message)
    assert "everything paid for is stored; run again later" in message
    assert len(endpoint.requests) <= 4


def test_what_is_in_flight_at_a_stop_is_kept(tmp_path: Path) -> None:
    all_there = threading.Barrier(4)

    def answer(messages: list[Json]) -> Reply:
        all_there.wait(30)
        if "Answer 0." in asked(messages):
            raise Rejected(BROKE)
        return reply_to(messages)

    with FakeEndpoint(answer=answer) as endpoint:
        stopped(endpoint, items(4), tmp_path, concurrency=4)
    assert len(kept_rows(tmp_path)) == 3


def test_a_call_that_waits_for_its_next_try_is_not_made_after_a_stop(tmp_path: Path) -> None:
    answers = {
        "Answer 0.": (429, b"{}", {"Retry-After": "3"}),
        "Answer 2.": BROKE,  # asked when Answer 1 is there, while Answer 0 waits
    }

    def answer(messages: list[Json]) -> Reply:
        for part, response in answers.items():
            if part in asked(messages):
                raise Rejected(response)
        return reply_to(messages)

    began = time.monotonic()
    with FakeEndpoint(answer=answer, latency=0.2) as endpoint:
        stopped(endpoint, items(30), tmp_path, concurrency=2)
    took = time.monotonic() - began
    assert len(endpoint.requests) == 3
    assert took < 3
