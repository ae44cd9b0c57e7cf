"""How much a grid has, counted from its config: arms, trainings, answers, judge calls."""

from collections.abc import Collection
from dataclasses import dataclass

from emgrid.grid.arms import Arm
from emgrid.grid.grid import Grid


@dataclass(frozen=True)
class Counts:
    """arms: with the base models' own. trained: training runs; a shared one counts once. drawn:
    answers generated to be trained on, None if the size of a data set is unknown."""

    arms: int
    trained: int
    drawn: int | None
    answers: int
    judge_calls: int


def count(
    grid: Grid,
    interventions: Collection[str] | None = None,
    triggers: Collection[str] | None = None,
) -> Counts:
    """Count a grid, or its part with these interventions and triggers."""
    arms = [arm for arm in grid.arms if interventions is None or arm.entry in interventions]
    cells = len(grid.triggers if triggers is None else triggers) * len(grid.questions)
    sampled = [arm for arm in arms if arm.source is None]
    answers = sum(arm.sampling.answers_per_question * cells for arm in sampled)
    return Counts(
        arms=len(arms),
        trained=len({run.name for arm in arms for stage in arm.stages for run in stage.trained}),
        drawn=count_drawn(grid, arms),
        answers=answers,
        judge_calls=answers * sum(judge.kind != "imported" for judge in grid.config.judges),
    )


def count_drawn(grid: Grid, arms: list[Arm]) -> int | None:
    datasets = {
        source.dataset for arm in arms for stage in arm.stages for source in stage.mixture.sources
    }
    jobs = {
        job.name: job
        for name in datasets & set(grid.generated)
        for job in grid.generated[name].drawn
    }
    total = 0
    for job in jobs.values():
        rows = job.generation.prompt_rows or grid.catalogue.datasets[job.generation.prompts].rows
        if rows is None:
            return None
        total += rows
    return total
