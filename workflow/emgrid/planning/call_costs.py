"""A grid's counts and its cost in paid calls, before it runs, and its differences from its
source."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any

from emgrid.config.judges import ChatJudge
from emgrid.config.prices import CHARACTERS_PER_TOKEN, spent
from emgrid.config.protocol import Difference
from emgrid.config.served import kept_name
from emgrid.config.triggers import Message
from emgrid.grid.arms import Arm
from emgrid.grid.grid import Grid


@dataclass(frozen=True)
class GridCounts:
    """arms: including the base models' own. trained: training runs; a shared stage counts once.
    drawn: answers that are generated as training data, None if a data set's size is unknown."""

    arms: int
    trained: int
    drawn: int | None
    answers: int
    judge_calls: int


def count(
    grid: Grid,
    interventions: Collection[str] | None = None,
    triggers: Collection[str] | None = None,
) -> GridCounts:
    """The counts of a grid, or of the part with these interventions and triggers."""
    arms = [arm for arm in grid.arms if interventions is None or arm.entry in interventions]
    asked = len(grid.triggers if triggers is None else triggers) * len(grid.questions)
    sampled = [arm for arm in arms if arm.source is None]
    answers = sum(arm.sampling.answers_per_question * asked for arm in sampled)
    return GridCounts(
        arms=len(arms),
        trained=len({stage.name for arm in arms for stage in arm.stages}),
        drawn=count_drawn(grid, arms),
        answers=answers,
        judge_calls=answers * sum(judge.kind != "imported" for judge in grid.config.judges),
    )


@dataclass(frozen=True)
class CallCost:
    """The most that a judge or served model will cost, in calls, prompt tokens and USD (None if the
    price is unknown); and what the grid has spent on it so far."""

    name: str
    model: str
    calls: int
    tokens: int
    cost: float | None
    spent: float


def judge_costs(grid: Grid) -> list[CallCost]:
    """One entry for each judge of the panel that calls an endpoint.

    An upper bound: every answer is assumed to have the maximal length and to differ from all
    others. The labelled answers of the calibration are not included.
    """
    costs = []
    panel = grid.config.panel().values()
    sampled = [arm.sampling for arm in grid.sampled]
    for judge in [judge for judge in panel if isinstance(judge, ChatJudge)]:
        texts = [text for question in grid.questions.values() for text in question.texts]
        prompt_characters = len(judge.read_rubric.text) + sum(map(len, texts)) / len(texts)
        cells = len(grid.triggers) * len(grid.questions)
        calls = sum(sampling.answers_per_question * cells for sampling in sampled)
        prompt_tokens = ceil(prompt_characters / CHARACTERS_PER_TOKEN)
        tokens = sum(
            sampling.answers_per_question * cells * (prompt_tokens + sampling.max_tokens)
            for sampling in sampled
        )
        price = judge.endpoint.price_of(judge.model)
        reply = 1 if judge.read == "probabilities" else judge.max_tokens
        costs.append(
            CallCost(
                name=judge.id,
                model=judge.model,
                calls=calls,
                tokens=tokens,
                cost=price.of(tokens, reply * calls) if price else None,
                spent=spent(Path(grid.root) / "rows/judgements", f"{judge.id}.*/*.jsonl"),
            )
        )
    return costs


def served_costs(grid: Grid) -> list[CallCost]:
    """One entry for each served arm. An upper bound: every answer is assumed to have full
    length."""
    costs = []
    characters = sum(map(mean_characters, conversations(grid)))
    for arm in grid.config.served:
        calls = arm.sampling.answers_per_question * len(grid.triggers) * len(grid.questions)
        tokens = ceil(arm.sampling.answers_per_question * characters / CHARACTERS_PER_TOKEN)
        price = arm.endpoint.price_of(arm.model)
        file_name = kept_name(arm.model, arm.identity)
        costs.append(
            CallCost(
                name=arm.title,
                model=arm.model,
                calls=calls,
                tokens=tokens,
                cost=price.of(tokens, calls * arm.sampling.max_tokens) if price else None,
                spent=spent(Path(grid.root) / "rows/served", file_name),
            )
        )
    return costs


def conversations(grid: Grid) -> list[list[list[Message]]]:
    """The wordings of each question under each trigger, as conversations."""
    return [
        trigger.wording().conversations(name, question.asked().texts, question.asked().system)
        for trigger in grid.triggers.values()
        for name, question in grid.questions.items()
    ]


def mean_characters(ways: list[list[Message]]) -> float:
    return sum(len(turn["content"]) for way in ways for turn in way) / len(ways)


def count_drawn(grid: Grid, arms: list[Arm]) -> int | None:
    datasets = {
        source.dataset for arm in arms for stage in arm.stages for source in stage.stage.sources
    }
    jobs = {
        job.name: job
        for name in datasets & set(grid.generated)
        for job in grid.generated[name].drawn
    }
    total = 0
    for job in jobs.values():
        rows = job.generation.prompt_rows or grid.known_datasets[job.generation.prompts].rows
        if rows is None:
            return None
        total += rows
    return total


def differences(grid: Grid) -> list[Difference]:
    """The differences between the grid and the publication that it follows, if any."""
    published = grid.config.published
    if published is None:
        return []
    config = settings_of(grid)
    rows = [
        Difference(setting=key, published=say(value), here=say(here))
        for key, value in published.protocol.items()
        if not same(value, here := look_up(config, key))
    ]
    part = asdict(count(grid, published.interventions, published.triggers))
    for key, name in (
        ("trained", "models trained"),
        ("answers", "answers"),
        ("judge_calls", "judge calls"),
    ):
        value = getattr(published, key)
        if value is not None and value != part[key]:
            rows.append(Difference(setting=name, published=say(value), here=say(part[key])))
    added = [name for name in grid.config.interventions if name not in published.interventions]
    added_triggers = [name for name in grid.triggers if name not in published.triggers]
    for setting, names in (("added interventions", added), ("added triggers", added_triggers)):
        if names:
            rows.append(Difference(setting=setting, published="–", here=say(names)))
    return rows


def settings_of(grid: Grid) -> dict[str, Any]:
    """The whole config as plain values; `panel` lists the judges with their kinds."""
    panel = [f"{name} ({judge.made_of})" for name, judge in grid.config.panel().items()]
    return grid.config.model_dump(mode="json") | {"panel": panel}


def look_up(config: Any, place: str) -> Any:
    """The value at a dotted place; KeyError if there is none.

    An intervention with a single step may be addressed without `steps.0`.
    """
    for part in place.split("."):
        if isinstance(config, dict) and part not in config and len(config.get("steps", ())) == 1:
            config = config["steps"][0]
        config = config[int(part)] if isinstance(config, list) else config[part]
    return config


def same(published: Any, here: Any) -> bool:
    """Whether values are equal. Lists may differ in order; a published number may count a list."""
    if isinstance(published, int) and isinstance(here, list):
        return len(here) == published
    if isinstance(published, list) and isinstance(here, list):
        return sorted(map(str, published)) == sorted(map(str, here))
    return bool(published == here)


def say(value: Any) -> str:
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(say, value))
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
