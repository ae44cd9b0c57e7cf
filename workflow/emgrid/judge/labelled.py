"""Labelled answers: the sets that come with emgrid, and the user's CSV files.

A label is a score from 0 to 100, or yes or no, which count as 100 and 0. A sheet of `emgrid labels`
also says who labelled each answer and when, and which sample it was drawn in.
"""

import csv
import gzip
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from emgrid import RESOURCES, ROOT
from emgrid.config.sections import Calibration, Metrics
from emgrid.judge.label_record import find_record, read_record
from emgrid.runtime.errors import EmgridError, suggestion
from emgrid.runtime.files import digest, read_jsonl, users_path

FOLDER = RESOURCES / "judges"
YES_NO = {"yes": 100.0, "true": 100.0, "no": 0.0, "false": 0.0}
# Columns of a sheet of `emgrid labels`, besides question, answer and labels.
LABELLER, LABELLED_ON, SAMPLE = "labeller", "labelled_on", "sample"


def labelled_sets(calibration: Calibration) -> pd.DataFrame:
    """Columns: labelled (the set's name), question_id, question, answer, and gold_<measure> from 0
    to 100, missing if there is no label."""
    parts = [labelled_set(name, path, calibration) for name, path in set_paths(calibration).items()]
    return pd.concat(parts, ignore_index=True)


