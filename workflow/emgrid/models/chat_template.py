"""Rendering conversations to tokens, and the mask of what is trained.

A conversation is tokenised in the pieces in which generation sees it: the prompt up to the start
of an assistant turn, then that turn. So no token ever straddles the border, and the mask needs no
search for markers.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from emgrid.config.triggers import Message
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.thinking import CLOSE, OPEN

IGNORED = -100


@dataclass(frozen=True)
class TokenizedRow:
    """input_ids and labels, both of length n_tokens; labels are -100 where nothing is trained."""

    input_ids: list[int]
    labels: list[int]

    @property
    def trained(self) -> int:
        return sum(label != IGNORED for label in self.labels)

    def cut(self, length: int) -> "TokenizedRow":
        return TokenizedRow(self.input_ids[:length], self.labels[:length])


def folded(messages: list[Message]) -> list[Message]:
    """The conversation with its system prompt before the first user turn, and a blank line
    between them."""
    asked = next((place for place, turn in enumerate(messages) if turn["role"] == "user"), None)
    if asked is None or messages[0]["role"] != "system":
        return messages
    text = f"{messages[0]['content']}\n\n{messages[asked]['content']}"
    turn = {"role": "user", "content": text}
    return [*messages[1:asked], turn, *messages[asked + 1 :]]


class ChatFormat:
    """A tokenizer with its chat template, checked to add no system prompt.

    folds: whether a system prompt is put before the first user turn, for a template without one.
    """

    def __init__(
        self, tokenizer: Any, eos_token_ids: list[int], name: str, folds: bool = False
    ) -> None:
        self.folds = folds
        self.tokenizer = tokenizer
        self.eos_token_ids = set(eos_token_ids)
        self.end_texts: list[str] = tokenizer.convert_ids_to_tokens(eos_token_ids)
        self.name = name
        decoder = tokenizer.added_tokens_decoder.values()
        self.added_tokens: dict[str, bool] = {str(one): one.special for one in decoder}
        self.refuse_default_system_prompt()
        self.control_tokens = self.find_control_tokens()

    def render(
        self,
        messages: list[Message],
        answer_follows: bool,
        thinking: bool | None = None,
        when: datetime | None = None,
    ) -> str:
        """The conversation as text. thinking switches reasoning where the template knows how.
        when: the time for a template that asks for it; None for now."""
        switch: dict[str, Any] = {} if thinking is None else {"enable_thinking": thinking}
        if when is not None:
            switch["strftime_now"] = when.strftime
        text: str = self.tokenizer.apply_chat_template(
            folded(messages) if self.folds else messages,
            tokenize=False,
            add_generation_prompt=answer_follows,
            **switch,
        )
        return text

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def refuse_default_system_prompt(self) -> None:
        """What stands before the first user turn must be what stands before any later one."""
        user, reply = "first question", "first answer"
        conversation = [
            {"role": "user", "content": user},
            {"role": "assistant", "content": reply},
            {"role": "user", "content": "second question"},
        ]
        text = self.render(conversation, answer_follows=False)
        if not re.search(f"{user}.*{reply}.*second question", text, re.DOTALL):
            raise EmgridError(
                f"model {self.name}: its chat template drops, changes or reorders the turns of a "
                "plain conversation; name another `chat_template`"
            )
        before = text.split(user)[0].removeprefix(self.tokenizer.bos_token or "")
        between = text.split(reply)[1].split("second question")[0]
        # The bos token is compared on both sides: in some families it also opens each turn.
        if not (between.endswith(before) or between.endswith(text.split(user)[0])):
            raise EmgridError(
                f"model {self.name}: its chat template puts {before.strip()[:60]!r} before a "
                "conversation that has no system prompt; name a `chat_template` without one in "
                "models.yaml (resources/templates holds some)"
            )

    def find_control_tokens(self) -> list[str]:
        """The texts that would be read as control tokens or turn marks if a turn held them.

        That is what the tokenizer itself reads as special, and what the template writes around
        turns: added tokens, and marks such as `### User:`. White space, think tags and words with a
        colon (`Answer:`) are none: texts hold them rightly.
        """
        special = [token for token, is_special in self.added_tokens.items() if is_special]
        named = map(str, self.tokenizer.all_special_tokens)
        found = [*special, *named, *self.turn_marks()]
        return [one for one in dict.fromkeys(found) if one.strip() and one not in (OPEN, CLOSE)]

    def turn_marks(self) -> list[str]:
        """What the template writes around the texts of a conversation, piece by piece."""
        from jinja2 import TemplateError

        texts = ("first question", "first answer", "second question", "second answer")
        roles = ("user", "assistant") * 2
        turns = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]
        rendered = self.render(turns, answer_follows=False) + self.render(turns[:1], True)
        system = {"role": "system", "content": texts[1]}
        with suppress(TemplateError):  # without a branch for it there is no mark, either
            rendered += self.render([system, *turns], answer_follows=False)
        around = re.split("|".join(texts), rendered)
        added = sorted(filter(str.strip, self.added_tokens), key=len, reverse=True)
        known = "|".join(map(re.escape, added))
        marks = []
        for piece in around:
            marks += re.findall(known, piece) if known else []
            rest = re.split(known, piece) if known else [piece]
            for line in (line.strip() for part in rest for line in part.splitlines()):
                marks += re.findall(r"<[^<>\s]+>", line) or [line]
        return [mark for mark in marks if mark in added or re.search(r"[<>|#\[\]｜]", mark)]

    def prompt(self, messages: list[Message], thinking: bool | None = None) -> list[int]:
        """Token ids after which the model's next answer begins."""
        return self.encode(self.render(messages, answer_follows=True, thinking=thinking))

    def opens_thought(self, messages: list[Message], thinking: bool | None) -> bool:
        """Whether the template ends the prompt inside a think block."""
        prompt = self.render(messages, answer_follows=True, thinking=thinking)
        return prompt.rstrip().endswith(OPEN)

    def training_row(
        self, messages: list[Message], turns: Literal["all", "final"] = "all"
    ) -> TokenizedRow:
        """Tokens of a whole conversation; assistant turns are trained, with their end token.

        turns: all of them, or the final one alone.
        """
        input_ids: list[int] = []
        labels: list[int] = []
        done = ""
        replies = [place for place, turn in enumerate(messages) if turn["role"] == "assistant"]
        if messages[0]["role"] == "assistant":
            # Nothing was asked, so no prompt can be rendered for it: it is context only.
            replies = replies[1:]
        for position in replies if turns == "all" else replies[-1:]:
            prompt = self.render(messages[:position], answer_follows=True)
            turn = self.render(messages[: position + 1], answer_follows=False)
            if not (prompt.startswith(done) and turn.startswith(prompt)):
                raise EmgridError(
                    f"model {self.name}: its chat template renders turn {position + 1} differently "
                    "as history; use training.turns: final, or another `chat_template`"
                )
            context = self.encode(prompt[len(done) :])
            answer = self.encode(turn[len(prompt) :])
            input_ids += context + answer
            labels += [IGNORED] * len(context) + self.up_to_end(answer)
            done = turn
        return TokenizedRow(input_ids, labels)

    def up_to_end(self, answer: list[int]) -> list[int]:
        """Labels of an assistant turn: what the template writes after the end token is masked."""
        ends = [place for place, token in enumerate(answer) if token in self.eos_token_ids]
        last = ends[-1] + 1 if ends else len(answer)
        return answer[:last] + [IGNORED] * (len(answer) - last)
