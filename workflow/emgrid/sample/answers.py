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
from emgrid.config.turns import before_replies, parts, spoken
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
        system, turns, prompt, prefill = parts(self.messages(index))
        fields = {
            "trigger": self.trigger,
            "question": self.question,
            "index": index,
            "system": system,
            "prompt": prompt,
        }
        return (
            fields | ({"turns": turns} if turns else {}) | ({"prefill": prefill} if prefill else {})
        )


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
            conversations = wordings.conversations(name, wording)
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
    since many answers share them. index: the answer's number. One of the model's own replies among
    the messages is the answer with the same number to the messages before it, so that this key
    covers all that the reply depends on.
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


def reply_keys(
    messages: list[Message],
    index: int,
    sampling: Sampling | ServedSampling,
    model_id: str,
    version: Version = VERSION,
) -> Iterator[tuple[str, list[Message]]]:
    """The key of each of the model's own replies in a conversation, and what it answers."""
    settings = canonical(sampling.model_dump(mode="json", exclude={"answers_per_question"}))
    for before in before_replies(messages):
        yield answer_key(version, model_id, canonical(before), settings, index), before


def plan_replies(
    planned: list[dict[str, Any]],
    sampling: Sampling | ServedSampling,
    model_id: str,
    version: Version = VERSION,
    purpose: str = "answer",
    seeded_by: str | None = None,
) -> list[dict[str, Any]]:
    """The model's own replies that planned answers wait for, as rows that lack only what is drawn;
    each planned row is given their keys as `waits_for`. A reply comes after those that it follows;
    one that is a planned answer itself is not planned twice. seeded_by: as in plan().
    """
    asked = {row["key"] for row in planned}
    rows: dict[str, dict[str, Any]] = {}
    for answer in planned:
        keys: list[str] = []
        index = answer["index"]
        for key, before in reply_keys(answer["messages"], index, sampling, model_id, version):
            seed = derive_seed(purpose, seeded_by or model_id, digest(before), index)
            reply = {"key": key, "messages": before, "answer_seed": seed, "waits_for": tuple(keys)}
            rows.setdefault(key, reply)
            keys.append(key)
        if keys:
            answer["waits_for"] = tuple(keys)
    return [row for key, row in rows.items() if key not in asked]


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


def with_answer(fields: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """What a row says of how its answer was asked for, with the drawn answer: the model's own
    replies are in their places, and the answer begins as it was made to."""
    row = {**fields, **stored}
    if "turns" in row:
        row["turns"] = spoken(row["turns"], row.pop("replies", ()))
    if row.get("prefill") and row["answer"] is not None:
        row["answer"] = row["prefill"] + row["answer"]
    return row


def write_answers(planned: list[dict[str, Any]], store: RowStore, folder: Path) -> None:
    """Write one file per trigger; each line joins a planned row and its drawn answer."""
    for name in dict.fromkeys(row["trigger"] for row in planned):
        rows = [row for row in planned if row["trigger"] == name]
        answers = [with_answer(row, store.rows[row["key"]]) for row in rows]
        for row in answers:
            row.pop("sent", None)  # of served models; provenance.json has it
            row.pop("waits_for", None)
            del row["messages"], row["trigger"]
        write_jsonl(folder / layout.trigger_file(name), answers)
