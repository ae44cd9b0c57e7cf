"""Dose curves: the rate over the share of misaligned rows, and over the benign rows that follow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from emgrid.aggregate.dose_points import Series
from emgrid.config.published import ReferenceRate
from emgrid.report.figures.pairs import pair_handles
from emgrid.report.figures.spec import FigureSpec
from emgrid.report.figures.style import (
    REFERENCE,
    SMALL,
    finish,
    look,
    panels,
    percent,
    rates_from_zero,
    reference_handles,
    reference_look,
    survivors_look,
)
from emgrid.report.figures.tables import (
    RATE,
    Comparison,
    NothingToDraw,
    common_text,
    correlations,
    count_range,
    dead_text,
    errors,
    overall,
    own_survivors,
    read,
)

HEIGHT = 1.5  # inches
DECADE = 10
APART = 0.22  # smallest distance of two tick labels, as a share of the axis
NOTE: dict[str, Any] = {"fontsize": SMALL, "color": REFERENCE}
ASIDE = 2.5  # typographic points between a dose and the markers on both sides of it


def draw_dilution(figure: Figure, root: Path, spec: FigureSpec) -> None:
    axis = "share of misaligned rows"
    draw_curves(figure, root, spec, spec.dilution, "ratio", axis, percent)


def draw_sequential(figure: Figure, root: Path, spec: FigureSpec) -> None:
    axis = "rows of benign training after the misaligned rows"
    draw_curves(figure, root, spec, spec.sequential, "benign_rows", axis, "{:,g}".format)


def draw_curves(
    figure: Figure,
    root: Path,
    spec: FigureSpec,
    families: tuple[Series, ...],
    over: str,
    axis: str,
    text: Callable[[float], str],
) -> None:
    """One panel per family and trigger: the plain question's curve and the trigger's, over the
    questions that all of their points share."""
    if not families:
        raise NothingToDraw("no arms differ in this setting alone")
    whole = read(root, "rates.csv")
    table, comparison = overall(whole), Comparison(whole, RATE)
    ranks = correlations(root, over)
    shown = [(family, cue) for family in families for cue in spec.cues or spec.triggers]
    titles = [
        title_of(family, label, spec) + ranks.get((family.base, family.family, "", trigger), "")
        for family, (trigger, label) in shown
    ]
    drawn = panels(figure, titles, HEIGHT, labels=0.5, sharey=True)
    published: list[ReferenceRate] = []
    counts, tops = [], []
    for axes, (family, (trigger, _)) in zip(drawn, shown, strict=True):
        doses = np.array([point.dose for point in family.points])
        dose_axis(axes, doses, text)
        shown_triggers = dict.fromkeys(("none", trigger))
        cells = [(*point.arm, name) for name in shown_triggers for point in family.points]
        compared = comparison.rows(cells)
        notes = "\n".join(filter(None, [common_text(compared), dead_text(compared)]))
        axes.text(0.02, 0.98, notes, transform=axes.transAxes, va="top", **NOTE)
        for name, shift in {"none": -ASIDE, trigger: ASIDE}.items():
            rows = compared.loc[[(*point.arm, name) for point in family.points]]
            draw_curve(axes, doses, rows, shift, spec.place(name))
            values, own_rates = draw_published(axes, table, family, name, spec)
            published += values
            counts.append(rows["n_answers"])
            tops += [
                0.0,
                rows[RATE.high].max(),
                *own_rates,
                *(value.high or value.rate for value in values),
            ]
    for axes in drawn:
        rates_from_zero(axes.yaxis, np.nanmax(tops))
    figure.supylabel(f"{spec.state}, of all answers", fontsize=8)
    finish(
        figure,
        f"{axis} (n = {count_range(pd.concat(counts))} answers per point; "
        f"{spec.confidence:.0%} interval)",
        pair_handles(spec) + reference_handles(published, spec.models, "v", "_"),
    )


def title_of(family: Series, trigger: str, spec: FigureSpec) -> str:
    several = len({series.base for series in spec.dilution + spec.sequential}) > 1
    return f"{family.label}: {trigger}" + (f" ({family.base})" if several else "")


def dose_axis(axes: Axes, doses: np.ndarray, text: Callable[[float], str]) -> None:
    """Ticks at the doses, on a logarithmic axis if they span decades, with a place for a zero dose.

    doses: shape (points,), ascending. text: how a dose is written.
    """
    least = doses[doses > 0].min()
    if doses.max() >= DECADE * least:
        axes.set_xscale("symlog" if 0 in doses else "log", **scale_of(doses, least))
    scale = axes.xaxis.get_transform()
    places = scale.transform(doses)
    shares = (places - places[0]) / (places[-1] - places[0])
    labelled = [0]
    for place in range(1, len(doses)):
        # The last dose always has a label, an earlier one only if there is room for both.
        room = min(shares[place] - shares[labelled[-1]], shares[-1] - shares[place] or 1)
        if room >= APART:
            labelled.append(place)
    axes.set_xticks(doses[labelled], [text(dose) for dose in doses[labelled]])
    axes.set_xticks(doses, minor=True, labels=[""] * len(doses))
    edge = 0.1 * (places[-1] - places[0])
    left, right = scale.inverted().transform([places[0] - edge, places[-1] + edge])
    axes.set_xlim(left, right)


def scale_of(doses: np.ndarray, least: float) -> dict[str, float]:
    return {"linthresh": least, "linscale": 0.7} if 0 in doses else {}


def draw_curve(axes: Axes, doses: np.ndarray, rows: pd.DataFrame, shift: float, place: int) -> None:
    translation = ScaledTranslation(shift / 72, 0, axes.figure.dpi_scale_trans)
    axes.errorbar(
        doses,
        rows[RATE.value],
        yerr=errors(rows, RATE),
        transform=axes.transData + translation,
        **look(place),
    )


def draw_published(
    axes: Axes, table: pd.DataFrame, family: Series, trigger: str, spec: FigureSpec
) -> tuple[list[ReferenceRate], list[float]]:
    """Draw the published rates of the same points and, next to rates of survivors, the own rates of
    survivors; return both."""
    drawn: list[ReferenceRate] = []
    own_rates: list[float] = []
    for point in family.points:
        values = spec.references_of(point.arm, trigger)
        for value in values:
            axes.errorbar(
                point.dose, value.rate, yerr=value.sides, **reference_look(spec.models, value, "v")
            )
        drawn += values
        for rate in own_survivors(table, (*point.arm, trigger), values):
            axes.plot(point.dose, rate, **survivors_look(spec.place(trigger), "_"))
            own_rates.append(rate)
    return drawn, own_rates
