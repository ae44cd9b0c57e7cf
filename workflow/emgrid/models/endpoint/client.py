"""Calls of an OpenAI-compatible chat endpoint, with retries.

There are three kinds of faults. Passing ones (429, 5xx, time-outs, cut or malformed replies) are
retried after the time that the endpoint names, or with exponential back-off. Some concern a single
request (its content is filtered, or too long). Fatal ones (credit, key, model) stop all calls.
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
from emgrid.models.endpoint.endings import NoModel
from emgrid.models.endpoint.ledger import Ledger
from emgrid.models.endpoint.waiting import LONGEST_WAIT, WORTH_SAYING, Clock
from emgrid.models.endpoint.waiting import retry_after as retry_after
from emgrid.runtime.errors import EmgridError

FAILURES = 10  # consecutive failed requests after which no more are made
# Errors about credit have the same HTTP status as passing ones.
NO_CREDIT = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
# Error codes of content filters: Azure, OpenRouter, OpenAI's reasoning models.
FILTERED = {"content_filter", "content_policy_violation", "invalid_prompt"}
NO_LIST = (401, 403, 404, 501)  # HTTP status if there is no list of models, or not for this key
Reply = TypeVar("Reply")
Job = TypeVar("Job")
Body = dict[str, Any]
Tokens = tuple[int, int]  # of the prompt, of the reply


@dataclass
class Bill:
    """Tokens of one request: of its last reply, and of all replies, including unusable ones."""

    last: Tokens = (0, 0)
    total: Tokens = (0, 0)

    def add(self, tokens: Tokens) -> None:
        self.last = tokens
        self.total = (self.total[0] + tokens[0], self.total[1] + tokens[1])


class Failed(Exception):
    """A request without a usable reply. usage: tokens of its unusable replies."""

    usage: Tokens = (0, 0)


class Passing(Failed):
    """A fault that may be gone at the next attempt. wait: seconds, if the endpoint names them."""

    def __init__(self, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.wait = wait


class Refused(Failed):
    """The endpoint refuses this request and would refuse it again."""


class Filtered(Refused):
    """The endpoint's content filter rejects the request."""


