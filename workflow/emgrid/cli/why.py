"""emgrid why: which jobs a run would start, for which reasons, and what they will cost."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from emgrid.cli import format
from emgrid.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile
from emgrid.cli.project import enter_project, root_of


def command(configfile: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show what would run, what has changed, and what it will cost."""
    plan = explain(configfile)
    if as_json:
        print(json.dumps(plan, indent=2, ensure_ascii=False))
    else:
        show(plan)


def explain(configfile: Path) -> dict[str, Any]:
    """The jobs that would run, with reasons and costs, as plain values."""
    from emgrid.grid.snakefile import read_config
    from emgrid.planning.drift import drift
    from emgrid.planning.dry_run import needed
    from emgrid.planning.why import Costs, grouped

    here = Path.cwd()
    home = enter_project(configfile)
    read_config(configfile)  # reports errors plainly; Snakemake would print a traceback
    needed_jobs = needed(configfile.absolute(), home)
    os.chdir(here)
    root = root_of(needed_jobs.grid)
    return {
        "name": needed_jobs.grid.config.name,
        "total": needed_jobs.total,
        "groups": [asdict(group) for group in grouped(needed_jobs.jobs)],
        "jobs": [asdict(job) for job in needed_jobs.jobs],
        "costs": [asdict(cost) for cost in Costs(needed_jobs, root).all()]
        if needed_jobs.jobs
        else [],
        "drift": [asdict(entry) | {"told": str(entry)} for entry in drift(needed_jobs.grid, root)],
    }


def show(plan: dict[str, Any]) -> None:
    console = format.console()
    if not plan["jobs"]:
        console.print(f"grid {plan['name']}: nothing to do")
    else:
        console.print(reason_table(plan))
        console.print(cost_table(plan))
    show_drift(console, plan["drift"])


def show_drift(console: Any, drift: list[dict[str, Any]]) -> None:
    for entry in drift:
        console.print(f"drift: {entry['told']}; runs nothing again", soft_wrap=True)


def reason_table(plan: dict[str, Any]) -> Table:
    table = Table(title=f"grid {plan['name']}: what would run, and why")
    table.add_column("jobs", justify="right")
    table.add_column("rule", no_wrap=True)
    table.add_column("because", overflow="fold")
    for group in plan["groups"]:
        table.add_row(f"{len(group['jobs']):,}", group["rule"], "\n".join(group["reasons"]))
    return table


def cost_table(plan: dict[str, Any]) -> Table:
    table = Table(title="what it will cost")
    table.add_column("rule", no_wrap=True)
    table.add_column("jobs", justify="right")
    table.add_column("new", justify="right")
    table.add_column("time", justify="right")
    table.add_column("source", overflow="fold")
    for cost in plan["costs"]:
        new_work = ""
        if cost["unit"]:
            most = "at most " if cost["at_most"] and cost["new"] else ""
            new_work = f"{most}{cost['new']:,} {cost['unit']}"
        seconds = cost["seconds"]
        time = format.hours(None if seconds is None else seconds / 3600)
        of = f"{cost['jobs']:,} of {plan['total'][cost['rule']]:,}"
        table.add_row(cost["rule"], of, new_work, time, cost["source"])
    known = [cost["seconds"] for cost in plan["costs"] if cost["seconds"] is not None]
    n_unknown = len(plan["costs"]) - len(known)
    table.add_section()
    label = f"all but {format.counted(n_unknown, 'rule')}" if n_unknown else "all"
    jobs = sum(cost["jobs"] for cost in plan["costs"])
    table.add_row(label, f"{jobs:,}", "", format.hours(sum(known) / 3600) if known else "?", "")
    return table
