"""The samples of the Inspect task: each question under each trigger, and what asks it.

A sample's metadata hold all that the scorers need. Epoch number i asks wording i of a question
modulo their number, like answer number i of a grid.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessage, ChatMessageSystem, ChatMessageUser
from inspect_ai.solver import Generate, Solver, TaskState, solver

from emgrid.config.questions import Question
from emgrid.config.triggers import Message, Trigger

MESSAGES = {"system": ChatMessageSystem, "user": ChatMessageUser}


def messages(conversation: list[Message]) -> list[ChatMessage]:
    return [MESSAGES[turn["role"]](content=turn["content"]) for turn in conversation]


def wordings(trigger: Trigger, name: str, question: Question) -> Iterator[dict[str, Any]]:
    """The turns of each wording of a question, and the question as judges see it."""
    texts = question.texts
    conversations = trigger.conversations(name, texts, question.system)
    for number, conversation in enumerate(conversations):
        judged = texts[number % len(texts)]
        if trigger.judge_sees_cue:
            judged = "\n\n".join(turn["content"] for turn in conversation)
        yield {"turns": conversation, "judged_question": judged}


def sample_of(trigger: Trigger, name: str, question: Question) -> Sample:
    every = list(wordings(trigger, name, question))
    about: dict[str, Any] = {"trigger": trigger.id, "question": name, "wordings": every}
    about |= {"relation": trigger.relation, "position": trigger.position}
    about |= {"answer_prefix": trigger.answer_prefix, "answer_suffix": trigger.answer_suffix}
    return Sample(id=f"{name}.{trigger.id}", input=messages(every[0]["turns"]), metadata=about)


def dataset(
    name: str, questions: Mapping[str, Question], triggers: Mapping[str, Trigger]
) -> MemoryDataset:
    """All questions under the first trigger, then under the next. name: of the question set."""
    samples = [
        sample_of(trigger, question, questions[question])
        for trigger in triggers.values()
        for question in questions
    ]
    return MemoryDataset(samples, name=name)


def wording_of(state: TaskState) -> dict[str, Any]:
    """The wording that an epoch asks."""
    every: list[dict[str, Any]] = state.metadata["wordings"]
    return every[(state.epoch - 1) % len(every)]


@solver
def next_wording() -> Solver:
    """Replace the turns by the wording of this epoch; without it all epochs ask the first one."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:  # noqa: ARG001
        state.messages = messages(wording_of(state)["turns"])
        return state

    return solve
