"""Two measures of the same cells: the likelihood beside the sampled rate."""

from pathlib import Path

from matplotlib.figure import Figure

from emgrid.report.figures.spec import FigureSpec
from emgrid.report.figures.style import finish, handle, look, panels, rates_from_zero
from emgrid.report.figures.tables import (
    RATE,
    SHIFT,
    NothingToDraw,
    arms_in,
    count_range,
    errors,
    overall,
    read,
)

HEIGHT = 1.6  # inches


def draw_likelihood_and_rate(figure: Figure, root: Path, spec: FigureSpec) -> None:
    """One panel a trigger, one marker an arm."""
    rates = overall(read(root, "rates.csv"))
    shifts = overall(read(root, "likelihood.csv"))[list(SHIFT)]
    table = shifts.join(rates[[*RATE, "n_answers"]], how="inner")
    arms = [arm for arm in spec.titles if arm in arms_in(table)]
    if not arms:
        raise NothingToDraw("no arm has both a likelihood and a rate")
    titles = [label for _, label in spec.triggers]
    drawn = panels(figure, titles, HEIGHT, labels=0.5, sharex=True, sharey=True)
    for axes, (trigger, _) in zip(drawn, spec.triggers, strict=True):
        axes.axvline(0, color="0.5", linewidth=0.8, zorder=0)
        for place, arm in enumerate(arms):
            rows = table.reindex([(*arm, trigger)])
            axes.errorbar(
                rows[SHIFT.value],
                rows[RATE.value],
                xerr=errors(rows, SHIFT),
                yerr=errors(rows, RATE),
                elinewidth=0.5,
                **look(place),
            )
        rates_from_zero(axes.yaxis, table[RATE.high].max())
    figure.supylabel("misaligned, of all answers", fontsize=8)
    finish(
        figure,
        "log-odds of the misaligned over the aligned answer, minus the base model's, in nats\n"
        f"({spec.confidence:.0%} intervals; n = {count_range(table['n_answers'])} sampled answers "
        "a point)",
        [handle(spec.titles[arm], **look(place)) for place, arm in enumerate(arms)],
    )
