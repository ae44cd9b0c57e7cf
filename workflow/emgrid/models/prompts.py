"""Check, before training, that a base model's prompts contain exactly what answer files record.

Renders each question under each trigger family, and the wordings that recipes add to training
rows. A prompt must contain the system, user and assistant texts verbatim, once each and in order,
with nothing added to a system prompt and nothing that depends on the date. White space around a
text may be trimmed, as official templates do. Writes prompts.json: {"digest", "warnings"}.
"""

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations, product
from pathlib import Path
from typing import Any

from emgrid.config.base import Strict, read_spec
from emgrid.config.questions import QuestionText
from emgrid.config.triggers import Message, Wording
from emgrid.config.turns import parts, standing_for
from emgrid.models.base_model import BaseModel
from emgrid.models.chat_template import ChatFormat
from emgrid.models.tokenizer import autotokenizer_differs
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import digest, read_json, write_json
from emgrid.runtime.job import run_job

# Raise this when the checks change.
VERSION = 1
DATES = (datetime(2001, 2, 3, 4, 5, 6), datetime(2031, 11, 12, 13, 14, 15))
# Short texts that no template contains, so all text around them comes from the template.
MARKERS = {"system": "Zq1system", "user": "Zq2user", "assistant": "Zq3assistant"}
# Texts that reveal whether a template changes letters, length, digits, lines or braces.
RICH = {
    role: f"{marker} ÄÖÜ éß 日本 🙂 1,234.50 'Quoted' \"Text\"\n\n    indented"
    + " {{ x }} {% y %}\n"
    + f"A SENTENCE of {role} text, with Capitals & <tags>. " * 40
    + f"{marker} ends."
    for role, marker in MARKERS.items()
}
# What a template may write around a system prompt: the names of roles and parts.
NAMES = set(
    re.findall(
        r"\w+",
        "assistant begin bot context developer end final header human id im input inst instruction "
        "instructions message model of prompt query question response s start sys system turn user",
    )
)


class PromptsSpec(Strict):
    """The prompts of one base model. recipes: by intervention, the wordings that are added to its
    training rows, or to the prompts that generate them. thinking: the settings of sampling.
    judges: those that use this model, whose prompts are a single user turn."""

    base: str
    questions: dict[str, QuestionText]
    triggers: dict[str, Wording]
    recipes: dict[str, tuple[Wording, ...]]
    thinking: tuple[bool, ...]
    judges: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prompt:
    """A conversation of the grid. owner: what it belongs to, such as "trigger family". thinking:
    the template's switch; None omits it, as in training. prefill: how its answer begins."""

    owner: str
    name: str
    messages: tuple[Message, ...]
    thinking: bool | None = None
    prefill: str = ""

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(turn["role"] for turn in self.messages)

    @property
    def texts(self) -> list[str]:
        return [turn["content"] for turn in self.messages]

    def with_texts(self, texts: dict[str, str]) -> "Prompt":
        """The same roles with other texts."""
        turns = tuple({"role": role, "content": texts[role]} for role in self.roles)
        return Prompt(self.owner, self.name, turns, self.thinking)


def prompts_of(spec: PromptsSpec) -> Iterator[Prompt]:
    """Everything that the model will read except the training rows themselves."""
    for name, wording in spec.triggers.items():
        for question_id, question in spec.questions.items():
            for messages in question.conversations(question_id, wording):
                asked, prefill = without_prefill(standing_for(messages, MARKERS["assistant"]))
                for thinking in spec.thinking:
                    yield Prompt("trigger family", name, tuple(asked), thinking, prefill)
    row = [{"role": role, "content": MARKERS[role]} for role in ("user", "assistant")]
    for name, wordings in spec.recipes.items():
        for wording in (Wording(), *wordings):
            messages = wording.around(row)
            yield Prompt("recipe", name, tuple(messages[:-1]))
            yield Prompt("recipe", name, tuple(messages))
    for name in spec.judges:
        yield Prompt("judge", name, (row[0],), thinking=False)


def without_prefill(messages: list[Message]) -> tuple[list[Message], str]:
    """A conversation up to the answer, and how the answer begins."""
    prefill = parts(messages)[3]
    return (messages[:-1] if prefill else messages), prefill


