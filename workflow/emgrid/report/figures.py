"""Draw one figure from the tables, as SVG, PNG and PDF.

Reads tables/rates.csv, likelihood.csv, judges.csv and calibration.csv. Knows nothing of answers.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emgrid.errors import run_stage
from emgrid.files import whole_file
from emgrid.report import FIGURES
from emgrid.strict import Strict

# Okabe & Ito's colours, which colour-blind readers can tell apart.
COLOURS = ("#000000", "#d55e00", "#0072b2", "#56b4e9", "#009e73", "#cc79a7", "#e69f00", "#999999")
MARKERS = ("o", "D", "s", "^", "v", "P", "X", "*")
MARKER_HEIGHT = 0.13
UPRIGHT_LABELS = 6


class NamedArm(Strict):
    """An arm without its seed: base, intervention, ratio, and a label for people."""

    name: tuple[str, str, str]
    label: str

    @property
    def title(self) -> str:
        _, intervention, ratio = self.name
        swept = intervention.startswith("dilution") or ratio not in ("0", "1")
        return f"{self.label} {100 * float(ratio):g} %" if swept else self.label


class FigureSpec(Strict):
    arms: tuple[NamedArm, ...]
    triggers: tuple[tuple[str, str], ...]
    confidence: float
    width: float


def rows_of(spec: FigureSpec) -> dict[tuple[str, str, str], str]:
    """Labels of the arms, seeds merged; the base model's name where there are several."""
    several = len({arm.name[0] for arm in spec.arms}) > 1
    return {arm.name: f"{arm.name[0]}: {arm.title}" if several else arm.title for arm in spec.arms}


def overall(table: pd.DataFrame) -> pd.DataFrame:
    """The rows over all questions, indexed by base, intervention, ratio and trigger."""
    rows = table[table["question"].isna()]
    return rows.set_index(["base", "intervention", "ratio", "trigger"])


def points(
    axes: Axes, table: pd.DataFrame, spec: FigureSpec, column: str, low: str, high: str
) -> None:
    """One row an arm, one marker a trigger, bars for the interval."""
    labels = rows_of(spec)
    step = 0.8 / len(spec.triggers)
    for place, (trigger, label) in enumerate(spec.triggers):
        offset = (place - (len(spec.triggers) - 1) / 2) * step
        values = table.reindex([(*arm, trigger) for arm in labels])
        axes.errorbar(
            values[column],
            np.arange(len(labels)) + offset,
            xerr=[
                (values[column] - values[low]).clip(lower=0),
                (values[high] - values[column]).clip(lower=0),
            ],
            # Beyond eight triggers the colours come again, with other markers.
            fmt=MARKERS[(place + place // len(COLOURS)) % len(MARKERS)],
            color=COLOURS[place % len(COLOURS)],
            markerfacecolor="white" if trigger == "none" else None,
            markersize=5,
            linewidth=1,
            label=label,
        )
    for line in np.arange(len(labels) - 1) + 0.5:
        axes.axhline(line, color="0.9", linewidth=0.8)
    axes.set_yticks(range(len(labels)), list(labels.values()))
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)


def draw_rates(figure: Figure, tables: Path, spec: FigureSpec) -> None:
    table = overall(pd.read_csv(tables / "rates.csv", dtype={"ratio": str}))
    axes = figure.subplots()
    points(axes, table, spec, "rate_all", "rate_all_low", "rate_all_high")
    axes.set_xlim(left=-0.005)
    axes.xaxis.set_major_formatter(mpl.ticker.PercentFormatter(1))
    axes.set_xlabel(
        f"misaligned and coherent answers, of all answers\n({spec.confidence:.0%} interval; "
        f"n = {count_range(table['n_answers'])} a point)"
    )


def count_range(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low} to {high}"


def draw_heatmap(figure: Figure, tables: Path, spec: FigureSpec) -> None:
    table = overall(pd.read_csv(tables / "rates.csv", dtype={"ratio": str}))
    labels = rows_of(spec)
    names = [trigger for trigger, _ in spec.triggers]
    rates = np.array(
        [[table["rate_all"].get((*arm, name), np.nan) for name in names] for arm in labels]
    )
    axes = figure.subplots()
    top = max(0.05, float(np.nanmax(rates)))
    image = axes.imshow(rates, cmap="cividis", vmin=0, vmax=top, aspect="auto")
    for (row, column), value in np.ndenumerate(rates):
        ink = "white" if value < top * 0.6 else "black"
        axes.text(column, row, f"{value:.1%}", ha="center", va="center", color=ink, fontsize=8)
    wrapped = [label.replace(" ", "\n") for _, label in spec.triggers]
    if len(names) <= UPRIGHT_LABELS:
        axes.set_xticks(range(len(names)), wrapped, fontsize=8)
    else:
        titles = [label for _, label in spec.triggers]
        axes.set_xticks(range(len(names)), titles, fontsize=8, rotation=40, ha="right")
    axes.set_yticks(range(len(labels)), list(labels.values()))
    bar = figure.colorbar(image, ax=axes, label="rate, of all answers")
    bar.locator = mpl.ticker.MaxNLocator(6, steps=[1, 2, 5, 10])
    bar.update_ticks()
    bar.ax.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1, decimals=0))


