"""Rates by question: one row an arm, one group a question, one marker a trigger."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emgrid.report.figures.pairs import LABEL
from emgrid.report.figures.spec import FigureSpec
from emgrid.report.figures.style import LINE, finish, handle, look, rates_from_zero, wrapped
from emgrid.report.figures.tables import CELL, RATE, answers_text, errors, of_arm, read

HEIGHT = 0.75  # inches of a row
MOST = 8  # questions side by side
SLOTS = 112  # markers that have room side by side at 7 inches


def draw_questions(figure: Figure, root: Path, spec: FigureSpec) -> None:
    table = read(root, "rates.csv")
    table = table[table["question"].notna()]
    arms = [arm for arm in spec.titles if arm in table.set_index(CELL[:3]).index]
    blocks = list(chunks(list(dict.fromkeys(table["question"])), spec))
    names = [name for block in blocks for name in block]
    lines = 1 + max(wrapped(name.replace("_", " "), 11).count("\n") for name in names)
    figure.set_figheight(len(blocks) * (len(arms) * HEIGHT + LINE * (lines + 1)))
    drawn = figure.subplots(len(blocks) * len(arms), 1, squeeze=False, sharey=True).ravel()
    for place, axes in enumerate(drawn):
        block, arm = blocks[place // len(arms)], arms[place % len(arms)]
        rows = table.set_index(CELL).sort_index().pipe(of_arm, arm)
        draw_row(axes, rows, block, spec)
        n = answers_text(rows)
        axes.set_ylabel(
            f"{wrapped(spec.titles[arm], LABEL)}\n{n}", rotation=0, ha="right", va="center"
        )
        last = arm == arms[-1]
        rates_from_zero(axes.yaxis, table[RATE.high].max())
        axes.tick_params(axis="x", length=0, labelbottom=last)
    finish(
        figure,
        f"misaligned, of all answers ({spec.confidence:.0%} interval; n is of each question)",
        [handle(label, **look(spec.place(name))) for name, label in spec.triggers],
    )


def chunks(questions: list[str], spec: FigureSpec) -> Iterator[list[str]]:
    """Questions that stand side by side."""
    room = SLOTS * spec.width / 7
    size = int(max(1, min(MOST, room // (len(spec.triggers) + 1))))
    for start in range(0, len(questions), size):
        yield questions[start : start + size]


def draw_row(axes: Axes, rows: pd.DataFrame, questions: list[str], spec: FigureSpec) -> None:
    """rows: of one arm, indexed by cell. A question has one slot a trigger, and a free one."""
    slots = len(spec.triggers) + 1
    by_trigger = rows.reset_index("trigger").set_index(["trigger", "question"])
    for place, (trigger, _) in enumerate(spec.triggers):
        found = by_trigger.reindex([(trigger, question) for question in questions])
        axes.errorbar(
            np.arange(len(questions)) * slots + place + 1,
            found[RATE.value],
            yerr=errors(found, RATE),
            linestyle="",
            elinewidth=0.7,
            **(look(spec.place(trigger)) | {"markersize": 3}),
        )
    for line in range(len(questions) + 1):
        axes.axvline(line * slots, color="0.85", linewidth=0.8, zorder=0)
    labels = [wrapped(question.replace("_", " "), 11) for question in questions]
    axes.set_xticks((np.arange(len(questions)) + 0.5) * slots, labels)
    axes.set_xlim(0, len(questions) * slots)
