"""The samples of the Inspect task: each question under each trigger, and what asks it.

A sample's metadata hold all that the scorers need. Epoch number i asks wording i of a question
modulo their number, like answer number i of a grid.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessage, ChatMessageAssistant, ChatMessageSystem, ChatMessageUser
from inspect_ai.solver import Generate, Solver, TaskState, solver

from emgrid.config.questions import Question
from emgrid.config.triggers import Message, Trigger
from emgrid.config.turns import replies_in
from emgrid.judge.judge import JudgeSpec, item_of
from emgrid.runtime.errors import EmgridError
from emgrid.sample.answers import asked_questions

MESSAGES = {
    "system": ChatMessageSystem,
    "user": ChatMessageUser,
    "assistant": ChatMessageAssistant,
}


def messages(conversation: list[Message]) -> list[ChatMessage]:
    return [MESSAGES[turn["role"]](content=turn["content"]) for turn in conversation]


def wordings(trigger: Trigger, name: str, question: Question) -> Iterator[dict[str, Any]]:
    """The turns of each wording of a question, and the question as judges see it.

    EmgridError: the model's own reply comes before the question, or the answer is begun.
    """
    asked, wording = question.without_pairs(), trigger.wording()
    spec = JudgeSpec(
        judges=(),
        questions={name: asked},
        triggers={trigger.id: wording},
        sees_cue=(trigger.id,) if trigger.judge_sees_cue else (),
    )
    [each] = asked_questions(spec.questions, spec.triggers)
    for number, conversation in enumerate(each.conversations):
        row = each.fields(number)
        if replies_in(conversation) or "prefill" in row:
            what = "begins the answer" if "prefill" in row else "waits for the model's own reply"
            raise EmgridError(
                f"questions: {name!r} under {trigger.id!r} {what}, which the Inspect task does not "
                "ask; ask it in a grid, or leave it out"
            )
        judged = item_of(row | {"answer": ""}, trigger.id, spec).question
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
