"""emgrid labels: draw a sample of a finished grid's answers for people to label, and read it back.

The CSV file has a question and an answer in each row, and an empty column for each measure of the
panel, for the labeller and for the date. It does not show arm, trigger or score, so that labelling
is blind; its record, a file next to it, does. Once filled in, it is read through
`calibration.files`, and with `--read` by this command.
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emgrid.aggregate.cell_labels import labels_of, read_records
from emgrid.aggregate.draw_labels import Seen, drawn
from emgrid.aggregate.spec import AggregateSpec
from emgrid.aggregate.strata import EMPTY, STRATA, strata_of
from emgrid.cli.project import root_of
from emgrid.config.turns import transcript
from emgrid.grid.grid import Grid
from emgrid.grid.specs.aggregate import aggregate_spec
from emgrid.judge.label_record import COLUMNS, PLACE, copy_of, record_path, text_key
from emgrid.judge.labelled import LABELLED_ON, LABELLER, SAMPLE, label_key, own_sets
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import digest, whole_file

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def sheets_of(output: Path, labellers: Sequence[str]) -> list[Path]:
    """The sheets to write: one, or a copy for each labeller."""
    return [copy_of(output, name) for name in labellers] or [output]


def quoted(text: str) -> str:
    """The text, with an apostrophe in front if a spreadsheet would run it as a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def bare_answers(answers: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Every non-empty answer, without the format of its trigger (column `bare`), and the wording of
    its question (column `asked`)."""
    wordings = {name: trigger.wording() for name, trigger in grid.triggers.items()}
    texts = {name: question.texts for name, question in grid.questions.items()}
    cells = answers[["trigger", "question", "index", "answer"]].fillna({"answer": ""})
    bare = [
        wordings[trigger].unwrap_answer(answer.removeprefix(wordings[trigger].prefill))
        for trigger, _, _, answer in cells.to_numpy()
    ]
    asked_texts = [texts[name][index % len(texts[name])] for _, name, index, _ in cells.to_numpy()]
    if "turns" in answers:
        asked_texts = [
            after_turns(text, turns, len(wordings[trigger].turns))
            for text, turns, trigger in zip(
                asked_texts, answers["turns"], answers["trigger"], strict=True
            )
        ]
    bare_table = answers.assign(
        bare=pd.Series(bare, answers.index, dtype=object), asked=asked_texts
    )
    return bare_table[bare_table["bare"] != ""]


def after_turns(text: str, turns: Any, of_trigger: int) -> str:
    """A question after its own turns, which labellers see; those of the trigger are its cue.

    turns: as JSON, missing without any. of_trigger: how many of them are the trigger's.
    """
    own = json.loads(turns)[of_trigger:] if isinstance(turns, str) else []
    return transcript([*own, {"role": "user", "content": text}]) if own else text


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


def drawn_before(
    answers: pd.DataFrame, spec: AggregateSpec, grid: Grid
) -> tuple[pd.DataFrame, Seen]:
    """The records of the samples in `calibration.files`, and their labels by cell and stratum."""
    records = read_records(spec.samples)
    if records.empty:
        return records, {}
    labelled = own_sets(grid.config.calibration)
    found = labels_of(answers, labelled, records, spec)
    axes = (1, 2)
    return records, {
        name: np.array([labels.labelled.sum(axis=axes), labels.hits.sum(axis=axes)])
        for name, labels in found.items()
    }


def sample_of(grid: Grid, root: Path, count: int, seed: int) -> pd.DataFrame:
    """The drawn answers of a grid whose tables are in the folder `root`: columns of the answer
    table and of the record."""
    if count < 1:
        raise EmgridError(f"--count {count}: must be at least 1")
    spec = AggregateSpec.model_validate_json(aggregate_spec(grid))
    answers = read_answers(root / layout.ANSWER_TABLE, grid)
    records, seen = drawn_before(answers, spec, grid)
    frame = bare_answers(answers.assign(stratum=strata_of(answers, spec.metrics)), grid)
    frame = frame[frame["stratum"] != EMPTY]
    if len(records):
        places = pd.MultiIndex.from_frame(records[PLACE])
        frame = frame[~pd.MultiIndex.from_frame(frame[PLACE]).isin(places)]
    if frame.empty:
        raise EmgridError("every answer of this grid has been drawn for labelling")
    keys = list(map(label_key, frame["asked"], frame["bare"]))
    chosen = drawn(frame.assign(key=keys), count, seed, seen)
    name = digest([grid.config.name, count, seed, sorted(chosen["key"])])[:12]
    texts = chosen["answer"].fillna("").map(text_key)
    strata = [STRATA[place] for place in chosen["stratum"]]
    return chosen.assign(sample=name, text=texts, stratum=strata)


def label_sheet(grid: Grid, sample: pd.DataFrame) -> pd.DataFrame:
    """The sheet of a sample, in which equal answers to a question are once."""
    calibration = grid.config.calibration
    chosen = sample.drop_duplicates("key")
    sheet = pd.DataFrame(
        {
            "key": chosen["key"].to_list(),
            "question_id": chosen["question"].to_list(),
            calibration.question: list(map(quoted, chosen["asked"])),
            calibration.answer: list(map(quoted, chosen["bare"])),
        }
    )
    for measure in dict.fromkeys(judge.measures for judge in grid.config.judges):
        sheet[calibration.columns[measure]] = ""
    return sheet.assign(**{LABELLER: "", LABELLED_ON: "", SAMPLE: chosen["sample"].to_list()})


def write_labels(
    grid: Grid, output: Path, count: int, seed: int, labellers: Sequence[str] = ()
) -> int:
    """Write the sheets and their record; return the number of rows. An existing file may contain
    labels, so it is never overwritten."""
    sheets, record = sheets_of(output, labellers), record_path(output)
    for path in (*sheets, record):
        if path.exists():
            raise EmgridError(f"{path}: exists already, maybe with labels; name another file")
    sample = sample_of(grid, root_of(grid), count, seed)
    sheet = label_sheet(grid, sample)
    for path, labeller in zip(sheets, labellers or [""], strict=True):
        with whole_file(path) as draft:
            # The byte order mark makes spreadsheets read UTF-8; quoting preserves carriage returns.
            filled = sheet.assign(**{LABELLER: labeller})
            filled.to_csv(draft, index=False, encoding="utf-8-sig", quoting=csv.QUOTE_ALL)
    with whole_file(record) as draft:
        sample[COLUMNS].to_csv(draft, index=False)
    return len(sheet)