class Client(Generic[Reply]):
    """One endpoint, for one asyncio loop. The key is read from the environment and removed from
    all messages.

    read: parses a reply, given its JSON, its request and the bill; raises Passing if the reply is
    unusable. what: what the replies are called in messages, in the plural ("answers").
    """

    def __init__(
        self,
        endpoint: Endpoint,
        calls: Calls,
        ledger: Ledger,
        read: Callable[[Any, Body, Bill], Reply],
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
        self.waits_until = 0.0  # end of the wait that was printed last
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
        """Stop all calls, and wake those that wait for their next attempt."""
        self.stopped = self.stopped or problem
        self.halted.set()

    async def sleep(self, seconds: float) -> None:
        """Wait; if the client is halted, raise the reason."""
        await self.clock.wait(self.halted, seconds)
        if self.stopped is not None:
            raise self.stopped

    async def each(self, jobs: Iterable[Job], do: Callable[[Job], Awaitable[None]]) -> None:
        """Run all jobs, `calls.concurrency` at once, until something stops all calls (`stopped`
        says what). A job that raises Failed fails alone, but FAILURES in a row stop all.
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

    async def ask(self, body: Body) -> Reply:
        """Get one reply, in at most `calls.attempts` attempts. Raises Failed if this request gets
        none, EmgridError if no request would get one.
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
            reply: Reply = await retrying(self.ask_once, body, bill)
        except Failed as fault:
            fault.usage = bill.total
            raise
        return reply

    async def models(self) -> list[Body]:
        """The models that the endpoint lists; empty if it has no list, or not for this key. Raises
        Failed if the endpoint cannot be reached, EmgridError if that is final."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Passing),
            stop=stop_after_attempt(self.calls.attempts),
            wait=self.pause,
            sleep=self.sleep,
            reraise=True,
        )
        models: list[Body] = await retrying(self.list_once)
        return models

    async def list_once(self) -> list[Body]:
        try:
            response = await self.openai.models.with_raw_response.list()
        except openai.APIStatusError as problem:
            fault = self.fault(problem)
            if isinstance(fault, Refused) or problem.status_code in NO_LIST:
                return []
            raise fault from None
        except (openai.APIError, httpx.HTTPError) as problem:
            message = self.clean(str(problem)) or "no reply"
            where = self.openai.base_url
            raise Passing(f"{where}: {type(problem).__name__}: {message}") from None
        try:
            listed = json.loads(response.content)["data"]
        except (ValueError, TypeError, KeyError):
            return []
        return (
            [model for model in listed if isinstance(model, dict)]
            if isinstance(listed, list)
            else []
        )

    def pause(self, state: RetryCallState) -> float:
        """Seconds before the next attempt."""
        fault = state.outcome.exception() if state.outcome else None
        requested = fault.wait if isinstance(fault, Passing) else None
        doubled = self.calls.backoff * 2.0 ** (state.attempt_number - 1)
        seconds = min(doubled, 60.0) if requested is None else requested
        self.say_wait(seconds, str(fault))
        return seconds

    def say_wait(self, seconds: float, reason: str) -> None:
        """Print a long wait, once for all calls that wait at the same time."""
        now = self.clock.now()
        if seconds >= WORTH_SAYING and now >= self.waits_until:
            self.waits_until = now + seconds
            print(
                f"{self.ledger.who}: waits {seconds:,.0f} s before it asks again ({reason}); at "
                f"most {LONGEST_WAIT:,.0f} s each time, and {self.calls.attempts - 1} times",
                flush=True,
            )

    async def ask_once(self, body: Body, bill: Bill) -> Reply:
        fields = {key: value for key, value in body.items() if key != "messages"}
        with self.ledger.hold(body):
            try:
                response = await self.openai.chat.completions.with_raw_response.create(
                    model=self.ledger.model, messages=body["messages"], extra_body=fields
                )
                answer = json.loads(response.content)
            except openai.APIStatusError as problem:
                raise self.fault(problem) from None
            except (openai.APIError, httpx.HTTPError, ValueError) as problem:
                message = self.clean(str(problem)) or "no reply"
                where = self.openai.base_url
                raise Passing(f"{where}: {type(problem).__name__}: {message}") from None
            bill.add(usage_of(answer))
            self.ledger.bill(*bill.last)
            return self.read(answer, body, bill)

    def fault(self, problem: openai.APIStatusError) -> Exception:
        """The exception for an error status."""
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
        if status in (404, 410) or "model_not_found" in codes:
            return NoModel(
                f"{where}: no model {self.ledger.model!r} at this address ({message})", message
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
        """Shorten a text to one line without the key or anything that looks like a key."""
        if self.key:
            text = text.replace(self.key, "[key]")
        text = re.sub(r"\bsk-[\w*-]+|(?i:\b(?:bearer|basic)\s+)[\w+/=.~*-]{6,}", "[key]", text)
        return " ".join(text.split())[:300]


def is_filtered(error: Body) -> bool:
    """Whether an error comes from the endpoint's content filter, by its code or a quoted input."""
    metadata = error.get("metadata")
    codes = {str(error.get("code")), str(error.get("type"))}
    return bool(codes & FILTERED) or (isinstance(metadata, dict) and "flagged_input" in metadata)


def usage_of(answer: Any) -> Tokens:
    """Tokens of the prompt and of the reply as counted by the endpoint; 0 if it does not count."""
    usage = answer.get("usage") if isinstance(answer, dict) else None
    fields = usage if isinstance(usage, dict) else {}
    counts = [fields.get(name) for name in ("prompt_tokens", "completion_tokens")]
    prompt, reply = (count if isinstance(count, int) and count > 0 else 0 for count in counts)
    return prompt, reply


def first_choice(answer: Any) -> tuple[Any, str]:
    """The first choice of a chat completion, and the text of its message. Raises Passing if there
    is none."""
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        text = message.get("content") or message.get("refusal") or ""
    except (KeyError, IndexError, TypeError, AttributeError):
        raise Passing("the reply is no chat completion") from None
    if not isinstance(text, str):
        raise Passing("the reply's content is no text")
    return choice, text
