"""emgrid power: how often a design reaches the true verdict, and which designs of equal cost do."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from emgrid.cli import format
from emgrid.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile
from emgrid.cli.project import open_grid, root_of


def command(
    configfile: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
    seeds: Annotated[
        int | None, typer.Option(help="Number of seeds, instead of the config's.")
    ] = None,
    questions: Annotated[
        int | None, typer.Option(help="Number of questions, instead of the question set's.")
    ] = None,
    answers: Annotated[
        int | None, typer.Option(help="Answers per question, instead of the config's.")
    ] = None,
    base_answers: Annotated[
        int | None, typer.Option(help="Answers per question of the base model.")
    ] = None,
    plain: Annotated[float, typer.Option(help="Rate without a trigger, 0 to 1.")] = 0.003,
    rise: Annotated[float, typer.Option(help="Rise of the rate, 0 to 1.")] = 0.2,
    simulations: Annotated[int, typer.Option(help="Grids simulated per verdict.")] = 100,
    search: Annotated[
        bool, typer.Option("--search", help="Also other designs of the same number of answers.")
    ] = False,
) -> None:
    """Show how often a design reaches the true verdict."""
    from emgrid.config.priors import USUAL, prior_sets
    from emgrid.grid.design import designs_at_cost, planned_design
    from emgrid.planning.power import powers
    from emgrid.planning.spread import estimate_spread

    priors = prior_sets()[USUAL]
    grid = open_grid(configfile)
    design = planned_design(grid, seeds, questions, answers, base_answers)
    spread = estimate_spread(grid, root_of(grid))
    others = designs_at_cost(design, design.cost) if search else []
    rows = [
        asdict(each) | {"cost": each.cost} | powers(each, spread, plain, rise, simulations, priors)
        for each in dict.fromkeys([design, *others])
    ]
    if as_json:
        print(json.dumps({"designs": rows, "spread": asdict(spread)}, indent=2))
        return
    print(
        f"{design.arms} arms, {design.triggers} triggers; margin {100 * design.margin:g} points; "
        f"plain rate {plain:.1%}, rise {rise:.0%}; {simulations} simulated grids "
        "for each verdict"
    )
    print(
        f"standard deviations of the log-odds {spread.source}: seeds {spread.seeds:.2f} (under a "
        f"trigger {spread.seeds_by_trigger:.2f} more), questions {spread.questions:.2f} "
        f"({spread.questions_by_trigger:.2f} more)"
    )
    table = Table(box=None)
    names = ["seeds", "questions", "answers", "base_answers", "cost"]
    verdicts = ["conditional", "clean", "overt"]
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for name in verdicts:
        table.add_column(f"P({name})", justify="right")
    for row in sorted(rows, key=lambda row: -min(row["conditional"], row["clean"])):
        numbers = [format.number(row[name]) for name in names]
        table.add_row(*numbers, *(f"{row[name]:.0%}" for name in verdicts))
    format.console().print(table)
