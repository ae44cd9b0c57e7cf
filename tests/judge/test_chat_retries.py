"""When the chat judge asks again, how long it waits, and what one failure costs."""

import email.utils
import math
import re
import time
from collections import Counter
from pathlib import Path

import httpx2 as httpx
import pytest
from emgrid.models.endpoint.waiting import retry_after
from support.chat_judging import (
    FILTERED,
    asked,
    rejecting,
    repeated,
)
from support.fake_endpoint import (
    FakeEndpoint,
    Json,
    Rejected,
    Reply,
    reply_to,
)
from support.judging import (
    DEAR,
    bill,
    items,
    judged,
    kept_rows,
    outcomes,
    stopped,
    told,
)

pytestmark = pytest.mark.usefixtures("endpoint_environment")


def waits(endpoint: FakeEndpoint) -> list[float]:
    """Seconds between the end of a request and the next one of the same body."""
    ended: dict[str, float] = {}
    seconds = []
    for record in endpoint.requests:
        if record["digest"] in ended:
            seconds.append(record["time"] - ended[record["digest"]])
        ended[record["digest"]] = record["ended"]
    return seconds


def test_the_wait_that_an_endpoint_asks_for_is_kept(tmp_path: Path) -> None:
    with FakeEndpoint(["rate_limited"], longest=1, retry_after=0.3) as endpoint:
        rows = judged(endpoint, items(6), tmp_path)
    assert told(rows) == outcomes(items(6))
    assert len(waits(endpoint)) == 6
    assert min(waits(endpoint)) >= 0.3


@pytest.mark.parametrize("fault", ["rate_limited", "rate_limited_date"])
def test_the_wait_that_an_endpoint_asks_for_takes_the_place_of_the_own(
    fault: str, tmp_path: Path
) -> None:
    with FakeEndpoint([fault], longest=1) as endpoint:  # which asks for less
        rows = judged(endpoint, items(6), tmp_path, backoff=30)
    assert told(rows) == outcomes(items(6))
    assert max(waits(endpoint)) < 30


@pytest.mark.parametrize("fault", ["rate_limited_plain", "server_error", "overloaded"])
def test_without_a_word_from_the_endpoint_each_wait_doubles(fault: str, tmp_path: Path) -> None:
    with FakeEndpoint([fault], longest=3) as endpoint:
        rows = judged(endpoint, items(1), tmp_path, backoff=0.1)
    assert told(rows) == outcomes(items(1))
    first, second, third = waits(endpoint)
    assert first >= 0.1
    assert second >= 0.2
    assert third >= 0.4


def test_a_date_to_wait_for_is_waited_for(tmp_path: Path) -> None:
    due = math.ceil(time.time()) + 1

    def answer(messages: list[Json]) -> Reply:
        if time.time() < due:
            named = {"Retry-After": email.utils.formatdate(due, usegmt=True)}
            raise Rejected((429, b"{}", named))
        return reply_to(messages)

    with FakeEndpoint(answer=answer) as endpoint:
        rows = judged(endpoint, items(1), tmp_path)
    assert told(rows) == outcomes(items(1))
    assert [record["status"] for record in endpoint.requests] == [429, 200]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "2"}, 2),
        ({"retry-after": "0.25"}, 0.25),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After-Ms": "250"}, 0.25),
        ({"Retry-After-Ms": "250", "Retry-After": "1"}, 0.25),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "-1"}, None),
    ],
)
def test_an_endpoint_names_its_wait_in_one_of_three_ways(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(httpx.Headers(headers)) == seconds


@pytest.mark.parametrize("ahead", [30, 900])
def test_a_date_is_counted_from_now(ahead: int) -> None:
    date = email.utils.formatdate(time.time() + ahead, usegmt=True)
    wait = retry_after(httpx.Headers({"Retry-After": date}))
    assert wait is not None
    assert ahead - 10 < wait <= ahead


@pytest.mark.parametrize("fault", ["slow", "reset", "cut", "malformed", "html", "no_choices"])
def test_a_reply_that_never_comes_whole_is_asked_for_again(fault: str, tmp_path: Path) -> None:
    with FakeEndpoint([fault], longest=1) as endpoint:
        rows = judged(endpoint, items(3), tmp_path, timeout=1.5)
    assert told(rows) == outcomes(items(3))
    assert len(endpoint.requests) == 6
    assert repeated(endpoint) == 0


def test_a_call_is_tried_so_many_times_and_no_more(tmp_path: Path) -> None:
    with FakeEndpoint(["server_error"], longest=100) as endpoint:
        rows = judged(endpoint, items(2), tmp_path, attempts=3)
    assert told(rows) == [(None, "endpoint_error", None)] * 2
    assert sorted(Counter(request["digest"] for request in endpoint.requests).values()) == [3, 3]


def test_the_tokens_of_replies_that_could_not_be_used_are_counted(tmp_path: Path) -> None:
    with FakeEndpoint(["no_logprobs"], longest=2) as endpoint:
        rows = judged(endpoint, items(3), tmp_path, price=DEAR)
    assert told(rows) == outcomes(items(3))
    assert len(endpoint.requests) == 9
    assert sum(row["cost"] for row in rows) == pytest.approx(bill(endpoint))


def test_a_request_that_is_refused_for_its_content_stops_no_other(tmp_path: Path) -> None:
    all_items = items(8)
    with FakeEndpoint(answer=rejecting("Answer 3.", FILTERED)) as endpoint:
        rows = judged(endpoint, all_items, tmp_path)
    expected = outcomes(all_items)
    expected[3] = (None, "endpoint_error", None)
    assert told(rows) == expected
    assert len(endpoint.requests) == 8  # it would be refused again
    assert len(kept_rows(tmp_path)) == 7
    with FakeEndpoint() as endpoint:
        assert told(judged(endpoint, all_items, tmp_path)) == outcomes(all_items)
    assert ["Answer 3." in asked(request["body"]["messages"]) for request in endpoint.requests] == [
        True
    ]


def test_ten_failures_in_a_row_stop_the_job(tmp_path: Path) -> None:
    with FakeEndpoint(answer=rejecting("Answer", FILTERED)) as endpoint:
        message = stopped(endpoint, items(40), tmp_path, concurrency=4)
    assert message.startswith("judge alignment: 10 judgements failed one after another, the last ")
    assert "HTTP 400: The prompt was filtered." in message
    assert 10 <= len(endpoint.requests) <= 13
    assert kept_rows(tmp_path) == []
    with FakeEndpoint() as endpoint:
        assert told(judged(endpoint, items(40), tmp_path)) == outcomes(items(40))
    assert len(endpoint.requests) == 40


def test_failures_between_successes_stop_nothing(tmp_path: Path) -> None:
    def answer(messages: list[Json]) -> Reply:
        if int(re.findall(r"Answer (\d+)", asked(messages))[0]) % 8:
            raise Rejected(FILTERED)
        return reply_to(messages)

    with FakeEndpoint(answer=answer) as endpoint:
        rows = judged(endpoint, items(40), tmp_path, concurrency=1)
    assert Counter(row["reason"] for row in rows)["endpoint_error"] == 35
    assert len(endpoint.requests) == 40
