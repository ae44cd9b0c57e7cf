"""emgrid why: which jobs a run would start, for what reason, and what they will cost."""

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from emgrid.cli import format


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    why = format.command(commands, "why", "what would run, what has changed, and what it will cost")
    why.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    found = asked(args.configfile)
    if args.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        show(found)


def asked(configfile: Path) -> dict[str, Any]:
    """What would run and why, as plain values."""
    from emgrid.grid.snakefile import read_config
    from emgrid.planning.drift import drift
    from emgrid.planning.dry_run import needed
    from emgrid.planning.why import Costs, grouped

    here = Path.cwd()
    read_config(configfile)  # before Snakemake, whose message would be a traceback
    found = needed(configfile)
    os.chdir(here)
    root = Path(found.grid.root)
    return {
        "name": found.grid.config.name,
        "total": found.total,
        "groups": [asdict(group) for group in grouped(found.jobs)],
        "jobs": [asdict(job) for job in found.jobs],
        "costs": [asdict(cost) for cost in Costs(found, root).all()] if found.jobs else [],
        "drift": [asdict(one) | {"told": str(one)} for one in drift(found.grid, root)],
    }


def show(found: dict[str, Any]) -> None:
    console = format.console()
    if not found["jobs"]:
        console.print(f"grid {found['name']}: nothing to do")
    else:
        console.print(reason_table(found))
        console.print(cost_table(found))
    show_drift(console, found["drift"])


def show_drift(console: Any, drift: list[dict[str, Any]]) -> None:
    for one in drift:
        console.print(f"drift: {one['told']}; runs nothing again", soft_wrap=True)


def reason_table(found: dict[str, Any]) -> Table:
    table = Table(title=f"grid {found['name']}: what would run, and why")
    table.add_column("jobs", justify="right")
    table.add_column("rule", no_wrap=True)
    table.add_column("because", overflow="fold")
    for group in found["groups"]:
        table.add_row(f"{len(group['jobs']):,}", group["rule"], "\n".join(group["reasons"]))
    return table


def cost_table(found: dict[str, Any]) -> Table:
    table = Table(title="what it will cost")
    table.add_column("rule", no_wrap=True)
    table.add_column("jobs", justify="right")
    table.add_column("anew", justify="right")
    table.add_column("time of jobs", justify="right")
    table.add_column("where that comes from", overflow="fold")
    for cost in found["costs"]:
        anew = ""
        if cost["unit"]:
            most = "at most " if cost["at_most"] and cost["new"] else ""
            anew = f"{most}{cost['new']:,} {cost['unit']}"
        seconds = cost["seconds"]
        time = format.hours(None if seconds is None else seconds / 3600)
        of = f"{cost['jobs']:,} of {found['total'][cost['rule']]:,}"
        table.add_row(cost["rule"], of, anew, time, cost["source"])
    known = [cost["seconds"] for cost in found["costs"] if cost["seconds"] is not None]
    lacking = len(found["costs"]) - len(known)
    table.add_section()
    what = f"all but {format.counted(lacking, 'rule')}" if lacking else "all"
    jobs = sum(cost["jobs"] for cost in found["costs"])
    table.add_row(what, f"{jobs:,}", "", format.hours(sum(known) / 3600) if known else "?", "")
    return table
