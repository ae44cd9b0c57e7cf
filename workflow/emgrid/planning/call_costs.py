"""What the calls of a grid's endpoints will cost at most, counted before anything runs."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path

from emgrid.config.judges import ChatJudge
from emgrid.config.prices import CHARACTERS_PER_TOKEN, spent
from emgrid.config.served import kept_name
from emgrid.config.triggers import Message
from emgrid.config.turns import replies_in, standing_for
from emgrid.grid.grid import Grid
from emgrid.planning.search_work import search_work
from emgrid.runtime import layout


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
    panel = grid.catalogue.panel.values()
    sampled = [arm.sampling for arm in grid.sampled]
    for judge in [judge for judge in panel if isinstance(judge, ChatJudge)]:
        texts = [text for question in grid.questions.values() for text in question.texts]
        prompt_characters = len(judge.read_rubric.text) + sum(map(len, texts)) / len(texts)
        cells = len(grid.triggers) * len(grid.questions)
        confirmed = sum(work.answers for work in search_work(grid))
        calls = sum(sampling.answers_per_question * cells for sampling in sampled) + confirmed
        prompt_tokens = ceil(prompt_characters / CHARACTERS_PER_TOKEN)
        tokens = sum(
            sampling.answers_per_question * cells * (prompt_tokens + sampling.max_tokens)
            for sampling in sampled
        )
        # Cues are asked of all models, whose answers may have these lengths.
        longest = max((sampling.max_tokens for sampling in sampled), default=0)
        tokens += confirmed * (prompt_tokens + longest)
        calls, tokens = calls * judge.draws, tokens * judge.draws
        price = judge.endpoint.price_of(judge.model)
        reply = 1 if judge.read == "probabilities" else judge.max_tokens
        costs.append(
            CallCost(
                name=judge.id,
                model=judge.model,
                calls=calls,
                tokens=tokens,
                cost=price.of(tokens, reply * calls) if price else None,
                spent=spent(Path(grid.root) / layout.STORED_JUDGEMENTS, f"{judge.id}.*/*.jsonl"),
            )
        )
    return costs


def served_costs(grid: Grid) -> list[CallCost]:
    """One entry for each served arm. An upper bound: every answer is assumed to have full
    length."""
    costs = []
    asked = conversations(grid)
    characters = sum(map(mean_characters, asked))
    for arm in grid.config.served:
        calls = ceil(arm.sampling.answers_per_question * sum(map(mean_draws, asked)))
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
                spent=spent(Path(grid.root) / layout.STORED_SERVED, file_name),
            )
        )
    return costs


def conversations(grid: Grid) -> list[list[list[Message]]]:
    """The wordings of each question under each trigger, as conversations."""
    return [
        question.conversations(name, trigger.wording())
        for trigger in grid.triggers.values()
        for name, question in grid.questions.items()
    ]


def mean_draws(ways: list[list[Message]]) -> float:
    """Draws for one answer: itself, and the model's own replies before it."""
    return sum(1 + replies_in(way) for way in ways) / len(ways)


def mean_characters(ways: list[list[Message]]) -> float:
    return sum(len(turn["content"]) for way in ways for turn in standing_for(way, "")) / len(ways)
