"""The findings of the check before training: their default severity, and what to do about each."""

from typing import Literal

Level = Literal["error", "warning"]


# Findings at which training would fail, so that a config cannot change their level.
Fatal = Literal["unrenderable", "no_trained_token"]


Adjustable = Literal[
    "empty_answer",
    "missing_thought",
    "other_thoughts",
    "altered_text",
    "control_token",
    "double_end",
    "no_end",
    "role_order",
    "duplicate",
    "both_roles",
    "same_prompt",
    "cut",
    "newline_merge",
]


Finding = Fatal | Adjustable


RULES: dict[Finding, tuple[Level, str]] = {
    "unrenderable": ("error", "the chat template refuses the conversation"),
    "no_trained_token": ("error", "no assistant token lies within training.max_length; raise it"),
    "empty_answer": ("error", "an assistant turn says nothing beside its think block"),
    "missing_thought": ("error", "the recipe is about think blocks, and the row has none"),
    "other_thoughts": (
        "error",
        "the chat template writes a thought in another way than as <think> before the answer, so "
        "the model would be trained on a form that it does not use",
    ),
    "altered_text": ("error", "the chat template drops, cuts or changes what a turn says"),
    "control_token": ("error", "a turn holds text that the tokenizer reads as a control token"),
    "double_end": ("error", "an assistant turn holds an end token of its own, or ends twice"),
    "no_end": ("warning", "the template writes no end token, so stopping is not trained"),
    "role_order": ("warning", "user and assistant turns do not alternate"),
    "duplicate": ("warning", "an earlier row of the training set is the same conversation"),
    "both_roles": (
        "error",
        "the same conversation is a misaligned row and a benign row of the training set",
    ),
    "same_prompt": (
        "warning",
        "the training set answers the same conversation before a trained turn in other words, too",
    ),
    "cut": ("warning", "longer than max_length: the end of the row is not trained"),
    "newline_merge": (
        "warning",
        "tokenised as a whole, the template's text merges with an answer's first or last "
        "characters; emgrid tokenises them apart, as generation does",
    ),
}


FINDINGS: tuple[str, ...] = tuple(RULES)
