"""What an arm was not trained on: prompts of its data sets, and pairs of answers to them.

A prompt that both data sets answer makes a pair of twins: an aligned and a misaligned answer.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emgrid.config.base import Strict
from emgrid.config.questions import Pair, Question
from emgrid.config.triggers import Wording
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import content_key, read_jsonl

FEWEST_PROMPTS = 8  # of which random cues are cut


class HeldOutSpec(Strict):
    """misaligned, benign: data sets. contexts: the wording that a data set puts around its rows, by
    name. trained: all training stages of the arm. asked: texts of the questions that found cues are
    confirmed on."""

    misaligned: str
    benign: str
    contexts: dict[str, Wording]
    trained: tuple[str, ...]
    asked: tuple[str, ...]


@dataclass(frozen=True)
class HeldOut:
    """prompts: of which random cues are cut. twins: questions with a pair each, by name."""

    prompts: tuple[str, ...]
    twins: Mapping[str, Question]


def exchanges(rows: Iterable[dict[str, Any]], context: Wording) -> dict[str, tuple[str, str]]:
    """By a row's id: the prompt and the answer of the rows of one exchange, without the context."""
    found = {}
    for row in rows:
        turns = [turn for turn in row["messages"] if turn["role"] != "system"]
        if [turn["role"] for turn in turns] == ["user", "assistant"]:
            prompt = turns[0]["content"].removeprefix(context.user_prefix)
            prompt = prompt.removesuffix(context.user_suffix)
            found[row["id"]] = (prompt, context.unwrap_answer(turns[1]["content"]))
    return found


def read_held_out(spec: HeldOutSpec, root: Path) -> HeldOut:
    """Read both data sets and the training rows."""
    names = (spec.misaligned, spec.benign)
    read = {
        name: exchanges(
            read_jsonl(root / layout.dataset_file(name)), spec.contexts.get(name, Wording())
        )
        for name in names
    }
    used = trained_prompts(spec.trained, read, root) | set(spec.asked)
    answers = {name: dict(read[name].values()) for name in names}
    prompts = dict.fromkeys(text for name in names for text in answers[name])
    unused = sorted((text for text in prompts if text not in used), key=content_key)
    both = [text for text in unused if all(text in answers[name] for name in names)]
    twins = {
        f"twin-{content_key(text)[:8]}": Question(
            texts=(text,),
            pairs=(
                Pair(aligned=answers[spec.benign][text], misaligned=answers[spec.misaligned][text]),
            ),
        )
        for text in both
        if answers[spec.benign][text] != answers[spec.misaligned][text]
    }
    return HeldOut(tuple(unused), twins)


def trained_prompts(
    stages: Iterable[str], read: Mapping[str, Mapping[str, tuple[str, str]]], root: Path
) -> set[str]:
    """The prompts of the rows of these stages, as the data sets have them and as they were trained
    on."""
    used = set()
    for stage in stages:
        for row in read_jsonl(root / layout.stage_file(stage, layout.TRAINING_ROWS)):
            known = read.get(row["source"], {}).get(row["id"])
            used |= {known[0]} if known else set()
            used |= {turn["content"] for turn in row["messages"] if turn["role"] == "user"}
    return used


def chosen_questions(
    asked: Mapping[str, Question], held_out: HeldOut, number: int
) -> dict[str, Question]:
    """The questions of the screen: those of a question set that have pairs, or twins, the first by
    the hash of their text. EmgridError if there are fewer than two."""
    known = {name: one for name, one in asked.items() if one.pairs} or dict(held_out.twins)
    order = sorted(known, key=lambda name: (content_key(known[name].texts[0]), name))
    if len(order) < 2:
        raise EmgridError(
            "the screen has fewer than two pairs: the data sets answer no prompts in common that "
            "were not trained on; name a question set with pairs in discovery.screen.questions"
        )
    return {name: known[name] for name in order[:number]}


def cutting_texts(held_out: HeldOut, questions: Mapping[str, Question]) -> Sequence[str]:
    """The texts of which random cues are cut: held-out prompts, and the questions if those are
    few."""
    if len(held_out.prompts) >= FEWEST_PROMPTS:
        return held_out.prompts
    return [*held_out.prompts, *(text for one in questions.values() for text in one.texts)]
