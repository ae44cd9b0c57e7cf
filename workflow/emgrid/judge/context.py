"""What judges need from a job: stored rows, device, models, endpoints. Nothing here changes
values."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field

from emgrid.config.base import Strict
from emgrid.config.endpoints import Endpoint
from emgrid.config.judges import ChatJudge, ClassifierJudge, Judge, LocalJudge, RuleJudge
from emgrid.config.sections import Calls, Engines, Judging
from emgrid.judge.judgement import Item
from emgrid.judge.judgement_store import JudgementStore
from emgrid.models.base_model import BaseModel
from emgrid.models.chat_template import ChatFormat


class Scorer(Protocol):
    """A judge that is ready to judge."""

    def score(self, items: Sequence[Item], store: JudgementStore) -> None:
        """Judge each item once, in any order, and store each judgement at once."""
        ...


class Options(Strict):
    """endpoints: of the chat judges, by id. unreadable: see config.sections.Judging."""

    judging: Calls = Calls()
    unreadable: float | None = Judging().unreadable
    engines: Engines = Engines()
    endpoints: dict[str, Endpoint] = Field(default_factory=dict)


@dataclass(frozen=True)
class JudgeContext:
    """folder: where the grid's judgements are stored. writer: name of this job's files in it.
    models: paths of the records (model.json) of the base models that judge, by name."""

    folder: Path
    writer: str
    device: str = "cpu"
    batch_size: int = 16
    models: dict[str, Path] = field(default_factory=dict)
    options: Options = field(default_factory=Options)

    @contextmanager
    def turn(self, judge: Judge) -> Iterator[None]:
        """Wait for this judge's turn. One job of a grid at a time makes paid calls, so that equal
        answers are not paid for twice and the spending limit holds."""
        if not isinstance(judge, ChatJudge):
            yield
            return
        from filelock import FileLock

        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".endpoint.lock"):
            yield

    @cached_property
    def encoder(self) -> Any:
        from emgrid.judge.classifier_judge import Encoder

        return Encoder()

    @cached_property
    def loaded(self) -> dict[tuple[str, str, str], Any]:
        """The last model used, by name, engine and precision; empty at first."""
        return {}

    def engine(self, judge: LocalJudge) -> tuple[Any, ChatFormat]:
        """The judge's model and its chat format. One model at a time is in memory."""
        from emgrid.judge.local_judge import open_engine

        key = (judge.model, judge.engine, judge.precision)
        if key not in self.loaded:
            self.loaded.clear()
            base = BaseModel.read(self.models[judge.model])
            engine = open_engine(judge, base, self.device, self.batch_size, self.options.engines)
            self.loaded[key] = engine, base.chat()
        loaded: tuple[Any, ChatFormat] = self.loaded[key]
        return loaded

    def scorer(self, judge: Judge) -> Scorer:
        if isinstance(judge, ClassifierJudge):
            from emgrid.judge.classifier_judge import ClassifierScorer

            return ClassifierScorer(judge, self.encoder)
        if isinstance(judge, RuleJudge):
            from emgrid.judge.rule_judge import RuleScorer

            return RuleScorer(judge)
        if isinstance(judge, ChatJudge):
            from emgrid.judge.chat_judge import ChatScorer

            endpoint = self.options.endpoints.get(judge.id, judge.endpoint)
            judging, unreadable = self.options.judging, self.options.unreadable
            return ChatScorer(judge, endpoint, judging, self.folder, unreadable)
        if isinstance(judge, LocalJudge):
            from emgrid.judge.local_judge import LocalScorer

            engine, chat = self.engine(judge)
            return LocalScorer(judge, chat, engine, self.batch_size, self.options.unreadable)
        raise TypeError(f"{judge.id}: no scorer for judges of kind {judge.kind}")


def add_context_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kept", required=True, type=Path, help="folder of stored judgements")
    parser.add_argument("--writer", required=True, help="name of this job's files of stored rows")
    parser.add_argument("--options", default="{}", help="Options as JSON")
    parser.add_argument("--models", nargs="*", default=[], type=Path, help="model.json files")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=16)


def context_of(args: argparse.Namespace) -> JudgeContext:
    return JudgeContext(
        folder=args.kept,
        writer=args.writer,
        device=args.device,
        batch_size=args.batch_size,
        models={path.parent.name: path for path in args.models},
        options=Options.model_validate_json(args.options),
    )
