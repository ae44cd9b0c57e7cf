"""Any OpenAI-compatible chat endpoint: answers of a model that somebody else serves.

Messages are sent as they stand: without a system prompt no system message is sent, and what the
server's template does then is its own. A vLLM server is sent neutral values of the settings that it
would take from its model's files. Tokens are those that the endpoint counts. Log-probabilities are
not asked for: what endpoints list lacks the end token, and mostly temperature and top-p.
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
from emgrid.models.endpoint.ledger import Ledger, LimitReached
from emgrid.models.endpoint.neutral import is_vllm, neutral_fields, told
from emgrid.models.engines import Completion, Finish, Request
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.thinking import split_thinking

FINISHES: dict[Any, Finish] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content_filter",
}
Came = asyncio.Queue[Completion | None]  # None: no more will come


@dataclass(frozen=True)
class Said:
    """What a reply says. paid: tokens of all its tries."""

    answer: str | None
    thinking: str | None
    finish: Finish
    tokens: Tokens
    paid: Tokens


class EndpointEngine:
    """One model of one endpoint. Nobody else may call it under the ledger meanwhile."""

    def __init__(self, asking: Asking, endpoint: Endpoint, calls: Calls, ledger: Ledger) -> None:
        self.asking = asking
        self.endpoint = endpoint
        self.calls = calls
        self.ledger = ledger
        self.wasted = 0.0  # USD for replies to requests that failed
        self.sent: dict[str, float] | None = None  # neutral settings; None: not looked up yet

    def client(self) -> Client[Said]:
        return Client(self.endpoint, self.calls, self.ledger, read_said, "answers")

    def look_up(self) -> dict[str, float]:
        """The neutral settings that are sent with each request: none, unless vLLM serves."""

        async def ask() -> dict[str, float]:
            async with self.client() as client:
                return await self.find_sent(client)

        return asyncio.run(ask())

    async def find_sent(self, client: Client[Said]) -> dict[str, float]:
        """As look_up; asked once, and not if `request` names all settings. EmgridError if the
        endpoint does not say what it serves."""
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
            print(f"{self.ledger.who}: {told(self.sent, self.asking)}", flush=True)
        return self.sent

    def complete(
        self, requests: Sequence[Request], sampling: Sampling
    ) -> Iterator[list[Completion]]:
        """Yield completions as they come, in any order, each request once.

        EmgridError, when all that came has been yielded: something stopped all calls, or some
        requests failed. Whatever has come is yielded before the next reply is read, so that whoever
        keeps completions at once loses no more than the calls in flight.
        """
        came: Came = asyncio.Queue()
        with asyncio.Runner() as runner:
            drawing = runner.get_loop().create_task(self.draw(requests, sampling, came))
            more = True
            while more:
                batch = [runner.run(came.get())]
                batch += [came.get_nowait() for _ in range(came.qsize())]
                more = batch[-1] is not None
                if completions := [one for one in batch if one is not None]:
                    yield completions
            runner.get_loop().run_until_complete(drawing)

    async def draw(self, requests: Sequence[Request], sampling: Sampling, came: Came) -> None:
        """Put all completions into the queue, then None; EmgridError where some are lacking."""
        faults: list[Failed] = []
        left = len(requests)

        async def draw_one(request: Request) -> None:
            nonlocal left
            try:
                came.put_nowait(await self.completion(client, request, sampling))
                left -= 1
            except Failed as fault:
                self.wasted += self.ledger.cost(*fault.usage) or 0.0
                faults.append(fault)
                raise

        try:
            async with self.client() as client:
                await self.find_sent(client)
                await client.each(requests, draw_one)
        finally:
            came.put_nowait(None)
        if isinstance(client.stopped, LimitReached):
            raise EmgridError(
                f"{client.stopped} with {left} answers to go; everything paid for is stored; raise "
                "serving.spending_limit and run again"
            )
        if client.stopped is not None:
            raise client.stopped
        if faults:
            raise EmgridError(
                f"{self.ledger.who}: {len(faults)} of {len(requests)} answers were not drawn, the "
                f"last with: {faults[-1]}; everything paid for is stored; run again"
            )

    async def completion(
        self, client: Client[Said], request: Request, sampling: Sampling
    ) -> Completion:
        """One answer; one whose prompt the endpoint's filter objects to has no words."""
        body = self.asking.body(request.messages, sampling, request.seed) | (self.sent or {})
        try:
            said = await client.ask(body)
        except Filtered as fault:
            said = Said(None, None, "content_filter", (0, 0), fault.usage)
        return Completion(
            key=request.key,
            answer=said.answer,
            thinking=said.thinking,
            finish_reason=said.finish,
            prompt_tokens=said.tokens[0],
            answer_tokens=said.tokens[1],
            cost=self.ledger.cost(*said.paid),
        )


def read_said(answer: Any, body: dict[str, Any], bill: Bill) -> Said:  # noqa: ARG001
    """The answer and the thoughts of a chat completion, whether they have a field of their own or
    stand in a think block. Passing where it is not whole."""
    choice, text = first_choice(answer)
    finish = FINISHES.get(choice.get("finish_reason"))
    if finish is None:
        raise Passing(f"the reply ended with {choice.get('finish_reason')!r}, not stop or length")
    apart = choice["message"].get("reasoning_content") or choice["message"].get("reasoning")
    thinking, said = split_thinking(text)
    if apart:
        thinking = "\n\n".join(filter(None, [str(apart).strip(), thinking]))
    if finish != "stop" and not text:
        said = None  # the thought took all tokens, or the filter let nothing through
    return Said(said, thinking, finish, bill.last, bill.total)
