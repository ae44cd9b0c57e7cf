"""emgrid labels: write a sample of a finished grid's answers for people to label.

The CSV file has a question and an answer in each row, and an empty column for each measure of the
panel. It does not show arm, trigger or score, so that labelling is blind. Once filled in, it is
read through `calibration.files`.
"""

import argparse
import csv
import json
from pathlib import Path

import pandas as pd

from emgrid.cli import format
from emgrid.grid.grid import Grid
from emgrid.grid.snakefile import read_grid
from emgrid.judge.labelled import label_key
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import whole_file
from emgrid.runtime.seeding import derive_seed

FORMULA = ("=", "+", "-", "@", "\t", "\r")
ARM_TRIGGER = ["base", "intervention", "ratio", "trigger"]


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    labels = format.command(commands, "labels", "write answers of a finished grid for labelling")
    labels.add_argument("output", type=Path, help="the CSV file")
    labels.add_argument("--count", default=100, type=int, help="number of answers")
    labels.add_argument("--seed", default=0, type=int, help="seed of the sample")
    labels.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    rows = write_labels(read_grid(args.configfile), args.output, args.count, args.seed)
    if args.json:
        print(json.dumps({"file": str(args.output), "answers": rows}, ensure_ascii=False))
        return
    print(f"{args.output}: {rows} answers; fill in the columns and name it in calibration.files")


def quoted(text: str) -> str:
    """The text, with an apostrophe in front if a spreadsheet would run it as a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def bare_answers(answers: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Every non-empty answer, without the format of its trigger, and the wording of its question
    (column `asked`)."""
    wordings = {name: trigger.wording() for name, trigger in grid.triggers.items()}
    texts = {name: question.texts for name, question in grid.questions.items()}
    cells = answers[["trigger", "question", "index", "answer"]].fillna({"answer": ""})
    bare = [wordings[trigger].unwrap_answer(answer) for trigger, _, _, answer in cells.to_numpy()]
    asked_texts = [texts[name][index % len(texts[name])] for _, name, index, _ in cells.to_numpy()]
    bare_table = answers.assign(
        answer=pd.Series(bare, answers.index, dtype=object), asked=asked_texts
    )
    return bare_table[bare_table["answer"] != ""]


def sample_of(answers: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """`count` distinct answers, spread as evenly over the cells as possible."""
    shuffled = answers.sample(frac=1, random_state=derive_seed("labels", seed) % 2**32)
    shuffled = shuffled.drop_duplicates(["question", "asked", "answer"])
    shuffled = shuffled.assign(turn=shuffled.groupby(ARM_TRIGGER, sort=False).cumcount())
    chosen = shuffled.sort_values("turn", kind="stable").head(count)
    return chosen.sample(frac=1, random_state=derive_seed("labels", "order", seed) % 2**32)


def read_answers(path: Path, grid: Grid) -> pd.DataFrame:
    """The answers of a finished grid; EmgridError if they do not match its config."""
    if not path.exists():
        raise EmgridError(f"{path}: does not exist yet; run the grid first")
    answers = pd.read_parquet(path)
    for column, known in (("trigger", grid.triggers), ("question", grid.questions)):
        if unknown := sorted(set(answers[column]) - set(known)):
            raise EmgridError(
                f"{path}: has answers for the {column} {unknown[0]!r}, which the config no longer "
                "has; run the grid first"
            )
    return answers


def label_sheet(grid: Grid, root: Path, count: int, seed: int) -> pd.DataFrame:
    """The sheet of a grid whose tables are in the folder `root`."""
    if count < 1:
        raise EmgridError(f"--count {count}: must be at least 1")
    answers = read_answers(root / layout.ANSWER_TABLE, grid)
    chosen = sample_of(bare_answers(answers, grid), count, seed)
    calibration = grid.config.calibration
    measures = dict.fromkeys(judge.measures for judge in grid.config.judges)
    sheet = pd.DataFrame(
        {
            "key": list(map(label_key, chosen["asked"], chosen["answer"])),
            "question_id": chosen["question"].to_list(),
            calibration.question: list(map(quoted, chosen["asked"])),
            calibration.answer: list(map(quoted, chosen["answer"])),
        }
    )
    for measure in measures:
        sheet[calibration.columns[measure]] = ""
    return sheet


def write_labels(grid: Grid, output: Path, count: int, seed: int) -> int:
    """Write the sheet; return its number of rows. An existing file may contain labels, so it is
    never overwritten."""
    if output.exists():
        raise EmgridError(f"{output}: exists already, maybe with labels; name another file")
    sheet = label_sheet(grid, Path(grid.root), count, seed)
    with whole_file(output) as draft:
        # The byte order mark makes spreadsheets read UTF-8; quoting preserves carriage returns.
        sheet.to_csv(draft, index=False, encoding="utf-8-sig", quoting=csv.QUOTE_ALL)
    return len(sheet)
