"""The local judge: a base model that runs here, with the exact probability of every reply.

The replies (the numbers 0 to 100 and the rubric's words, or its labels) form a trie of tokens as
the model's chat format writes them; a number may be one token or several digits. The probability of
a reply is the product along its path, times the probability that it does not continue: with another
digit after a number, or to a longer reply after a label.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Protocol

from emgrid.config.judges import LocalJudge
from emgrid.config.rubrics import Reading
from emgrid.config.sections import Engines
from emgrid.judge.judgement import Item, Judgement
from emgrid.judge.judgement_store import JudgementStore
from emgrid.judge.prompt import judge_prompt
from emgrid.judge.reading import from_probabilities
from emgrid.judge.unreadable import Legibility
from emgrid.models.base_model import BaseModel
from emgrid.models.chat_template import IGNORED, ChatFormat
from emgrid.runtime.progress_bar import bar

# The least probable numbers, of this probability together, are not asked how they go on.
LEFT = 1e-5
Tokens = tuple[int, ...]


class Continuations(Protocol):
    """Prompts that the engine has read once and can continue in several ways."""

    def next_probabilities(
        self, rows: Sequence[tuple[int, Tokens]], wanted: Sequence[int]
    ) -> Sequence[Sequence[float]]:
        """Probabilities that each wanted token comes next, shape (rows, wanted). rows: the index of
        a prompt and the tokens of the reply so far."""
        ...


class Trie:
    """The replies of a reading as token paths. children: the tokens that continue a path."""

    def __init__(self, reading: Reading, chat: ChatFormat) -> None:
        self.replies = {
            reply_tokens(text, chat): text for text in [*reading.values, *reading.words]
        }
        self.children: dict[Tokens, list[int]] = {}
        for path in self.replies:
            for length in range(len(path)):
                onward = self.children.setdefault(path[:length], [])
                if path[length] not in onward:
                    onward.append(path[length])
        self.inner = sorted(self.children, key=len)
        self.digits = digit_tokens(chat.tokenizer)
        all_children = {token for tokens in self.children.values() for token in tokens}
        self.wanted = sorted(all_children | set(self.digits))

    def going_on(self, path: Tokens) -> list[int]:
        """The tokens that would turn the reply at this path into another one."""
        return self.digits if self.replies[path].isdigit() else self.children.get(path, [])

    def probabilities(self, prompts: Continuations, count: int) -> list[dict[str, float]]:
        """The probability of every reply, for each of `count` prompts."""
        following = self.ask(
            prompts, [(place, path) for place in range(count) for path in self.inner]
        )
        reached = [self.reached(following, place) for place in range(count)]
        following |= self.ask(
            prompts, [(place, path) for place in range(count) for path in self.open(reached[place])]
        )
        results = []
        for place, reached_by in enumerate(reached):
            ended = dict.fromkeys(self.replies, 1.0)
            for path in self.replies:
                if (place, path) in following:
                    next_probabilities = following[place, path]
                    continued = sum(next_probabilities[token] for token in self.going_on(path))
                    ended[path] = max(1.0 - continued, 0.0)
            results.append(
                {text: reached_by[path] * ended[path] for path, text in self.replies.items()}
            )
        return results

    def ask(
        self, prompts: Continuations, rows: Sequence[tuple[int, Tokens]]
    ) -> dict[tuple[int, Tokens], dict[int, float]]:
        """The probabilities of the wanted tokens after each path of a prompt."""
        values = prompts.next_probabilities(rows, self.wanted)
        return {
            row: dict(zip(self.wanted, each, strict=True))
            for row, each in zip(rows, values, strict=True)
        }

    def reached(
        self, following: Mapping[tuple[int, Tokens], Mapping[int, float]], place: int
    ) -> dict[Tokens, float]:
        """The probability that a reply begins with each path."""
        reached: dict[Tokens, float] = {(): 1.0}
        for path in self.inner:
            for token in self.children[path]:
                reached[*path, token] = reached[path] * following[place, path][token]
        return reached

    def open(self, reached: Mapping[Tokens, float]) -> list[Tokens]:
        """The numbers that may go on with a digit, although no longer reply does, without the least
        probable ones."""
        numbers = [
            path
            for path, text in self.replies.items()
            if text.isdigit() and path not in self.children
        ]
        ordered = sorted(numbers, key=lambda path: reached[path])
        sums = accumulate(reached[path] for path in ordered)
        return [path for path, total in zip(ordered, sums, strict=True) if total > LEFT]


def reply_tokens(text: str, chat: ChatFormat) -> Tokens:
    """The tokens of a reply in the chat format, without the tokens that end the turn."""
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": text}]
    row = chat.training_row(turns)
    tokens = [token for token in row.labels if token != IGNORED]
    return tuple(token for token in tokens if token not in chat.eos_token_ids)


def digit_tokens(tokenizer: Any) -> list[int]:
    """The tokens that consist of ASCII digits alone, and so lengthen a number."""
    return sorted(
        token for text, token in tokenizer.get_vocab().items() if re.fullmatch("[0-9]+", text)
    )


def without_control(item: Item, chat: ChatFormat) -> Item:
    """The item with the model's control tokens broken up, so that they cannot end a turn."""
    texts = [item.question, item.answer]
    for token in chat.control_tokens:
        texts = [text.replace(token, f"{token[0]} {token[1:]}") for text in texts]
    return Item(item.question_id, *texts)


