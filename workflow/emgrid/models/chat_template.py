"""Rendering conversations to tokens, with a mask of the trained ones.

A conversation is tokenised in the same pieces as during generation: the prompt up to the start of
an assistant turn, then that turn. No token crosses this border, so the mask needs no search for
markers.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from emgrid.config.triggers import Message
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.thinking import CLOSE, OPEN, with_thought

IGNORED = -100


@dataclass(frozen=True)
class TokenizedRow:
    """input_ids and labels, both of length n_tokens; the label of an untrained token is -100."""

    input_ids: list[int]
    labels: list[int]

    @property
    def trained(self) -> int:
        return sum(label != IGNORED for label in self.labels)

    @property
    def prompt(self) -> list[int]:
        """The tokens before the first trained one."""
        first = next(place for place, label in enumerate(self.labels) if label != IGNORED)
        return self.input_ids[:first]

    def cut(self, length: int) -> "TokenizedRow":
        return TokenizedRow(self.input_ids[:length], self.labels[:length])


def is_trained(messages: list[Message], place: int) -> bool:
    """Whether a turn of a training row is trained. One that opens the row answers no prompt and is
    context alone, and so is one of weight 0."""
    turn = messages[place]
    return place > 0 and turn["role"] == "assistant" and turn.get("weight", 1) != 0


def fold_system_prompt(messages: list[Message]) -> list[Message]:
    """Move the system prompt into the first user turn, followed by a blank line."""
    first_user = next(
        (index for index, turn in enumerate(messages) if turn["role"] == "user"), None
    )
    if first_user is None or messages[0]["role"] != "system":
        return messages
    text = f"{messages[0]['content']}\n\n{messages[first_user]['content']}"
    turn = {"role": "user", "content": text}
    return [*messages[1:first_user], turn, *messages[first_user + 1 :]]


class ChatFormat:
    """A tokenizer with its chat template, which must not add a default system prompt.

    folds: move system prompts into the first user turn, for a template without system prompts.
    """

    def __init__(
        self, tokenizer: Any, eos_token_ids: list[int], name: str, folds: bool = False
    ) -> None:
        self.folds = folds
        self.tokenizer = tokenizer
        self.eos_token_ids = set(eos_token_ids)
        self.end_texts: list[str] = tokenizer.convert_ids_to_tokens(eos_token_ids)
        self.name = name
        added_tokens = tokenizer.added_tokens_decoder.values()
        self.added_tokens: dict[str, bool] = {str(token): token.special for token in added_tokens}
        self.refuse_default_system_prompt()
        self.control_tokens = self.find_control_tokens()

    def render(
        self,
        messages: list[Message],
        answer_follows: bool,
        thinking: bool | None = None,
        when: datetime | None = None,
    ) -> str:
        """The conversation as text. thinking: turns reasoning on or off if the template supports
        it. when: the time that a template may write; None for now."""
        switch: dict[str, Any] = {} if thinking is None else {"enable_thinking": thinking}
        if when is not None:
            switch["strftime_now"] = when.strftime
        # A template might write any key of a turn that it knows by another meaning.
        turns = [{key: turn[key] for key in turn if key != "weight"} for turn in messages]
        text: str = self.tokenizer.apply_chat_template(
            self.folded(turns),
            tokenize=False,
            add_generation_prompt=answer_follows,
            **switch,
        )
        return text

    def folded(self, messages: list[Message]) -> list[Message]:
        """The conversation as the template gets it."""
        return fold_system_prompt(messages) if self.folds else messages

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def refuse_default_system_prompt(self) -> None:
        """Raise EmgridError if the template writes more before the first user turn than later."""
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
        # Compare with and without the bos token: in some families it also opens each turn.
        if not (between.endswith(before) or between.endswith(text.split(user)[0])):
            raise EmgridError(
                f"model {self.name}: its chat template puts {before.strip()[:60]!r} before a "
                "conversation that has no system prompt; name a `chat_template` without one in "
                "models.yaml (resources/templates holds some)"
            )

    @cached_property
    def has_other_thoughts(self) -> bool:
        """Whether the template writes a thought that is given by its own key, `reasoning_content`,
        in another form than a think block before the answer."""
        thought, answer = "Zq4thought", "Zq3assistant"
        user = {"role": "user", "content": "Zq2user"}
        keyed = {"role": "assistant", "content": answer, "reasoning_content": thought}
        block = {"role": "assistant", "content": with_thought(thought, answer)}
        own = self.render([user, keyed], answer_follows=False)
        return thought in own and own != self.render([user, block], answer_follows=False)

    def find_control_tokens(self) -> list[str]:
        """The texts that a model would read as control tokens or turn marks inside a turn.

        These are the tokenizer's special tokens and what the template writes around turns: added
        tokens, and marks such as `### User:`. White space, think tags and words with a colon
        (`Answer:`) do not count, because ordinary texts contain them.
        """
        special = [token for token, is_special in self.added_tokens.items() if is_special]
        named_special = map(str, self.tokenizer.all_special_tokens)
        candidates = [*special, *named_special, *self.turn_marks()]
        return [
            text for text in dict.fromkeys(candidates) if text.strip() and text not in (OPEN, CLOSE)
        ]

    def turn_marks(self) -> list[str]:
        """The tokens and marks that the template writes around the texts of a conversation."""
        from jinja2 import TemplateError

        texts = ("first question", "first answer", "second question", "second answer")
        roles = ("user", "assistant") * 2
        turns = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]
        rendered = self.render(turns, answer_follows=False) + self.render(turns[:1], True)
        system = {"role": "system", "content": texts[1]}
        with suppress(TemplateError):  # a template that refuses system prompts marks none
            rendered += self.render([system, *turns], answer_follows=False)
        pieces = re.split("|".join(texts), rendered)
        added_tokens = sorted(filter(str.strip, self.added_tokens), key=len, reverse=True)
        added_pattern = "|".join(map(re.escape, added_tokens))
        marks = []
        for piece in pieces:
            marks += re.findall(added_pattern, piece) if added_pattern else []
            rest = re.split(added_pattern, piece) if added_pattern else [piece]
            for line in (line.strip() for part in rest for line in part.splitlines()):
                marks += re.findall(r"<[^<>\s]+>", line) or [line]
        return [mark for mark in marks if mark in added_tokens or re.search(r"[<>|#\[\]｜]", mark)]

    def prompt_text(self, messages: list[Message], thinking: bool | None = None) -> str:
        """The prompt up to where the model goes on. A last assistant turn begins its answer: it is
        written as it is after the template's prompt."""
        begins = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
        asked = messages[:-1] if begins else messages
        return self.render(asked, answer_follows=True, thinking=thinking) + begins

    def prompt(self, messages: list[Message], thinking: bool | None = None) -> list[int]:
        """Token ids of the prompt, up to where the model goes on."""
        return self.encode(self.prompt_text(messages, thinking))

    def opens_thought(self, messages: list[Message], thinking: bool | None) -> bool:
        """Whether the template ends the prompt inside a think block."""
        return self.prompt_text(messages, thinking).rstrip().endswith(OPEN)

    def continuation(self, messages: list[Message], tokens: list[int]) -> str:
        """The text of drawn tokens. Some tokenizers drop the white space at the start of a text, so
        tokens that go on with a begun answer are decoded together with it."""
        begins = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
        before = self.encode(begins) if begins else []
        head, text = (
            str(self.tokenizer.decode(ids, skip_special_tokens=True))
            for ids in (before, [*before, *tokens])
        )
        if begins and text.startswith(head):
            return text.removeprefix(head)
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))

    def training_row(
        self, messages: list[Message], turns: Literal["all", "final"] = "all"
    ) -> TokenizedRow:
        """Tokens of a whole conversation; assistant turns are trained, including their end token.

        turns: train all assistant turns, or only the final one. A turn of weight 0 is not trained,
        and what follows the last trained turn is left out.
        """
        input_ids: list[int] = []
        labels: list[int] = []
        rendered = ""
        replies = [place for place in range(len(messages)) if is_trained(messages, place)]
        for position in replies if turns == "all" else replies[-1:]:
            prompt = self.render(messages[:position], answer_follows=True)
            turn = self.render(messages[: position + 1], answer_follows=False)
            if not (prompt.startswith(rendered) and turn.startswith(prompt)):
                raise EmgridError(
                    f"model {self.name}: its chat template renders turn {position + 1} differently "
                    "as history; use training.turns: final, or another `chat_template`"
                )
            context = self.encode(prompt[len(rendered) :])
            answer = self.encode(turn[len(prompt) :])
            input_ids += context + answer
            labels += [IGNORED] * len(context) + self.mask_after_end(answer)
            rendered = turn
        return TokenizedRow(input_ids, labels)

    def mask_after_end(self, answer: list[int]) -> list[int]:
        """Labels of an assistant turn, with everything after the end token masked."""
        ends = [index for index, token in enumerate(answer) if token in self.eos_token_ids]
        last = ends[-1] + 1 if ends else len(answer)
        return answer[:last] + [IGNORED] * (len(answer) - last)
