"""Drawing the answers that are not stored yet, with one engine for all arms of a base model.

Reads models and adapters; appends answers to row stores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from emgrid.config.sections import Engines, Sampling
from emgrid.config.turns import replies_in, spoken, standing_for
from emgrid.models.base_model import BaseModel
from emgrid.models.engines import Engine, Request, canary, canary_reference
from emgrid.models.engines.own_replies import Row, depth_of, said, with_replies
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import canonical
from emgrid.runtime.progress_bar import bar
from emgrid.runtime.row_store import RowStore


@dataclass(frozen=True)
class DrawTask:
    """The answers of one arm: planned rows with "key", "messages" and "answer_seed", and their
    store. adapter: the folder of the arm's adapter; None for the base model.

    replies: rows of the model's own replies, which other rows name by key as `waits_for`.
    """

    planned: Sequence[dict[str, Any]]
    store: RowStore
    sampling: Sampling
    adapter: Path | None = None
    replies: Sequence[dict[str, Any]] = ()

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rows that are drawn, the model's own replies first."""
        return [*self.replies, *self.planned]

    def missing(self) -> list[dict[str, Any]]:
        """The rows that are not stored. A reply is drawn only for an answer that is not."""
        lacking = {row["key"]: row for row in self.planned if row["key"] not in self.store.rows}
        needed = {key for row in lacking.values() for key in row.get("waits_for", ())}
        replies = {row["key"]: row for row in self.replies if row["key"] in needed}
        return [row for key, row in (replies | lacking).items() if key not in self.store.rows]

    def request(self, row: dict[str, Any]) -> Request:
        """The request of a row whose replies are stored."""
        messages = spoken(row["messages"], said(row, self.store))
        return Request(row["key"], tuple(messages), row["answer_seed"], self.adapter)


@dataclass(frozen=True)
class EngineSettings:
    """model: model.json of the base model. batch_size: sequences that are computed at once."""

    model: Path
    device: str
    batch_size: int
    engines: Engines


def draw_missing(tasks: Sequence[DrawTask], settings: EngineSettings) -> list[int]:
    """Draw the answers that are not stored, appending them as they end; return how many each task
    lacked.

    Tasks of equal engine and precision share one loaded model; tasks of equal settings share one
    stream of requests.
    """
    missing = [task.missing() for task in tasks]
    lacking = [(task, rows) for task, rows in zip(tasks, missing, strict=True) if rows]
    lacking.sort(key=lambda item: (item[0].sampling.loaded_as, settings_of(item[0])))
    with bar(sum(map(len, missing)), "answer") as progress:
        for _, group in groupby(lacking, key=lambda item: item[0].sampling.loaded_as):
            draw_by_one_engine(list(group), settings, progress)
    return list(map(len, missing))


def draw_by_one_engine(
    group: Sequence[tuple[DrawTask, list[Row]]], settings: EngineSettings, progress: Any
) -> None:
    """Draw with one engine, which is freed on return, before another one is opened."""
    engine = open_engine([task for task, _ in group], settings)
    for _, equal in groupby(group, key=lambda item: settings_of(item[0])):
        tasks = list(equal)
        for depth in sorted({depth_of(row) for _, rows in tasks for row in rows}):
            level = [
                (task, [row for row in rows if depth_of(row) == depth]) for task, rows in tasks
            ]
            draw(engine, level, progress)


def settings_of(task: DrawTask) -> str:
    return canonical(task.sampling.model_dump(mode="json", exclude={"answers_per_question"}))


def draw(engine: Engine, group: Sequence[tuple[DrawTask, list[Row]]], progress: Any) -> None:
    """Draw the rows of tasks with equal settings; equal requests are drawn once and stored for
    every task that needs them."""
    requests: dict[str, Request] = {}
    writers: dict[str, list[RowStore]] = {}
    replies: dict[str, list[str]] = {}
    for task, missing in group:
        for row in missing:
            if row["key"] not in requests:
                requests[row["key"]] = task.request(row)
                replies[row["key"]] = said(row, task.store)
            writers.setdefault(row["key"], []).append(task.store)
    for completions in engine.complete(list(requests.values()), group[0][0].sampling):
        batches: dict[int, tuple[RowStore, list[dict[str, Any]]]] = {}
        for completion in completions:
            for store in writers[completion.key]:
                drawn = with_replies(completion.row(), replies[completion.key])
                batches.setdefault(id(store), (store, []))[1].append(drawn)
        for store, rows in batches.values():
            store.append(rows)
            progress.update(len(rows))


def open_engine(tasks: Sequence[DrawTask], settings: EngineSettings) -> Engine:
    """Open the engine of these tasks, after checking that all their adapters take effect."""
    base = BaseModel.read(settings.model)
    name, precision = tasks[0].sampling.engine, tasks[0].sampling.precision
    if name == "transformers":
        from emgrid.models.engines.transformers import TransformersEngine

        return TransformersEngine(base, precision, settings.device, settings.batch_size)
    from emgrid.models.engines.vllm import VllmEngine

    needed, context = longest(tasks, base), settings.engines.context
    if context is not None and context < needed:
        raise EmgridError(
            f"engines.context: {context} tokens, but the longest prompt with its answer takes "
            f"{needed}; raise it, or leave it out"
        )
    adapters = list(dict.fromkeys(task.adapter for task in tasks if task.adapter))
    references = {}
    if adapters:
        references = canary_reference.references(
            settings.model, adapters, precision, settings.device
        )
    engine = VllmEngine(
        base,
        precision,
        settings.device,
        settings.batch_size,
        adapters=adapters,
        context=needed,
        logprobs="processed",
        settings=settings.engines,
    )
    engine.prove(references)
    return engine


def longest(tasks: Sequence[DrawTask], base: BaseModel) -> int:
    """Tokens of the longest prompt plus answer, including the canary."""
    chat = base.chat()
    prompts = {
        canonical(row["messages"]): (row["messages"], task.sampling)
        for task in tasks
        for row in task.rows
    }
    lengths = [
        len(chat.prompt(standing_for(messages, ""), sampling.thinking))
        + (1 + replies_in(messages)) * sampling.max_tokens
        for messages, sampling in prompts.values()
    ]
    return max(*lengths, len(canary.tokens(chat).input_ids) + 1)