class Rendering:
    """Checks what a chat template writes for a prompt."""

    def __init__(self, chat: ChatFormat) -> None:
        self.chat = chat
        self.shapes: dict[Any, str | None] = {}

    def render(self, prompt: Prompt, when: datetime = DATES[0]) -> str:
        answer_follows = prompt.roles[-1] != "assistant"
        return self.chat.render(list(prompt.messages), answer_follows, prompt.thinking, when)

    def fault(self, prompt: Prompt) -> str | None:
        """What is wrong with a prompt, to complete "its chat template …"; None if nothing is."""
        from jinja2 import TemplateError

        try:
            return (
                self.fault_of_shape(prompt)
                or self.fault_of_texts(prompt)
                or self.fault_of_prefill(prompt)
            )
        except TemplateError as problem:
            kind = "system prompt" if "system" in prompt.roles else "conversation"
            return f"refuses a {kind} ({' '.join(str(problem).split())})"

    def fault_of_shape(self, prompt: Prompt) -> str | None:
        """What is wrong with all prompts of these roles; computed once per combination of roles
        and thinking."""
        shape = (prompt.roles, prompt.thinking)
        if shape not in self.shapes:
            bare, rich = prompt.with_texts(MARKERS), prompt.with_texts(RICH)
            fault = (
                self.fault_of_date(bare) or self.fault_of_texts(bare) or self.fault_of_texts(rich)
            )
            self.shapes[shape] = (
                fault or self.fault_of_system_prompt(bare) or self.fault_of_answer_prompt(bare)
            )
        return self.shapes[shape]

    def fault_of_prefill(self, prompt: Prompt) -> str | None:
        """Whether a begun answer would be written into a thought."""
        if prompt.prefill and self.chat.opens_thought(list(prompt.messages), prompt.thinking):
            return "opens a think block, into which a `prefill` would be written"
        return None

    def fault_of_date(self, prompt: Prompt) -> str | None:
        first, second = (self.render(prompt, when) for when in DATES)
        return None if first == second else "writes the date or time into the prompt"

    def frame(self, prompt: Prompt) -> list[str] | None:
        """What the template writes before, between and after the texts; None if one is lost."""
        rest, frame = self.render(prompt.with_texts(MARKERS)), []
        for role in prompt.roles:
            before, marker, rest = rest.partition(MARKERS[role])
            if not marker:
                return None
            frame.append(before)
        return None if any(text in rest for text in MARKERS.values()) else [*frame, rest]

    def fault_of_texts(self, prompt: Prompt) -> str | None:
        """What is wrong if the prompt is not its texts in the template's frame and nothing else."""
        rendered, frame = self.render(prompt), self.frame(prompt)
        ways = product(*(dict.fromkeys((text, text.strip())) for text in prompt.texts))
        if frame is not None and rendered in (in_frame(frame, texts) for texts in ways):
            return None
        return fault_in_texts(prompt, rendered)

    def fault_of_system_prompt(self, prompt: Prompt) -> str | None:
        """Words that the template adds to a system prompt, except names of roles and parts and
        what it also writes around turns without a system prompt."""
        frame = self.frame(prompt)
        if frame is None or prompt.roles[0] != "system":
            return None
        plain_turns = tuple({"role": role, "content": ""} for role in ("user", "assistant"))
        allowed = NAMES | words_of(self.frame(Prompt("", "", plain_turns, prompt.thinking)) or [])
        for text in frame[:2]:
            for token in self.chat.added_tokens:
                text = text.replace(token, " ")
            text = re.sub(r"<[^<>\s]*>|\[[^\[\]\s]*\]", " ", text).strip()
            if words_of([text]) - allowed:
                return f"adds {text[:60]!r} to a system prompt"
        return None

    def fault_of_answer_prompt(self, prompt: Prompt) -> str | None:
        """Whether a trained answer follows another prompt than the one used in sampling."""
        if prompt.roles[-1] != "assistant":
            return None
        with_answer = self.render(prompt)
        question = Prompt(prompt.owner, prompt.name, prompt.messages[:-1])
        if with_answer.startswith(self.render(question)):
            return None
        return "writes a different prompt before a given answer than before an answer to be drawn"


def words_of(texts: Sequence[str]) -> set[str]:
    return {word.lower() for text in texts for word in re.findall(r"\w+", text)}


def in_frame(frame: Sequence[str], texts: Sequence[str]) -> str:
    return "".join(part for pair in zip(frame, [*texts, ""], strict=True) for part in pair)


def fault_in_texts(prompt: Prompt, rendered: str) -> str:
    """What the template did to the texts of a prompt."""
    end = 0
    for turn in prompt.messages:
        role, text = turn["role"], turn["content"].strip()
        if text not in rendered:
            return f"{fault_in_text(text, rendered)} the {role} text"
        end = rendered.find(text, end)
        if end < 0:
            return "puts the texts in another order"
        end += len(text)
    return "writes different text around some texts than around others"


def fault_in_text(text: str, rendered: str) -> str:
    if text.casefold() in rendered.casefold():
        return "changes capital letters of"
    if " ".join(text.split()) in " ".join(rendered.split()):
        return "changes white space inside"
    head, tail = text[:12], text[-12:]
    if len(text) > 24 and (head in rendered) != (tail in rendered):
        return "cuts"
    return "changes" if head.casefold() in rendered.casefold() else "drops"


