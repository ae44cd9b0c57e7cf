"""Write a sample of a grid's answers for people to label.

A CSV file with a question and an answer on each row and an empty column for each measure of the
panel. It says nothing of arm, trigger or score, so that labels are blind. Filled in, it is read
back by `calibration.files`.
"""

import csv
from pathlib import Path

import pandas as pd

from emgrid.grid.grid import Grid
from emgrid.judge.labelled import label_key
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import whole_file
from emgrid.runtime.seeding import derive_seed

FORMULA = ("=", "+", "-", "@", "\t", "\r")
CELL = ["base", "intervention", "ratio", "trigger"]


def quoted(text: str) -> str:
    """The text with an apostrophe before what a spreadsheet would run as a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def bare_answers(answers: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Each answer that says anything, without its trigger's format, beside the wording of the
    question that it answers."""
    wordings = {name: trigger.wording() for name, trigger in grid.triggers.items()}
    texts = {name: one.texts for name, one in grid.questions.items()}
    cells = answers[["trigger", "question", "index", "answer"]].fillna({"answer": ""})
    bare = [wordings[trigger].unwrap_answer(said) for trigger, _, _, said in cells.to_numpy()]
    asked = [texts[name][index % len(texts[name])] for _, name, index, _ in cells.to_numpy()]
    found = answers.assign(answer=pd.Series(bare, answers.index, dtype=object), asked=asked)
    return found[found["answer"] != ""]


def sample_of(said: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """So many distinct answers, as evenly over the cells as there are."""
    shuffled = said.sample(frac=1, random_state=derive_seed("labels", seed) % 2**32)
    shuffled = shuffled.drop_duplicates(["question", "asked", "answer"])
    shuffled = shuffled.assign(turn=shuffled.groupby(CELL, sort=False).cumcount())
    chosen = shuffled.sort_values("turn", kind="stable").head(count)
    return chosen.sample(frac=1, random_state=derive_seed("labels", "order", seed) % 2**32)


def read_answers(path: Path, grid: Grid) -> pd.DataFrame:
    """The answers of a finished grid, all of which its config asks for."""
    if not path.exists():
        raise EmgridError(f"{path}: not there yet; run the grid first")
    answers = pd.read_parquet(path)
    for column, known in (("trigger", grid.triggers), ("question", grid.questions)):
        if unknown := sorted(set(answers[column]) - set(known)):
            raise EmgridError(
                f"{path}: holds answers of the {column} {unknown[0]!r}, which the config no longer "
                "has; run the grid first"
            )
    return answers


def label_sheet(grid: Grid, root: Path, count: int, seed: int) -> pd.DataFrame:
    """The sheet of a grid whose tables lie below `root`."""
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
    """Write the sheet; return its number of rows. A sheet that is there may hold somebody's work,
    so it is never written over."""
    if output.exists():
        raise EmgridError(f"{output}: exists already, maybe with labels; name another file")
    sheet = label_sheet(grid, Path(grid.root), count, seed)
    with whole_file(output) as draft:
        # With a byte order mark, spreadsheets read it as UTF-8; quoted, a carriage return stays.
        sheet.to_csv(draft, index=False, encoding="utf-8-sig", quoting=csv.QUOTE_ALL)
    return len(sheet)
