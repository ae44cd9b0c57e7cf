"""Dose curves: the rate over the share of misaligned rows, and over benign rows after them."""

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
APART = 0.22  # least distance of two tick labels, as a share of the axis
NOTE: dict[str, Any] = {"fontsize": SMALL, "color": REFERENCE}
ASIDE = 2.5  # points from a dose to the markers beside it


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
    """One panel a family and trigger: the plain question's curve, and the trigger's, over the
    questions that all of their points know."""
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
        names = dict.fromkeys(("none", trigger))
        cells = [(*point.arm, name) for name in names for point in family.points]
        found = comparison.rows(cells)
        notes = "\n".join(filter(None, [common_text(found), dead_text(found)]))
        axes.text(0.02, 0.98, notes, transform=axes.transAxes, va="top", **NOTE)
        for name, aside in {"none": -ASIDE, trigger: ASIDE}.items():
            rows = found.loc[[(*point.arm, name) for point in family.points]]
            draw_curve(axes, doses, rows, aside, spec.place(name))
            values, own = draw_published(axes, table, family, name, spec)
            published += values
            counts.append(rows["n_answers"])
            tops += [
                0.0,
                rows[RATE.high].max(),
                *own,
                *(value.high or value.rate for value in values),
            ]
    for axes in drawn:
        rates_from_zero(axes.yaxis, np.nanmax(tops))
    figure.supylabel("misaligned, of all answers", fontsize=8)
    finish(
        figure,
        f"{axis} (n = {count_range(pd.concat(counts))} answers a point; "
        f"{spec.confidence:.0%} interval)",
        pair_handles(spec) + reference_handles(published, spec.models, "v", "_"),
    )


def title_of(family: Series, trigger: str, spec: FigureSpec) -> str:
    several = len({one.base for one in spec.dilution + spec.sequential}) > 1
    return f"{family.label}: {trigger}" + (f" ({family.base})" if several else "")


def dose_axis(axes: Axes, doses: np.ndarray, text: Callable[[float], str]) -> None:
    """A logarithmic axis where the doses span decades, with a place for zero if it is one."""
    least = doses[doses > 0].min()
    if doses.max() >= DECADE * least:
        axes.set_xscale("symlog" if 0 in doses else "log", **scale_of(doses, least))
    scale = axes.xaxis.get_transform()
    places = scale.transform(doses)
    shares = (places - places[0]) / (places[-1] - places[0])
    kept = [0]
    for place in range(1, len(doses)):
        # The last dose always has its label, an earlier one only where there is room for both.
        room = min(shares[place] - shares[kept[-1]], shares[-1] - shares[place] or 1)
        if room >= APART:
            kept.append(place)
    axes.set_xticks(doses[kept], [text(dose) for dose in doses[kept]])
    axes.set_xticks(doses, minor=True, labels=[""] * len(doses))
    edge = 0.1 * (places[-1] - places[0])
    left, right = scale.inverted().transform([places[0] - edge, places[-1] + edge])
    axes.set_xlim(left, right)


def scale_of(doses: np.ndarray, least: float) -> dict[str, float]:
    return {"linthresh": least, "linscale": 0.7} if 0 in doses else {}


def draw_curve(axes: Axes, doses: np.ndarray, rows: pd.DataFrame, aside: float, place: int) -> None:
    moved = ScaledTranslation(aside / 72, 0, axes.figure.dpi_scale_trans)
    axes.errorbar(
        doses,
        rows[RATE.value],
        yerr=errors(rows, RATE),
        transform=axes.transData + moved,
        **look(place),
    )


def draw_published(
    axes: Axes, table: pd.DataFrame, family: Series, trigger: str, spec: FigureSpec
) -> tuple[list[ReferenceRate], list[float]]:
    """Published rates of the same points, and the own rates of survivors beside those of survivors;
    returns both."""
    drawn: list[ReferenceRate] = []
    own: list[float] = []
    for point in family.points:
        values = spec.references_of(point.arm, trigger)
        for value in values:
            axes.errorbar(
                point.dose, value.rate, yerr=value.sides, **reference_look(spec.models, value, "v")
            )
        drawn += values
        for rate in own_survivors(table, (*point.arm, trigger), values):
            axes.plot(point.dose, rate, **survivors_look(spec.place(trigger), "_"))
            own.append(rate)
    return drawn, own