def check_prompts(spec: PromptsSpec, chat: ChatFormat) -> list[str]:
    """Return warnings. Raises EmgridError if a prompt is not what answer files would record."""
    rendering = Rendering(chat)
    faults: dict[str, dict[str, dict[str, None]]] = {}
    for prompt in prompts_of(spec):
        fault = rendering.fault(prompt)
        if fault is not None:
            faults.setdefault(fault, {}).setdefault(prompt.owner, {})[prompt.name] = None
    if faults:
        raise EmgridError(refusal(faults, chat))
    return equal_triggers(spec, chat)


def refusal(faults: dict[str, dict[str, dict[str, None]]], chat: ChatFormat) -> str:
    parts = []
    for fault, owners in faults.items():
        affected = [f"{plural(owner)} {', '.join(names)}" for owner, names in owners.items()]
        parts.append(f"{fault} (which breaks the {' and the '.join(affected)})")
    advice = "name another `chat_template` in the model's entry, or leave these out"
    if not chat.folds and foldable(faults, chat):
        advice += (
            ", or add `system_prompt: fold` there, which puts system prompts into the user turn"
        )
    return f"model {chat.name}: its chat template {'; it '.join(parts)}; {advice}"


def foldable(faults: dict[str, dict[str, dict[str, None]]], chat: ChatFormat) -> bool:
    """Whether every fault comes from system prompts alone."""
    folding = ChatFormat(chat.tokenizer, sorted(chat.eos_token_ids), chat.name, folds=True)
    turns = tuple({"role": role, "content": text} for role, text in MARKERS.items())
    prompts = [Prompt("", "", turns[:2]), Prompt("", "", turns)]
    return bool(faults) and all(Rendering(folding).fault(prompt) is None for prompt in prompts)


def plural(owner: str) -> str:
    return owner.replace("family", "families") if owner.endswith("family") else f"{owner}s"


def equal_triggers(spec: PromptsSpec, chat: ChatFormat) -> list[str]:
    """Return warnings about trigger families that share prompts, token for token.

    Raises EmgridError if all prompts are equal: the families are one condition counted twice.
    """
    thinking = next(iter(spec.thinking), None)
    tokens: dict[str, dict[str, list[list[int]]]] = {
        name: {
            question: [
                chat.prompt(standing_for(messages, MARKERS["assistant"]), thinking)
                for messages in wordings.conversations(question, wording)
            ]
            for question, wordings in spec.questions.items()
        }
        for name, wording in spec.triggers.items()
    }
    warnings = []
    for first, second in combinations(tokens, 2):
        equal = [name for name, ids in tokens[first].items() if ids == tokens[second][name]]
        if equal and len(equal) == len(spec.questions):
            raise EmgridError(
                f"model {chat.name}: the trigger families {first} and {second} have equal prompts, "
                "token for token, so they are one condition counted twice; leave one of them out "
                "of `triggers`"
            )
        if equal:
            warnings.append(
                f"model {chat.name}: the trigger families {first} and {second} have equal prompts, "
                f"token for token, for {len(equal)} of {len(spec.questions)} questions "
                f"({', '.join(equal[:3])}{', …' if len(equal) > 3 else ''})"
            )
    return warnings


def prompts_digest(spec: str, model: Path) -> str:
    """A digest of everything that the check depends on. model: model.json of the base model."""
    record = read_json(model)
    files = []
    if record["path"] is not None:  # otherwise the record holds the hashes of all files
        folder = model.parent / record["path"]
        paths = [folder / name for name in ("tokenizer_config.json", "chat_template.jinja")]
        files = [path.read_text(encoding="utf-8") for path in paths if path.is_file()]
    return digest([VERSION, spec, record, files])


def check_base(spec: str, base: BaseModel) -> list[str]:
    """Check the prompts of a base model; print and return the warnings. spec: PromptsSpec as
    JSON."""
    warnings = check_prompts(PromptsSpec.model_validate_json(spec), base.chat())
    for warning in warnings:
        print(f"warning: {warning}")
    return warnings


def refuse_outdated(base: BaseModel) -> None:
    """Raise EmgridError if an earlier version prepared the model and read other tokens from it."""
    if base.tokenizer_mark is None and autotokenizer_differs(base.tokenizer(), base.path):
        raise EmgridError(
            f"model {base.name}: an earlier version of emgrid prepared it and read other tokens "
            f"than its tokenizer.json gives; delete assets/models/{base.name} in the grid's folder "
            "and run again, which repeats all training and sampling with this model"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.models.prompts", description=__doc__)
    parser.add_argument(
        "--spec", required=True, type=read_spec, help="PromptsSpec as JSON, or a file"
    )
    parser.add_argument("--model", required=True, type=Path, help="model.json of the base model")
    parser.add_argument("--output", required=True, type=Path, help="prompts.json")
    args = parser.parse_args()
    base = BaseModel.read(args.model)
    refuse_outdated(base)
    warnings = check_base(args.spec, base)
    write_json(args.output, {"digest": prompts_digest(args.spec, args.model), "warnings": warnings})


if __name__ == "__main__":
    run_job(main)
