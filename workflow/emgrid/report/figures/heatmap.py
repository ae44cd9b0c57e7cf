"""Rates as a map: interventions down, triggers across."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from emgrid.report.dark_figures import FIXED
from emgrid.report.figures.pairs import row_height, row_labels
from emgrid.report.figures.spec import FigureSpec
from emgrid.report.figures.style import LINE, SMALL, finish, percent_axis, wrapped
from emgrid.report.figures.tables import (
    ARM_TRIGGER,
    DASH,
    RATE,
    CellName,
    answers_text,
    none_survived,
    overall,
    read,
    without_rates,
)

UPRIGHT = 6  # most triggers whose labels fit side by side
DARK = 0.6  # share of the scale below which the map is too dark for black text


def draw_heatmap(figure: Figure, root: Path, spec: FigureSpec) -> None:
    """Every cell with its rate and, below it, the interval in percent. A cell that was asked other
    questions than most cells shows its rate, but without a colour; a cell without survivors shows a
    dash."""
    whole = read(root, "rates.csv")
    table = overall(whole)
    labels = row_labels(table, spec, answers_text)
    names = [name for name, _ in spec.triggers]
    shape = (len(labels), len(names))
    cells = table.reindex([(*arm, name) for arm in labels for name in names])
    known = cells[RATE.value].notna().to_numpy()
    dead = none_survived(cells).to_numpy()
    usual = alike(whole, list(cells.index))
    rates = without_rates(cells)[RATE.value].where(usual).to_numpy().reshape(shape)
    lines = 2.6 if usual[known].all() else 4.2
    figure.set_figheight(len(labels) * max(row_height(labels.values()), lines * LINE) + 0.3)
    axes = figure.subplots()
    top = float(np.nanmax(rates, initial=0.05))
    axes.set_facecolor("0.93")
    image = axes.imshow(rates, cmap="cividis", vmin=0, vmax=top, aspect="auto")
    for place, row in enumerate(cells.itertuples()):
        value, low, high = (100 * getattr(row, name) for name in RATE)
        text = f"{value:.1f}%\n{low:.0f}–{high:.0f}" if known[place] else "not\nasked"
        if dead[place]:
            text = DASH
        elif known[place] and not usual[place]:
            text += "\nother\nquestions"
        coloured = known[place] and usual[place] and not dead[place]
        ink = "white" if coloured and value < 100 * top * DARK else "black"
        column, line = place % shape[1], place // shape[1]
        written = axes.text(column, line, text, ha="center", va="center", color=ink, fontsize=SMALL)
        if coloured:
            written.set_gid(f"{FIXED}{place}")
    if len(names) <= UPRIGHT:
        axes.set_xticks(range(len(names)), [wrapped(title, 13) for _, title in spec.triggers])
    else:
        titles = [title for _, title in spec.triggers]
        axes.set_xticks(range(len(names)), titles, rotation=40, ha="right", rotation_mode="anchor")
        figure.set_figheight(figure.get_figheight() + 0.04 * max(map(len, titles)))
    axes.set_yticks(range(len(labels)), list(labels.values()))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01)
    percent_axis(bar.ax.yaxis)
    bar.outline.set_visible(False)
    finish(figure, f"{spec.state}, of all answers (below: {spec.confidence:.0%} interval)")


def alike(whole: pd.DataFrame, cells: list[CellName]) -> np.ndarray:
    """Whether each cell was asked the most frequent set of questions; of equally frequent sets, the
    larger one counts. Returns booleans, shape (cells,)."""
    by_question = whole[whole["question"].notna() & whole[RATE.value].notna()]
    sets = by_question.groupby(ARM_TRIGGER)["question"].agg(frozenset).to_dict()
    questions = [sets.get(cell) for cell in cells]
    counts = Counter(asked_set for asked_set in questions if asked_set)
    most = max(counts, key=lambda asked_set: (counts[asked_set], len(asked_set)), default=None)
    return np.array([asked_set is not None and asked_set == most for asked_set in questions])
