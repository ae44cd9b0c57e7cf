"""The chat judge: a model behind an OpenAI-compatible endpoint applies the rubric.

The value is the expectation over the number tokens among the reply's most probable first tokens,
normalised by their mass (Betley et al. 2025). digit_tokens.py handles tokenizers that split numbers
into digits.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from emgrid.config.endpoints import GO_ON, Endpoint
from emgrid.config.judges import ChatJudge
from emgrid.config.prices import spent
from emgrid.config.sections import Calls
from emgrid.config.served import LimitName
from emgrid.judge import digit_tokens, drawn_replies
from emgrid.judge.judgement import Item, Judgement, Reply
from emgrid.judge.judgement_store import JudgementStore
from emgrid.judge.prompt import judge_prompt
from emgrid.judge.reading import from_probabilities, from_tokens, read_text, reply_of
from emgrid.judge.reply_form import CERTAIN, Form, find_form, read_anything
from emgrid.judge.reply_form import PROBE as FORM_PROBE
from emgrid.judge.succession import heirs
from emgrid.judge.unreadable import Legibility
from emgrid.models.endpoint.client import Bill, Client, Failed, Passing, first_choice
from emgrid.models.endpoint.endings import NoModel, demand_living, ended, ended_error
from emgrid.models.endpoint.ledger import Ledger, LimitReached
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.progress_bar import bar
from emgrid.runtime.thinking import OPEN

TOP = 20  # the most alternatives that OpenAI and vLLM list
PROBED = 24  # tokens of the reply that shows how the endpoint writes numbers
SLACK = 0.01  # largest log-probability above 0 that rounding may cause
NUMBERS = "numbers"  # key of the stored row on how the endpoint writes numbers
FORM = "form"  # key of the stored row on how the replies of a judge with `read: auto` are read
# Tokens that the number or the beginning of a word may take. Endpoints of reasoning models may
# refuse smaller limits than 16; the reply is over after a token or two all the same.
SHORTEST = {"max_tokens": 1, "max_completion_tokens": 16}
Messages = list[dict[str, str]]


class ChatScorer:
    """root: folder of the grid's stored judgements. unreadable: see config.sections.Judging."""

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

    def score(self, items: Sequence[Item], store: JudgementStore) -> None:
        """Judge with parallel calls; each judgement is stored as soon as it arrives."""
        self.legibility.recall(store.rows.values())
        who, model, left = self.ledger.who, self.judge.model, len(items)
        demand_living(who, model, self.endpoint, left, "judgements", heirs(self.judge))
        try:
            asyncio.run(self.run(items, store))
        finally:
            self.ledger.say_paid()

    async def run(self, items: Sequence[Item], store: JudgementStore) -> None:
        client = Client(self.endpoint, self.calls, self.ledger, read_reply, "judgements")
        async with client:
            try:
                await self.find_form(store)
                split = await self.find_numbers(client, store) == "digits"
            except (LimitReached, NoModel) as problem:
                client.halt(problem)
                split = False
            bodies = (self.body(self.messages(item)) for item in items)
            calls = digit_tokens.CALLS if split else self.draws
            self.ledger.say_estimate(len(items), "judgements", bodies, calls)

            with bar(len(items), "judgement") as progress:

                async def judge(item: Item) -> None:
                    await self.judge_item(client, item, store, split)
                    progress.update()

                await client.each(items, judge)
        if isinstance(client.stopped, LimitReached):
            left = len(store.missing(items))
            raise EmgridError(
                f"{client.stopped} with {left} judgements to go; everything paid for is stored; "
                "raise judging.spending_limit and run again"
            )
        if isinstance(client.stopped, NoModel):
            raise self.without_model(client.stopped, len(store.missing(items)))
        if client.stopped is not None:
            raise client.stopped

    def without_model(self, problem: NoModel, left: int) -> EmgridError:
        """What to say if the endpoint has no such model; if it has shut down, that is kept."""
        ending = ended(problem, self.judge.model, self.endpoint)
        if ending is None:
            return problem
        return ended_error(self.ledger.who, ending, left, "judgements", heirs(self.judge))

    async def judge_item(
        self, client: Client[Reply], item: Item, store: JudgementStore, split: bool
    ) -> None:
        """Judge one item and store the judgement, or the failure. EmgridError if too many replies
        are unreadable."""
        way = self.by_digits if split else self.by_draws if self.draws > 1 else self.at_once
        try:
            judgement = await way(client, item, store)
        except Failed as problem:
            store.note_cost(self.ledger.cost(*problem.usage))
            store.keep(item, Judgement(None, "endpoint_error", reply=str(problem)))
            raise
        store.keep(item, judgement)
        self.legibility.note(judgement)
        self.legibility.demand()

    async def at_once(self, client: Client[Reply], item: Item, store: JudgementStore) -> Judgement:
        """Judge an item with one call."""
        reply = await client.ask(self.body(self.messages(item)))
        tokens = (reply.prompt_tokens, reply.reply_tokens)
        cost = self.ledger.cost(*tokens)
        if self.judge.read != "probabilities":
            judgement = read_text(self.judge, reply.text)
        else:
            try:
                self.demand_distribution(reply.top)
            except EmgridError:
                store.note_cost(cost)
                raise
            judgement = from_tokens(self.rubric.reading, reply.top, self.judge.least_mass)
        return replace(
            judgement, reply=reply.text, prompt_tokens=tokens[0], reply_tokens=tokens[1], cost=cost
        )

    async def by_draws(self, client: Client[Reply], item: Item, store: JudgementStore) -> Judgement:
        """Judge an item by the mean of several replies. Each is stored, so that it is not paid for
        twice."""
        messages = self.messages(item)
        draws = []
        for number in range(self.draws):
            key = f"{store.key(item)}/reply {number}"
            if key not in store.rows:
                body = self.body(messages, seed=number)
                store.keep_reply(key, await client.ask(body), self.ledger)
            draws.append(read_text(self.judge, store.rows[key]["reply"]))
        return drawn_replies.together(draws)

    async def by_digits(
        self, client: Client[Reply], item: Item, store: JudgementStore
    ) -> Judgement:
        """Judge an item digit by digit. Each call is stored, so that it is not paid for twice."""
        messages = self.messages(item)

        async def ask(digits: str) -> digit_tokens.Top:
            key = f"{store.key(item)}/{digits}"
            if key not in store.rows:
                turn = [{"role": "assistant", "content": digits}] if digits else []
                body = self.body(messages + turn) | (GO_ON if digits else {})
                store.keep_call(key, await client.ask(body), self.ledger)
            top: digit_tokens.Top = store.rows[key]["top"]
            self.demand_distribution(top)
            return top

        first = await ask("")
        numbers, others = await digit_tokens.walk(first, ask)
        reading = self.rubric.reading
        words = {reply_of(reading, token) or token: p for token, p in others.items()}
        judgement = from_probabilities(reading, numbers, words, self.judge.least_mass)
        return replace(judgement, reply=max(first, key=lambda entry: entry[1])[0])

    def demand_distribution(self, top: digit_tokens.Top) -> None:
        """EmgridError if only the sampled token is listed, which gives no expectation; unless it is
        so probable that the others cannot move the value by more than a tenth of a point."""
        if len({token for token, _ in top}) > 1 or math.exp(top[0][1]) >= CERTAIN:
            return
        raise EmgridError(
            f"judge {self.judge.id}: the endpoint lists one alternative of a token, not the {TOP} "
            "that were asked for, so there is no expectation; set the judge's `read` to text (or "
            "structured)"
        )

    def messages(self, item: Item) -> Messages:
        return [{"role": "user", "content": judge_prompt(self.rubric, item)}]

    @property
    def draws(self) -> int:
        """Replies for each answer."""
        return 1 if self.judge.read == "probabilities" else self.judge.draws

    def body(self, messages: Messages, read: str | None = None, seed: int = 0) -> dict[str, Any]:
        """The request without the model's name. read: in place of the judge's own."""
        read = read or self.judge.read
        several = read != "probabilities" and self.judge.draws > 1
        temperature = drawn_replies.TEMPERATURE if several else 0
        body: dict[str, Any] = {"messages": messages, "temperature": temperature, "seed": seed}
        if read == "probabilities":
            limit = SHORTEST[self.judge.limit_as]
            body |= {self.judge.limit_as: limit, "logprobs": True, "top_logprobs": TOP}
        else:
            body[self.judge.limit_as] = self.judge.max_tokens
        if read == "structured":
            schema = self.rubric.reading.json_schema()
            reply_format = {"name": "judgement", "strict": True, "schema": schema}
            body["response_format"] = {"type": "json_schema", "json_schema": reply_format}
        body |= self.judge.request
        return {key: value for key, value in body.items() if value is not None}

    def probe(self) -> dict[str, Any]:
        """The request that shows how numbers are written; differs from others in prompt and
        length."""
        body = self.body([{"role": "user", "content": digit_tokens.PROBE}])
        return body | {name: PROBED for name in get_args(LimitName) if name in body}

    async def find_form(self, store: JudgementStore) -> None:
        """Find out how replies can be read, if the judge's `read` is auto; asked once per judge."""
        if self.judge.read != "auto":
            return
        if FORM not in store.rows:
            messages = [{"role": "user", "content": FORM_PROBE}]
            client = Client(self.endpoint, self.calls, self.ledger, read_anything, "probes")

            async def ask(form: Form) -> dict[str, Any]:
                reply = await client.ask(self.body(messages, form))
                store.note_cost(self.ledger.cost(*reply["tokens"]))
                return reply

            async with client:
                try:
                    form, why = await find_form(ask)
                except Failed as problem:
                    raise EmgridError(f"judge {self.judge.id}: {problem}") from None
            store.keep_row({"key": FORM, "read": form, "why": why})
        row = store.rows[FORM]
        reason = f", because {row['why']}" if row["why"] else ""
        print(f"judge {self.judge.id}: replies are read as {row['read']}{reason}", flush=True)
        self.judge = self.judge.model_copy(update={"read": row["read"]})

    async def find_numbers(self, client: Client[Reply], store: JudgementStore) -> str:
        """Whether the endpoint writes numbers as "whole" tokens or as "digits". It is asked once
        per judge, and only if the config does not say."""
        if self.judge.read != "probabilities" or self.rubric.reading.labels:
            return "whole"
        if self.judge.numbers != "auto":
            return self.judge.numbers
        if NUMBERS not in store.rows:
            try:
                store.keep_call(NUMBERS, await client.ask(self.probe()), self.ledger)
            except Failed as problem:
                raise EmgridError(f"judge {self.judge.id}: {problem}") from None
        writing = digit_tokens.how_numbers_are_written(store.rows[NUMBERS]["tokens"])
        if writing is None:
            raise EmgridError(
                f"judge {self.judge.id}: cannot tell whether {self.judge.model} writes numbers as "
                "one token each; set the judge's `numbers` to whole (OpenAI, Llama 3) or digits "
                "(Qwen, Gemma, Mistral)"
            )
        return writing


def read_reply(answer: Any, body: dict[str, Any], bill: Bill) -> Reply:
    """The parts of a chat completion that judges read. Its tokens include those of earlier unusable
    replies. Raises Passing if the reply is incomplete."""
    choice, text = first_choice(answer)
    thought = choice["message"].get("reasoning_content") or choice["message"].get("reasoning")
    if not text and isinstance(thought, str):
        text = f"{OPEN}\n{thought}"  # cut off while thinking
    try:
        listed = (choice.get("logprobs") or {}).get("content") or []
        tokens = tuple(str(entry["token"]) for entry in listed)
        first = listed[0].get("top_logprobs") or [listed[0]] if listed else []
        top = tuple((str(entry["token"]), float(entry["logprob"])) for entry in first)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        raise Passing("the reply is not a chat completion") from None
    if any(math.isnan(logprob) or logprob > SLACK for _, logprob in top):
        raise Passing("the reply has invalid log-probabilities")
    if body.get("logprobs") and not top:
        raise Passing(
            "the reply has no log-probabilities; if this endpoint never gives any, set the judge's "
            "`read` to text or structured"
        )
    return Reply(text, tokens, top, *bill.total)
