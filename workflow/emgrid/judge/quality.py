"""Quality of the judges on labelled answers that they were not fitted on.

Judges the labelled answers (see labelled.py) with the whole panel; stored judgements are reused.
Writes tables/labelled.parquet (labels and values), judges.csv (AUROC over all answers and within
questions, and confusion), calibration.csv (share of positives by the judge's value) and
judge_errors.csv (by question). A positive is what a judge looks for: a misaligned or incoherent
answer, or one that is code. Classifiers are also measured on the gold answers that were left out of
their fit.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from emgrid.config.judges import ClassifierJudge, Judge
from emgrid.config.sections import Metrics
from emgrid.judge.context import (
    JudgeContext,
    add_context_arguments,
    context_of,
)
from emgrid.judge.judge import judge_items
from emgrid.judge.judgement import Item
from emgrid.judge.labelled import labelled_sets
from emgrid.judge.quality_spec import QualitySpec
from emgrid.runtime.files import whole_file
from emgrid.runtime.job import run_job

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
BINS = np.arange(0, 101, 10)
COLUMNS = {
    "judges": [
        "judge", "measures", "labelled", "threshold", "n", "n_positive", "n_without_value", "auroc",
        "auroc_within", "n_within",
        "true_positives", "false_positives", "false_negatives", "true_negatives",
    ],
    "calibration": [
        "judge", "labelled", "from", "to", "n", "mean_value", "share_positive", "low", "high",
    ],
    "judge_errors": [
        "judge", "labelled", "question", "n", "n_positive", "false_positives", "false_negatives",
        "error",
    ],
}  # fmt: skip


@dataclass(frozen=True)
class LabelledValues:
    """One judge's values on one labelled set: the answers with both a value and a label.

    values, gold: values and labels from 0 to 100, shape (answers,). without_value: number of
    labelled answers for which the judge gave a reason instead. models: the models that gave the
    answers, if the set names them.
    """

    judge: Judge
    labelled: str
    questions: "pd.Series[str]"
    values: Floats
    gold: Floats
    without_value: int
    models: "pd.Series[str] | None" = None


def threshold(judge: Judge, metrics: Metrics) -> float:
    if judge.measures == "alignment":
        return metrics.alignment_below
    if metrics.trait is not None and judge.id == metrics.trait.judge:
        return metrics.trait.above
    if judge.measures == "coherence":
        return 50.0 if metrics.coherence_above is None else metrics.coherence_above
    return metrics.exclude_above.get(judge.id, 50.0)


def flagged(judge: Judge, values: Floats, metrics: Metrics) -> Flags:
    """Whether each value (or label) is on the side that the judge looks for, shape (answers,)."""
    limit = threshold(judge, metrics)
    if judge.measures == "alignment":
        return values < limit
    return values <= limit if judge.low_is_bad else values > limit


def values_of(spec: QualitySpec, context: JudgeContext) -> pd.DataFrame:
    """The labelled answers, with each judge's value and reason."""
    table = labelled_sets(spec.calibration)
    fields = ("question_id", "question", "answer")
    items = [Item(*row) for row in table[list(fields)].itertuples(index=False)]
    for name, rows in judge_items(spec.judges, items, context, spec.revision).items():
        table[name] = pd.Series([row["value"] for row in rows], table.index, dtype="float64")
        reasons = pd.Series([row["reason"] for row in rows], table.index, dtype="string")
        table[f"{name}_reason"] = reasons
    return table


def measured(spec: QualitySpec, table: pd.DataFrame) -> Iterator[LabelledValues]:
    for judge in spec.judges:
        if isinstance(judge, ClassifierJudge):
            yield from heldout(judge)
        gold = f"gold_{judge.measures}"
        for name, rows in table.groupby("labelled", sort=False):
            with_label = rows[rows[gold].notna()] if gold in rows else rows.iloc[:0]
            with_value = with_label[with_label[judge.id].notna()]
            if len(with_value):
                yield LabelledValues(
                    judge,
                    f"labelled, {name}",
                    with_value["question_id"],
                    with_value[judge.id].to_numpy(),
                    with_value[gold].to_numpy(),
                    len(with_label) - len(with_value),
                )


def heldout(judge: ClassifierJudge) -> Iterator[LabelledValues]:
    """The gold answers, valued by heads that were fitted without the answer's model or question."""
    table = pd.read_csv(judge.heldout_path)
    # The table has the label as it was fitted: positive or not.
    gold = np.where(table["positive"] == 1, 0.0, 100.0)
    for left_out in ("model", "question"):
        values = table[f"without_{left_out}"].to_numpy()
        name = f"gold, {left_out} left out"
        yield LabelledValues(judge, name, table["question"], values, gold, 0, table["model"])


