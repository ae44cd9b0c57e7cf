"""emgrid status: how far a grid is, what is running, and how its results' versions differ."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from emgrid.cli import format
from emgrid.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile
from emgrid.cli.project import open_grid, root_of

PARTS = {"trained": "trained", "answers": "answers", "scores": "scored", "judged": "judged"}


def command(configfile: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show how far a grid is, and what is running."""
    state = state_of(configfile)
    if as_json:
        print(json.dumps(state, indent=2, ensure_ascii=False))
    else:
        show(state)


def state_of(configfile: Path) -> dict[str, Any]:
    """The state of a grid, as plain values."""
    from emgrid.planning.drift import drift
    from emgrid.planning.status import look

    grid = open_grid(configfile)
    root = root_of(grid)
    status = look(grid, root)
    return {
        "name": grid.config.name,
        "begun": status.begun,
        "run": status.run,
        "last_run": status.before,
        "rules": {rule: done_of(count) for rule, count in status.rules.items()},
        "arms": [
            {**progress.arm.cell, **{part: done_of(getattr(progress, part)) for part in PARTS}}
            for progress in status.arms
        ],
        "running": [asdict(job) for job in status.running],
        "seconds_left": status.seconds_left,
        "source": status.source,
        "drift": [asdict(entry) | {"told": str(entry)} for entry in drift(grid, root)],
    }


def done_of(count: Any) -> dict[str, int]:
    return {"done": count.stored, "planned": count.planned}


def show(state: dict[str, Any]) -> None:
    console = format.console()
    console.print(headline(state), soft_wrap=True)
    if state["begun"]:
        console.print(rule_table(state["rules"]))
        console.print(arm_table(state["arms"]))
    for job in state["running"]:
        line = f"now: {job['rule']} {job['name']}: {job['line']}"
        console.print(line, markup=False, soft_wrap=True)
    for entry in state["drift"]:
        console.print(f"drift: {entry['told']}; runs nothing again", soft_wrap=True)


def headline(state: dict[str, Any]) -> str:
    """Whether the grid is running, since when, and how long the rest may take."""
    name, run = f"grid {state['name']}", state["run"]
    done = all(count["done"] == count["planned"] for count in state["rules"].values())
    left = ""
    if state["begun"] and not done:
        seconds = state["seconds_left"]
        time = "unknown" if seconds is None else f"about {format.hours(seconds / 3600)}"
        at_once = "" if state["running"] else ", one job at a time"
        left = f"; time left: {time}{at_once} ({state['source']})"
    if run is not None:
        who = f"process {run.get('pid', '?')} on {run.get('host', '?')}"
        return f"{name}: running since {ago(run.get('started'))}, {who}{left}"
    if not state["begun"]:
        return f"{name}: nothing has run yet"
    if not done:
        return f"{name}: not running{left}"
    outdated = any(
        arm[part]["done"] < arm[part]["planned"] for arm in state["arms"] for part in PARTS
    )
    return f"{name}: all files exist" + (", some with other settings" if outdated else "")


def ago(started: str | None) -> str:
    if started is None:
        return "an unknown time"
    hours = (datetime.now(UTC) - datetime.fromisoformat(started)).total_seconds() / 3600
    return f"{started} ({format.hours(hours)})"


def rule_table(rules: dict[str, Any]) -> Table:
    table = Table(title="jobs whose files exist")
    table.add_column("rule", no_wrap=True)
    table.add_column("done", justify="right")
    table.add_column("of", justify="right")
    for rule, count in rules.items():
        table.add_row(rule, f"{count['done']:,}", f"{count['planned']:,}")
    return table


def arm_table(arms: list[dict[str, Any]]) -> Table:
    """One row for arms that differ in their seed alone."""
    table = Table(title="arms, all seeds together")
    table.add_column("arm", overflow="fold")
    table.add_column("arms", justify="right")
    for name in PARTS.values():
        table.add_column(name, justify="right", no_wrap=True)
    rows: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for arm in arms:
        rows.setdefault((arm["base"], arm["intervention"], arm["ratio"]), []).append(arm)
    for names, same_arms in rows.items():
        cells = []
        for part in PARTS:
            done = sum(arm[part]["done"] for arm in same_arms)
            planned = sum(arm[part]["planned"] for arm in same_arms)
            cells.append(f"{done:,} of {planned:,}" if planned else "–")
        shown_names = names if len({arm["base"] for arm in arms}) > 1 else names[1:]
        table.add_row(" ".join(shown_names), f"{len(same_arms):,}", *cells)
    return table
