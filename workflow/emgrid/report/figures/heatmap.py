"""Rates as a map: interventions down, triggers across."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from emgrid.report.figures.pairs import row_height, row_labels
from emgrid.report.figures.spec import FigureSpec
from emgrid.report.figures.style import LINE, SMALL, finish, percent_axis, wrapped
from emgrid.report.figures.tables import RATE, answers_text, overall, read

UPRIGHT = 6  # so many triggers have room for their labels side by side
DARK = 0.6  # below this share of the scale the map is too dark for black letters


def draw_heatmap(figure: Figure, root: Path, spec: FigureSpec) -> None:
    """Every cell with its rate and, below it, the interval in percent."""
    table = overall(read(root, "rates.csv"))
    labels = row_labels(table, spec, answers_text)
    names = [name for name, _ in spec.triggers]
    shape = (len(labels), len(names))
    cells = table.reindex([(*arm, name) for arm in labels for name in names])
    rates = cells[RATE.value].to_numpy().reshape(shape)
    figure.set_figheight(len(labels) * max(row_height(labels.values()), 2.6 * LINE) + 0.3)
    axes = figure.subplots()
    top = max(0.05, float(np.nanmax(rates)))
    axes.set_facecolor("0.93")
    image = axes.imshow(rates, cmap="cividis", vmin=0, vmax=top, aspect="auto")
    for place, row in enumerate(cells.itertuples()):
        value, low, high = (100 * getattr(row, name) for name in RATE)
        known = not np.isnan(value)
        text = f"{value:.1f}%\n{low:.0f}–{high:.0f}" if known else "not\nasked"
        ink = "white" if known and value < 100 * top * DARK else "black"
        column, line = place % shape[1], place // shape[1]
        axes.text(column, line, text, ha="center", va="center", color=ink, fontsize=SMALL)
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
    finish(figure, f"misaligned, of all answers (below: {spec.confidence:.0%} interval)")