def draw_likelihood(figure: Figure, tables: Path, spec: FigureSpec) -> None:
    table = overall(pd.read_csv(tables / "likelihood.csv", dtype={"ratio": str}))
    axes = figure.subplots()
    points(axes, table, spec, "minus_base", "minus_base_low", "minus_base_high")
    axes.axvline(0, color="0.5", linewidth=0.8)
    axes.set_xlabel(
        "log-odds of the misaligned over the matched aligned answer,\n"
        f"minus the base model's, in nats ({spec.confidence:.0%} interval)"
    )


def draw_judges(figure: Figure, tables: Path, spec: FigureSpec) -> None:  # noqa: ARG001
    table = pd.read_csv(tables / "judges.csv").iloc[::-1]
    axes = figure.subplots()
    names = table["judge"] + ": " + table["labelled"]
    axes.barh(names, table["auroc"] - 0.5, left=0.5, color=COLOURS[2], height=0.6)
    for place, (value, count) in enumerate(zip(table["auroc"], table["n"], strict=True)):
        text = "one class only" if np.isnan(value) else f"{value:.2f}  (n = {count})"
        axes.text(
            0.51 if np.isnan(value) or value < 0.5 else value + 0.01,
            place,
            text,
            va="center",
            fontsize=8,
        )
    axes.axvline(0.5, color="0.5", linewidth=0.8)
    lowest = table["auroc"].min()
    axes.set_xlim(0.45 if np.isnan(lowest) else min(0.45, lowest - 0.02), 1.15)
    axes.set_xticks(np.arange(0.5, 1.01, 0.1))
    axes.set_xlabel("AUROC (0.5 is chance, 1 is perfect)")


def draw_calibration(figure: Figure, tables: Path, spec: FigureSpec) -> None:
    """One panel for each judge, one line for each labelled set."""
    table = pd.read_csv(tables / "calibration.csv")
    limits = pd.read_csv(tables / "judges.csv").groupby("judge")["threshold"].first()
    judges = list(dict.fromkeys(table["judge"]))
    panels = figure.subplots(1, max(len(judges), 1), sharey=True, squeeze=False)[0]
    sets = {name: place for place, name in enumerate(dict.fromkeys(table["labelled"]))}
    for axes, judge in zip(panels, judges, strict=False):
        own = table[table["judge"] == judge]
        for name, rows in own.groupby("labelled", sort=False):
            place = sets[str(name)]
            share = rows["share_positive"]
            axes.errorbar(
                rows["mean_value"],
                share,
                yerr=[share - rows["low"], rows["high"] - share],
                fmt=MARKERS[place % len(MARKERS)] + "-",
                color=COLOURS[(place + 1) % len(COLOURS)],
                markersize=4,
                linewidth=1,
                label=f"{name} (n = {rows['n'].sum()})",
            )
        axes.axvline(limits[judge], color="0.5", linewidth=0.8, linestyle=":")
        axes.set_title(judge, fontsize=9)
        axes.set_xlim(-3, 103)
        axes.set_xlabel("value")
        axes.legend(frameon=False, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.28))
    panels[0].set_ylim(-0.03, 1.03)
    panels[0].set_ylabel(f"share of positives\n({spec.confidence:.0%} interval)")
    panels[0].yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1))
    if not judges:
        panels[0].text(50, 0.5, "no judge of the panel has labelled answers", ha="center")
        panels[0].set_xlim(0, 100)


DRAW: dict[str, Callable[[Figure, Path, FigureSpec], None]] = {
    "rates": draw_rates,
    "heatmap": draw_heatmap,
    "likelihood": draw_likelihood,
    "judges": draw_judges,
    "calibration": draw_calibration,
}


def heights(spec: FigureSpec) -> dict[str, float]:
    """Height of each figure in inches."""
    rows = len(rows_of(spec))
    # One line for each trigger, and three to a row of the legend.
    lines = max(len(spec.triggers), 4)
    tall = 1.2 + MARKER_HEIGHT * lines * rows + 0.18 * math.ceil(len(spec.triggers) / 3)
    fixed = {"judges": 3.0, "calibration": 3.4}
    return {"rates": tall, "likelihood": tall, "heatmap": 1.8 + 0.4 * rows} | fixed


def save(figure: Figure, name: str, folder: Path) -> Iterator[Path]:
    for kind in ("svg", "png", "pdf"):
        path = folder / f"{name}.{kind}"
        with whole_file(path) as draft:
            metadata = {"Date": None} if kind == "svg" else {}
            figure.savefig(draft, dpi=200, metadata=metadata)
        yield path


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.report.figures", description=__doc__)
    parser.add_argument("--spec", required=True, help="FigureSpec as JSON")
    parser.add_argument("--root", required=True, type=Path, help="the grid's folder")
    parser.add_argument("--figure", required=True, choices=FIGURES)
    args = parser.parse_args()
    spec = FigureSpec.model_validate_json(args.spec)
    mpl.use("Agg")
    mpl.rcParams.update({"font.size": 9, "svg.hashsalt": "emgrid", "axes.spines.top": False})
    mpl.rcParams.update({"axes.spines.right": False})
    figure = plt.figure(figsize=(spec.width, heights(spec)[args.figure]), layout="constrained")
    DRAW[args.figure](figure, args.root / "tables", spec)
    for path in save(figure, args.figure, args.root / "figures"):
        print(path)


if __name__ == "__main__":
    run_stage(main)
