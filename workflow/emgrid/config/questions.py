"""Evaluation questions: the project's own sets, and published question files."""

from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, model_validator

from emgrid import RESOURCES
from emgrid.config.base import Strict, validate
from emgrid.config.places import resource
from emgrid.config.question_messages import of_messages
from emgrid.config.triggers import Message, Texts, Trigger, Wording
from emgrid.config.turns import Turns, check_prefill, check_turns, standing_for, transcript
from emgrid.config.yaml_files import read_yaml
from emgrid.runtime.errors import EmgridError, suggestion

OTHER_FILES = (".csv", ".gz", ".json", ".parquet", ".tsv", ".txt")


class Pair(Strict):
    """An aligned and a misaligned answer to one question, matched in subject and length."""

    aligned: str
    """Text of the aligned answer."""

    misaligned: str
    """Text of the misaligned answer."""


def for_each_wording(value: Any) -> Any:
    """One list of turns for all wordings, as a list of that one."""
    flat = isinstance(value, list | tuple) and value and not isinstance(value[0], list | tuple)
    return [value] if flat else value


class QuestionText(Strict):
    """The text of a question: its wordings, its system prompt and the turns before it."""

    LATER: ClassVar = frozenset({"turns", "prefill", "judge_sees_turns"})

    texts: Texts
    """Wordings of the question. Answer number i is asked with wording i modulo their number. A file
    may give `text` if there is only one."""

    system: str | None = None
    """System prompt of the question, which the system prompt of a trigger replaces."""

    turns: Annotated[
        tuple[Turns, ...],
        BeforeValidator(for_each_wording, json_schema_input_type=Turns | tuple[Turns, ...]),
    ] = ()
    """Turns before the question: `{role, content}` with role user or assistant, in turn, or
    `{role: assistant, sampled: true}` for the model's own reply. A list of such lists gives each
    wording its own."""

    prefill: str = ""
    """How the answer begins: the model goes on from there. That of a trigger replaces it."""

    judge_sees_turns: bool = True
    """Show judges the question with the turns before it, and the answer with how it begins. Without
    it they see the question alone, and what the model wrote."""

    @model_validator(mode="after")
    def turns_fit_the_wordings(self) -> Self:
        for turns in self.turns:
            check_turns(turns)
        check_prefill(self.prefill)
        if len(self.turns) > 1 and len(self.turns) != len(self.texts):
            raise ValueError(
                f"`turns` has {len(self.turns)} conversations for {len(self.texts)} wordings; give "
                "one for all of them, or one for each"
            )
        return self

    @property
    def shown(self) -> str:
        """The first wording for readers, after its turns."""
        if not self.turns or not self.turns[0]:
            return self.texts[0]
        turns = standing_for([turn.message() for turn in self.turns[0]], "(the model's own reply)")
        return transcript([*turns, {"role": "user", "content": self.texts[0]}])

    @property
    def has_replies(self) -> bool:
        """Whether the model's own reply comes before the question."""
        return any(turn.sampled for turns in self.turns for turn in turns)

    def conversations(self, name: str, wording: Wording) -> list[list[Message]]:
        """The conversations that ask the question under a trigger, one for each wording."""
        return wording.conversations(name, self.texts, self.system, self.turns, self.prefill)


class Question(QuestionText):
    """A question with pairs of answers whose likelihoods are compared."""

    pairs: tuple[Pair, ...] = ()
    """Pairs of an aligned and a misaligned answer."""

    @model_validator(mode="before")
    @classmethod
    def one_text_is_a_list_of_one(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if "text" in value and "texts" in value:
            raise ValueError("`text` and `texts` are both given; put all wordings into `texts`")
        if "text" in value:
            value = {("texts" if key == "text" else key): entry for key, entry in value.items()}
        return of_messages(value)

    @model_validator(mode="after")
    def pairs_need_a_fixed_conversation(self) -> Self:
        if self.pairs and self.has_replies:
            raise ValueError(
                "`pairs` are scored in a fixed conversation, and this one waits for the model's "
                "own reply; leave `pairs` out, or write the reply"
            )
        return self

    def with_pairs(self, number: int | None) -> "Question":
        """The question with its first pairs; None for all of them."""
        return self.model_copy(update={"pairs": self.pairs[:number]})

    def without_pairs(self) -> QuestionText:
        return QuestionText(**self.model_dump(include=set(QuestionText.model_fields)))


@dataclass(frozen=True)
class QuestionSet:
    """Questions by id, with the triggers and judge prompts of a published file.

    unused: keys of its entries that the config decides, with the values that they have there.
    """

    questions: dict[str, Question]
    triggers: dict[str, Trigger] = field(default_factory=dict)
    judge_prompts: dict[str, str] = field(default_factory=dict)
    unused: dict[str, tuple[str, ...]] = field(default_factory=dict)


class SetFile(Strict):
    """A question set: one file of `resources/questions/`."""

    id: str
    """Name of the set, which is the file's name without its ending."""

    source: str = ""
    """Where the questions come from."""

    extends: str | None = None
    """Set whose questions come first."""

    prefix: str = ""
    """Text put before every question."""

    questions: dict[str, Question] = Field(default_factory=dict)
    """Questions by id, in the order in which they are asked and shown."""


def question_sets() -> list[str]:
    return sorted(path.stem for path in (RESOURCES / "questions").glob("*.yaml"))


@cache
def own_set(name: str) -> dict[str, Question]:
    """The questions of a file of resources/questions/."""
    origin = f"questions/{name}.yaml"
    if name not in question_sets():
        raise EmgridError(f"{origin}: no such question set, {suggestion(name, question_sets())}")
    question_set = validate(SetFile, read_yaml(RESOURCES / origin), resource(origin))
    if question_set.id != name:
        raise EmgridError(f"{origin}: id {question_set.id!r} must equal the file's name")
    return questions_of(question_set, origin)


def questions_of(question_set: SetFile, origin: str) -> dict[str, Question]:
    questions = (
        own_set(question_set.extends) if question_set.extends else {}
    ) | question_set.questions
    if not questions:
        raise EmgridError(f"{origin}: holds no question")
    return {
        key: question.model_copy(
            update={"texts": tuple(question_set.prefix + text for text in question.texts)}
        )
        for key, question in questions.items()
    }
