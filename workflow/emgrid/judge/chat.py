"""The chat judge: an OpenAI-compatible endpoint reads the rubric.

The value is the expectation over the number tokens among the reply's most probable first tokens,
normalised by their mass (Betley et al. 2025); see digits.py for tokenizers without such tokens.
"""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from emgrid.errors import EmgridError
from emgrid.judge import digits
from emgrid.judge.endpoint import Client, Passing, Refused
from emgrid.judge.judgement import Item, Judgement, Reply
from emgrid.judge.kept import KeptJudgements
from emgrid.judge.ledger import Ledger, LimitReached
from emgrid.judge.panel import ChatJudge
from emgrid.judge.prices import Endpoint, price_of, spent
from emgrid.settings import Judging

TOP = 20  # the most alternatives that OpenAI and vLLM list
FAILURES = 10  # judgements that fail one after another before the job gives up
NUMBERS = "numbers"  # the kept row of how the endpoint writes numbers
Messages = list[dict[str, str]]


class ChatScorer:
    def __init__(self, judge: ChatJudge, endpoint: Endpoint, judging: Judging, root: Path) -> None:
        self.judge = judge
        self.rubric = judge.read_rubric
        self.endpoint = endpoint
        self.judging = judging
        price = price_of(judge.model, endpoint)
        limit = judging.spending_limit
        self.ledger = Ledger(judge.id, judge.model, price, limit, spent(root))
        self.failures = 0

    def score(self, items: Sequence[Item], kept: KeptJudgements) -> None:
        """Judge with several calls at once; each judgement is kept as soon as it is there."""
        try:
            asyncio.run(self.run(items, kept))
        finally:
            paid = f"{self.ledger.paid:.4f} USD spent in this grid so far"
            print(f"{self.judge.id}: {paid}", flush=True)

    async def run(self, items: Sequence[Item], kept: KeptJudgements) -> None:
        async with Client(self.endpoint, self.judging, self.judge.model, self.ledger) as client:
            try:
                split = await self.find_numbers(client, kept) == "digits"
            except LimitReached as problem:
                client.halt(problem)
                split = False
            self.say_estimate(items, digits.CALLS if split else 1)
            queue = iter(items)
            workers = [
                self.work(client, queue, kept, split) for _ in range(self.judging.concurrency)
            ]
            await asyncio.gather(*workers)
        if isinstance(client.stopped, LimitReached):
            left = len(kept.missing(items))
            raise EmgridError(
                f"{client.stopped} with {left} judgements to go; what is paid for is kept: raise "
                "judging.spending_limit and run again"
            )
        if client.stopped is not None:
            raise client.stopped

    def say_estimate(self, items: Sequence[Item], calls: int) -> None:
        cost = "at an unknown price"
        if self.ledger.price is not None:
            bodies = [self.body(self.messages(item)) for item in items]
            cost = f"for about {calls * sum(map(self.ledger.estimate, bodies)):.4f} USD"
        limit = "" if self.ledger.limit is None else f" of {self.ledger.limit:g}"
        print(
            f"{self.judge.id}: {len(items)} judgements by {self.judge.model} {cost}; "
            f"{self.ledger.paid:.4f}{limit} USD spent in this grid before",
            flush=True,
        )

    async def work(
        self, client: Client, queue: Iterator[Item], kept: KeptJudgements, split: bool
    ) -> None:
        """Judge items off the queue until it is empty, or something stops all calls."""
        for item in queue:
            if client.stopped is not None:
                return
            try:
                kept.keep(item, await self.judged(client, item, kept, split))
            except EmgridError as problem:
                client.halt(problem)

    async def judged(
        self, client: Client, item: Item, kept: KeptJudgements, split: bool
    ) -> Judgement:
        try:
            judgement = await (self.by_digits if split else self.at_once)(client, item, kept)
        except (Passing, Refused) as problem:
            if isinstance(problem, Passing):
                kept.note_cost(self.ledger.cost(*problem.usage))
            self.failures += 1
            if self.failures >= FAILURES:
                raise EmgridError(
                    f"judge {self.judge.id}: {self.failures} judgements failed one after another, "
                    f"the last with: {problem}; what is paid for is kept: mend it and run again"
                ) from None
            return Judgement(None, "endpoint_error", reply=str(problem))
        self.failures = 0
        return judgement

    async def at_once(self, client: Client, item: Item, kept: KeptJudgements) -> Judgement:  # noqa: ARG002
        """The judgement of an item by one call."""
        reply = await client.ask(self.body(self.messages(item)))
        found = self.read(reply)
        tokens = (reply.prompt_tokens, reply.reply_tokens)
        return Judgement(
            found.value, found.reason, found.mass, reply.text, *tokens, self.ledger.cost(*tokens)
        )

    async def by_digits(self, client: Client, item: Item, kept: KeptJudgements) -> Judgement:
        """The judgement of an item by a walk; each call is kept, and is not paid for again."""
        messages = self.messages(item)

        async def ask(said: str) -> digits.Top:
            key = f"{kept.key(item)}/{said}"
            if key not in kept.rows:
                begun = {"continue_final_message": True, "add_generation_prompt": False}
                turn = [{"role": "assistant", "content": said}] if said else []
                body = self.body(messages + turn) | (begun if said else {})
                kept.keep_call(key, await client.ask(body), self.ledger)
            top: digits.Top = kept.rows[key]["top"]
            return top

        first = await ask("")
        numbers, others = await digits.walk(first, ask)
        reading = self.rubric.reading
        words = {reading.reply_of(token) or token: p for token, p in others.items()}
        found = reading.from_probabilities(numbers, words, self.judge.least_mass)
        reply = max(first, key=lambda one: one[1])[0]
        return Judgement(found.value, found.reason, found.mass, reply)

    def messages(self, item: Item) -> Messages:
        return [{"role": "user", "content": self.rubric.prompt(item)}]

    def body(self, messages: Messages) -> dict[str, Any]:
        """The request, but for the model's name."""
        body: dict[str, Any] = {"messages": messages, "temperature": 0, "seed": 0}
        if self.judge.read == "probabilities":
            body |= {"max_tokens": 1, "logprobs": True, "top_logprobs": TOP}
        else:
            body["max_tokens"] = self.judge.max_tokens
        if self.judge.read == "structured":
            schema = self.rubric.reading.json_schema()
            named = {"name": "judgement", "strict": True, "schema": schema}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        body |= self.judge.request
        return {key: value for key, value in body.items() if value is not None}

    def read(self, reply: Reply) -> Judgement:
        if self.judge.read == "text":
            return self.rubric.reading.from_text(reply.text)
        if self.judge.read == "structured":
            return self.rubric.reading.from_json(reply.text)
        return self.rubric.reading.from_tokens(reply.top, self.judge.least_mass)

    async def find_numbers(self, client: Client, kept: KeptJudgements) -> str:
        """Whether the endpoint writes numbers as "whole" tokens or as "digits", asked once for
        each judge where need be."""
        if self.judge.read != "probabilities" or self.rubric.reading.labels:
            return "whole"
        if self.judge.numbers != "auto":
            return self.judge.numbers
        if NUMBERS not in kept.rows:
            body = self.body([{"role": "user", "content": digits.PROBE}]) | {"max_tokens": 24}
            try:
                kept.keep_call(NUMBERS, await client.ask(body), self.ledger)
            except (Passing, Refused) as problem:
                raise EmgridError(f"judge {self.judge.id}: {problem}") from None
        found = digits.how_numbers_are_written(kept.rows[NUMBERS]["tokens"])
        if found is None:
            raise EmgridError(
                f"judge {self.judge.id}: cannot tell whether {self.judge.model} writes numbers as "
                "one token each; set the judge's `numbers` to whole (OpenAI, Llama 3) or digits "
                "(Qwen, Gemma, Mistral)"
            )
        return found
