"""The chat judge: an OpenAI-compatible endpoint reads the rubric.

The value is the expectation over the number tokens among the reply's most probable first tokens,
normalised by their mass (Betley et al. 2025); digit_tokens.py is for tokenizers without such
tokens.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from emgrid.config.endpoints import Endpoint
from emgrid.config.judges import ChatJudge
from emgrid.config.prices import spent
from emgrid.config.sections import Calls
from emgrid.config.served import LimitName
from emgrid.judge import digit_tokens
from emgrid.judge.judgement import Item, Judgement, Reply
from emgrid.judge.judgement_store import JudgementStore
from emgrid.judge.unreadable import Legibility
from emgrid.models.endpoint.client import Bill, Client, Failed, Passing, first_choice
from emgrid.models.endpoint.ledger import Ledger, LimitReached
from emgrid.models.thinking import OPEN
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.progress_bar import bar

TOP = 20  # the most alternatives that OpenAI and vLLM list
CERTAIN = 0.999  # of the only alternative listed, from which on its number is the value
PROBED = 24  # tokens of the reply that shows how numbers are written
SLACK = 0.01  # rounding may put a log-probability so far above 0
NUMBERS = "numbers"  # the kept row of how the endpoint writes numbers
Messages = list[dict[str, str]]


class ChatScorer:
    """root: the grid's kept judgements. unreadable: see settings.Judging."""

    def __init__(
        self,
        judge: ChatJudge,
        endpoint: Endpoint,
        calls: Calls,
        root: Path,
        unreadable: float | None = None,
    ) -> None:
        self.judge = judge
        self.legibility = Legibility(judge, unreadable)
        self.rubric = judge.read_rubric
        self.endpoint = endpoint
        self.calls = calls
        price = endpoint.price_of(judge.model)
        who = f"judge {judge.id}"
        self.ledger = Ledger(who, judge.model, price, calls.spending_limit, spent(root))

    def score(self, items: Sequence[Item], kept: JudgementStore) -> None:
        """Judge with several calls at once; each judgement is kept as soon as it is there."""
        self.legibility.recall(kept.rows.values())
        try:
            asyncio.run(self.run(items, kept))
        finally:
            self.ledger.say_paid()

    async def run(self, items: Sequence[Item], kept: JudgementStore) -> None:
        client = Client(self.endpoint, self.calls, self.ledger, read_reply, "judgements")
        async with client:
            try:
                split = await self.find_numbers(client, kept) == "digits"
            except LimitReached as problem:
                client.halt(problem)
                split = False
            bodies = (self.body(self.messages(item)) for item in items)
            calls = digit_tokens.CALLS if split else 1
            self.ledger.say_estimate(len(items), "judgements", bodies, calls)

            with bar(len(items), "judgement") as progress:

                async def judge(item: Item) -> None:
                    await self.judge_item(client, item, kept, split)
                    progress.update()

                await client.each(items, judge)
        if isinstance(client.stopped, LimitReached):
            left = len(kept.missing(items))
            raise EmgridError(
                f"{client.stopped} with {left} judgements to go; everything paid for is stored; "
                "raise judging.spending_limit and run again"
            )
        if client.stopped is not None:
            raise client.stopped

    async def judge_item(
        self, client: Client[Reply], item: Item, kept: JudgementStore, split: bool
    ) -> None:
        """Keep the judgement of an item, or that it failed. EmgridError if replies cannot be
        read."""
        try:
            judgement = await (self.by_digits if split else self.at_once)(client, item, kept)
        except Failed as problem:
            kept.note_cost(self.ledger.cost(*problem.usage))
            kept.keep(item, Judgement(None, "endpoint_error", reply=str(problem)))
            raise
        kept.keep(item, judgement)
        self.legibility.note(judgement)
        self.legibility.demand()

    async def at_once(self, client: Client[Reply], item: Item, kept: JudgementStore) -> Judgement:
        """The judgement of an item by one call."""
        reply = await client.ask(self.body(self.messages(item)))
        tokens = (reply.prompt_tokens, reply.reply_tokens)
        cost = self.ledger.cost(*tokens)
        if self.judge.read != "probabilities":
            found = self.judge.read_text(reply.text)
        else:
            try:
                self.demand_distribution(reply.top)
            except EmgridError:
                kept.note_cost(cost)
                raise
            found = self.rubric.reading.from_tokens(reply.top, self.judge.least_mass)
        return replace(
            found, reply=reply.text, prompt_tokens=tokens[0], reply_tokens=tokens[1], cost=cost
        )

    async def by_digits(self, client: Client[Reply], item: Item, kept: JudgementStore) -> Judgement:
        """The judgement of an item by a walk; each call is kept, and is not paid for again."""
        messages = self.messages(item)

        async def ask(said: str) -> digit_tokens.Top:
            key = f"{kept.key(item)}/{said}"
            if key not in kept.rows:
                begun = {"continue_final_message": True, "add_generation_prompt": False}
                turn = [{"role": "assistant", "content": said}] if said else []
                body = self.body(messages + turn) | (begun if said else {})
                kept.keep_call(key, await client.ask(body), self.ledger)
            top: digit_tokens.Top = kept.rows[key]["top"]
            self.demand_distribution(top)
            return top

        first = await ask("")
        numbers, others = await digit_tokens.walk(first, ask)
        reading = self.rubric.reading
        words = {reading.reply_of(token) or token: p for token, p in others.items()}
        found = reading.from_probabilities(numbers, words, self.judge.least_mass)
        return replace(found, reply=max(first, key=lambda one: one[1])[0])

    def demand_distribution(self, top: digit_tokens.Top) -> None:
        """EmgridError for the sampled token alone, whose number is no expectation; unless it is so
        probable that the others cannot move the value by more than a tenth of a point."""
        if len({token for token, _ in top}) > 1 or math.exp(top[0][1]) >= CERTAIN:
            return
        raise EmgridError(
            f"judge {self.judge.id}: the endpoint lists one alternative of a token, not the {TOP} "
            "that were asked for, so there is no expectation; set the judge's `read` to text (or "
            "structured)"
        )

    def messages(self, item: Item) -> Messages:
        return [{"role": "user", "content": self.rubric.prompt(item)}]

    def body(self, messages: Messages) -> dict[str, Any]:
        """The request, but for the model's name."""
        body: dict[str, Any] = {"messages": messages, "temperature": 0, "seed": 0}
        if self.judge.read == "probabilities":
            body |= {self.judge.limit_as: 1, "logprobs": True, "top_logprobs": TOP}
        else:
            body[self.judge.limit_as] = self.judge.max_tokens
        if self.judge.read == "structured":
            schema = self.rubric.reading.json_schema()
            named = {"name": "judgement", "strict": True, "schema": schema}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        body |= self.judge.request
        return {key: value for key, value in body.items() if value is not None}

    def probe(self) -> dict[str, Any]:
        """The request that shows how numbers are written: longer than others, else as they are."""
        body = self.body([{"role": "user", "content": digit_tokens.PROBE}])
        return body | {name: PROBED for name in get_args(LimitName) if name in body}

    async def find_numbers(self, client: Client[Reply], kept: JudgementStore) -> str:
        """Whether the endpoint writes numbers as "whole" tokens or as "digits", asked once for
        each judge where need be."""
        if self.judge.read != "probabilities" or self.rubric.reading.labels:
            return "whole"
        if self.judge.numbers != "auto":
            return self.judge.numbers
        if NUMBERS not in kept.rows:
            try:
                kept.keep_call(NUMBERS, await client.ask(self.probe()), self.ledger)
            except Failed as problem:
                raise EmgridError(f"judge {self.judge.id}: {problem}") from None
        found = digit_tokens.how_numbers_are_written(kept.rows[NUMBERS]["tokens"])
        if found is None:
            raise EmgridError(
                f"judge {self.judge.id}: cannot tell whether {self.judge.model} writes numbers as "
                "one token each; set the judge's `numbers` to whole (OpenAI, Llama 3) or digits "
                "(Qwen, Gemma, Mistral)"
            )
        return found


def read_reply(answer: Any, body: dict[str, Any], bill: Bill) -> Reply:
    """The parts of a chat completion that judges read; its tokens count the replies before it that
    could not be used. Passing where it is not whole."""
    choice, text = first_choice(answer)
    thought = choice["message"].get("reasoning_content") or choice["message"].get("reasoning")
    if not text and isinstance(thought, str):
        text = f"{OPEN}\n{thought}"  # cut before it replied
    try:
        listed = (choice.get("logprobs") or {}).get("content") or []
        tokens = tuple(str(one["token"]) for one in listed)
        first = listed[0].get("top_logprobs") or [listed[0]] if listed else []
        top = tuple((str(one["token"]), float(one["logprob"])) for one in first)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        raise Passing("the reply is no chat completion") from None
    if any(math.isnan(logprob) or logprob > SLACK for _, logprob in top):
        raise Passing("the reply has log-probabilities that are none")
    if body.get("logprobs") and not top:
        raise Passing(
            "the reply has no log-probabilities; if this endpoint never gives any, set the judge's "
            "`read` to text or structured"
        )
    return Reply(text, tokens, top, *bill.total)
