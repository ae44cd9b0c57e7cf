"""What a grid needs and already has: adapters, answers, scores and judgements, counted by row keys.

Loads no model, and reads no more of a row than its key if that is enough.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from emgrid.config.judges import Judge
from emgrid.config.served import kept_name
from emgrid.grid.arms import Arm, ImportedAdapter, TrainingRun
from emgrid.grid.buckets import Bucket
from emgrid.grid.grid import Grid
from emgrid.grid.specs.adapters import import_spec
from emgrid.grid.specs.judge import judge_spec
from emgrid.grid.specs.models import model_spec
from emgrid.grid.specs.train import train_spec
from emgrid.judge.context import JudgeContext
from emgrid.judge.judge import JudgeSpec, identity, item_of, nothing_to_judge
from emgrid.judge.judgement import Item
from emgrid.judge.judgement_store import folder_name, key_of
from emgrid.models import adapter_files
from emgrid.models.base_model import BaseModel, model_identity
from emgrid.models.import_adapter import AdapterSpec
from emgrid.models.prepare import ModelSpec
from emgrid.runtime import layout
from emgrid.runtime.files import file_digest, read_json
from emgrid.runtime.row_store import read_store
from emgrid.sample import answers, likelihood, served
from emgrid.sample.answers import (
    AskedQuestion,
    answer_keys,
    asked_questions,
    reply_keys,
    revised,
    with_answer,
)
from emgrid.sample.likelihood import MatchedAnswer, matched_answers, score_key
from emgrid.train.train import TrainSpec
from emgrid.train.train import identity as training_identity

KEY = re.compile(rb'\{"key": "([^"\\]+)"')


@dataclass(frozen=True)
class RowCount:
    """planned: rows that are needed. stored: those that exist. known: False if a missing row may
    turn out to exist or to equal another one, so that `missing` is an upper bound."""

    planned: int
    stored: int
    known: bool = True

    @property
    def missing(self) -> int:
        return self.planned - self.stored

    def __add__(self, other: "RowCount") -> "RowCount":
        known = self.known and other.known
        return RowCount(self.planned + other.planned, self.stored + other.stored, known)


NOTHING = RowCount(0, 0)


def keys_in(path: Path) -> set[str]:
    """The keys of the complete rows in a file of stored rows."""
    keys = set()
    if path.is_file():
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    match = KEY.match(line)
                    keys.add(match[1].decode() if match else json.loads(line)["key"])
    return keys


def foresee(model: BaseModel, spec: ModelSpec) -> None:
    """Set a record's identity to that of the model's spec, as the model's next job will."""
    model.content, model.chat_template = spec.content, spec.chat_template
    model.system_prompt = spec.folding
    if spec.tokenizer is not None or isinstance(model.tokenizer_mark, int):
        model.tokenizer_mark = spec.tokenizer


