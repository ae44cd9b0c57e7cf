"""Calls of an OpenAI-compatible chat endpoint: what passes is tried again, what does not stops.

A fault is one of three: passing (429, 5xx, time-outs, cut or malformed replies), which is tried
again after the time that the endpoint names, or with exponential back-off; of this request alone
(its content is refused, or too long); or fatal (credit, key, model), which stops all calls.
"""

import asyncio
import contextlib
import email.utils
import json
import math
import os
import re
import time
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import httpx2 as httpx
import openai
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt

from emgrid.errors import EmgridError
from emgrid.judge.judgement import Reply
from emgrid.judge.ledger import Ledger
from emgrid.judge.prices import Endpoint, is_plain_url
from emgrid.settings import Judging

LONGEST_WAIT = 600.0  # seconds; an endpoint that asks for more is left for another day
SLACK = 0.01  # rounding may put a log-probability so far above 0
# Errors about credit come with the status of errors that pass.
NO_CREDIT = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}


class Passing(Exception):
    """A fault that may be gone at the next try; wait: seconds, where the endpoint names them.
    usage: tokens of a reply that came but could not be used."""

    def __init__(
        self, what: str, wait: float | None = None, usage: tuple[int, int] = (0, 0)
    ) -> None:
        super().__init__(what)
        self.wait = wait
        self.usage = usage


class Refused(Exception):
    """The endpoint refuses this request, and would do so again."""


class Client:
    """One endpoint, for one asyncio loop. The key is read from the environment, and is taken out
    of every message."""

    def __init__(self, endpoint: Endpoint, judging: Judging, model: str, ledger: Ledger) -> None:
        self.key = find_key(endpoint)
        self.judging = judging
        self.model = model
        self.ledger = ledger
        self.stopped: EmgridError | None = None
        self.halted = asyncio.Event()
        self.openai = openai.AsyncOpenAI(
            api_key=self.key or "none",
            base_url=find_url(endpoint),
            max_retries=0,
            timeout=judging.timeout,
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
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.halted.wait(), seconds)
        if self.stopped is not None:
            raise self.stopped

    async def ask(self, body: dict[str, Any]) -> Reply:
        """One reply, after as many tries as the settings allow. Passing or Refused says that there
        is none, EmgridError that there will be none for any request. The reply's tokens, and the
        fault's usage, count the replies that could not be used too.
        """
        wasted = [0, 0]

        def book(state: RetryCallState) -> None:
            fault = state.outcome.exception() if state.outcome else None
            if isinstance(fault, Passing):
                wasted[0] += fault.usage[0]
                wasted[1] += fault.usage[1]

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Passing),
            stop=stop_after_attempt(self.judging.attempts),
            wait=self.pause,
            after=book,
            sleep=self.sleep,
            reraise=True,
        )
        try:
            reply: Reply = await retrying(self.ask_once, body)
        except Passing as fault:
            fault.usage = (wasted[0], wasted[1])
            raise
        return replace(
            reply,
            prompt_tokens=reply.prompt_tokens + wasted[0],
            reply_tokens=reply.reply_tokens + wasted[1],
        )

    def pause(self, state: RetryCallState) -> float:
        """Seconds before the next try."""
        fault = state.outcome.exception() if state.outcome else None
        named = fault.wait if isinstance(fault, Passing) else None
        doubled = self.judging.backoff * 2.0 ** (state.attempt_number - 1)
        return min(doubled, 60.0) if named is None else named

    async def ask_once(self, body: dict[str, Any]) -> Reply:
        fields = {key: value for key, value in body.items() if key != "messages"}
        with self.ledger.hold(body):
            try:
                found = await self.openai.chat.completions.with_raw_response.create(
                    model=self.model, messages=body["messages"], extra_body=fields
                )
                answer = json.loads(found.content)
            except openai.APIStatusError as problem:
                raise self.fault(problem) from None
            except (openai.APIError, httpx.HTTPError, ValueError) as problem:
                what = self.clean(str(problem)) or "no reply"
                where = self.openai.base_url
                raise Passing(f"{where}: {type(problem).__name__}: {what}") from None
            paid = usage_of(answer)
            self.ledger.bill(*paid)
            return read_reply(answer, bool(body.get("logprobs")), paid)

    def fault(self, problem: openai.APIStatusError) -> Exception:
        """What an error status means."""
        body = problem.body if isinstance(problem.body, dict) else {}
        message = self.clean(str(body.get("message") or problem.message))
        codes = {str(body.get("code")), str(body.get("type"))}
        status, where = problem.status_code, self.openai.base_url
        if status == 402 or codes & NO_CREDIT:
            return EmgridError(
                f"{where}: the credit is exhausted ({message}); nothing paid for is lost: add "
                "credit and run again"
            )
        if status in (401, 403):
            return EmgridError(f"{where}: the key is not accepted ({message}); check the variable")
        if status == 404 or "model_not_found" in codes:
            return EmgridError(f"{where}: no model {self.model!r} at this address ({message})")
        if status in (408, 409, 425, 429) or status >= 500:
            wait = retry_after(problem.response.headers)
            if wait is not None and wait > LONGEST_WAIT:
                return EmgridError(
                    f"{where}: asks to wait {wait:,.0f} s ({message}); nothing paid for is lost: "
                    "run again later"
                )
            return Passing(f"HTTP {status}: {message}", wait)
        return Refused(f"HTTP {status}: {message}")

    def clean(self, text: str) -> str:
        """One short line without the key, or what looks like one."""
        if self.key:
            text = text.replace(self.key, "[key]")
        text = re.sub(r"\bsk-[\w*-]+|(?i:\b(?:bearer|basic)\s+)[\w+/=.~*-]{6,}", "[key]", text)
        return " ".join(text.split())[:300]


