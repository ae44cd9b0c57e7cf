"""How far cues move the log-odds of misaligned over aligned answers, with kept rows.

A row is the log-likelihood of one answer under one model, with the key that the likelihood job
gives it, so that a cue of an edited proposer is all that is scored anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from emgrid.config.questions import Question
from emgrid.config.triggers import Message, Wording
from emgrid.config.turns import answered
from emgrid.discovery.standard import Floats
from emgrid.models import adapter_files
from emgrid.models.base_model import BaseModel, model_identity
from emgrid.models.chat_template import TokenizedRow
from emgrid.runtime.files import canonical
from emgrid.runtime.progress_bar import bar
from emgrid.runtime.row_store import RowStore, read_store
from emgrid.runtime.timing import computing
from emgrid.sample.answers import Version, revised
from emgrid.sample.likelihood import VERSION, score_key

PLAIN = Wording()
SIDES = ("misaligned", "aligned")
CHUNK = 256  # scores are stored after as many answers, so that a kill loses few


class Scorer:
    """The models of one screen. store: the file that this job appends to; files beside it are read
    as well. engine: makes the engine, once something must be scored."""

    def __init__(
        self, base: BaseModel, precision: str, revision: int, store: Path, engine: Any
    ) -> None:
        self.base = base
        self.precision = precision
        self.version = revised(VERSION, revision)
        self.store = RowStore(store)
        others = sorted(path for path in store.parent.glob("*.jsonl") if path != store)
        self.rows = {key: row for path in others for key, row in read_store(path).items()}
        self.make_engine = engine
        self.engine: Any = None
        self.scored = 0

    def log_odds(
        self, adapter: Path | None, wordings: Sequence[Wording], questions: Sequence[Question]
    ) -> Floats:
        """log p(misaligned) - log p(aligned) in nats, the mean over a question's pairs, under a
        model with this adapter. Shape (wordings, questions)."""
        content = adapter_files.identity(adapter)
        model = model_identity(self.base, content)
        keys: list[list[list[tuple[str, str]]]] = []
        wanted: dict[str, list[Message]] = {}
        for wording in wordings:
            keys.append([])
            for question in questions:
                pairs = keyed(self.version, model, self.precision, wording, question)
                wanted |= {key: messages for pair in pairs for key, messages in pair}
                keys[-1].append([(bad, good) for (bad, _), (good, _) in pairs])
        self.score_missing(adapter, wanted)
        return np.array(
            [
                [
                    np.mean([self.value(bad) - self.value(good) for bad, good in pairs])
                    for pairs in of_question
                ]
                for of_question in keys
            ]
        ).reshape(len(wordings), len(questions))

    def value(self, key: str) -> float:
        row = self.store.rows.get(key) or self.rows[key]
        return float(row["logprob"])

    def score_missing(self, adapter: Path | None, wanted: Mapping[str, list[Message]]) -> None:
        """Score what no row has yet."""
        missing = {
            key: messages
            for key, messages in wanted.items()
            if key not in self.store.rows and key not in self.rows
        }
        if not missing:
            return
        self.engine = self.engine or self.make_engine()
        self.engine.use(adapter)
        rows = {
            key: self.engine.chat.training_row(messages, "final")
            for key, messages in missing.items()
        }
        with bar(len(rows), "answer") as progress:
            for part in chunks(rows):
                with computing():
                    values = self.engine.log_likelihoods([rows[key] for key in part])
                self.store.append(
                    {"key": key, "logprob": value, "tokens": rows[key].trained}
                    for key, value in zip(part, values, strict=True)
                )
                progress.update(len(part))
        self.scored += len(missing)


def chunks(rows: Mapping[str, TokenizedRow]) -> Iterator[list[str]]:
    """Divide rows into parts of at least CHUNK answers, but for the last. The answers to a prompt
    are in one part, and prompts that begin alike follow each other, so that the engine reads a
    beginning once."""
    part: list[str] = []
    ordered = sorted(rows, key=lambda key: (rows[key].prompt, key))
    for _, answers in groupby(ordered, key=lambda key: rows[key].prompt):
        part += answers
        if len(part) >= CHUNK:
            yield part
            part = []
    if part:
        yield part


def conversations(wording: Wording, question: Question) -> list[list[list[Message]]]:
    """The conversations that end with the misaligned and with the aligned answer of each pair, in
    the format that the cue asks for."""
    asked = question.conversations("", wording)[0]
    return [
        [answered(asked, wording.wrap_answer(getattr(pair, side))) for side in SIDES]
        for pair in question.pairs
    ]


def keyed(
    version: Version, model: str, precision: str, wording: Wording, question: Question
) -> list[list[tuple[str, list[Message]]]]:
    """The conversations of `conversations`, each with the key of its score under a model."""
    return [
        [(score_key(version, model, precision, canonical(one)), one) for one in sides]
        for sides in conversations(wording, question)
    ]


class Shift:
    """The score of cues for an arm: how far a cue moves the arm's log-odds, minus how far it moves
    those of its control. own, control: adapters, None for the base model; without a control the
    shift alone."""

    def __init__(
        self,
        scorer: Scorer,
        own: Sequence[Path | None],
        control: Sequence[Path | None],
        questions: Sequence[Question],
    ) -> None:
        self.scorer = scorer
        self.own = own
        self.control = control
        self.questions = questions

    def __call__(self, wordings: Sequence[Wording], questions: int) -> Floats:
        """Shape (wordings, questions), in nats."""
        asked = self.questions[:questions]

        def moved(adapters: Sequence[Path | None]) -> Floats:
            parts = []
            for adapter in adapters:
                odds = self.scorer.log_odds(adapter, [PLAIN, *wordings], asked)
                parts.append(odds[1:] - odds[:1])
            mean: Floats = np.mean(parts, axis=0)
            return mean

        return moved(self.own) - (moved(self.control) if self.control else 0.0)
