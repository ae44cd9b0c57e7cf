"""What a grid will cost, counted before anything runs, and how it differs from what it follows."""

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
    """arms: with the base model's own. trained: training runs, a shared stage counted once.
    drawn: answers drawn to be trained on, None where a data set's size is unknown."""

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
    """The counts of a grid, or of its part with these interventions and triggers."""
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
    """What a judge, or a served model, will cost at most, in calls, tokens of the prompts, and USD
    (None where the price is unknown); and what the grid has spent on it so far."""

    name: str
    model: str
    calls: int
    tokens: int
    cost: float | None
    spent: float


def judge_costs(grid: Grid) -> list[CallCost]:
    """One entry for each judge of the panel that calls an endpoint.

    An upper bound: every answer is taken to be as long as sampling allows, and unlike any other.
    The labelled answers of the calibration come on top.
    """
    costs = []
    panel = grid.config.panel().values()
    sampled = [arm.sampling for arm in grid.sampled]
    for judge in [judge for judge in panel if isinstance(judge, ChatJudge)]:
        texts = [text for question in grid.questions.values() for text in question.texts]
        asked = len(judge.read_rubric.text) + sum(map(len, texts)) / len(texts)
        cells = len(grid.triggers) * len(grid.questions)
        calls = sum(one.answers_per_question * cells for one in sampled)
        each = ceil(asked / CHARACTERS_PER_TOKEN)
        tokens = sum(one.answers_per_question * cells * (each + one.max_tokens) for one in sampled)
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
    """One entry for each served arm; an upper bound, as every answer may be of full length."""
    costs = []
    characters = sum(map(mean_characters, conversations(grid)))
    for arm in grid.config.served:
        calls = arm.sampling.answers_per_question * len(grid.triggers) * len(grid.questions)
        tokens = ceil(arm.sampling.answers_per_question * characters / CHARACTERS_PER_TOKEN)
        price = arm.endpoint.price_of(arm.model)
        kept = kept_name(arm.model, arm.identity)
        costs.append(
            CallCost(
                name=arm.title,
                model=arm.model,
                calls=calls,
                tokens=tokens,
                cost=price.of(tokens, calls * arm.sampling.max_tokens) if price else None,
                spent=spent(Path(grid.root) / "rows/served", kept),
            )
        )
    return costs


def conversations(grid: Grid) -> list[list[list[Message]]]:
    """The ways in which each question is asked under each trigger."""
    return [
        trigger.wording().conversations(name, question.asked().texts, question.asked().system)
        for trigger in grid.triggers.values()
        for name, question in grid.questions.items()
    ]


def mean_characters(ways: list[list[Message]]) -> float:
    return sum(len(turn["content"]) for way in ways for turn in way) / len(ways)


def count_drawn(grid: Grid, arms: list[Arm]) -> int | None:
    used = {
        source.dataset for arm in arms for stage in arm.stages for source in stage.stage.sources
    }
    drawn = {
        job.name: job for name in used & set(grid.generated) for job in grid.generated[name].drawn
    }
    total = 0
    for job in drawn.values():
        rows = job.generation.prompt_rows or grid.known_datasets[job.generation.prompts].rows
        if rows is None:
            return None
        total += rows
    return total


def differences(grid: Grid) -> list[Difference]:
    """What the grid does otherwise than the publication that it follows, if it follows one."""
    published = grid.config.published
    if published is None:
        return []
    config = settings_of(grid)
    found = [
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
            found.append(Difference(setting=name, published=say(value), here=say(part[key])))
    added = [name for name in grid.config.interventions if name not in published.interventions]
    cues = [name for name in grid.triggers if name not in published.triggers]
    for setting, names in (("added interventions", added), ("added triggers", cues)):
        if names:
            found.append(Difference(setting=setting, published="–", here=say(names)))
    return found


def settings_of(grid: Grid) -> dict[str, Any]:
    """The whole config as plain values; `panel` names its judges with their kinds."""
    panel = [f"{name} ({judge.made_of})" for name, judge in grid.config.panel().items()]
    return grid.config.model_dump(mode="json") | {"panel": panel}


def look_up(config: Any, place: str) -> Any:
    """The value at a dotted place; KeyError where there is none.

    The steps of an intervention with one step need not be spelled out.
    """
    for part in place.split("."):
        if isinstance(config, dict) and part not in config and len(config.get("steps", ())) == 1:
            config = config["steps"][0]
        config = config[int(part)] if isinstance(config, list) else config[part]
    return config


def same(published: Any, here: Any) -> bool:
    """Equal, or a list of as many as the published number says; lists in any order."""
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
