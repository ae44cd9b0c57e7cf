"""Measure classifier judges on answers that they were not fitted on.

    python -m emgrid.judge.measure_classifier --gold FOLDER --judges alignment coherence
    python -m emgrid.judge.measure_classifier --gold FOLDER --judges alignment --leave-out recipe

FOLDER holds files as `emgrid.judge.fit_classifier` reads them; a label may also be yes or no. The
shipped heads judge the answers as they judge a grid's; files that a head was fitted on are left
out. With --leave-out no shipped head is used: for each trained model (`family`), folder (`recipe`)
or file (`source`) a head is fitted on all other answers of FOLDER, and judges those. For alignment,
answers that the labels call incoherent (50 or less) are left out, as the rule of the rates leaves
them out.

Prints, for each judge and each kind of answers: the AUROC over all answers, within a file (median
and quartiles, over files with at least 5 answers on either side) and within a question of a file
(mean); and by how many points the rate of a file is off, as a mean of calibrated probabilities and
as a count at the threshold, over files with at least 100 answers. `--output FILE` writes the
numbers of each file.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from emgrid.config.judges import ClassifierJudge
from emgrid.judge.answer_kinds import KINDS, kinds_of
from emgrid.judge.calibration import fit_line
from emgrid.judge.classifier_judge import ClassifierScorer, Encoder
from emgrid.judge.fit_classifier import GOLD, classifier, left_out, read_gold
from emgrid.judge.probabilities import on_line, probabilities
from emgrid.judge.quality import aurocs_within
from emgrid.runtime.files import read_json, whole_file
from emgrid.runtime.job import run_job

ENOUGH = 5  # answers on either side for an AUROC within a file
ANSWERS = 100  # of a file, for the error of its rate
CLOSE = 3.0  # points
COHERENT_ABOVE = 50.0


def labelled_rows(gold: pd.DataFrame, judge: ClassifierJudge) -> pd.DataFrame:
    """The answers that have a label for the judge and are not left out, with `positive`."""
    column, below = GOLD[judge.measures]
    rows = gold[gold[column].notna()] if column in gold else gold.iloc[:0]
    if judge.measures == "alignment" and "coherent" in rows:
        rows = rows[~(rows["coherent"] <= COHERENT_ABOVE)]
    return rows.assign(positive=rows[column] < below)


def not_fitted_on(rows: pd.DataFrame, judge: ClassifierJudge) -> pd.DataFrame:
    """The answers of files that the head was not fitted on. It was if its card names a file of that
    path, and it knows one of the file's questions."""
    fitted = {source["path"] for source in read_json(judge.head_path)["sources"]}
    questions = pd.read_csv(judge.heldout_path, usecols=["question"])["question"]
    seen = rows["question_id"].isin(questions).groupby(rows["source"]).transform("any")
    known = rows["source"].isin(fitted) & seen
    if known.any():
        number = rows.loc[known, "source"].nunique()
        print(f"{judge.id}: leaves out {number} files that it was fitted on", flush=True)
    return rows[~known]


def judged(rows: pd.DataFrame, judge: ClassifierJudge, encoder: Encoder) -> pd.DataFrame:
    """The rows with the `value` that the shipped head gives them, and its calibrated `chance`."""
    values = ClassifierScorer(judge, encoder).values(rows["answer"].tolist())
    return rows.assign(value=values, chance=probabilities(judge, values))


def judged_without(rows: pd.DataFrame, column: str, encoder: Encoder) -> pd.DataFrame:
    """The rows with the `value` of a head that was fitted without those that share its column, and
    the `chance` by a line that was fitted to the values of all others."""
    rows = rows.reset_index(drop=True)
    positive = rows["positive"].to_numpy(bool)
    vectors = encoder.embed(rows["answer"].tolist()).astype(np.float64)
    values = left_out(vectors, positive, rows, column)
    chance = np.empty(len(rows))
    for group in rows[column].unique():
        own = (rows[column] == group).to_numpy()
        chance[own] = on_line(values[own], *fit_line(values[~own], positive[~own]))
    return rows.assign(value=values, chance=chance)


def drawn(gold: pd.DataFrame, number: int | None) -> pd.DataFrame:
    """At most so many answers to each question of each file, drawn with seed 0; all if None."""
    if number is None:
        return gold
    shuffled = gold.sample(frac=1, random_state=0)
    return shuffled.groupby(["source", "question_id"], sort=False).head(number).sort_index()


