"""emgrid round: ask the next block of questions where the verdicts are undecided."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emgrid.cli import format
from emgrid.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile
from emgrid.cli.project import home_of, open_grid, root_of

if TYPE_CHECKING:
    from emgrid.grid.grid import Grid
    from emgrid.grid.rounds import RoundState
    from emgrid.planning.rounds import Decision


def command(
    configfile: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only show what would be asked.")
    ] = False,
) -> None:
    """Ask the next block of questions where verdicts are undecided."""
    from emgrid.grid.arms import name_of
    from emgrid.grid.rounds import write_rounds
    from emgrid.planning.rounds import decide
    from emgrid.runtime.errors import EmgridError
    from emgrid.runtime.locks import prevent_runs

    grid = open_grid(configfile)
    state = grid.rounds
    if state is None:
        raise EmgridError(
            f"{configfile}: `rounds` is missing, so all questions are asked at once; "
            "give it blocks of questions"
        )
    verdicts = verdicts_of_round(state, configfile)
    root = root_of(grid)
    decision = decide(verdicts, state, {name_of(arm) for arm in grid.sampled})
    if decision.opened and not dry_run:
        with prevent_runs(root):
            write_rounds(decision.after(state), root)
    found = summary(grid, state, decision, len(verdicts))
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        show(found, configfile, dry_run)


def verdicts_of_round(state: "RoundState", configfile: Path) -> Any:
    """The verdicts of this round; EmgridError if they are not made, or if the config, the answers
    or the judgements that they are made of have changed."""
    import pandas as pd

    from emgrid.planning.dry_run import needed
    from emgrid.runtime import layout
    from emgrid.runtime.errors import EmgridError

    here = Path.cwd()
    try:
        needed_jobs = needed(configfile.absolute(), home_of(configfile))
    finally:
        os.chdir(here)
    if any(job.rule == "aggregate" for job in needed_jobs.jobs):
        raise EmgridError(
            f"round {state.number} of {needed_jobs.grid.config.name} is not finished; run it "
            f"first: make run CONFIG={configfile}"
        )
    table = root_of(needed_jobs.grid) / layout.table("verdicts.csv")
    return pd.read_csv(table, dtype={"ratio": str})


def summary(
    grid: "Grid", state: "RoundState", decision: "Decision", verdicts: int
) -> dict[str, Any]:
    """What was decided, as plain values."""
    from emgrid.grid.arms import name_of

    answers = sum(
        arm.sampling.answers_per_question * (number - state.questions(name, trigger))
        for arm in grid.sampled
        for (name, trigger), number in decision.opened.items()
        if name == name_of(arm)
    )
    return {
        "round": state.number,
        "blocks": list(state.blocks),
        "verdicts": verdicts,
        "undecided": [[*arm, trigger] for arm, trigger in decision.undecided],
        "hopeless": [[*arm, trigger] for arm, trigger in decision.hopeless],
        "apart": [[*arm, trigger] for arm, trigger in decision.apart],
        "opened": [[*arm, trigger, n] for (arm, trigger), n in decision.opened.items()],
        "answers": answers,
    }


def show(found: dict[str, Any], configfile: Path, dry_run: bool) -> None:
    console = format.console()
    decided = found["verdicts"] - len(found["undecided"])
    console.print(
        f"round {found['round']}, blocks of {', '.join(map(str, found['blocks']))} questions: "
        f"{decided} of {found['verdicts']} verdicts are decided"
    )
    for cell in found["apart"]:
        console.print(
            f"{' '.join(cell[:-1])} under {cell[-1]}: not asked more, as there is no base model to "
            "compare it with"
        )
    for cell in found["hopeless"]:
        console.print(
            f"{' '.join(cell[:-1])} under {cell[-1]}: undecided even with all questions, if the "
            "others are answered like those asked; it is asked all the same"
        )
    if not found["opened"]:
        console.print("no further round: all is decided, or all questions are asked")
    elif dry_run:
        console.print(f"the next round would draw {found['answers']:,} answers")
    else:
        console.print(
            f"the next round draws {found['answers']:,} answers: make run CONFIG={configfile}"
        )
