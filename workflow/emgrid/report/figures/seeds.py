"""Each seed's rate as a dot, next to the mean over seeds and its interval."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from emgrid.report.figures.pairs import row_height, row_labels, why_missing, write
from emgrid.report.figures.spec import FigureSpec
from emgrid.report.figures.style import finish, handle, look, panels, rates_from_zero, rows_down
from emgrid.report.figures.tables import (
    ARM_TRIGGER,
    RATE,
    NothingToDraw,
    answers_text,
    errors,
    none_survived,
    overall,
    read,
    without_rates,
)

MEAN, DOTS = -0.15, 0.15  # vertical positions in a row


def draw_seeds(figure: Figure, root: Path, spec: FigureSpec) -> None:
    """One panel per trigger, one row per arm with several seeds."""
    table = overall(read(root, "rates.csv"))
    dots = read(root, "seeds.csv").set_index(ARM_TRIGGER)
    labels = row_labels(table[table["n_seeds"] > 1], spec, answers_text)
    if not labels:
        raise NothingToDraw("no arm has more than one seed")
    height = row_height(labels.values()) * len(labels)
    titles = [label for _, label in spec.triggers]
    drawn = panels(figure, titles, height, sharex=True, sharey=True)
    for axes, (trigger, _) in zip(drawn, spec.triggers, strict=True):
        rows_down(axes, list(labels.values()))
        rows = without_rates(table.reindex([(*arm, trigger) for arm in labels]))
        dead = none_survived(rows)
        axes.errorbar(
            rows[RATE.value],
            np.arange(len(labels)) + MEAN,
            xerr=errors(rows, RATE),
            linestyle="",
            **look(spec.place(trigger)),
        )
        for place, arm in enumerate(labels):
            if dead.iloc[place]:
                write(axes, why_missing(rows.iloc[[place]]), place + MEAN)
                continue
            seed_rates = dots[dots.index == (*arm, trigger)][RATE.value]
            axes.plot(
                seed_rates,
                [place + DOTS] * len(seed_rates),
                ".",
                color="0.3",
                alpha=0.6,
                markersize=6,
            )
        highest = max(table[RATE.high].max(), dots[RATE.value].max())
        rates_from_zero(axes.xaxis, highest)
    finish(
        figure,
        f"{spec.state}, of all answers ({spec.confidence:.0%} interval over "
        f"seeds{' and' if spec.fixed_questions else ', questions and'} answers)",
        [
            handle("mean over seeds", marker="D", color="0.3"),
            handle("one seed", marker=".", color="0.3", alpha=0.6, markersize=6),
        ],
    )
