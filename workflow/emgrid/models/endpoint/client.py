"""Calls of an OpenAI-compatible chat endpoint: what passes is tried again, what does not stops.

A fault is one of three: passing (429, 5xx, time-outs, cut or malformed replies), which is tried
again after the time that the endpoint names, or with exponential back-off; of this request alone
(its content is filtered, or too long); or fatal (credit, key, model), which stops all calls.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import httpx2 as httpx
import openai
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt

from emgrid.config.endpoints import Endpoint, find_key, find_url
from emgrid.config.sections import Calls
from emgrid.models.endpoint.ledger import Ledger
from emgrid.models.endpoint.waiting import LONGEST_WAIT, WORTH_SAYING, Clock
from emgrid.models.endpoint.waiting import retry_after as retry_after
from emgrid.runtime.errors import EmgridError

FAILURES = 10  # requests that fail one after another before no more are made
# Errors about credit come with the status of errors that pass.
NO_CREDIT = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
# How endpoints call what their filter objects to: Azure, OpenRouter, OpenAI's reasoning models.
FILTERED = {"content_filter", "content_policy_violation", "invalid_prompt"}
NO_LIST = (401, 403, 404, 501)  # of an endpoint that lists no models, or not for this key
Said = TypeVar("Said")
Job = TypeVar("Job")
Body = dict[str, Any]
Tokens = tuple[int, int]  # of the prompt, of the reply


@dataclass
class Bill:
    """Tokens of one request: of its last reply, and of all replies, those included that could not
    be used."""

    last: Tokens = (0, 0)
    total: Tokens = (0, 0)

    def add(self, tokens: Tokens) -> None:
        self.last = tokens
        self.total = (self.total[0] + tokens[0], self.total[1] + tokens[1])


class Failed(Exception):
    """A request without a reply. usage: tokens of replies that came but could not be used."""

    usage: Tokens = (0, 0)


class Passing(Failed):
    """A fault that may be gone at the next try; wait: seconds, where the endpoint names them."""

    def __init__(self, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.wait = wait


class Refused(Failed):
    """The endpoint refuses this request, and would do so again."""


class Filtered(Refused):
    """The endpoint's filter objects to what is asked."""


