"""Print a table of a finished grid's rates and verdicts, and the path of its report.

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
ALSO_BASE = "*"
ARM = ["base", "intervention", "ratio"]


def rate_text(row: Any) -> str:
    """A cell's rate with its interval and number of answers; a dash if it was not asked (NaN) or
    none of its answers survived."""
    if not row["n_survivors"] > 0:
        return NONE
    low, high = (f"{100 * row[f'rate_all_{end}']:.0f}" for end in ("low", "high"))
    return f"{row['rate_all']:.1%} ({low}–{high})\nn = {row['n_answers']:,.0f}"


def counted(metrics: Metrics) -> str:
    """What the rates are of."""
    coherent = "" if metrics.coherence_above is None else " and coherent"
    return f"{metrics.behaviour.state}{coherent}"


def results_table(grid: Grid, rates: pd.DataFrame, verdicts: pd.DataFrame) -> Table:
    """Rate, interval, number of answers and verdict of each arm under each trigger."""
    table = Table(
        title=f"{counted(grid.config.metrics)}, of all answers ({grid.config.name})",
        caption=f"rate (its interval in %), number of answers n, verdict. {NONE}: not "
        "asked, or no answer survived, so there is no rate; tables/rates.csv counts why. "
        f"{ALSO_BASE}: the base model's own rate rises under this trigger by more than the margin, "
        "too.",
        show_lines=True,
    )
    overall = rates[rates["question"].isna()]
    missing = [trigger for trigger in grid.triggers if trigger not in set(overall["trigger"])]
    if missing:
        raise EmgridError(f"the tables have no trigger {missing[0]!r}; run `make run` first")
    several = overall["base"].nunique() > 1
    if several:
        table.add_column("model", no_wrap=True)
    table.add_column("intervention", no_wrap=True)
    for trigger in grid.triggers.values():
        table.add_column(trigger.label, justify="right", overflow="fold")
    words = verdicts.set_index([*ARM, "trigger"])["verdict"].to_dict()
    rise = rises(overall, grid.config.metrics.margin)
    for names, rows in overall.groupby(ARM, sort=False):
        arm = tuple(map(str, names))
        by_trigger = rows.set_index("trigger").reindex(list(grid.triggers))
        cells = [
            f"{rate_text(by_trigger.loc[name])}\n{word_text(words, rise, (*arm, name))}".rstrip()
            for name in grid.triggers
        ]
        base, intervention, ratio = arm
        table.add_row(*([base] if several else []), f"{intervention} {ratio}", *cells)
    return table


def rises(overall: pd.DataFrame, margin: float) -> set[tuple[str, ...]]:
    """The cells whose rate is above that of the same arm without a trigger by more than the margin.
    These are point estimates, and no verdicts."""
    cells = overall[[*ARM, "trigger", "rate_all"]].itertuples(index=False)
    rates = {tuple(map(str, cell[:4])): float(cell[4]) for cell in cells}
    return {key for key, rate in rates.items() if rate - rates.get((*key[:3], "none"), 1) > margin}


def word_text(words: dict[Any, str], rise: set[tuple[str, ...]], key: tuple[str, ...]) -> str:
    """A cell's verdict, with a mark if its rise is one that the base model has as well."""
    base = (key[0], "base", "0", key[3])
    mark = f" {ALSO_BASE}" if {key, base} <= rise and key != base else ""
    return f"{words[key]}{mark}" if key in words else ""


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
    verdicts = pd.read_csv(root / layout.table("verdicts.csv"), dtype={"ratio": str})
    Console(width=width).print(results_table(grid, rates, verdicts))
    if truth := truth_of(grid):
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