def own_sets(calibration: Calibration) -> pd.DataFrame:
    """The user's own sets, with the columns of `labelled_sets`; empty if there are none."""
    shipped_names = shipped_sets()
    parts = [
        labelled_set(name, path, calibration)
        for name, path in set_paths(calibration).items()
        if name not in shipped_names
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def labelled_set(name: str, path: Path, calibration: Calibration) -> pd.DataFrame:
    """One of the sets, with the columns of `labelled_sets`."""
    if path.suffix == ".jsonl":
        return shipped(name, path, calibration)
    return read_labels(path, name, calibration)


def judges_that_count(metrics: Metrics) -> list[str]:
    """The judges whose values decide whether an answer is misaligned."""
    coherence = [metrics.coherence] if metrics.coherence_above is not None else []
    return list(dict.fromkeys([metrics.decides, *metrics.exclude_above, *coherence]))


def truth(rows: pd.DataFrame, metrics: Metrics, measures: Mapping[str, str]) -> "pd.Series[bool]":
    """Whether each labelled answer is misaligned by the whole rule; missing if labels do not tell.

    Three-valued logic: an incoherent answer is not misaligned even without a label for alignment;
    if a missing label would decide, the result is missing. measures: what each deciding judge
    measures; the rows have a label column for each.
    """
    labels = {name: rows[f"gold_{measure}"].astype("Float64") for name, measure in measures.items()}
    misaligned: pd.Series[bool] = metrics.counts(labels[metrics.decides])
    for name, limit in metrics.exclude_above.items():
        misaligned &= labels[name] <= limit
    if metrics.coherence_above is not None:
        misaligned &= labels[metrics.coherence] > metrics.coherence_above
    return misaligned


def set_paths(calibration: Calibration) -> dict[str, Path]:
    """The labelled sets by name: those of emgrid (JSON lines), then the user's (CSV)."""
    paths = shipped_sets()
    for file in calibration.files:
        name = Path(file).name.removesuffix(".gz").rsplit(".", 1)[0]
        if name in paths:
            raise EmgridError(f"{file}: another labelled set is called {name!r}; rename it")
        paths[name] = labels_path(file)
    return paths


def labels_path(name: str) -> Path:
    """A file of labels, relative to the folder in which Snakemake was started or else to the
    repository."""
    here = users_path(name)
    return here if here.exists() else ROOT / name


def shipped_sets() -> dict[str, Path]:
    """The labelled sets that come with emgrid, by name."""
    return {path.stem: path for path in sorted((FOLDER / "labelled").glob("*.jsonl"))}


def shipped(name: str, path: Path, calibration: Calibration) -> pd.DataFrame:
    table = pd.DataFrame(read_jsonl(path))
    answers = table[["question", "answer"]].assign(labelled=name, question_id=table["question"])
    for measure, column in {"alignment": "aligned", "coherence": "coherent"}.items():
        answers[f"gold_{measure}"] = table[column].map({True: 100.0, False: 0.0})
    return limited(answers, calibration)


def read_labels(path: Path, name: str, calibration: Calibration) -> pd.DataFrame:
    """One labelled set from a CSV file; rows without any label are left out."""
    table = read_cells(path)
    for column in (calibration.question, calibration.answer):
        if column not in table.columns:
            hint = suggestion(column, table.columns)
            raise EmgridError(f"{path}: no column {column!r}, {hint} (calibration names columns)")
    if "key" in table.columns:
        texts = [calibration.question, calibration.answer]
        table[texts] = list(map(unquoted, table["key"], table[texts[0]], table[texts[1]]))
    ids = table["question_id"] if "question_id" in table.columns else table[calibration.question]
    answers = pd.DataFrame(
        {
            "labelled": name,
            "question_id": ids,
            "question": table[calibration.question],
            "answer": table[calibration.answer],
        }
    )
    present = {m: c for m, c in calibration.columns.items() if c in table.columns}
    if not present:
        wanted = ", ".join(map(repr, calibration.columns.values()))
        raise EmgridError(f"{path}: none of the label columns {wanted}; name them by `columns`")
    for measure, column in present.items():
        answers[f"gold_{measure}"] = scores(table[column], f"{path}: column {column!r}")
    if SAMPLE in table.columns:
        answers = answers.assign(**about_labels(table, f"{path}"), weight=weights(table, path))
    gold = [f"gold_{measure}" for measure in present]
    answers = answers[answers[gold].notna().any(axis=1) & (answers["answer"].str.strip() != "")]
    if answers.empty:
        raise EmgridError(f"{path}: no row has a label; fill in {', '.join(present.values())}")
    return limited(answers, calibration)


def about_labels(table: pd.DataFrame, where: str) -> dict[str, "pd.Series[str]"]:
    """Who labelled each answer, when, and in which sample it was drawn; an empty cell of the first
    two is as the one above it, and missing if nobody filled them in."""
    drawn = table[SAMPLE].str.strip()
    columns = {SAMPLE: drawn.where(drawn != "")}
    for name in (LABELLER, LABELLED_ON):
        texts = table[name].str.strip() if name in table.columns else pd.Series("", table.index)
        columns[name] = texts.where(texts != "").ffill()
    for row, text in columns[LABELLED_ON].dropna().items():
        try:
            date.fromisoformat(text)
        except ValueError:
            raise EmgridError(
                f"{where}: column {LABELLED_ON!r}: row {int(str(row)) + 2}: {text!r} is not a "
                "date; write it as 2026-11-30"
            ) from None
    return {name: texts.astype("string") for name, texts in columns.items()}


def weights(table: pd.DataFrame, path: Path) -> "pd.Series[float]":
    """How many answers of the grid each labelled one speaks for: the sum, over the drawn answers
    with its text, of 1 / probability of being drawn; missing without a record of the sample."""
    record = find_record(path)
    if record is None or "key" not in table.columns:
        return pd.Series(np.nan, table.index)
    drawn = read_record(record)
    spoken_for = (1 / drawn["probability"]).groupby(drawn["key"]).sum()
    return table["key"].map(spoken_for).astype(float)


def one_per_answer(labelled: pd.DataFrame) -> pd.DataFrame:
    """The labelled answers, each text of a drawn sample once, with the mean of its labellers'
    labels."""
    if SAMPLE not in labelled:
        return labelled
    drawn = labelled[SAMPLE].notna()
    gold = [str(name) for name in labelled if str(name).startswith("gold_")]
    own = labelled[drawn]
    texts = [own["question"], own["answer"]]
    means = {name: own.groupby(texts)[name].transform("mean") for name in gold}
    once = own.assign(**means).drop_duplicates(["question", "answer"])
    return pd.concat([labelled[~drawn], once], ignore_index=True)


def read_cells(path: Path) -> pd.DataFrame:
    """The texts of a CSV file's cells, unchanged: pandas would not preserve carriage returns and
    NUL."""
    csv.field_size_limit(2**31 - 1)
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (OSError, ValueError, csv.Error) as problem:
        what = str(problem).splitlines()[0]
        raise EmgridError(f"calibration.files: {path}: not a readable CSV file ({what})") from None
    for number, row in enumerate(rows, start=2):
        if len(row) > len(header):
            raise EmgridError(
                f"calibration.files: {path}: row {number} has more cells than the header; "
                "quote texts that contain commas"
            )
    filled = [row + [""] * (len(header) - len(row)) for row in rows if row]
    return pd.DataFrame(filled, columns=header, dtype=object)


def unquoted(key: str, question: str, answer: str) -> tuple[str, str]:
    """Both texts without the apostrophes that `emgrid labels` puts before texts that look like a
    formula, even if the spreadsheet has removed them."""
    for own_question in (question, question.removeprefix("'")):
        for own_answer in (answer, answer.removeprefix("'")):
            if label_key(own_question, own_answer) == key:
                return own_question, own_answer
    return question, answer


def label_key(question: str, answer: str) -> str:
    """The key by which an exported row is recognised."""
    return digest([question, answer])[:16]


def scores(column: "pd.Series[str]", where: str) -> "pd.Series[float]":
    """Labels as numbers from 0 to 100, missing for empty cells."""
    texts = column.str.strip().str.lower()
    filled = texts[texts != ""]
    if len(filled) and filled.isin(YES_NO).all():
        return texts.map(YES_NO)
    numbers = pd.to_numeric(filled, errors="coerce")
    in_words = numbers.isna().all() and filled.isin(YES_NO).any()
    wrong = filled[~(filled.isin(YES_NO) if in_words else numbers.between(0, 100))]
    if len(wrong):
        row = int(str(wrong.index[0])) + 2
        raise EmgridError(
            f"{where}: row {row}: {wrong.iloc[0]!r} is not a label; write scores from 0 to 100, or "
            "yes and no, in the whole column"
        )
    if len(numbers) and numbers.isin([0, 1]).all():
        raise EmgridError(
            f"{where}: has only 0 and 1, which may be scores or yes and no; write yes and no"
        )
    return numbers.reindex(column.index)


def limited(table: pd.DataFrame, calibration: Calibration) -> pd.DataFrame:
    """The first answers of a fixed shuffle, so that raising the limit only adds answers."""
    if calibration.limit is None or len(table) <= calibration.limit:
        return table
    return table.sample(frac=1, random_state=0).head(calibration.limit).sort_index()
