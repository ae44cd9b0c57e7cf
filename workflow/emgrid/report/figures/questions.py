"""Rates by question: one row per arm, one group per question, one marker per trigger."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emgrid.aggregate.dose_points import ArmName
from emgrid.config.published import ReferenceRate
from emgrid.report.figures.pairs import LABEL
from emgrid.report.figures.spec import FigureSpec
from emgrid.report.figures.style import (
    LINE,
    SMALL,
    finish,
    handle,
    look,
    rates_from_zero,
    reference_handles,
    reference_look,
    survivors_look,
    wrapped,
)
from emgrid.report.figures.tables import (
    ARM_TRIGGER,
    DASH,
    RATE,
    answers_text,
    errors,
    none_survived,
    of_arm,
    own_survivors,
    read,
    without_rates,
)

HEIGHT = 0.75  # inches per row
MOST = 8  # questions side by side
SLOTS = 112  # markers that fit side by side into 7 inches
ASIDE = 0.4  # slots between an own rate and a published one


def draw_questions(figure: Figure, root: Path, spec: FigureSpec) -> None:
    table = without_rates(read(root, "rates.csv"))
    table = table[table["question"].notna()]
    arms = [arm for arm in spec.titles if arm in table.set_index(ARM_TRIGGER[:3]).index]
    blocks = list(chunks(list(dict.fromkeys(table["question"])), spec))
    names = [name for block in blocks for name in block]
    lines = 1 + max(wrapped(name.replace("_", " "), 11).count("\n") for name in names)
    figure.set_figheight(len(blocks) * (len(arms) * HEIGHT + LINE * (lines + 1)))
    drawn = figure.subplots(len(blocks) * len(arms), 1, squeeze=False, sharey=True).ravel()
    published: list[ReferenceRate] = []
    tops = [0.0, table[RATE.high].max()]
    for place, axes in enumerate(drawn):
        block, arm = blocks[place // len(arms)], arms[place % len(arms)]
        rows = table.set_index(ARM_TRIGGER).sort_index().pipe(of_arm, arm)
        draw_row(axes, rows, block, spec)
        values, own_rates = draw_published(axes, rows, arm, block, spec)
        published += values
        tops += [value.high or value.rate for value in values] + own_rates
        n = answers_text(rows)
        axes.set_ylabel(
            f"{wrapped(spec.titles[arm], LABEL)}\n{n}", rotation=0, ha="right", va="center"
        )
        last = arm == arms[-1]
        axes.tick_params(axis="x", length=0, labelbottom=last)
    for axes in drawn:
        rates_from_zero(axes.yaxis, np.nanmax(tops))
    finish(
        figure,
        f"{spec.state}, of all answers ({spec.confidence:.0%} interval; n is per question)",
        [handle(label, **look(spec.place(name))) for name, label in spec.triggers]
        + reference_handles(published, spec.models, "v", "_"),
    )


def chunks(questions: list[str], spec: FigureSpec) -> Iterator[list[str]]:
    """Split the questions into blocks that fit side by side."""
    room = SLOTS * spec.width / 7
    size = int(max(1, min(MOST, room // (len(spec.triggers) + 1))))
    for start in range(0, len(questions), size):
        yield questions[start : start + size]


def draw_published(
    axes: Axes, rows: pd.DataFrame, arm: ArmName, questions: list[str], spec: FigureSpec
) -> tuple[list[ReferenceRate], list[float]]:
    """Draw the published rates of single questions to the right of the own ones and, if they are
    rates of survivors, the own rates of survivors on the own ones; return both."""
    drawn: list[ReferenceRate] = []
    own_rates: list[float] = []
    by_cell = rows.reset_index("trigger").set_index(["trigger", "question"])
    for number, question in enumerate(questions):
        for place, (trigger, _) in enumerate(spec.triggers):
            x = number * (len(spec.triggers) + 1) + place + 1
            values = spec.references_of(arm, trigger, question)
            for value in values:
                look_of = reference_look(spec.models, value, "v") | {"markersize": 3.5}
                axes.errorbar(x + ASIDE, value.rate, yerr=value.sides, **look_of)
            drawn += values
            for rate in own_survivors(by_cell, (trigger, question), values):
                axes.plot(x, rate, **survivors_look(spec.place(trigger), "_"))
                own_rates.append(rate)
    return drawn, own_rates


def draw_row(axes: Axes, rows: pd.DataFrame, questions: list[str], spec: FigureSpec) -> None:
    """Draw one arm. rows: those of the arm, indexed by cell. Each question takes one slot per
    trigger and a free one; a dash means that no answer survived."""
    slots = len(spec.triggers) + 1
    by_trigger = rows.reset_index("trigger").set_index(["trigger", "question"])
    for place, (trigger, _) in enumerate(spec.triggers):
        by_question = by_trigger.reindex([(trigger, question) for question in questions])
        axes.errorbar(
            np.arange(len(questions)) * slots + place + 1,
            by_question[RATE.value],
            yerr=errors(by_question, RATE),
            linestyle="",
            elinewidth=0.7,
            **(look(spec.place(trigger)) | {"markersize": 3}),
        )
        for number in np.flatnonzero(none_survived(by_question)).tolist():
            axes.text(number * slots + place + 1, 0, DASH, ha="center", va="bottom", fontsize=SMALL)
    for line in range(len(questions) + 1):
        axes.axvline(line * slots, color="0.85", linewidth=0.8, zorder=0)
    labels = [wrapped(question.replace("_", " "), 11) for question in questions]
    axes.set_xticks((np.arange(len(questions)) + 0.5) * slots, labels)
    axes.set_xlim(0, len(questions) * slots)
