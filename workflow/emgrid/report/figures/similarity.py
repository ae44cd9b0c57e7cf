"""The rise under each trigger against its similarity to the arm's training prompts."""

from pathlib import Path

from matplotlib.figure import Figure

from emgrid.report.figures.spec import FigureSpec
from emgrid.report.figures.style import SMALL, finish, handle, look, panels, percent_axis
from emgrid.report.figures.tables import (
    ARM_TRIGGER,
    CONTRAST,
    NothingToDraw,
    answers_text,
    arms_in,
    correlations,
    errors,
    of_arm,
    overall,
    read,
)

HEIGHT = 1.5  # inches


def draw_similarity(figure: Figure, root: Path, spec: FigureSpec) -> None:
    """One panel per arm, one marker per trigger."""
    near = read(root, "similarity.csv").set_index(ARM_TRIGGER)
    # A trigger's file states its relation, so it is the same for all arms.
    relations = near.reset_index().groupby("trigger")["relation"].first().str.replace("_", " ")
    table = near[["similarity"]]
    contrasts = read(root, "contrasts.csv")
    rises = contrasts[contrasts["kind"] == "trigger_minus_none"].set_index(ARM_TRIGGER)
    table = table.join(rises[[*CONTRAST, "n_questions"]], how="inner")
    most = table["n_questions"].max()
    rates = overall(read(root, "rates.csv"))
    arms = [arm for arm in spec.titles if arm in arms_in(table)]
    if not arms:
        raise NothingToDraw("no arm has both a similarity and a rise")
    ranks = correlations(root, "similarity")
    titles = [
        f"{spec.titles[arm]}\n{answers_text(of_arm(rates, arm))}{ranks.get((*arm, ''), '')}"
        for arm in arms
    ]
    for axes, arm in zip(
        panels(figure, titles, HEIGHT, labels=0.5, sharex=True, sharey=True), arms, strict=True
    ):
        axes.axhline(0, color="0.5", linewidth=0.8, zorder=0)
        axes.axvline(0, color="0.5", linewidth=0.8, zorder=0)
        for trigger, _ in spec.cues:
            rows = table.reindex([(*arm, trigger)])
            axes.errorbar(
                rows["similarity"],
                rows[CONTRAST.value],
                yerr=errors(rows, CONTRAST),
                **look(spec.place(trigger)),
            )
            for row in rows[rows["n_questions"] < most].dropna().itertuples():
                axes.annotate(
                    f"{row.n_questions:.0f} questions",
                    (row.similarity, row.difference),
                    xytext=(4, 2),
                    textcoords="offset points",
                    fontsize=SMALL,
                )
        percent_axis(axes.yaxis)
    figure.supylabel(f"{spec.state}: trigger minus plain question", fontsize=8)
    used = set(table.index.get_level_values("trigger"))
    finish(
        figure,
        "similarity of the prompt to the training prompts, minus the plain prompt's\n"
        f"(cosine; {spec.confidence:.0%} interval)",
        [
            handle(f"{label} ({relations[name]})", **look(spec.place(name)))
            for name, label in spec.cues
            if name in used
        ],
    )
