"""Print a small table of a finished grid's rates, and the path of its report.

python -m emgrid.cli.summary [CONFIG]
"""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from emgrid.aggregate.citing import warning
from emgrid.aggregate.plausibility import misaligned_bases
from emgrid.aggregate.truth import counts_text, truth_table
from emgrid.cli.project import open_grid, root_of
from emgrid.config.sections import Metrics
from emgrid.grid.grid import Grid
from emgrid.grid.specs.aggregate import truth_of
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.job import run_job

NONE = "–"


def rate_text(rate: float, survivors: int) -> str:
    """A cell's rate; a dash if it was not asked (NaN) or none of its answers survived."""
    return f"{rate:.1%}" if survivors > 0 else NONE


def counted(metrics: Metrics) -> str:
    """What the rates are of."""
    coherent = "" if metrics.coherence_above is None else " and coherent"
    return f"{metrics.behaviour.state}{coherent}"


def rates_table(grid: Grid, rates: pd.DataFrame) -> Table:
    """Rates of all answers, one row per arm, one column per trigger."""
    table = Table(
        title=f"{counted(grid.config.metrics)}, of all answers ({grid.config.name})",
        caption=f"{NONE}: not asked, or no answer survived, so there is no rate; tables/rates.csv "
        "counts why",
    )
    table.add_column("intervention", no_wrap=True)
    for trigger in grid.triggers.values():
        table.add_column(trigger.label, justify="right", overflow="fold")
    overall = rates[rates["question"].isna()]
    missing = [trigger for trigger in grid.triggers if trigger not in set(overall["trigger"])]
    if missing:
        raise EmgridError(f"the tables have no trigger {missing[0]!r}; run `make run` first")
    for (_, intervention, ratio), rows in overall.groupby(
        ["base", "intervention", "ratio"], sort=False
    ):
        by_trigger = rows.set_index("trigger").reindex(list(grid.triggers))
        rates_by_trigger, survivors = by_trigger["rate_all"], by_trigger["n_survivors"]
        cells = [
            rate_text(rates_by_trigger[trigger], survivors[trigger]) for trigger in grid.triggers
        ]
        table.add_row(f"{intervention} {ratio}", *cells)
    return table


def truths_table(grid: Grid, truths: pd.DataFrame) -> Table:
    """Verdicts next to the truth, one row per arm, one column per trigger."""
    table = Table(
        title=f"verdict, and whether it is the truth ({grid.config.name})",
        caption=f"{NONE}: no truth is stated",
    )
    table.add_column("intervention", no_wrap=True)
    for trigger in grid.triggers.values():
        table.add_column(trigger.label, overflow="fold")
    for (_, intervention, ratio), rows in truths.groupby(
        ["base", "intervention", "ratio"], sort=False
    ):
        cells = {row["trigger"]: truth_text(row) for row in rows.to_dict("records")}
        shown = [cells.get(trigger, NONE) for trigger in grid.triggers]
        table.add_row(f"{intervention} {ratio}", *shown)
    return table


def truth_text(row: dict[Any, Any]) -> str:
    """A verdict and its outcome; with the truth if it is not right."""
    if row["outcome"] == "right":
        return f"{row['verdict']} (right)"
    return f"{row['verdict']} (truth: {row['truth']}, {row['outcome']})"


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.cli.summary", description=__doc__)
    parser.add_argument("config", nargs="?", default="config.yaml", type=Path)
    show(parser.parse_args().config)


def show(config: Path) -> None:
    """Print the summary of a finished grid."""
    grid = open_grid(config)
    root = root_of(grid)
    path = root / layout.table("rates.csv")
    if not path.exists():
        raise EmgridError(f"{path}: does not exist yet; run `make run` first")
    console = Console()
    # Piped output has 80 columns by default, too few for six triggers.
    width = max(console.width, 110)
    rates = pd.read_csv(path, dtype={"ratio": str})
    Console(width=width).print(rates_table(grid, rates))
    if truth := truth_of(grid):
        verdicts = pd.read_csv(root / layout.table("verdicts.csv"), dtype={"ratio": str})
        table = truth_table(verdicts, truth)
        Console(width=width).print(truths_table(grid, table))
        print(counts_text(table))
    for implausible in misaligned_bases(rates, grid.config.metrics.behaviour):
        print(implausible)
    unfit = warning(grid.catalogue.panel.values(), grid.config.metrics)
    if unfit:
        print(unfit)
    print(f"report: {(root / layout.REPORT).resolve()}")


if __name__ == "__main__":
    run_job(main)
