"""emgrid status: how far a grid is, what runs right now, and what its results were made with."""

import argparse
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from emgrid.cli import format
from emgrid.grid.snakefile import read_grid

PARTS = {"trained": "trained", "answers": "answers", "scores": "scored", "judged": "judged"}


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    status = format.command(commands, "status", "how far a grid is, and what runs right now")
    status.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    found = told(args.configfile)
    if args.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        show(found)


def told(configfile: Path) -> dict[str, Any]:
    """The state of a grid, as plain values."""
    from emgrid.planning.drift import drift
    from emgrid.planning.status import look

    grid = read_grid(configfile)
    root = Path(grid.root)
    found = look(grid, root)
    return {
        "name": grid.config.name,
        "begun": found.begun,
        "run": found.run,
        "last_run": found.before,
        "rules": {rule: done_of(count) for rule, count in found.rules.items()},
        "arms": [
            {**one.arm.cell, **{part: done_of(getattr(one, part)) for part in PARTS}}
            for one in found.arms
        ],
        "running": [asdict(job) for job in found.running],
        "seconds_left": found.seconds_left,
        "source": found.source,
        "drift": [asdict(one) | {"told": str(one)} for one in drift(grid, root)],
    }


def done_of(count: Any) -> dict[str, int]:
    return {"done": count.kept, "planned": count.planned}


def show(found: dict[str, Any]) -> None:
    console = format.console()
    console.print(headline(found), soft_wrap=True)
    if found["begun"]:
        console.print(rule_table(found["rules"]))
        console.print(arm_table(found["arms"]))
    for job in found["running"]:
        line = f"now: {job['rule']} {job['name']}: {job['line']}"
        console.print(line, markup=False, soft_wrap=True)
    for one in found["drift"]:
        console.print(f"drift: {one['told']}; runs nothing again", soft_wrap=True)


def headline(found: dict[str, Any]) -> str:
    """Whether the grid is run, since when, and for how long yet."""
    name, run = f"grid {found['name']}", found["run"]
    done = all(one["done"] == one["planned"] for one in found["rules"].values())
    left = ""
    if found["begun"] and not done:
        seconds = found["seconds_left"]
        time = "unknown" if seconds is None else f"about {format.hours(seconds / 3600)}"
        at_once = "" if found["running"] else ", one job at a time"
        left = f"; time left: {time}{at_once} ({found['source']})"
    if run is not None:
        who = f"process {run.get('pid', '?')} on {run.get('host', '?')}"
        return f"{name}: running since {ago(run.get('started'))}, {who}{left}"
    if not found["begun"]:
        return f"{name}: nothing yet"
    if not done:
        return f"{name}: not running{left}"
    lacking = any(
        one[part]["done"] < one[part]["planned"] for one in found["arms"] for part in PARTS
    )
    return f"{name}: all files are there" + (", of other settings" if lacking else "")


def ago(started: str | None) -> str:
    if started is None:
        return "an unknown time"
    hours = (datetime.now(UTC) - datetime.fromisoformat(started)).total_seconds() / 3600
    return f"{started} ({format.hours(hours)})"


def rule_table(rules: dict[str, Any]) -> Table:
    table = Table(title="jobs whose files are there")
    table.add_column("rule", no_wrap=True)
    table.add_column("done", justify="right")
    table.add_column("of", justify="right")
    for rule, one in rules.items():
        table.add_row(rule, f"{one['done']:,}", f"{one['planned']:,}")
    return table


def arm_table(arms: list[dict[str, Any]]) -> Table:
    """Arms that differ in their seed alone as one."""
    table = Table(title="arms, all seeds together")
    table.add_column("arm", overflow="fold")
    table.add_column("arms", justify="right")
    for name in PARTS.values():
        table.add_column(name, justify="right", no_wrap=True)
    rows: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for arm in arms:
        rows.setdefault((arm["base"], arm["intervention"], arm["ratio"]), []).append(arm)
    for names, alike in rows.items():
        cells = []
        for part in PARTS:
            done = sum(arm[part]["done"] for arm in alike)
            planned = sum(arm[part]["planned"] for arm in alike)
            cells.append(f"{done:,} of {planned:,}" if planned else "–")
        told = names if len({arm["base"] for arm in arms}) > 1 else names[1:]
        table.add_row(" ".join(told), f"{len(alike):,}", *cells)
    return table
