"""Each arm without and with each trigger: sampled rates, and the likelihood."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from emgrid.aggregate.dose_points import ArmName
from emgrid.config.published import ReferenceRate
from emgrid.report.figures.spec import FigureSpec
from emgrid.report.figures.style import (
    LINE,
    REFERENCE,
    SMALL,
    finish,
    handle,
    look,
    panels,
    rates_from_zero,
    reference_handles,
    reference_look,
    rows_down,
    survivors_look,
    wrapped,
)
from emgrid.report.figures.tables import (
    DASH,
    RATE,
    SHIFT,
    Comparison,
    Measure,
    answers_text,
    arms_in,
    common_text,
    errors,
    none_survived,
    of_arm,
    overall,
    own_survivors,
    read,
    seeds_text,
)

LABEL = 26  # characters per line of an arm's label
PLAIN, CUED, PUBLISHED, NEXT = -0.2, 0.02, 0.22, 0.12  # vertical positions of markers in a row


def row_labels(
    table: pd.DataFrame, spec: FigureSpec, n: Callable[[pd.DataFrame], str]
) -> dict[ArmName, str]:
    """Labels of the arms in a table that is indexed by cell. n: text on the size of an arm's
    rows."""
    return {
        arm: f"{wrapped(title, LABEL)}\n{n(of_arm(table, arm))}"
        for arm, title in spec.titles.items()
        if arm in arms_in(table)
    }


def row_height(labels: Iterable[str]) -> float:
    """Height in inches of a row that holds the tallest label."""
    return 0.12 + LINE * max(1 + label.count("\n") for label in labels)


def draw_pairs(
    figure: Figure,
    whole: pd.DataFrame,
    spec: FigureSpec,
    measure: Measure,
    labels: dict[ArmName, str],
) -> list[Axes]:
    """One panel per trigger, one row per arm: the plain question above, the trigger below it. A row
    covers the questions that both share with each other and with the base model under both."""
    shown = spec.cues or spec.triggers
    height = row_height(labels.values()) * len(labels)
    drawn = panels(figure, [label for _, label in shown], height, sharex=True, sharey=True)
    comparison = Comparison(whole, measure)
    for axes, (trigger, _) in zip(drawn, shown, strict=True):
        rows_down(axes, list(labels.values()))
        shown_triggers = list(dict.fromkeys(("none", trigger)))
        by_arm = {arm: row_of(comparison, arm, shown_triggers) for arm in labels}
        for name, offset in {"none": PLAIN, trigger: CUED}.items():
            rows = pd.concat([by_arm[arm].loc[[(*arm, name)]] for arm in labels])
            axes.errorbar(
                rows[measure.value],
                np.arange(len(labels)) + offset,
                xerr=errors(rows, measure),
                linestyle="",
                **look(spec.place(name)),
            )
            for place in np.flatnonzero(rows[measure.value].isna()).tolist():
                write(axes, why_missing(rows.iloc[[place]]), place + offset)
        for line, compared in enumerate(by_arm.values()):
            write(axes, common_text(compared), line + PUBLISHED)
    return drawn


def why_missing(row: pd.DataFrame) -> str:
    """Why a row of a comparison has no value."""
    if none_survived(row).all():
        return f"{DASH} no answer survived"
    return "not asked" if row["common"].isna().all() else "not compared"


def row_of(comparison: Comparison, arm: ArmName, triggers: Sequence[str]) -> pd.DataFrame:
    """An arm's rows under these triggers, comparable with each other and with the base model's."""
    cells = [(*arm, name) for name in triggers]
    base = [(arm[0], "base", "0", name) for name in triggers]
    return comparison.rows(list(dict.fromkeys([*cells, *base]))).loc[cells]


def write(axes: Axes, text: str, place: float) -> None:
    """Write text into a row, at the left end of the axis."""
    axes.annotate(
        text,
        (0, place),
        xycoords=("axes fraction", "data"),
        xytext=(3, 0),
        textcoords="offset points",
        va="center",
        fontsize=SMALL,
        color=REFERENCE,
    )


def pair_handles(spec: FigureSpec) -> list[Line2D]:
    """Legend entries for the plain question and, if there are any, the triggers."""
    cued = [handle("with the trigger", marker="D", color="0.3")]
    return [handle("no trigger", **look(0)), *(cued if spec.cues else [])]


def draw_references(
    axes: Axes, table: pd.DataFrame, arms: Sequence[ArmName], trigger: str, spec: FigureSpec
) -> tuple[list[ReferenceRate], list[float]]:
    """Draw the published rates of the same cells below the own ones and, if they are rates of
    survivors, the own rates of survivors on the own ones; return both."""
    drawn: list[ReferenceRate] = []
    own_rates: list[float] = []
    if not any(spec.references_of(arm, trigger) for arm in arms):
        return drawn, own_rates
    for place, arm in enumerate(arms):
        cells = {name: spec.references_of(arm, name) for name in dict.fromkeys(("none", trigger))}
        for row, model in enumerate(spec.models):
            values = [value for each in cells.values() for value in each if value.model == model]
            height = place + PUBLISHED + NEXT * row
            rates = [value.rate for value in values]
            axes.plot(rates, [height] * len(rates), color=REFERENCE, linewidth=0.7, linestyle=":")
            for value in values:
                axes.errorbar(
                    value.rate, height, xerr=value.sides, **reference_look(spec.models, value, "<")
                )
            drawn += values
        for name, values in cells.items():
            height = place + (PLAIN if name == "none" else CUED)
            for rate in own_survivors(table, (*arm, name), values):
                axes.plot(rate, height, **survivors_look(spec.place(name), "|"))
                own_rates.append(rate)
    return drawn, own_rates


def draw_rates(figure: Figure, root: Path, spec: FigureSpec) -> None:
    whole = read(root, "rates.csv")
    table = overall(whole)
    labels = row_labels(table, spec, answers_text)
    drawn = draw_pairs(figure, whole, spec, RATE, labels)
    published: list[ReferenceRate] = []
    tops = [table[RATE.high].max()]
    for axes, (trigger, _) in zip(drawn, spec.cues or spec.triggers, strict=True):
        values, own_rates = draw_references(axes, table, list(labels), trigger, spec)
        published += values
        tops += [value.high or value.rate for value in values] + own_rates
        axes.axvline(0, color="0.5", linewidth=0.8, zorder=0)
    for axes in drawn:
        rates_from_zero(axes.xaxis, np.nanmax(tops))
    finish(
        figure,
        f"{spec.state}, of all answers ({spec.confidence:.0%} interval)",
        pair_handles(spec) + reference_handles(published, spec.models),
    )


def draw_likelihood(figure: Figure, root: Path, spec: FigureSpec) -> None:
    whole = read(root, "likelihood.csv")
    table = overall(whole)
    labels = row_labels(table, spec, seeds_text)
    for axes in draw_pairs(figure, whole, spec, SHIFT, labels):
        axes.axvline(0, color="0.5", linewidth=0.8, zorder=0)
    finish(
        figure,
        "log-odds of the misaligned over the matched aligned answer, minus the base model's,\n"
        f"in nats ({spec.confidence:.0%} interval over {whole['question'].nunique()} questions)",
        pair_handles(spec),
    )
