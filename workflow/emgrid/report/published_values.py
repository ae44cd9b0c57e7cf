"""Published rates next to the grid's own, with what differs between the two."""

import re
from typing import Any

from emgrid.config.published import READ, ReferenceRate
from emgrid.report.format import listed, percent
from emgrid.report.results import Results, rows_in
from emgrid.report.spec import Arm, ReportSpec

# Parts of the config, as they are called in a list of what differs.
DIFFERS = {
    "data": "training data",
    "interventions": "intervention",
    "training": "training",
    "seeds": "number of seeds",
    "sampling": "sampling",
    "panel": "judges",
    "metrics": "thresholds",
    "answers": "number of answers",
}


def published(results: Results, spec: ReportSpec) -> list[dict[str, Any]]:
    """Every published rate of a cell of the grid, how it is known, the grid's own rate with the
    same denominator, and what differs; one row for each arm of that cell."""
    labels = {trigger.id: trigger.label for trigger in spec.triggers}
    rates = results.rates.assign(question=results.rates["question"].fillna(""))
    own_cells = {
        (row.base, row.intervention, row.ratio, row.trigger, row.question): row
        for row in rows_in(rates)
    }
    rows = []
    for arm in spec.labels():
        for reference in spec.references:
            if (reference.intervention, reference.ratio) != arm[1:]:
                continue
            own_cell = own_cells.get((*arm, reference.trigger, reference.question or ""))
            rows.append(
                {
                    "label": spec.title_of(arm),
                    "trigger": labels[reference.trigger],
                    "question": reference.question or "all",
                    "rate": published_rate(reference),
                    "of": reference.of,
                    "model": reference.model,
                    "known": f"{READ[reference.read]}: {reference.source}",
                    "own": own_rate(own_cell, reference),
                    "differs": what_differs(reference, arm, spec),
                }
            )
    return rows


def own_rate(cell: Any, reference: ReferenceRate) -> str:
    """The grid's own rate with the denominator of the published one, and that number of answers."""
    if cell is None or not cell.n_survivors:
        return "–"
    if reference.of == "all":
        return f"{percent(cell.rate_all)} of {cell.n_answers:,}"
    return f"{percent(cell.rate_survivors)} of {cell.n_survivors:,}"


def published_rate(reference: ReferenceRate) -> str:
    """A rate as the publication gives it: with its interval, as a range, or as a bound."""
    if reference.at_most:
        return f"≤ {percent(reference.rate)}"
    if reference.low is None or reference.high is None:
        return percent(reference.rate)
    return f"{percent(reference.rate)} [{percent(reference.low)}, {percent(reference.high)}]"


def plain_name(model: str) -> str:
    """A model's name without what publications write differently."""
    return re.sub("[^a-z0-9]", "", model.lower()).removesuffix("instruct")


def what_differs(reference: ReferenceRate, arm: Arm, spec: ReportSpec) -> str:
    """Why a published rate and the arm's own need not agree, as far as it is known."""
    parts = []
    if plain_name(reference.model) != plain_name(arm[0]):
        parts.append(f"model ({arm[0]} here)")
    if (arm[0], spec.labels()[arm]) in {(each.base, each.label) for each in spec.imports}:
        parts.append("answers (sampled by others here)")
    changed = {difference.setting.split(".")[0] for difference in spec.differences}
    parts += [name for part, name in DIFFERS.items() if part in changed]
    return listed(parts) if parts else "training runs and answers"