class LocalScorer:
    """engine: the loaded model; its `read` turns prompts into Continuations. unreadable: see
    config.sections.Judging."""

    def __init__(
        self,
        judge: LocalJudge,
        chat: ChatFormat,
        engine: Any,
        batch_size: int,
        unreadable: float | None = None,
    ) -> None:
        self.judge = judge
        self.legibility = Legibility(judge, unreadable)
        self.rubric = judge.read_rubric
        self.batch_size = batch_size
        self.chat = chat
        self.engine = engine

    def score(self, items: Sequence[Item], store: JudgementStore) -> None:
        self.legibility.recall(store.rows.values())
        trie = Trie(self.rubric.reading, self.chat)
        prompts = {item: self.prompt(item) for item in items}
        ordered = sorted(items, key=lambda item: len(prompts[item]))
        self.engine.share(list(prompts.values()))
        with bar(len(items), "judgement") as progress:
            for start in range(0, len(ordered), self.batch_size):
                batch = ordered[start : start + self.batch_size]
                read = self.engine.read([prompts[item] for item in batch])
                judged = [self.judgement(p) for p in trie.probabilities(read, len(batch))]
                store.keep_all(zip(batch, judged, strict=True))
                for judgement in judged:
                    self.legibility.note(judgement)
                self.legibility.demand()
                progress.update(len(batch))

    def prompt(self, item: Item) -> list[int]:
        text = judge_prompt(self.rubric, without_control(item, self.chat))
        return self.chat.prompt([{"role": "user", "content": text}], thinking=False)

    def judgement(self, p: dict[str, float]) -> Judgement:
        reading = self.rubric.reading
        values = {reply: p.get(reply, 0.0) for reply in reading.values}
        words = {reply: p.get(reply, 0.0) for reply in reading.words}
        other = max(1.0 - sum(values.values()) - sum(words.values()), 0.0)
        return from_probabilities(reading, values, words | {"": other}, self.judge.least_mass)


def open_engine(
    judge: LocalJudge, base: BaseModel, device: str, batch_size: int, engines: Engines
) -> Any:
    """Load the judge's model."""
    if judge.engine == "vllm":
        from emgrid.models.engines.vllm import VllmEngine

        return VllmEngine(base, judge.precision, device, batch_size, settings=engines)
    from emgrid.models.engines.transformers import TransformersEngine

    return TransformersEngine(base, judge.precision, device, batch_size)
