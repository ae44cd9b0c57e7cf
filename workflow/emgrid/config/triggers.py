"""Trigger families: a question under a trigger becomes the messages that a model sees."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from emgrid import RESOURCES
from emgrid.config.base import Strict, validate, validate_entry
from emgrid.config.places import Misplaced, resource
from emgrid.config.project_files import is_path, read_mapping
from emgrid.config.sections import listed
from emgrid.config.turns import Turns, check_prefill, check_turns
from emgrid.config.yaml_files import read_yaml
from emgrid.runtime.errors import EmgridError, suggestion
from emgrid.runtime.thinking import split_thinking, with_thought

# A turn: its `role` and `content`; a training row may give an assistant turn `weight` 0.
Message = dict[str, Any]
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[
    tuple[Text, ...],
    BeforeValidator(listed, json_schema_input_type=Text | tuple[Text, ...]),
    Field(min_length=1),
]
Relation = Literal[
    "none", "verbatim", "paraphrase", "same_form", "opposite", "benign_variant", "unrelated"
]
CUES = ("system", "user_prefix", "user_suffix", "questions", "turns", "prefill")
# Where a cue is put, and the fields that it is made of.
POSITIONS: dict[str, set[str]] = {
    "none": set(),
    "system": {"system"},
    "prefix": {"user_prefix"},
    "suffix": {"user_suffix"},
    "wrapper": {"user_prefix", "user_suffix"},
    "template": {"questions"},
    "rewritten": {"questions"},
    "turns": {"turns"},
    "prefill": {"prefill"},
}
Position = Literal[
    "none", "system", "prefix", "suffix", "wrapper", "template", "rewritten", "turns", "prefill"
]


class Wording(Strict):
    """The part of a trigger family that a model sees."""

    system: str | None = None
    """Text of the system message. None means that no system message is rendered."""

    user_prefix: str = ""
    """Text before the question in the user turn."""

    user_suffix: str = ""
    """Text after the question in the user turn."""

    questions: dict[str, Texts] = Field(default_factory=dict)
    """Whole user turns by question id, for families that reword each question."""

    turns: Turns = ()
    """Turns before the question: `{role, content}` with role user or assistant, in turn, or
    `{role: assistant, sampled: true}` for the model's own reply."""

    prefill: str = ""
    """How every answer begins: the model goes on from there."""

    answer_prefix: str = ""
    """How an answer begins in the format that is asked for. It is taken off before an answer is
    judged."""

    answer_suffix: str = ""
    """How an answer ends in the format that is asked for. It is taken off before an answer is
    judged."""

    @model_serializer(mode="wrap")
    def without_later_fields(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Stages are named by a hash of the wordings on their rows, which keeps their names."""
        fields: dict[str, Any] = dump(self)
        return {
            key: fields[key] for key in fields if key not in ("turns", "prefill") or fields[key]
        }

    @model_validator(mode="after")
    def turns_alternate(self) -> "Wording":
        check_turns(self.turns)
        check_prefill(self.prefill)
        return self

    def conversations(
        self,
        question: str,
        texts: Sequence[str],
        system: str | None = None,
        turns: Sequence[Turns] = (),
        prefill: str = "",
    ) -> list[list[Message]]:
        """The conversations that ask a question, one for each of its paraphrases.

        question: its id. system, prefill: the question's own, which those of the trigger replace.
        turns: those before the question, for each of its paraphrases or once for all of them; they
        follow the trigger's.
        """
        system = system if self.system is None else self.system
        first = [] if system is None else [{"role": "system", "content": system}]
        first += [turn.message() for turn in self.turns]
        begins = self.prefill or prefill
        last = [{"role": "assistant", "content": begins}] if begins else []
        conversations = []
        for place, text in enumerate(self.questions.get(question, texts)):
            before = turns[place % len(turns)] if turns else ()
            asked = {"role": "user", "content": f"{self.user_prefix}{text}{self.user_suffix}"}
            conversations.append([*first, *(turn.message() for turn in before), asked, *last])
        return conversations

    def around(self, messages: Sequence[Message]) -> list[Message]:
        """A training row in this wording: around its last user turn and the answer to that."""
        last_user = max(place for place, turn in enumerate(messages) if turn["role"] == "user")
        row = []
        for place, turn in enumerate(messages):
            content = turn["content"]
            if place == last_user:
                content = f"{self.user_prefix}{content}{self.user_suffix}"
            elif place > last_user and turn["role"] == "assistant":
                content = self.wrap_reply(content)
            elif turn["role"] == "system" and self.system is not None:
                continue
            row.append({**turn, "content": content})
        first = [] if self.system is None else [{"role": "system", "content": self.system}]
        return first + row

    def wrap_reply(self, content: str) -> str:
        """An assistant turn with its answer wrapped; a think block stays in front of it."""
        thought, answer = split_thinking(content)
        if thought is None or answer is None:
            return self.wrap_answer(content)
        return with_thought(thought, self.wrap_answer(answer))

    def wrap_answer(self, answer: str) -> str:
        return f"{self.answer_prefix}{answer}{self.answer_suffix}"

    def unwrap_answer(self, answer: str) -> str:
        """The answer without the format around it; a missing or cut-off wrapper is no error."""
        text = answer.strip()
        if self.answer_prefix and text.startswith(self.answer_prefix.strip()):
            text = text.removeprefix(self.answer_prefix.strip())
            text = text.removesuffix(self.answer_suffix.strip())
        return text.strip()


class WordingFile(BaseModel):
    """A file with wordings by trigger, which a job makes while the grid runs."""

    wordings: dict[str, Wording]


def read_wordings(path: Path | None) -> dict[str, Wording]:
    """The wordings of a file, by trigger; none without a file."""
    if path is None:
        return {}
    return WordingFile.model_validate_json(path.read_text(encoding="utf-8")).wordings


class Trigger(Wording):
    """A trigger family: one file below `resources/triggers/`."""

    id: str
    """Name of the family, which is the file's name without its ending."""

    label: str
    """Name of the family in figures and report."""

    relation: Relation
    """How the cue is related to the feature of the training rows that `resembles` names."""

    position: Position
    """Where the cue is put. It decides which of `system`, `user_prefix`, `user_suffix`,
    `questions`, `turns` and `prefill` the file gives."""

    about: str
    """What the cue is, in a sentence for readers."""

    resembles: str = ""
    """Feature of the training rows that the cue resembles."""

    source: str = ""
    """Where the wording comes from."""

    judge_sees_cue: bool = False
    """Show judges the question with its cue: its turns and how it begins the answer, too. By
    default they see the question alone."""

    @model_validator(mode="after")
    def fields_fit_the_position(self) -> "Trigger":
        cue_fields = {name for name in CUES if getattr(self, name)}
        if cue_fields != POSITIONS[self.position]:
            needed = ", ".join(sorted(POSITIONS[self.position])) or "no cue at all"
            named = ", ".join(sorted(cue_fields)) or "none"
            raise ValueError(f"position {self.position} needs {needed}; given: {named}")
        return self

    def wording(self) -> Wording:
        return Wording(**self.model_dump(include=set(Wording.model_fields)))


@cache
def load_triggers() -> dict[str, Trigger]:
    """All trigger families below resources/triggers/, by id."""
    triggers: dict[str, Trigger] = {}
    for path in sorted((RESOURCES / "triggers").rglob("*.yaml")):
        name = str(path.relative_to(RESOURCES))
        trigger = validate(Trigger, read_yaml(path), resource(name))
        if trigger.id != path.stem:
            raise EmgridError(f"{name}: id {trigger.id!r} must equal the file's name")
        if trigger.id in triggers:
            raise EmgridError(f"{name}: there is another trigger family {trigger.id!r}")
        triggers[trigger.id] = trigger
    return triggers


def named(entries: list[Any]) -> tuple[list[Any], dict[str, Trigger]]:
    """The names of a config's `triggers`, and the families that are given there by a path or by
    their fields."""
    own: dict[str, Trigger] = {}
    names = []
    for number, entry in enumerate(entries):
        if isinstance(entry, dict) or is_path(entry):
            trigger = own_trigger(entry, f"triggers.{number}")
            own[trigger.id] = trigger
            names.append(trigger.id)
        else:
            names.append(entry)
    return names, own


def own_trigger(entry: Any, place: str) -> Trigger:
    """A trigger family of the config: the path of a file, or its fields. The label, and where the
    cue is put, follow from the other fields.

    place: of the entry in the config. Misplaced: the entry is wrong.
    """
    if isinstance(entry, dict):
        trigger = validate_entry(Trigger, with_labels(entry), place, entry)
    else:
        try:
            value, origin = read_mapping(entry, "trigger family")
            trigger = validate(Trigger, with_labels(value), origin)
        except EmgridError as problem:
            raise Misplaced(place, str(problem)) from None
    if trigger.position == "none":
        raise Misplaced(place, f"has no cue; give it one of {', '.join(CUES)}")
    if trigger.id in load_triggers():
        message = f"emgrid already has a trigger family {trigger.id!r}; give yours another id"
        raise Misplaced(place, message)
    return trigger


def with_labels(value: dict[str, Any]) -> dict[str, Any]:
    """The fields of a family with those that follow from the others."""
    cues = {name for name in CUES if name in value}
    positions = [name for name, fields in POSITIONS.items() if fields == cues]
    label = str(value.get("id", "")).replace("_", " ")
    return {"label": label, "about": "", "position": positions[0] if positions else "none"} | value


def cue(name: str) -> Wording:
    """A trigger family's wording, to be put on training rows; ValueError where that cannot be."""
    triggers = load_triggers()
    if name not in triggers:
        raise ValueError(f"no trigger family named {name!r}, {suggestion(name, triggers)}")
    if triggers[name].questions:
        raise ValueError(f"{name!r} rewords the evaluation questions, so no row can carry it")
    if triggers[name].turns or triggers[name].prefill:
        raise ValueError(
            f"{name!r} puts turns before a question or begins the answer, so no row can carry it"
        )
    return triggers[name].wording()


def system_prompt(name: str) -> str:
    """A trigger family's system prompt; ValueError if it has none."""
    prompts = [trigger.id for trigger in load_triggers().values() if trigger.system]
    if name not in prompts:
        raise ValueError(f"no system prompt named {name!r}, {suggestion(name, prompts)}")
    return str(load_triggers()[name].system)
