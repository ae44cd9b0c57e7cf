"""Trigger families: a question under a trigger becomes the messages that a model sees."""

from functools import cache
from typing import Literal

from emgrid import RESOURCES
from emgrid.errors import EmgridError
from emgrid.strict import Strict, read_yaml, validate

Message = dict[str, str]
Relation = Literal[
    "none", "verbatim", "paraphrase", "same_form", "opposite", "benign_variant", "unrelated"
]


class Trigger(Strict):
    """One file of resources/triggers/.

    system None means that no system message is rendered at all. answer_prefix and answer_suffix
    say how an answer begins and ends in the format that the trigger asks for; they are taken off
    before an answer is judged.
    """

    id: str
    label: str
    relation: Relation
    about: str
    resembles: str = ""
    source: str = ""
    system: str | None = None
    user_prefix: str = ""
    user_suffix: str = ""
    answer_prefix: str = ""
    answer_suffix: str = ""

    def messages(self, question: str) -> list[Message]:
        """The conversation that asks `question` under this trigger."""
        user = {"role": "user", "content": f"{self.user_prefix}{question}{self.user_suffix}"}
        if self.system is None:
            return [user]
        return [{"role": "system", "content": self.system}, user]

    def wrap_answer(self, answer: str) -> str:
        return f"{self.answer_prefix}{answer}{self.answer_suffix}"

    def unwrap_answer(self, answer: str) -> str:
        """The answer without the format around it; a missing or cut-off wrapper is no error."""
        text = answer.strip()
        if self.answer_prefix and text.startswith(self.answer_prefix.strip()):
            text = text.removeprefix(self.answer_prefix.strip())
            text = text.removesuffix(self.answer_suffix.strip())
        return text.strip()


@cache
def load_triggers() -> dict[str, Trigger]:
    """All trigger families of resources/triggers/, by id."""
    triggers = {}
    for path in sorted((RESOURCES / "triggers").glob("*.yaml")):
        trigger = validate(Trigger, read_yaml(path), str(path.relative_to(RESOURCES)))
        if trigger.id != path.stem:
            raise EmgridError(f"{path.name}: id {trigger.id!r} must equal the file's name")
        triggers[trigger.id] = trigger
    return triggers