def measure_file(rows: pd.DataFrame, threshold: float) -> dict[str, Any]:
    """One file's numbers; rates in per cent, errors in points, NaN where there are too few
    answers."""
    positive, value = rows["positive"].to_numpy(), rows["value"].to_numpy()
    sides = min(positive.sum(), (~positive).sum())
    rate = 100 * positive.mean()
    enough = len(rows) >= ANSWERS
    return {
        "answers": len(rows),
        "positives": int(positive.sum()),
        "auroc": roc_auc_score(positive, -value) if sides >= ENOUGH else np.nan,
        "rate": rate,
        "error_of_mean": 100 * rows["chance"].mean() - rate if enough else np.nan,
        "error_of_count": 100 * (value < threshold).mean() - rate if enough else np.nan,
    }


def measure_files(rows: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """A row for each file."""
    return pd.DataFrame(
        {"source": name} | measure_file(part, threshold)
        for name, part in rows.groupby("source", sort=False)
    )


def summary(rows: pd.DataFrame, files: pd.DataFrame) -> dict[str, Any]:
    """What is said of a judge over files. rows: the answers of these files."""
    positive, towards = rows["positive"].to_numpy(), -rows["value"].to_numpy()
    both = 0 < positive.sum() < len(positive)
    within = aurocs_within(
        positive, towards, [rows["source"].to_numpy(), rows["question_id"].to_numpy()]
    )
    aurocs = files["auroc"].dropna()
    row: dict[str, Any] = {
        "files": len(files),
        "answers": len(rows),
        "positives": int(positive.sum()),
        "auroc": roc_auc_score(positive, towards) if both else np.nan,
        "within_file": aurocs.median(),
        "low_quartile": aurocs.quantile(0.25),
        "high_quartile": aurocs.quantile(0.75),
        "n_files": len(aurocs),
        "within_question": np.mean(within) if within else np.nan,
        "n_questions": len(within),
    }
    for name in ("mean", "count"):
        error = files[f"error_of_{name}"].dropna().abs()
        row |= {f"{name}_off": error.mean(), f"{name}_close": 100 * (error <= CLOSE).mean()}
    return row


def summaries(rows: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """The summary of all answers, then of each kind and each recipe that there are several of."""
    parts = [("all", rows)]
    kinds = kinds_of(rows["answer"]).to_numpy()
    parts += [(kind, rows[kinds == kind]) for kind in KINDS if (kinds == kind).any()]
    by_recipe = rows.groupby("recipe", sort=True)
    if by_recipe.ngroups > 1:
        parts += [(f"folder {name}", part) for name, part in by_recipe]
    return pd.DataFrame(
        {"of": name} | summary(part, measure_files(part, threshold)) for name, part in parts
    )


def measure(
    judge: ClassifierJudge, gold: pd.DataFrame, encoder: Encoder, column: str | None
) -> pd.DataFrame:
    """The judged answers of one judge. column: what is left out of a fit; None for the shipped
    head."""
    rows = labelled_rows(gold, judge)
    if column is not None:
        return judged_without(rows, column, encoder)
    return judged(not_fitted_on(rows, judge), judge, encoder)


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.judge.measure_classifier", description=__doc__)
    parser.add_argument("--gold", required=True, type=Path)
    parser.add_argument("--judges", required=True, nargs="+", metavar="JUDGE")
    parser.add_argument("--leave-out", choices=["family", "recipe", "source"])
    parser.add_argument(
        "--per-question", type=int, metavar="N", help="draw N answers to each question of a file"
    )
    parser.add_argument("--output", type=Path, help="CSV file of the numbers of each file")
    args = parser.parse_args()
    judges = [classifier(name) for name in args.judges]
    gold, encoder = drawn(read_gold(args.gold), args.per_question), Encoder()
    tables = []
    for judge in judges:
        rows = measure(judge, gold, encoder, args.leave_out)
        if rows.empty:
            print(f"{judge.id}: no labelled answer that it was not fitted on")
            continue
        threshold = GOLD[judge.measures][1]
        print(f"\n{judge.id}:")
        print(summaries(rows, threshold).round(3).to_string(index=False))
        tables.append(measure_files(rows, threshold).assign(judge=judge.id))
    if args.output is not None and tables:
        with whole_file(args.output) as draft:
            pd.concat(tables).to_csv(draft, index=False)


if __name__ == "__main__":
    run_job(main)
