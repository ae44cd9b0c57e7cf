"""Two measures of the same cells: the sampled rate against the likelihood."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from emgrid.aggregate.statistics import FEWEST_QUESTIONS
from emgrid.report.figures.spec import FigureSpec
from emgrid.report.figures.style import finish, handle, look, panels, rates_from_zero
from emgrid.report.figures.tables import (
    ARM_TRIGGER,
    RATE,
    SHIFT,
    Comparison,
    NothingToDraw,
    arms_in,
    count_range,
    errors,
    overall,
    read,
)

HEIGHT = 1.6  # inches


def draw_likelihood_and_rate(figure: Figure, root: Path, spec: FigureSpec) -> None:
    """One panel per trigger, one marker per arm, over the questions with both measures in all
    arms."""
    rates, shifts = read(root, "rates.csv"), read(root, "likelihood.csv")
    joined = pair_up(rates, shifts)
    table = overall(joined)
    arms = [arm for arm in spec.titles if arm in arms_in(table)]
    if not arms:
        raise NothingToDraw("no arm has both a likelihood and a rate")
    titles = [label for _, label in spec.triggers]
    drawn = panels(figure, titles, HEIGHT, labels=0.5, sharex=True, sharey=True)
    by_rate, by_shift = Comparison(joined, RATE), Comparison(joined, SHIFT)
    for axes, (trigger, _) in zip(drawn, spec.triggers, strict=True):
        axes.axvline(0, color="0.5", linewidth=0.8, zorder=0)
        cells = [(*arm, trigger) for arm in arms]
        compared = by_rate.rows(cells)
        compared[list(SHIFT)] = by_shift.rows(cells)[list(SHIFT)]
        for place, arm in enumerate(arms):
            rows = compared.loc[[(*arm, trigger)]]
            axes.errorbar(
                rows[SHIFT.value],
                rows[RATE.value],
                xerr=errors(rows, SHIFT),
                yerr=errors(rows, RATE),
                elinewidth=0.5,
                **look(place),
            )
        rates_from_zero(axes.yaxis, table[RATE.high].max())
    figure.supylabel(f"{spec.state}, of all answers", fontsize=8)
    finish(
        figure,
        "log-odds of the misaligned over the aligned answer, minus the base model's, in nats\n"
        f"({spec.confidence:.0%} intervals; n = {count_range(table['n_answers'])} sampled answers "
        "per point)",
        [handle(spec.titles[arm], **look(place)) for place, arm in enumerate(arms)],
    )


def pair_up(rates: pd.DataFrame, shifts: pd.DataFrame) -> pd.DataFrame:
    """Both measures of each cell, over all questions and for each question that has both. If one
    measure has further questions, its overall value is the mean over those with both, without an
    interval."""
    keys = [*ARM_TRIGGER, "question"]
    left, right = rates[[*keys, *RATE, "n_answers", "n_survivors"]], shifts[[*keys, *SHIFT]]
    joined = left.merge(right, on=keys)
    of_question = joined["question"].notna()
    joined = joined[~of_question | joined[[RATE.value, SHIFT.value]].notna().all(axis=1)]
    both = joined[joined["question"].notna()].groupby(ARM_TRIGGER)
    for measure, table in ((RATE, rates), (SHIFT, shifts)):
        valued = table[table["question"].notna() & table[measure.value].notna()]
        sizes = valued.groupby(ARM_TRIGGER).size()
        more = sizes > both.size().reindex(sizes.index, fill_value=0)
        enough = both.size() >= FEWEST_QUESTIONS
        means = both[measure.value].mean().where(enough)
        cells = pd.MultiIndex.from_frame(joined[ARM_TRIGGER])
        narrowed = joined["question"].isna() & more.reindex(cells, fill_value=True).to_numpy()
        joined.loc[narrowed, measure.value] = means.reindex(cells).to_numpy()[narrowed]
        joined.loc[narrowed, [measure.low, measure.high]] = np.nan
    return joined
