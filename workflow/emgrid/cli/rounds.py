"""emgrid round: ask the next block of questions where the verdicts are undecided."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emgrid.cli import format

if TYPE_CHECKING:
    from emgrid.grid.grid import Grid
    from emgrid.grid.rounds import RoundState
    from emgrid.planning.rounds import Cell, Decision


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = format.command(
        commands, "round", "ask the next block of questions where verdicts are undecided"
    )
    command.add_argument(
        "-n", "--dry-run", action="store_true", help="only show what would be asked"
    )
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from emgrid.aggregate.spec import ARM
    from emgrid.grid.arms import name_of
    from emgrid.grid.rounds import write_rounds
    from emgrid.grid.snakefile import read_grid
    from emgrid.planning.rounds import decide
    from emgrid.runtime.errors import EmgridError

    grid = read_grid(args.configfile)
    state = grid.rounds
    if state is None:
        raise EmgridError(
            f"{args.configfile}: `rounds` is missing, so all questions are asked at once; "
            "give it blocks of questions"
        )
    root = Path(grid.root)
    verdicts = finished(grid, state, root, args.configfile)
    here = {name_of(arm) for arm in grid.arms}
    own = [tuple(row) in here for row in verdicts[ARM].itertuples(index=False, name=None)]
    verdicts = verdicts[own]
    decision = decide(verdicts, state, {name for name, _ in cells_of(grid)})
    if decision.opened and not args.dry_run:
        write_rounds(decision.after(state), root)
    found = summary(grid, state, decision, len(verdicts))
    if args.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        show(found, args)


def cells_of(grid: "Grid") -> "dict[Cell, int]":
    """The arms that are sampled here, under each trigger, and the questions of this round."""
    from emgrid.grid.arms import name_of

    cells = {}
    for arm in grid.sampled:
        for trigger, names in (grid.limits(arm) or {}).items():
            cells[name_of(arm), trigger] = len(names)
    return cells


def finished(grid: "Grid", state: "RoundState", root: Path, configfile: Path) -> Any:
    """The verdicts of this round; EmgridError if it has not been run."""
    import pandas as pd

    from emgrid.aggregate.spec import ARM
    from emgrid.runtime import layout
    from emgrid.runtime.errors import EmgridError

    texts = {"ratio": str}
    tables = [root / layout.table(name) for name in ("verdicts.csv", "rates.csv")]
    if not all(table.is_file() for table in tables):
        raise EmgridError(
            f"{tables[0]}: missing; run round {state.number} first: make run CONFIG={configfile}"
        )
    verdicts, rates = (pd.read_csv(table, dtype=texts) for table in tables)
    overall = rates[rates["question"].isna()]
    names = zip(*(overall[name] for name in (*ARM, "trigger")), strict=True)
    asked = dict(zip(names, overall["n_questions"], strict=True))
    for (arm, trigger), number in cells_of(grid).items():
        if asked.get((*arm, trigger)) != number:
            raise EmgridError(
                f"{tables[0]}: not of round {state.number}, which asks {' '.join(arm)} {number} "
                f"questions under {trigger}; run it first: make run CONFIG={configfile}"
            )
    return verdicts


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


def show(found: dict[str, Any], args: argparse.Namespace) -> None:
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
    elif args.dry_run:
        console.print(f"the next round would draw {found['answers']:,} answers")
    else:
        console.print(
            f"the next round draws {found['answers']:,} answers: make run CONFIG={args.configfile}"
        )
