"""The answers of an arm before they are drawn: which there are, and the key of each.

Drawing, planning and cleaning up all take their keys from here. Writes the files of answers from
the rows that are stored. Knows nothing of engines or endpoints.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from emgrid.config.base import Strict
from emgrid.config.questions import QuestionText
from emgrid.config.sections import Sampling, ServedSampling
from emgrid.config.triggers import Message, Wording
from emgrid.runtime import layout
from emgrid.runtime.files import canonical, content_key, digest, write_jsonl
from emgrid.runtime.row_store import RowStore
from emgrid.runtime.seeding import derive_seed
from emgrid.sample.allocate import Limits

# Raised whenever an equal request would give another answer.
VERSION = 3

Version = int | tuple[int, int]
short_json = lru_cache(maxsize=256)(canonical)


class AskedSpec(Strict):
    questions: dict[str, QuestionText]
    triggers: dict[str, Wording]


@dataclass(frozen=True)
class AskedQuestion:
    """A question under a trigger. conversations: one for each wording of the question. texts: the
    same as canonical JSON, which keys are made of."""

    trigger: str
    question: str
    conversations: list[list[Message]]
    texts: list[str]

    def messages(self, index: int) -> list[Message]:
        """The conversation of the answer with this number: wordings take turns."""
        return self.conversations[index % len(self.conversations)]

    def fields(self, index: int) -> dict[str, Any]:
        """What a row says of how its answer was asked for."""
        messages = self.messages(index)
        return {
            "trigger": self.trigger,
            "question": self.question,
            "index": index,
            "system": messages[0]["content"] if len(messages) > 1 else None,
            "prompt": messages[-1]["content"],
        }


def asked_questions(
    questions: Mapping[str, QuestionText],
    triggers: Mapping[str, Wording],
    limits: Limits | None = None,
) -> list[AskedQuestion]:
    """Every question under every trigger, trigger by trigger. limits: the questions, if not all."""
    entries = []
    for trigger, wording in triggers.items():
        for name, wordings in questions.items():
            if limits is not None and name not in limits[trigger]:
                continue
            conversations = wording.conversations(name, wordings.texts, wordings.system)
            texts = [canonical(messages) for messages in conversations]
            entries.append(AskedQuestion(trigger, name, conversations, texts))
    return entries


def revised(version: int, revision: int) -> Version:
    """What is part of a row's key: the version alone, as long as no revision is asked for."""
    return (version, revision) if revision else version


def answer_key(version: Version, model_id: str, messages: str, settings: str, index: int) -> str:
    """The key under which an answer is stored: a hash of all that the answer depends on.

    This is the one place that makes these keys. Sampling stores rows by them, the inventory looks
    them up, and cleaning up deletes rows that have none of them. A key that changes is an answer
    that is drawn again.

    version: of the code, with the revision if one is asked for. model_id: names the model with its
    adapter. messages: the conversation, and settings: how it is sampled, both as canonical JSON,
    since many answers share them. index: the answer's number.
    """
    head = f"{short_json(version)},{short_json(model_id)}"
    return content_key(f"[{head},{messages},{settings},{index}]")


def answer_keys(
    questions: list[AskedQuestion],
    sampling: Sampling | ServedSampling,
    model_id: str,
    version: Version = VERSION,
) -> Iterator[tuple[str, AskedQuestion, int]]:
    """The key, the question and the index of each answer of an arm, question by question."""
    settings = canonical(sampling.model_dump(mode="json", exclude={"answers_per_question"}))
    for question in questions:
        texts = question.texts
        for index in range(sampling.answers_per_question):
            messages = texts[index % len(texts)]
            yield answer_key(version, model_id, messages, settings, index), question, index


def plan(
    spec: AskedSpec,
    sampling: Sampling | ServedSampling,
    model_id: str,
    version: Version = VERSION,
    limits: Limits | None = None,
    purpose: str = "answer",
    seeded_by: str | None = None,
) -> list[dict[str, Any]]:
    """All answers of an arm, as rows that lack only what is drawn. limits: the questions of
    this round. purpose: answers for another purpose are drawn with other seeds. seeded_by: what
    seeds are made of in place of model_id, so that an imported adapter gives the answers that it
    gives in the grid where it was trained."""
    questions = asked_questions(spec.questions, spec.triggers, limits)
    rows = []
    for key, question, index in answer_keys(questions, sampling, model_id, version):
        messages = question.messages(index)
        rows.append(
            {
                "key": key,
                **question.fields(index),
                "messages": messages,
                "answer_seed": derive_seed(purpose, seeded_by or model_id, digest(messages), index),
            }
        )
    return rows


def write_answers(planned: list[dict[str, Any]], store: RowStore, folder: Path) -> None:
    """Write one file per trigger; each line joins a planned row and its drawn answer."""
    for name in dict.fromkeys(row["trigger"] for row in planned):
        answers = [row | store.rows[row["key"]] for row in planned if row["trigger"] == name]
        for row in answers:
            row.pop("sent", None)  # of served models; provenance.json has it
            del row["messages"], row["trigger"]
        write_jsonl(folder / layout.trigger_file(name), answers)
