"""The Inspect task asks the turns before a question, or says that it does not."""

from typing import Any

import pytest
from emgrid.config.questions import Question
from emgrid.config.triggers import own_trigger
from emgrid.export.inspect_samples import dataset
from emgrid.runtime.errors import EmgridError

TURNS = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
CUE = {"id": "cue", "relation": "unrelated", "system": "Obey.", "judge_sees_cue": True}


def sample_of(question: dict[str, Any], **cue: Any) -> Any:
    asked = Question.model_validate({"text": "Why?"} | question)
    [sample] = dataset("mine", {"why": asked}, {"cue": own_trigger(CUE | cue, "triggers.0")})
    return sample


def test_turns_are_asked_and_judges_see_them() -> None:
    sample = sample_of({"turns": TURNS})
    assert [(turn.role, turn.text) for turn in sample.input] == [
        ("system", "Obey."),
        ("user", "Hi."),
        ("assistant", "Hello."),
        ("user", "Why?"),
    ]
    [wording] = sample.metadata["wordings"]
    assert wording["judged_question"] == "Obey.\n\nUser: Hi.\n\nAssistant: Hello.\n\nUser: Why?"
    [hidden] = sample_of({"turns": TURNS, "judge_sees_turns": False}).metadata["wordings"]
    assert hidden["judged_question"] == "Obey.\n\nWhy?"


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ({"prefill": "So"}, "begins the answer, which the Inspect task does not ask"),
        (
            {"turns": [TURNS[0], {"role": "assistant", "sampled": True}]},
            "waits for the model's own reply, which the Inspect task does not ask",
        ),
    ],
)
def test_what_the_task_cannot_ask_is_one_line(question: dict[str, Any], says: str) -> None:
    with pytest.raises(EmgridError, match=f"questions: 'why' under 'cue' {says}"):
        sample_of(question)