class Inventory:
    """root: the grid's folder. retrained: stages that will be trained again, so their adapters are
    looked up in the adapter store. remixed: those of them whose rows will change too; their
    adapters cannot be known yet."""

    def __init__(
        self, grid: Grid, root: Path, retrained: Iterable[str] = (), remixed: Iterable[str] = ()
    ) -> None:
        self.grid = grid
        self.root = root
        self.retrained = set(retrained)
        self.remixed = set(remixed)
        self.models: dict[str, BaseModel | None] = {}
        self.names: dict[str, str | None] = {}

    def model(self, name: str) -> BaseModel | None:
        """A base model's record with the identity that the config gives it now; None if there is no
        record yet."""
        if name not in self.models:
            path = self.root / layout.model_record(name)
            record = BaseModel.read(path) if path.is_file() else None
            if record is not None and name in self.grid.catalogue.models:
                foresee(record, ModelSpec.model_validate_json(model_spec(self.grid, name)))
            self.models[name] = record
        return self.models[name]

    def adapter(self, stage: TrainingRun | ImportedAdapter) -> str | None:
        """The identity of an adapter; None if there is none (yet)."""
        if isinstance(stage, ImportedAdapter):
            return self.imported_adapter(stage)
        if stage.name in self.retrained:
            training = self.kept_training(stage)
            return (
                str(read_json(training / layout.PROVENANCE)["adapter_sha256"]) if training else None
            )
        path = self.root / stage.adapter_record
        return str(read_json(path)["sha256"]) if path.is_file() else None

    def imported_adapter(self, imported: ImportedAdapter) -> str | None:
        """The identity of an adapter that was trained elsewhere; None if it is not imported, or not
        as the config has it now."""
        record = self.root / imported.adapter_record
        if not record.is_file():
            return None
        spec = AdapterSpec.model_validate_json(import_spec(self.grid, imported.name))
        if read_json(self.root / imported.folder / layout.PROVENANCE)["spec"] != spec.identity:
            return None
        return adapter_files.recorded_identity(record)

    def kept_training(self, stage: TrainingRun) -> Path | None:
        """The folder of a stage's training in the adapter store, if it is known to be there."""
        name = self.training_name(stage)
        folder = self.root / layout.STORED_ADAPTERS / str(name)
        return folder if name and folder.is_dir() else None

    def training_name(self, stage: TrainingRun) -> str | None:
        """The name of a stage's training in the adapter store; None if it is not known yet."""
        if stage.name not in self.names:
            base = self.model(stage.base)
            rows = self.root / stage.folder / layout.TRAINING_ROWS
            parent = self.grid.parent(stage)
            parent_adapter = self.adapter(parent) if parent else None
            kl_rows = [self.root / stage.kl_rows] if stage.kl_rows else []
            under = [self.adapter(stage.under)] if stage.under else []
            is_unknown = (
                stage.name in self.remixed
                or not all(path.is_file() for path in [rows, *kl_rows])
                or (parent and not parent_adapter)
                or None in under
            )
            if base is None or is_unknown:
                self.names[stage.name] = None
            else:
                spec = TrainSpec.model_validate_json(train_spec(self.grid, stage.name))
                self.names[stage.name] = training_identity(
                    spec,
                    base,
                    rows,
                    parent_adapter,
                    *filter(None, under),
                    *map(file_digest, kl_rows),
                )
        return self.names[stage.name]

    def model_id(self, arm: Arm) -> str | None:
        """The identity of an arm's model; None if it is not known yet."""
        if arm.served is not None:
            return arm.served.identity
        base = self.model(arm.base)
        adapter = self.adapter(arm.last) if arm.last else None
        if base is None or (arm.last and adapter is None):
            return None
        return model_identity(base, adapter)

    def trained(self, stage: TrainingRun) -> bool:
        """Whether a stage is trained."""
        return stage.name not in self.retrained and (self.root / stage.adapter_record).is_file()

    @cached_property
    def questions(self) -> list[AskedQuestion]:
        """Every question under every trigger, trigger by trigger."""
        return asked_questions(self.grid.asked, self.grid.wordings)

    def planned_rows(
        self, arm: Arm, all_rounds: bool = False
    ) -> list[tuple[str, AskedQuestion, int]] | None:
        """The key, question and index of each of an arm's answers; None as long as its model is
        not known. all_rounds: also those of questions that are not asked yet."""
        model = self.model_id(arm)
        if model is None:
            return None
        limits = None if all_rounds else self.grid.limits(arm)
        questions = (
            asked_questions(self.grid.asked, self.grid.wordings, limits)
            if limits
            else self.questions
        )
        if arm.served is not None:
            return list(answer_keys(questions, arm.served.sampling, model, served.VERSION))
        version = revised(answers.VERSION, self.grid.config.revision.sample)
        return list(answer_keys(questions, arm.sampling, model, version))

    def answer_keys(self, arm: Arm, all_rounds: bool = True) -> list[str] | None:
        """The keys of an arm's answers; None as long as its model is not known."""
        rows = self.planned_rows(arm, all_rounds)
        return None if rows is None else [key for key, _, _ in rows]

    def reply_keys(self, arm: Arm) -> list[str] | None:
        """The keys of the model's own replies that an arm's answers wait for; None as long as its
        model is not known."""
        model, rows = self.model_id(arm), self.planned_rows(arm, all_rounds=True)
        if model is None or rows is None:
            return None
        if arm.served is not None:
            how: tuple[Any, ...] = (arm.served.sampling, model, served.VERSION)
        else:
            version = revised(answers.VERSION, self.grid.config.revision.sample)
            how = (arm.sampling, model, version)
        asked = ((question.messages(index), index) for _, question, index in rows)
        return [key for messages, index in asked for key, _ in reply_keys(messages, index, *how)]

    def answer_file(self, arm: Arm) -> Path:
        """The file in which an arm's answers are stored."""
        if arm.served is not None:
            return (
                self.root / layout.STORED_SERVED / kept_name(arm.served.model, arm.served.identity)
            )
        return self.root / layout.stored_answers(arm.writer)

    def answers(self, arm: Arm) -> RowCount:
        planned = self.planned_answers(arm)
        keys = self.answer_keys(arm, all_rounds=False)
        if keys is None:
            return RowCount(planned, 0, known=False)
        stored = keys_in(self.answer_file(arm))
        return RowCount(planned, sum(key in stored for key in keys))

    @cached_property
    def scored(self) -> list[MatchedAnswer]:
        pairs = {name: question.pairs for name, question in self.grid.questions.items()}
        return matched_answers(self.grid.asked, pairs, self.grid.wordings)

    def scores(self, arm: Arm) -> RowCount:
        if not self.grid.has_pairs or not arm.runs_here:
            return NOTHING
        keys = self.score_keys(arm)
        if keys is None:
            return RowCount(len(self.scored), 0, known=False)
        stored = keys_in(self.root / layout.stored_scores(arm.writer))
        return RowCount(len(self.scored), sum(key in stored for key in keys))

    def score_keys(self, arm: Arm) -> list[str] | None:
        """The keys of an arm's scores, None as long as its model is not known."""
        model = self.model_id(arm)
        if model is None:
            return None
        version = revised(likelihood.VERSION, self.grid.config.revision.sample)
        precision = arm.sampling.precision
        return [score_key(version, model, precision, answer.text) for answer in self.scored]

    @cached_property
    def judge_context(self) -> JudgeContext:
        models = {path.parent.name: path for path in self.root.glob(layout.model_record("*"))}
        return JudgeContext(self.root / layout.STORED_JUDGEMENTS, "", models=models)

    @cached_property
    def judged_by(self) -> dict[str, tuple[Judge, set[str] | None]]:
        """The judges of the panel, each with the keys of its judgements (None if not known)."""
        judges: dict[str, tuple[Judge, set[str] | None]] = {}
        for name, judge in self.grid.catalogue.panel.items():
            if judge.kind == "imported":
                continue
            judges[name] = (judge, None)
            try:
                judge_identity = identity(
                    judge, self.judge_context, self.grid.config.revision.judge
                )
            except (KeyError, OSError):
                continue
            folder = self.judge_context.folder / folder_name(judge, judge_identity)
            files = folder.glob("*.jsonl")
            judges[name] = (judge, {key for path in files for key in keys_in(path)})
        return judges

    def judgements(self, bucket: Bucket, redrawn: bool) -> RowCount:
        """The judgements of a bucket's answers. redrawn: the files of its answers will be written
        again, so the answers are looked up among stored rows."""
        spec = JudgeSpec.model_validate_json(judge_spec(self.grid, bucket))
        total = NOTHING
        items: list[Item] = []
        for arm in bucket.arms:
            rows = list(self.existing_answers(arm, redrawn))
            wanted = self.planned_answers(arm)
            items += [
                item_of(row, row["trigger"], spec) for row in rows if not nothing_to_judge(row)
            ]
            unknown = max(wanted - len(rows), 0) * len(self.judged_by)
            total += RowCount(unknown, 0, known=not unknown)
        answered = [item for item in items if item.answer.strip()]
        for judge, keys in self.judged_by.values():
            if keys is None:
                total += RowCount(len(answered), 0, known=False)
            else:
                wanted_keys = {key_of(judge, item) for item in answered}
                total += RowCount(len(wanted_keys), len(wanted_keys & keys))
        return total

    def judged(self, arm: Arm, spec: JudgeSpec) -> RowCount:
        """An arm's judgements, one per answer and judge; those that need no judging count as
        done."""
        rows = list(self.existing_answers(arm, redrawn=True))
        planned = max(self.planned_answers(arm), len(rows))
        done = 0
        for judge, keys in self.judged_by.values():
            for row in rows if keys else ():
                item = item_of(row, row["trigger"], spec)
                done += not item.answer.strip() or key_of(judge, item) in (keys or ())
        return RowCount(planned * len(self.judged_by), done)

    def planned_answers(self, arm: Arm) -> int:
        """The number of answers that an arm will have; 0 for an imported arm."""
        if arm.source is not None:
            return 0
        return arm.sampling.answers_per_question * self.grid.n_asked(arm)

    def existing_answers(self, arm: Arm, redrawn: bool) -> Iterator[dict[str, Any]]:
        """The existing answers of an arm, with the fields that judges see."""
        if not redrawn or arm.source is not None:
            for name in self.grid.triggers:
                path = self.root / arm.folder / layout.ANSWERS / layout.trigger_file(name)
                if path.is_file():
                    with path.open(encoding="utf-8") as file:
                        yield from (json.loads(line) | {"trigger": name} for line in file)
            return
        rows, path = self.planned_rows(arm), self.answer_file(arm)
        if rows is None or not path.is_file():
            return
        stored = read_store(path)
        for key, question, index in rows:
            if key in stored:
                yield with_answer(question.fields(index), stored[key])
