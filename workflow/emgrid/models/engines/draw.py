"""Drawing what is not kept yet, with one engine for all arms of a base model."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from emgrid.config.sections import Engines, Sampling
from emgrid.models.base_model import BaseModel
from emgrid.models.engines import Engine, Request, canary, canary_reference
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import canonical
from emgrid.runtime.progress_bar import bar
from emgrid.runtime.row_store import KeptRows


@dataclass(frozen=True)
class Work:
    """Answers of one model: planned rows with "key", "messages" and "answer_seed", and where they
    are kept. adapter: the folder of the base model's adapter, if it has one."""

    planned: Sequence[dict[str, Any]]
    kept: KeptRows
    sampling: Sampling
    adapter: Path | None = None

    def missing(self) -> list[Request]:
        rows = {row["key"]: row for row in self.planned if row["key"] not in self.kept.rows}
        return [
            Request(key, tuple(row["messages"]), row["answer_seed"], self.adapter)
            for key, row in rows.items()
        ]


@dataclass(frozen=True)
class Machine:
    """model: model.json of the base model. batch_size: sequences that are computed at once."""

    model: Path
    device: str
    batch_size: int
    engines: Engines


def draw_missing(works: Sequence[Work], machine: Machine) -> list[int]:
    """Draw what is not kept, appending as answers end; return how many each work lacked.

    Works of one precision share one loaded model, those of equal settings one stream of requests.
    """
    missing = [work.missing() for work in works]
    lacking = [(work, asked) for work, asked in zip(works, missing, strict=True) if asked]
    lacking.sort(key=lambda one: (one[0].sampling.loaded_as, settings_of(one[0])))
    with bar(sum(map(len, missing)), "answer") as progress:
        for _, alike in groupby(lacking, key=lambda one: one[0].sampling.loaded_as):
            draw_by_one_engine(list(alike), machine, progress)
    return list(map(len, missing))


def draw_by_one_engine(
    group: Sequence[tuple[Work, list[Request]]], machine: Machine, progress: Any
) -> None:
    """The engine is let go of on return, before another one is opened."""
    engine = open_engine([work for work, _ in group], machine)
    for _, same in groupby(group, key=lambda one: settings_of(one[0])):
        draw(engine, list(same), progress)


def settings_of(work: Work) -> str:
    return canonical(work.sampling.model_dump(mode="json", exclude={"answers_per_question"}))


def draw(engine: Engine, group: Sequence[tuple[Work, list[Request]]], progress: Any) -> None:
    """Draw the requests of works with equal settings; arms with one adapter share answers."""
    requests: dict[str, Request] = {}
    writers: dict[str, list[KeptRows]] = {}
    for work, asked in group:
        for request in asked:
            requests.setdefault(request.key, request)
            writers.setdefault(request.key, []).append(work.kept)
    for completions in engine.complete(list(requests.values()), group[0][0].sampling):
        held: dict[int, tuple[KeptRows, list[dict[str, Any]]]] = {}
        for one in completions:
            for kept in writers[one.key]:
                held.setdefault(id(kept), (kept, []))[1].append(one.row())
        for kept, rows in held.values():
            kept.append(rows)
            progress.update(len(rows))


def open_engine(works: Sequence[Work], machine: Machine) -> Engine:
    """The engine that these works ask for, with all their adapters proven live."""
    base = BaseModel.read(machine.model)
    name, precision = works[0].sampling.engine, works[0].sampling.precision
    if name == "transformers":
        from emgrid.models.engines.transformers import TransformersEngine

        return TransformersEngine(base, precision, machine.device, machine.batch_size)
    from emgrid.models.engines.vllm import VllmEngine

    needed, context = longest(works, base), machine.engines.context
    if context is not None and context < needed:
        raise EmgridError(
            f"engines.context: {context} tokens, but the longest prompt with its answer takes "
            f"{needed}; raise it, or leave it out"
        )
    adapters = list(dict.fromkeys(work.adapter for work in works if work.adapter))
    references = {}
    if adapters:
        references = canary_reference.references(machine.model, adapters, precision, machine.device)
    engine = VllmEngine(
        base,
        precision,
        machine.device,
        machine.batch_size,
        adapters=adapters,
        context=needed,
        logprobs="processed",
        settings=machine.engines,
    )
    engine.prove(references)
    return engine


def longest(works: Sequence[Work], base: BaseModel) -> int:
    """Tokens of the longest prompt with its answer, the canary's own among them."""
    chat = base.chat()
    asked = {
        canonical(row["messages"]): (row["messages"], work.sampling)
        for work in works
        for row in work.planned
    }
    lengths = [
        len(chat.prompt(list(messages), sampling.thinking)) + sampling.max_tokens
        for messages, sampling in asked.values()
    ]
    return max(*lengths, len(canary.tokens(chat).input_ids) + 1)