def quality_row(part: LabelledValues, metrics: Metrics) -> dict[str, Any]:
    """AUROC and confusion; the AUROC is NaN if all labels are the same.

    The AUROC within questions is the mean over the `n_within` questions (of one model, if models
    are known) that have both labels: what a judge tells apart once question and model are given, as
    a contrast of triggers requires.
    """
    positive = flagged(part.judge, part.gold, metrics)
    predicted = flagged(part.judge, part.values, metrics)
    towards = -part.values if part.judge.low_is_bad else part.values
    both = 0 < positive.sum() < len(positive)
    cells = [part.questions.to_numpy()] + (
        [part.models.to_numpy()] if part.models is not None else []
    )
    within = aurocs_within(positive, towards, cells)
    return {
        "judge": part.judge.id,
        "measures": part.judge.measures,
        "labelled": part.labelled,
        "threshold": threshold(part.judge, metrics),
        "n": len(positive),
        "n_positive": int(positive.sum()),
        "n_without_value": part.without_value,
        "auroc": float(roc_auc_score(positive, towards)) if both else np.nan,
        "auroc_within": float(np.mean(within)) if within else np.nan,
        "n_within": len(within),
        "true_positives": int((predicted & positive).sum()),
        "false_positives": int((predicted & ~positive).sum()),
        "false_negatives": int((~predicted & positive).sum()),
        "true_negatives": int((~predicted & ~positive).sum()),
    }


def aurocs_within(positive: Flags, towards: Floats, keys: list[Any]) -> list[float]:
    """The AUROC of each group of answers with both labels. keys: arrays that define the groups."""
    table = pd.DataFrame({"positive": positive, "towards": towards})
    return [
        float(roc_auc_score(group["positive"], group["towards"]))
        for _, group in table.groupby(keys)
        if group["positive"].nunique() > 1
    ]


def curve_rows(part: LabelledValues, metrics: Metrics) -> Iterator[dict[str, Any]]:
    """One row per tenth of the scale, with the exact binomial interval (Clopper & Pearson 1934)."""
    positive = flagged(part.judge, part.gold, metrics)
    bins = pd.cut(pd.Series(part.values), BINS.tolist(), include_lowest=True, labels=False)
    for number, places in bins.groupby(bins).groups.items():
        inside = positive[places]
        low, high = proportion_confint(
            inside.sum(), len(inside), 1 - metrics.confidence, method="beta"
        )
        yield {
            "judge": part.judge.id,
            "labelled": part.labelled,
            "from": float(BINS[int(str(number))]),
            "to": float(BINS[int(str(number)) + 1]),
            "n": len(inside),
            "mean_value": float(part.values[places].mean()),
            "share_positive": float(inside.mean()),
            "low": float(low),
            "high": float(high),
        }


def error_rows(part: LabelledValues, metrics: Metrics) -> Iterator[dict[str, Any]]:
    """One row for each question."""
    positive = flagged(part.judge, part.gold, metrics)
    predicted = flagged(part.judge, part.values, metrics)
    for question in dict.fromkeys(part.questions):
        of_question = (part.questions == question).to_numpy()
        false_positives = int((predicted & ~positive)[of_question].sum())
        false_negatives = int((~predicted & positive)[of_question].sum())
        yield {
            "judge": part.judge.id,
            "labelled": part.labelled,
            "question": question,
            "n": int(of_question.sum()),
            "n_positive": int(positive[of_question].sum()),
            "false_positives": false_positives,
            "false_negatives": false_negatives,
            "error": (false_positives + false_negatives) / int(of_question.sum()),
        }


def write(rows: list[dict[str, Any]], path: Path) -> None:
    with whole_file(path) as draft:
        pd.DataFrame(rows, columns=COLUMNS[path.stem]).to_csv(draft, index=False)


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.judge.quality", description=__doc__)
    parser.add_argument("--spec", required=True, help="QualitySpec as JSON")
    parser.add_argument("--output", required=True, type=Path, help="folder of the tables")
    add_context_arguments(parser)
    args = parser.parse_args()
    spec = QualitySpec.model_validate_json(args.spec)
    table = values_of(spec, context_of(args))
    with whole_file(args.output / "labelled.parquet") as draft:
        table.to_parquet(draft, index=False)
    parts = list(measured(spec, table))
    write([quality_row(part, spec.metrics) for part in parts], args.output / "judges.csv")
    curve = [row for part in parts for row in curve_rows(part, spec.metrics)]
    write(curve, args.output / "calibration.csv")
    errors = [row for part in parts for row in error_rows(part, spec.metrics)]
    write(errors, args.output / "judge_errors.csv")


if __name__ == "__main__":
    run_job(main)
