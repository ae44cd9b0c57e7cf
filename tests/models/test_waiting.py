"""How long the client waits for an endpoint, by a clock that waiting moves."""

import asyncio
import email.utils
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from emgrid.models.endpoint import client
from emgrid.models.endpoint.waiting import LONGEST_WAIT, Clock, retry_after
from emgrid.runtime.errors import EmgridError
from hypothesis import given
from hypothesis import strategies as st
from support.endpoint_environment import set_endpoint_environment
from support.fake_endpoint import FakeEndpoint, Json, Rejected, Reply, error, reply_to
from support.judging import VARIABLE as JUDGES
from support.judging import items, judged, outcomes, stopped, told
from support.serving import VARIABLE as SERVED
from support.serving import drawn, engine_at, requests, sampled, serving

START = 1_800_000_000.0
BUSY = error(429, "rate_limit_exceeded", "Rate limit reached.", "requests")[1]


class Movable(Clock):
    """A clock that a wait moves by what is waited."""

    def __init__(self) -> None:
        self.time = START
        self.waits: list[float] = []

    def now(self) -> float:
        return self.time

    async def wait(self, halted: asyncio.Event, seconds: float) -> None:  # noqa: ARG002
        self.waits.append(seconds)
        self.time += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Movable:
    moved = Movable()
    monkeypatch.setattr(client, "Clock", lambda: moved)
    return moved


@pytest.fixture(autouse=True, scope="module")
def environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        set_endpoint_environment(patch, JUDGES, SERVED)
        yield


WAYS: dict[str, Callable[[float], dict[str, str]]] = {
    "seconds": lambda seconds: {"Retry-After": f"{seconds:g}"},
    "milliseconds": lambda seconds: {"Retry-After-Ms": f"{seconds * 1000:g}"},
    "date": lambda seconds: {"Retry-After": email.utils.formatdate(START + seconds, usegmt=True)},
}


def busy(clock: Movable, seconds: float, way: str, status: int = 429) -> Callable[[Any], Reply]:
    """An endpoint that refuses until the time that it names has come."""

    def answer(request: Any) -> Reply:
        if clock.now() < START + seconds:
            raise Rejected((status, BUSY, WAYS[way](START + seconds - clock.now())))
        return sampled(request) if "messages" in request else reply_to(request)

    return answer


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seconds", [3, 90, 121, 600])
def test_a_judge_waits_as_long_as_the_endpoint_says(
    seconds: int, way: str, clock: Movable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeEndpoint(answer=busy(clock, seconds, way)) as endpoint:
        rows = judged(endpoint, items(1), tmp_path, backoff=7)
    assert told(rows) == outcomes(items(1))
    assert clock.waits == [seconds]
    assert [request["status"] for request in endpoint.requests] == [429, 200]
    message = (
        f"judge alignment: waits {seconds} s before it asks again (HTTP 429: Rate limit "
        "reached.); at most 600 s each time, and 7 times\n"
    )
    assert capsys.readouterr().out.count(message) == (seconds >= 30)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("seconds", [3, 90, 121, 600])
def test_a_served_model_waits_as_long_as_the_endpoint_says(
    seconds: int, status: int, clock: Movable
) -> None:
    with serving(sample=busy(clock, seconds, "seconds", status)) as endpoint:
        completions = drawn(engine_at(endpoint), requests(1))
    assert len(completions) == 1
    assert clock.waits == [seconds]
    assert [request["status"] for request in endpoint.requests] == [status, 200]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seconds", [601, 86_400])
def test_a_longer_wait_is_not_begun(seconds: int, way: str, clock: Movable, tmp_path: Path) -> None:
    with FakeEndpoint(answer=busy(clock, seconds, way)) as endpoint:
        message = stopped(endpoint, items(5), tmp_path, concurrency=1)
    assert message == (
        f"{endpoint.url}/: asks to wait {seconds:,} s (Rate limit reached.), and emgrid waits "
        "600 s at most; everything paid for is stored; run again later"
    )
    assert clock.waits == []
    assert len(endpoint.requests) == 1


def test_a_served_model_stops_with_the_same_line(clock: Movable) -> None:
    with (
        serving(sample=busy(clock, 601, "seconds")) as endpoint,
        pytest.raises(EmgridError, match=r"asks to wait 601 s .*, and emgrid waits 600 s at most"),
    ):
        drawn(engine_at(endpoint), requests(1))
    assert clock.waits == []


def test_in_all_a_call_waits_600_seconds_for_each_further_try(
    clock: Movable, tmp_path: Path
) -> None:
    def answer(_: list[Json]) -> Reply:
        raise Rejected((429, BUSY, {"Retry-After": "600"}))

    with FakeEndpoint(answer=answer) as endpoint:
        rows = judged(endpoint, items(1), tmp_path, attempts=8)
    assert told(rows) == [(None, "endpoint_error", None)]
    assert clock.waits == [600] * 7


def test_waits_that_nobody_names_double_up_to_a_minute(clock: Movable, tmp_path: Path) -> None:
    with FakeEndpoint(["overloaded"], longest=100) as endpoint:
        judged(endpoint, items(1), tmp_path, backoff=1, attempts=9)
    assert clock.waits == [1, 2, 4, 8, 16, 32, 60, 60]


@given(seconds=st.integers(0, 10**7), now=st.integers(0, 2**32))
def test_all_ways_of_naming_a_wait_say_the_same(seconds: int, now: int) -> None:
    date = email.utils.formatdate(now + seconds, usegmt=True)
    for headers in (
        {"Retry-After": str(seconds)},
        {"Retry-After-Ms": str(seconds * 1000)},
        {"Retry-After": date},
        {"Retry-After-Ms": "soon", "Retry-After": str(seconds)},
    ):
        assert retry_after(httpx.Headers(headers), float(now)) == seconds


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "-5", "soon", "", "9" * 400])
@pytest.mark.parametrize("name", ["Retry-After", "Retry-After-Ms"])
def test_what_is_no_time_is_no_wait(name: str, value: str) -> None:
    assert retry_after(httpx.Headers({name: value})) is None


def test_the_longest_wait_is_longer_than_that_of_the_openai_package() -> None:
    from openai._constants import MAX_RETRY_AFTER_DELAY

    assert MAX_RETRY_AFTER_DELAY == 120
    assert LONGEST_WAIT == 600
