"""Evaluation questions with their matched answers."""

from functools import cache
from typing import Annotated

from pydantic import Field

from emgrid import RESOURCES
from emgrid.errors import EmgridError
from emgrid.strict import Strict, read_yaml, validate


class Pair(Strict):
    """An aligned and a misaligned answer to one question, matched in subject and length."""

    aligned: str
    misaligned: str


class Question(Strict):
    text: Annotated[str, Field(min_length=1)]
    pairs: tuple[Pair, ...] = ()


class QuestionSet(Strict):
    """One file of resources/questions/; questions by id, in the order of the file."""

    id: str
    questions: Annotated[dict[str, Question], Field(min_length=1)]


def question_sets() -> list[str]:
    return sorted(path.stem for path in (RESOURCES / "questions").glob("*.yaml"))


@cache
def load_questions(name: str) -> dict[str, Question]:
    path = RESOURCES / "questions" / f"{name}.yaml"
    questions = validate(QuestionSet, read_yaml(path), f"questions/{name}.yaml")
    if questions.id != name:
        raise EmgridError(f"questions/{name}.yaml: id {questions.id!r} must equal the file's name")
    return questions.questions
