"""emgrid plan: what a grid will train, sample and judge, and what that costs."""

import json
from dataclasses import asdict
from typing import Any

from rich.table import Table

from emgrid.cli import format
from emgrid.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile
from emgrid.cli.project import open_grid, root_of
from emgrid.grid.controls import without_control
from emgrid.grid.counts import count
from emgrid.grid.differences import differences
from emgrid.grid.endings import notices, old_prices
from emgrid.grid.grid import Grid
from emgrid.planning.call_costs import CallCost, judge_costs, served_costs
from emgrid.planning.estimates import Estimate, Estimates
from emgrid.planning.jobs import jobs_by_rule
from emgrid.planning.search_work import search_work

NAMES = {
    "arms": "arms",
    "trained": "models trained",
    "drawn": "answers drawn to train on",
    "answers": "answers",
    "judge_calls": "judge calls",
}


def command(configfile: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Count what a grid will train, sample and judge."""
    grid = open_grid(configfile)
    plan = planned(grid) | taken(grid)
    plan |= {"endings": endings(grid), "old_prices": old_prices(grid)}
    plan["without_control"] = without_control(grid)
    if as_json:
        print(json.dumps(plan, indent=2, ensure_ascii=False))
    else:
        show(plan)


def planned(grid: Grid) -> dict[str, Any]:
    """The counts of a grid, and its differences from the publication it follows, as plain
    values."""
    # Statistics take two seconds to import, which other commands would wait for, too.
    from emgrid.grid.design import reach_of

    published = grid.config.published
    following = count(grid, published.interventions, published.triggers) if published else None
    others = [arm.intervention for arm in (*grid.config.adapters, *grid.config.served)]
    names = dict.fromkeys([*grid.config.interventions, *others])
    return {
        "name": grid.config.name,
        "interventions": {name: asdict(count(grid, [name])) for name in names},
        "total": asdict(count(grid)),
        "served": [asdict(cost) for cost in served_costs(grid)],
        "judges": [asdict(cost) for cost in judge_costs(grid)],
        "follows": published.source if published else None,
        "following": asdict(following) if following else None,
        "differences": [difference.model_dump() for difference in differences(grid)],
        "searches": [asdict(work) for work in search_work(grid)],
        "reach": reach_of(grid),
        "engine": grid.experiment.chosen.text if grid.experiment.chosen else None,
        "round": this_round(grid),
    }


def endings(grid: Grid) -> list[dict[str, Any]]:
    """The models that the grid calls and that stop answering soon or have stopped."""
    return [
        {
            "name": notice.called.who,
            "model": notice.ending.model,
            "day": notice.ending.day.isoformat(),
            "over": notice.ending.over,
            "text": notice.text,
        }
        for notice in notices(grid, root_of(grid))
    ]


def this_round(grid: Grid) -> dict[str, int] | None:
    """The number of the current round and of its answers; None if all questions are asked at
    once."""
    if grid.rounds is None:
        return None
    answers = sum(arm.sampling.answers_per_question * grid.n_asked(arm) for arm in grid.sampled)
    return {"number": grid.rounds.number, "answers": answers}


def taken(grid: Grid) -> dict[str, Any]:
    """Cells, jobs, tokens, hours and disk space, as plain values."""
    estimates = Estimates(grid, root_of(grid))
    rows = estimates.rows()
    return {
        "cells": len(grid.arms) * len(grid.triggers),
        "jobs": jobs_by_rule(grid),
        "device": grid.config.device,
        "rules": [asdict(row) for row in rows],
        "tokens": {
            "trained": asdict(estimates.trained_tokens()),
            "asked": asdict(estimates.asked_tokens()),
            "drawn": asdict(estimates.drawn_tokens()),
        },
        "disk": {name: asdict(estimate) for name, estimate in estimates.disk().items()},
        "memory": {name: asdict(estimate) for name, estimate in estimates.memory().items()},
    }


def show(plan: dict[str, Any]) -> None:
    console = format.console()
    table = Table(title=f"grid {plan['name']}")
    table.add_column("intervention", no_wrap=True)
    for name in NAMES.values():
        table.add_column(name, justify="right")
    rows = list(plan["interventions"].items())
    table_rows = [*rows, ("all, shared stages once", plan["total"])]
    if plan["following"]:
        table_rows.append(("of these as published", plan["following"]))
    for place, (name, counts) in enumerate(table_rows, start=1):
        cells = [format.number(counts[key]) for key in NAMES]
        table.add_row(name, *cells, end_section=place == len(rows))
    console.print(table)
    if plan["reach"]:
        console.print(plan["reach"])
    if plan["engine"]:
        console.print(plan["engine"])
    if plan["round"]:
        console.print(
            f"Round {plan['round']['number']} asks "
            f"{format.number(plan['round']['answers'])} answers in all; the numbers here are those "
            "of all questions, if every round asks everything."
        )
    if plan["searches"]:
        console.print(search_table(plan["searches"]))
    console.print(rule_table(plan))
    console.print(amount_table(plan))
    for key, what in (("served", "served models"), ("judges", "judges")):
        if plan[key]:
            console.print(call_table(f"{what} that are paid per call", plan[key]))
    for ending in plan["endings"]:
        console.print(ending["text"], style="bold")
    if plan["without_control"]:
        console.print(plan["without_control"], style="bold")
    for line in plan["old_prices"]:
        console.print(line)
    if plan["differences"]:
        table = Table(title=f"differences from {plan['follows']}")
        for name in ("setting", "published", "here"):
            table.add_column(name, overflow="fold")
        for row in plan["differences"]:
            table.add_row(row["setting"], row["published"], row["here"])
        console.print(table)


def rule_table(plan: dict[str, Any]) -> Table:
    """Jobs and hours by rule, and the sums of the known ones."""
    jobs = sum(plan["jobs"].values())
    table = Table(title=f"{jobs:,} jobs, {plan['cells']:,} cells of an arm and a trigger")
    table.add_column("rule", no_wrap=True)
    table.add_column("jobs", justify="right")
    table.add_column("time", justify="right")
    table.add_column("on")
    table.add_column("source", overflow="fold")
    for row in plan["rules"]:
        cells = [format.hours(row["hours"]["value"]), row["on"], row["hours"]["source"]]
        table.add_row(row["rule"], f"{row['jobs']:,}", *cells)
    table.add_section()
    for on in dict.fromkeys(row["on"] for row in plan["rules"]):
        rows = [row for row in plan["rules"] if row["on"] == on]
        known = [row["hours"]["value"] for row in rows if row["hours"]["value"] is not None]
        n_unknown = len(rows) - len(known)
        label = f"all but {format.counted(n_unknown, 'rule')}" if n_unknown else "all"
        number = f"{sum(row['jobs'] for row in rows):,}"
        table.add_row(label, number, format.hours(sum(known)) if known else "?", on, "")
    return table


def search_table(searches: list[dict[str, Any]]) -> Table:
    """What the searches for triggers score, draw and judge, in addition to the counts above."""
    table = Table(title="searches for triggers, in addition")
    for name in ("searched", "answers scored, about", "answers at most", "judge calls at most"):
        table.add_column(name, justify="left" if name == "searched" else "right")
    names = ("scored", "answers", "judge_calls")
    for row in searches:
        table.add_row(row["arm"], *(f"{row[name]:,}" for name in names))
    table.add_section()
    table.add_row("all", *(f"{sum(row[name] for row in searches):,}" for name in names))
    return table


def amount_table(plan: dict[str, Any]) -> Table:
    table = Table(title="tokens, disk and memory")
    table.add_column("what", no_wrap=True)
    table.add_column("about", justify="right")
    table.add_column("source", overflow="fold")
    for name, fields in plan["tokens"].items():
        estimate = Estimate(**fields)
        table.add_row(f"tokens {name}", format.number(estimate.value), estimate.source)
    for name, fields in (plan["disk"] | plan["memory"]).items():
        table.add_row(name, format.size(fields["value"]), fields["source"])
    return table


def call_table(title: str, costs: list[dict[str, Any]]) -> Table:
    table = Table(title=title)
    for name in ("name", "model", "calls at most", "tokens at most", "USD at most", "USD spent"):
        table.add_column(name, justify="left" if name in ("name", "model") else "right")
    for cost in (CallCost(**fields) for fields in costs):
        price = "price unknown" if cost.cost is None else f"{cost.cost:,.2f}"
        cells = [f"{cost.calls:,}", f"{cost.tokens:,}", price, f"{cost.spent:,.2f}"]
        table.add_row(cost.name, cost.model, *cells)
    return table