class Client(Generic[Said]):
    """One endpoint, for one asyncio loop. The key is read from the environment, and is taken out
    of every message.

    read: what a reply says, from its JSON, its request and the bill; raises Passing where it
    cannot be used. what: how messages name the things that are asked for.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        calls: Calls,
        ledger: Ledger,
        read: Callable[[Any, Body, Bill], Said],
        what: str,
    ) -> None:
        self.key = find_key(endpoint)
        self.calls = calls
        self.ledger = ledger
        self.read = read
        self.what = what
        self.failures = 0
        self.stopped: EmgridError | None = None
        self.halted = asyncio.Event()
        self.clock = Clock()
        self.waits_until = 0.0  # as was last printed
        self.openai = openai.AsyncOpenAI(
            api_key=self.key or "none",
            base_url=find_url(endpoint),
            max_retries=0,
            timeout=calls.timeout,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.openai.close()

    def halt(self, problem: EmgridError) -> None:
        """Make no more calls; whoever waits to try again is woken."""
        self.stopped = self.stopped or problem
        self.halted.set()

    async def sleep(self, seconds: float) -> None:
        """Wait, or raise what the client was halted by."""
        await self.clock.wait(self.halted, seconds)
        if self.stopped is not None:
            raise self.stopped

    async def each(self, jobs: Iterable[Job], do: Callable[[Job], Awaitable[None]]) -> None:
        """Do all jobs, so many at once as the settings allow, until something stops all calls
        (`stopped` says what). A job that raises Failed has failed alone; too many one after
        another stop all.
        """
        queue = iter(jobs)

        async def work() -> None:
            for job in queue:
                if self.stopped is not None:
                    return
                try:
                    await do(job)
                    self.failures = 0
                except Failed as fault:
                    self.fail(fault)
                except EmgridError as problem:
                    self.halt(problem)

        await asyncio.gather(*(work() for _ in range(self.calls.concurrency)))

    def fail(self, fault: Failed) -> None:
        self.failures += 1
        if self.failures >= FAILURES:
            self.halt(
                EmgridError(
                    f"{self.ledger.who}: {self.failures} {self.what} failed one after another, the "
                    f"last with: {fault}; everything paid for is stored; mend it and run again"
                )
            )

    async def ask(self, body: Body) -> Said:
        """What one reply says, after as many tries as the settings allow. Failed says that there
        is none, EmgridError that there will be none for any request.
        """
        bill = Bill()
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Passing),
            stop=stop_after_attempt(self.calls.attempts),
            wait=self.pause,
            sleep=self.sleep,
            reraise=True,
        )
        try:
            said: Said = await retrying(self.ask_once, body, bill)
        except Failed as fault:
            fault.usage = bill.total
            raise
        return said

    async def models(self) -> list[Body]:
        """The models that the endpoint lists; none if it has no such list, or not for this key.
        Failed if it cannot be reached, EmgridError if it will not be."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Passing),
            stop=stop_after_attempt(self.calls.attempts),
            wait=self.pause,
            sleep=self.sleep,
            reraise=True,
        )
        found: list[Body] = await retrying(self.list_once)
        return found

    async def list_once(self) -> list[Body]:
        try:
            found = await self.openai.models.with_raw_response.list()
        except openai.APIStatusError as problem:
            fault = self.fault(problem)
            if isinstance(fault, Refused) or problem.status_code in NO_LIST:
                return []
            raise fault from None
        except (openai.APIError, httpx.HTTPError) as problem:
            what = self.clean(str(problem)) or "no reply"
            where = self.openai.base_url
            raise Passing(f"{where}: {type(problem).__name__}: {what}") from None
        try:
            listed = json.loads(found.content)["data"]
        except (ValueError, TypeError, KeyError):
            return []
        return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []

    def pause(self, state: RetryCallState) -> float:
        """Seconds before the next try."""
        fault = state.outcome.exception() if state.outcome else None
        named = fault.wait if isinstance(fault, Passing) else None
        doubled = self.calls.backoff * 2.0 ** (state.attempt_number - 1)
        seconds = min(doubled, 60.0) if named is None else named
        self.say_wait(seconds, str(fault))
        return seconds

    def say_wait(self, seconds: float, why: str) -> None:
        """Print a long wait, once for all calls that wait meanwhile."""
        now = self.clock.now()
        if seconds >= WORTH_SAYING and now >= self.waits_until:
            self.waits_until = now + seconds
            print(
                f"{self.ledger.who}: waits {seconds:,.0f} s before it asks again ({why}); at most "
                f"{LONGEST_WAIT:,.0f} s each time, and {self.calls.attempts - 1} times",
                flush=True,
            )

    async def ask_once(self, body: Body, bill: Bill) -> Said:
        fields = {key: value for key, value in body.items() if key != "messages"}
        with self.ledger.hold(body):
            try:
                found = await self.openai.chat.completions.with_raw_response.create(
                    model=self.ledger.model, messages=body["messages"], extra_body=fields
                )
                answer = json.loads(found.content)
            except openai.APIStatusError as problem:
                raise self.fault(problem) from None
            except (openai.APIError, httpx.HTTPError, ValueError) as problem:
                what = self.clean(str(problem)) or "no reply"
                where = self.openai.base_url
                raise Passing(f"{where}: {type(problem).__name__}: {what}") from None
            bill.add(usage_of(answer))
            self.ledger.bill(*bill.last)
            return self.read(answer, body, bill)

    def fault(self, problem: openai.APIStatusError) -> Exception:
        """What an error status means."""
        body = problem.body if isinstance(problem.body, dict) else {}
        message = self.clean(str(body.get("message") or problem.message))
        codes = {str(body.get("code")), str(body.get("type"))}
        status, where = problem.status_code, self.openai.base_url
        if status == 402 or codes & NO_CREDIT:
            return EmgridError(
                f"{where}: the credit is exhausted ({message}); everything paid for is stored; add "
                "credit and run again"
            )
        if is_filtered(body):
            return Filtered(f"HTTP {status}: {message}")
        if status in (401, 403):
            return EmgridError(f"{where}: the key is not accepted ({message}); check the variable")
        if status == 404 or "model_not_found" in codes:
            return EmgridError(
                f"{where}: no model {self.ledger.model!r} at this address ({message})"
            )
        if status in (408, 409, 425, 429) or status >= 500:
            wait = retry_after(problem.response.headers, self.clock.now())
            if wait is not None and wait > LONGEST_WAIT:
                return EmgridError(
                    f"{where}: asks to wait {wait:,.0f} s ({message}), and emgrid waits "
                    f"{LONGEST_WAIT:,.0f} s at most; everything paid for is stored; run again later"
                )
            return Passing(f"HTTP {status}: {message}", wait)
        return Refused(f"HTTP {status}: {message}")

    def clean(self, text: str) -> str:
        """One short line without the key, or what looks like one."""
        if self.key:
            text = text.replace(self.key, "[key]")
        text = re.sub(r"\bsk-[\w*-]+|(?i:\b(?:bearer|basic)\s+)[\w+/=.~*-]{6,}", "[key]", text)
        return " ".join(text.split())[:300]


def is_filtered(error: Body) -> bool:
    """Whether an error says that the endpoint's filter objects, or quotes what it flagged."""
    about = error.get("metadata")
    codes = {str(error.get("code")), str(error.get("type"))}
    return bool(codes & FILTERED) or (isinstance(about, dict) and "flagged_input" in about)


def usage_of(answer: Any) -> Tokens:
    """Tokens of the prompt and of the reply as the endpoint counts them, 0 where it does not."""
    usage = answer.get("usage") if isinstance(answer, dict) else None
    fields = usage if isinstance(usage, dict) else {}
    counts = [fields.get(name) for name in ("prompt_tokens", "completion_tokens")]
    prompt, reply = (one if isinstance(one, int) and one > 0 else 0 for one in counts)
    return prompt, reply


def first_choice(answer: Any) -> tuple[Any, str]:
    """The first choice of a chat completion, and the words of its message; Passing where there is
    none."""
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        text = message.get("content") or message.get("refusal") or ""
    except (KeyError, IndexError, TypeError, AttributeError):
        raise Passing("the reply is no chat completion") from None
    if not isinstance(text, str):
        raise Passing("the reply's content is no text")
    return choice, text
