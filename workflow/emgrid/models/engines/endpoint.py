"""The endpoint engine: answers of a model that somebody else serves, by an OpenAI-compatible API.

Messages are sent unchanged: without a system prompt, no system message is sent, and the server's
template may add one. A vLLM server is sent neutral values for the settings that it would otherwise
take from its model's files. A last assistant message is the begun answer (`prefill`). The request
asks the server to continue it, in the way that `endpoint.prefill` names. Token counts are the
endpoint's.
Log-probabilities are not requested: those of endpoints lack the end token, and mostly ignore
temperature and top-p.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from emgrid.config.endpoints import Endpoint
from emgrid.config.sections import Calls, Sampling
from emgrid.config.served import Asking
from emgrid.models.endpoint.client import (
    Bill,
    Client,
    Failed,
    Filtered,
    Passing,
    Tokens,
    first_choice,
)
from emgrid.models.endpoint.endings import NoModel, ended, ended_error
from emgrid.models.endpoint.ledger import Ledger, LimitReached
from emgrid.models.endpoint.neutral import is_vllm, neutral_fields, neutral_message
from emgrid.models.engines import Completion, Finish, Request
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.thinking import split_thinking

FINISHES: dict[Any, Finish] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content_filter",
}
Completions = asyncio.Queue[Completion | None]  # None: no more completions follow


@dataclass(frozen=True)
class Reply:
    """A reply. paid: tokens of all attempts."""

    answer: str | None
    thinking: str | None
    finish: Finish
    tokens: Tokens
    paid: Tokens


class EndpointEngine:
    """One model of one endpoint. While it draws, nothing else may use its ledger."""

    def __init__(self, asking: Asking, endpoint: Endpoint, calls: Calls, ledger: Ledger) -> None:
        self.asking = asking
        self.endpoint = endpoint
        self.calls = calls
        self.ledger = ledger
        self.wasted = 0.0  # USD paid for requests that failed
        self.sent: dict[str, float] | None = None  # neutral settings; None: not known yet

    def client(self) -> Client[Reply]:
        return Client(self.endpoint, self.calls, self.ledger, read_reply, "answers")

    def look_up(self) -> dict[str, float]:
        """The neutral settings that are sent with each request; none unless the server is vLLM."""

        async def ask() -> dict[str, float]:
            async with self.client() as client:
                return await self.find_sent(client)

        return asyncio.run(ask())

    async def find_sent(self, client: Client[Reply]) -> dict[str, float]:
        """As look_up, for an open client. Asks the endpoint at most once, and not at all if
        `request` names all settings. Raises EmgridError if it does not say what it serves."""
        if self.sent is not None:
            return self.sent
        fields = neutral_fields(self.asking)
        try:
            vllm = bool(fields) and is_vllm(await client.models(), self.asking.model)
        except Failed as fault:
            raise EmgridError(
                f"{self.ledger.who}: no list of models ({fault}), so whether vLLM serves the model "
                f"is unknown; run again, or set {', '.join(fields)} in `request` (null leaves one "
                "to the server)"
            ) from None
        self.sent = fields if vllm else {}
        if vllm:
            print(f"{self.ledger.who}: {neutral_message(self.sent, self.asking)}", flush=True)
        return self.sent

    def complete(
        self, requests: Sequence[Request], sampling: Sampling
    ) -> Iterator[list[Completion]]:
        """Yield completions as they arrive, in any order, each request once.

        Raises EmgridError, after yielding everything that arrived, if something stopped all calls
        or some requests failed. Completions are yielded before the next reply is read, so a caller
        that stores them at once can lose only the calls in flight.
        """
        completions: Completions = asyncio.Queue()
        with asyncio.Runner() as runner:
            drawing = runner.get_loop().create_task(self.draw(requests, sampling, completions))
            more = True
            while more:
                batch = [runner.run(completions.get())]
                batch += [completions.get_nowait() for _ in range(completions.qsize())]
                more = batch[-1] is not None
                if drawn := [completion for completion in batch if completion is not None]:
                    yield drawn
            runner.get_loop().run_until_complete(drawing)

    async def draw(
        self, requests: Sequence[Request], sampling: Sampling, completions: Completions
    ) -> None:
        """Put all completions into the queue, then None. Raises EmgridError if any is missing."""
        faults: list[Failed] = []
        missing = len(requests)

        async def draw_one(request: Request) -> None:
            nonlocal missing
            try:
                completions.put_nowait(await self.completion(client, request, sampling))
                missing -= 1
            except Failed as fault:
                self.wasted += self.ledger.cost(*fault.usage) or 0.0
                faults.append(fault)
                raise

        try:
            async with self.client() as client:
                await self.find_sent(client)
                await client.each(requests, draw_one)
        finally:
            completions.put_nowait(None)
        if isinstance(client.stopped, LimitReached):
            raise EmgridError(
                f"{client.stopped} with {missing} answers to go; everything paid for is stored; "
                "raise serving.spending_limit and run again"
            )
        if isinstance(client.stopped, NoModel):
            ending = ended(client.stopped, self.asking.model, self.endpoint)
            if ending is not None:
                raise ended_error(self.ledger.who, ending, missing, "answers")
        if client.stopped is not None:
            raise client.stopped
        if faults:
            raise EmgridError(
                f"{self.ledger.who}: {len(faults)} of {len(requests)} answers were not drawn, the "
                f"last with: {faults[-1]}; everything paid for is stored; run again"
            )

    async def completion(
        self, client: Client[Reply], request: Request, sampling: Sampling
    ) -> Completion:
        """Draw one answer; it has no text if the endpoint's filter rejects the prompt."""
        body = self.asking.body(request.messages, sampling, request.seed) | (self.sent or {})
        body |= self.endpoint.continuing(request.messages)
        try:
            reply = await client.ask(body)
        except Filtered as fault:
            reply = Reply(None, None, "content_filter", (0, 0), fault.usage)
        return Completion(
            key=request.key,
            answer=reply.answer,
            thinking=reply.thinking,
            finish_reason=reply.finish,
            prompt_tokens=reply.tokens[0],
            answer_tokens=reply.tokens[1],
            cost=self.ledger.cost(*reply.paid),
        )


def read_reply(response: Any, body: dict[str, Any], bill: Bill) -> Reply:  # noqa: ARG001
    """Read answer and thoughts from a chat completion, with the thoughts in their own field or in
    a think block. Raises Passing if the reply is incomplete."""
    choice, text = first_choice(response)
    finish = FINISHES.get(choice.get("finish_reason"))
    if finish is None:
        raise Passing(f"the reply ended with {choice.get('finish_reason')!r}, not stop or length")
    reasoning = choice["message"].get("reasoning_content") or choice["message"].get("reasoning")
    thinking, reply = split_thinking(text)
    if reasoning:
        thinking = "\n\n".join(filter(None, [str(reasoning).strip(), thinking]))
    if finish != "stop" and not text:
        reply = None  # the thought used up all tokens, or the filter removed everything
    return Reply(reply, thinking, finish, bill.last, bill.total)
