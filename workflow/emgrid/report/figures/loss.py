"""The training loss of every arm, with its stages in a row."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from emgrid.report.figures.spec import FigureSpec
from emgrid.report.figures.style import COLOURS, finish, panels
from emgrid.report.figures.tables import ARM, NothingToDraw, read
from emgrid.runtime import layout

HEIGHT = 1.2  # inches
SMOOTHED = 50  # windows per stage; the curve is the mean over a window


def draw_loss(figure: Figure, root: Path, spec: FigureSpec) -> None:
    """One panel per arm, one line per seed, a dotted line where a stage ends."""
    arms = read(root, "arms.csv")
    arms = arms[arms["stage"] > 0]
    groups = dict(iter(arms.groupby(ARM, sort=False)))
    shown = [arm for arm in spec.titles if arm in groups]
    if not shown:
        raise NothingToDraw("no arm was trained here")
    titles = [f"{spec.titles[arm]}\n{size_of(groups[arm])}" for arm in shown]
    drawn = panels(figure, titles, HEIGHT, labels=0.5, sharey=True)
    for axes, arm in zip(drawn, shown, strict=True):
        for place, (_, stages) in enumerate(groups[arm].groupby("seed")):
            draw_stages(axes, stages, root, COLOURS[place % len(COLOURS)])
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    figure.supylabel("loss, nats per token", fontsize=8)
    finish(figure, "step of training")


def size_of(rows: pd.DataFrame) -> str:
    """The rows of each stage and the number of seeds, in words."""
    seeds = rows["seed"].nunique()
    sizes = rows.drop_duplicates("stage")["rows"]
    text = " then ".join(f"{int(size):,}" for size in sizes)
    return f"{text} rows, {seeds} seed{'s' if seeds > 1 else ''}"


def draw_stages(axes: Axes, stages: pd.DataFrame, root: Path, colour: str) -> None:
    first_step = 0
    for adapter in stages.sort_values("stage")["adapter"]:
        table = pd.read_csv(root / Path(adapter).parent / layout.LOSS)
        smooth = table["loss"].rolling(1 + len(table) // SMOOTHED, center=True, min_periods=1)
        axes.plot(first_step + table["step"], smooth.mean(), color=colour, alpha=0.8)
        if first_step:
            axes.axvline(first_step + 0.5, color="0.5", linewidth=0.8, linestyle=":")
        first_step += int(table["step"].iloc[-1])
