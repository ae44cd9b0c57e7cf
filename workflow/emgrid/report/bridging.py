"""The part of the page that compares judges of one measure on the grid's own answers."""

from typing import Any

from emgrid.aggregate.bridging import Bridge, Interval, bridges, panel_pairs
from emgrid.config.judges import Judge
from emgrid.report.format import interval, percent, points
from emgrid.report.results import Results
from emgrid.report.spec import ReportSpec


def bridging(results: Results, spec: ReportSpec) -> list[dict[str, Any]]:
    """The pairs of the panel that measure the same and have values of the same answers: each with
    its names and its rows, over all answers and under each trigger."""
    panel = [Judge(id=one.id, measures=one.measures, kind=one.made_of) for one in spec.judges]
    labels = {judge.id: judge.label for judge in spec.judges}
    triggers = {trigger.id: trigger.label for trigger in spec.triggers}
    pairs = []
    for old, new in panel_pairs(panel):
        whole, parts = bridges(results.answers, old, new, spec.metrics, panel)
        if not whole.n_both:
            continue
        rows = [shown("all answers", whole)]
        rows += [shown(triggers[part.part], part) for part in parts]
        pairs.append({"old": labels[old.id], "new": labels[new.id], "rows": rows})
    return pairs


def shown(name: str, row: Bridge) -> dict[str, str]:
    """One row as the page shows it."""
    return {
        "part": name,
        "n": f"{row.n_both:,} of {row.n:,}",
        "alpha": plain(row.alpha, 2),
        "kappa": plain(row.kappa, 2),
        "shift": plain(row.shift, 1),
        "rate_old": rate(row.rate_old),
        "rate_new": rate(row.rate_new),
        "rate_shift": f"{points(row.rate_shift.value)} [{interval(*row.rate_shift[1:])}]",
        "only": f"{row.only_old:,} / {row.only_new:,}",
    }


def plain(value: Interval, digits: int) -> str:
    """A number with its interval, as far as they are known."""
    if value.value != value.value:
        return "–"
    low, high = (f"{end:.{digits}f}" for end in value[1:])
    ends = "" if value.low != value.low else f" [{low}, {high}]"
    return f"{value.value:.{digits}f}{ends}".replace("-", "−")


def rate(value: Interval) -> str:
    return f"{percent(value.value)} [{percent(value.low)}, {percent(value.high)}]"