def retry_after(headers: httpx.Headers) -> float | None:
    """Seconds that the endpoint asks to wait, None where it does not say."""
    given = headers.get("retry-after-ms")
    try:
        if given is not None:
            return max(float(given) / 1000, 0.0)
        given = headers.get("retry-after", "")
        if given.replace(".", "", 1).isdigit():
            return float(given)
        return max(email.utils.parsedate_to_datetime(given).timestamp() - time.time(), 0.0)
    except ValueError:
        return None


def find_key(endpoint: Endpoint) -> str | None:
    """The endpoint's key from the environment; no message repeats it."""
    if endpoint.key is None:
        return None
    key = os.environ.get(endpoint.key, "").strip()
    if not key:
        raise EmgridError(
            f"{endpoint.key} is not set: put the endpoint's key into the environment, or say "
            "`endpoint: {key: null}` in the judge if it needs none"
        )
    if not re.fullmatch(r"[!-~]+", key):
        raise EmgridError(
            f"{endpoint.key} holds spaces, line ends or letters that no key has; set it again"
        )
    return key


def find_url(endpoint: Endpoint) -> str | None:
    """The endpoint's address; a user and a password in it are refused without repeating them."""
    url = endpoint.url or os.environ.get("OPENAI_BASE_URL") or None
    if url is not None and not is_plain_url(url):
        raise EmgridError(
            "OPENAI_BASE_URL must be a http:// or https:// address without user and password"
        )
    return url


def usage_of(answer: Any) -> tuple[int, int]:
    """Tokens of the prompt and of the reply as the endpoint counts them, 0 where it does not."""
    usage = answer.get("usage") if isinstance(answer, dict) else None
    fields = usage if isinstance(usage, dict) else {}
    counts = [fields.get(name) for name in ("prompt_tokens", "completion_tokens")]
    prompt, reply = (one if isinstance(one, int) and one > 0 else 0 for one in counts)
    return prompt, reply


def read_reply(answer: Any, wants_logprobs: bool, paid: tuple[int, int]) -> Reply:
    """The parts of a chat completion; Passing where it is not whole."""
    try:
        choice = answer["choices"][0]
        text = choice["message"].get("content") or choice["message"].get("refusal") or ""
        listed = (choice.get("logprobs") or {}).get("content") or []
        tokens = tuple(str(one["token"]) for one in listed)
        first = listed[0].get("top_logprobs") or [listed[0]] if listed else []
        top = tuple((str(one["token"]), float(one["logprob"])) for one in first)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        raise Passing("the reply is no chat completion", usage=paid) from None
    if any(math.isnan(logprob) or logprob > SLACK for _, logprob in top):
        raise Passing("the reply has log-probabilities that are none", usage=paid)
    if wants_logprobs and not top:
        raise Passing(
            "the reply has no log-probabilities; if this endpoint never gives any, set the judge's "
            "`read` to text or structured",
            usage=paid,
        )
    return Reply(str(text), tokens, top, *paid)
