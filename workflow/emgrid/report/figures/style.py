"""The common look of all figures: colours, fonts, panels, legends, files."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from emgrid.config.published import ReferenceRate
from emgrid.runtime.files import whole_file

# Okabe & Ito's colours, which colour-blind readers can tell apart.
COLOURS = ("#000000", "#d55e00", "#0072b2", "#56b4e9", "#009e73", "#cc79a7", "#e69f00", "#999999")
MARKERS = ("o", "D", "s", "^", "v", "P", "X", "*")
REFERENCE = "0.45"
REFERENCE_MARKERS = ("D", "s", "^", "P")
LINE = 0.14  # inches from one line of small text to the next
PANEL, LABELS = 1.35, 1.5  # smallest widths in inches of a panel and of a column of labels
SMALL = 7


def set_style() -> None:
    """Set the style, starting from matplotlib's defaults and not from the user's."""
    mpl.rcdefaults()
    mpl.use("Agg")
    mpl.rcParams.update(
        {
            "font.family": "DejaVu Sans",
            "font.size": 8,
            "axes.titlesize": 8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "xtick.labelsize": 7.5,
            "ytick.labelsize": 7.5,
            "legend.fontsize": 7.5,
            "legend.frameon": False,
            "lines.linewidth": 1,
            "lines.markersize": 4.5,
            "pdf.fonttype": 42,
            "svg.hashsalt": "emgrid",
        }
    )


def look(place: int) -> dict[str, Any]:
    """Colour and marker of the trigger, seed or set at this position; the first marker is open."""
    return {
        # After eight, the colours repeat with other markers.
        "marker": MARKERS[(place + place // len(COLOURS)) % len(MARKERS)],
        "color": COLOURS[place % len(COLOURS)],
        "markerfacecolor": COLOURS[place % len(COLOURS)] if place else "white",
    }


def wrapped(text: str, width: int) -> str:
    """The text with each line wrapped at `width` characters."""
    return "\n".join(textwrap.fill(line, width) for line in text.splitlines())


def panels(
    figure: Figure, titles: Sequence[str], height: float, labels: float = LABELS, **shared: Any
) -> list[Axes]:
    """Titled panels, as many per row as the figure's width allows; sets the figure's height.

    height: of the inside of one panel; labels: the width left of the first column; both in inches.
    """
    width = figure.get_figwidth()
    columns = int(max(1, min(len(titles), (width - labels) / PANEL)))
    rows = -(-len(titles) // columns)
    columns = -(-len(titles) // rows)  # spread evenly, so that no row is almost empty
    texts = [wrapped(title, int((width - labels) / columns * 15)) for title in titles]
    lines = 1 + max(text.count("\n") for text in texts)
    figure.set_figheight(rows * (height + 0.25 + LINE * lines))
    grid = figure.subplots(rows, columns, squeeze=False, **shared).ravel()
    for axes, text in zip(grid, texts, strict=False):
        axes.set_title(text)
        axes.tick_params(labelbottom=True)
    for axes in grid[len(titles) :]:
        axes.remove()
    return list(grid[: len(titles)])


def finish(figure: Figure, axis: str, handles: Iterable[Any] = ()) -> None:
    """Add the common name of the x axes and a legend below it, and make room for both."""
    handles = list(handles)
    height = 0.2 + 0.16 * (1 + axis.count("\n"))
    if handles:
        longest = max(len(handle.get_label()) for handle in handles)
        columns = int(max(1, min(len(handles), figure.get_figwidth() * 13 // (longest + 8))))
        # The name is the legend's title: matplotlib would draw an axis label over the legend.
        legend = figure.legend(
            handles=handles,
            title=axis,
            title_fontsize=8,
            loc="outside lower center",
            ncols=columns,
        )
        legend.get_title().set_multialignment("center")
        height += 0.17 * -(-len(handles) // columns)
    else:
        figure.supxlabel(axis, fontsize=8)
    figure.set_figheight(figure.get_figheight() + height)


def handle(label: str, **style: Any) -> Line2D:
    """A legend entry for a marker without a line."""
    return Line2D([], [], linestyle="", label=label, **style)


def rows_down(axes: Axes, labels: Sequence[str]) -> None:
    """Set up one row per label, the first at the top, with thin lines between them."""
    for line in np.arange(len(labels) - 1) + 0.5:
        axes.axhline(line, color="0.9", linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(labels) - 0.5, -0.5)


def percent(value: float, _: object = None) -> str:
    return f"{100 * value:.3g}%".replace("-", "−")


def percent_axis(axis: Any) -> None:
    """Format an axis of shares or their differences."""
    axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(percent))


def rates_from_zero(axis: Any, highest: float) -> None:
    """A percent axis from zero, with room for the markers there."""
    percent_axis(axis)
    edge = 0.04 * max(highest, 0.01)
    axis.axes.set(**{f"{axis.axis_name}lim": (-edge, highest + edge)})


def reference_look(models: Sequence[str], value: ReferenceRate, bound: str) -> dict[str, Any]:
    """Open and grey. A bound's marker points towards the rate; a plain question's is a circle."""
    marker = REFERENCE_MARKERS[models.index(value.model) % len(REFERENCE_MARKERS)]
    marker = "o" if value.trigger == "none" else marker
    return {
        "marker": bound if value.at_most else marker,
        "color": REFERENCE,
        "markerfacecolor": "none",
        "markersize": 4.5,
    }


def survivors_look(place: int, stroke: str) -> dict[str, Any]:
    """The own rate of survivors next to a published one: a stroke in the trigger's colour.

    stroke: `|` if rates are on the x axis, `_` if they are on the y axis.
    """
    colour = COLOURS[place % len(COLOURS)]
    return {"marker": stroke, "color": colour, "markersize": 7, "markeredgewidth": 1.4}


def reference_handles(
    shown: Sequence[ReferenceRate], models: Sequence[str], bound: str = "<", stroke: str = "|"
) -> list[Line2D]:
    """Legend entries for the published values that a figure shows, and for the own rates of
    survivors that are drawn with them."""
    handles = {}
    if any(value.of == "survivors" for value in shown):
        label = "own rate of survivors"
        handles[label] = handle(label, **survivors_look(0, stroke) | {"color": "0.3"})
    for value in shown:
        share = "" if value.of == "all" else ", of survivors"
        kind = "at most" if value.at_most else "plain" if value.trigger == "none" else value.model
        label = f"published ({kind}{share})"
        handles[label] = handle(label, **reference_look(models, value, bound))
    return list(handles.values())


def save(figure: Figure, name: str, folder: Path) -> Iterator[Path]:
    """Write SVG, PNG and PDF without dates, so that equal figures are equal files."""
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    for kind, metadata in dates.items():
        path = folder / f"{name}.{kind}"
        with whole_file(path) as draft:
            figure.savefig(draft, dpi=200, metadata=metadata)
        yield path
