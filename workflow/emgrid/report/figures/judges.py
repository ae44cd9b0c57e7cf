"""How well the judges do on labelled answers."""

import math
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import brentq

from emgrid.report.figures.spec import FigureSpec
from emgrid.report.figures.style import (
    COLOURS,
    MARKERS,
    SMALL,
    finish,
    handle,
    panels,
    percent_axis,
    rows_down,
    wrapped,
)
from emgrid.report.figures.tables import read

ROW, SIDE = 0.34, 1.5  # inches
LABEL = 34
NEAR = 1e-9
BELOW = 0.3  # rows between the AUROC and the one within questions
WITHIN: dict[str, Any] = {"marker": "D", "color": COLOURS[1], "markerfacecolor": "white"}


def auroc_interval(
    auroc: float, positives: int, negatives: int, confidence: float
) -> tuple[float, float]:
    """Score interval of an AUROC (Newcombe 2006, method 5), from its value and both class sizes."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    half = (positives + negatives) / 2 - 1

    def excess(true: float) -> float:
        spread = 1 + half * (1 - true) / (2 - true) + half * true / (1 + true)
        variance = true * (1 - true) * spread / (positives * negatives)
        return (auroc - true) ** 2 - z**2 * variance

    # At 0 and 1 the variance is 0, so `excess` has a root there that is not a bound.
    low = brentq(excess, 0, min(auroc, 1 - NEAR)) if auroc > 0 else 0.0
    high = brentq(excess, max(auroc, NEAR), 1) if auroc < 1 else 1.0
    return low, high


def draw_judges(figure: Figure, root: Path, spec: FigureSpec) -> None:
    """One row per judge and labelled set: the AUROC with its interval, and that within
    questions."""
    table = read(root, "judges.csv")
    figure.set_figheight(ROW * len(table) + 0.3)
    axes = figure.subplots()
    labels = []
    for place, row in enumerate(table.to_dict("records")):
        auroc = row["auroc"]
        positives = row["true_positives"] + row["false_negatives"]
        negatives = row["false_positives"] + row["true_negatives"]
        name = wrapped(f"{row['judge']}: {row['labelled']}", LABEL)
        labels.append(f"{name}\nn = {row['n']:,}, {positives:,} positives")
        if math.isnan(auroc):
            axes.text(0.51, place, "one class only", va="center", fontsize=SMALL)
            continue
        low, high = auroc_interval(auroc, positives, negatives, spec.confidence)
        sides = [[auroc - low], [high - auroc]]
        axes.errorbar(auroc, place, xerr=sides, marker="o", color=COLOURS[2])
        axes.text(1.02, place, f"{auroc:.2f}", va="center", fontsize=SMALL)
        within = row["auroc_within"]
        if not math.isnan(within):
            axes.plot(within, place + BELOW, **WITHIN)
            axes.text(1.02, place + BELOW, f"{within:.2f}", va="center", fontsize=SMALL)
    rows_down(axes, labels)
    axes.axvline(0.5, color="0.5", linewidth=0.8, linestyle=":")
    least = np.nan_to_num(table[["auroc", "auroc_within"]].min().min(), nan=1)
    axes.set_xlim(min(0.45, least - 0.1), 1.1)
    axes.set_xticks(np.arange(0.5, 1.01, 0.1))
    finish(
        figure,
        f"AUROC (0.5 is chance, 1 is perfect; {spec.confidence:.0%} interval)",
        [handle("over all answers", marker="o", color=COLOURS[2]),
         handle("within questions, the mean", **WITHIN)],
    )  # fmt: skip


def draw_calibration(figure: Figure, root: Path, spec: FigureSpec) -> None:
    """One panel per judge, one line per labelled set."""
    table = read(root, "calibration.csv")
    limits = read(root, "judges.csv").groupby("judge")["threshold"].first()
    judges = list(dict.fromkeys(table["judge"]))
    sets = list(dict.fromkeys(table["labelled"]))
    titles = [f"{judge}\nn = {sizes(table[table['judge'] == judge])}" for judge in judges]
    drawn = panels(figure, titles, SIDE, labels=0.5, sharex=True, sharey=True)
    for axes, judge in zip(drawn, judges, strict=True):
        for name, rows in table[table["judge"] == judge].groupby("labelled", sort=False):
            share = rows["share_positive"]
            sides = [(share - rows["low"]).clip(lower=0), (rows["high"] - share).clip(lower=0)]
            axes.errorbar(rows["mean_value"], share, yerr=sides, **look_of(sets.index(name)))
        axes.axvline(limits[judge], color="0.5", linewidth=0.8, linestyle=":")
        percent_axis(axes.yaxis)
    drawn[0].set_xlim(-3, 103)
    drawn[0].set_ylim(-0.03, 1.03)
    figure.supylabel("positives", fontsize=8)
    finish(
        figure,
        f"value given by the judge ({spec.confidence:.0%} interval)",
        [handle(name, **look_of(place)) for place, name in enumerate(sets)],
    )


def look_of(place: int) -> dict[str, Any]:
    return {"marker": MARKERS[place % len(MARKERS)], "color": COLOURS[(place + 1) % len(COLOURS)]}


def sizes(rows: Any) -> str:
    """The number of labelled answers in each set."""
    return ", ".join(f"{n:,}" for n in rows.groupby("labelled", sort=False)["n"].sum())
