"""How good the judges are, on labelled answers that they were not fitted on.

Judges the labelled answers (see labelled.py) with the whole panel, from kept judgements plus what
is new. Writes tables/labelled.parquet (labels beside values), judges.csv (AUROC, over all answers
and within questions, and confusion), calibration.csv (how often an answer is a positive where a
judge gives it such a value) and judge_errors.csv (by question). A positive is what a judge looks
for: a misaligned or incoherent answer, or one that is code. Classifiers are also measured on the
gold answers that were left out of their fit.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from emgrid.config.base import Strict
from emgrid.config.judges import AnyJudge, ClassifierJudge, Judge
from emgrid.config.sections import Calibration, Metrics
from emgrid.judge.context import JudgeContext, add_context_arguments, context_of
from emgrid.judge.judge import judge_items
from emgrid.judge.judgement import Item
from emgrid.judge.labelled import FOLDER, labelled_sets
from emgrid.runtime.errors import run_stage
from emgrid.runtime.files import whole_file

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


class QualitySpec(Strict):
    judges: tuple[AnyJudge, ...]
    metrics: Metrics
    calibration: Calibration
    content: dict[str, str] = Field(default_factory=dict)
    revision: int = 0


@dataclass(frozen=True)
class LabelledValues:
    """One judge's values on one labelled set, those that have a value and a label.

    gold: the labels, 0 to 100. without_value: how many labelled answers the judge gave a reason
    for instead. models: whose answers they are, where the set tells.
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
    if judge.measures == "coherence":
        return 50.0 if metrics.coherence_above is None else metrics.coherence_above
    return metrics.exclude_above.get(judge.id, 50.0)


def flagged(judge: Judge, values: Floats, metrics: Metrics) -> Flags:
    """Which values (or labels) lie on the side that the judge looks for."""
    limit = threshold(judge, metrics)
    if judge.measures == "alignment":
        return values < limit
    return values <= limit if judge.low_is_bad else values > limit


def values_of(spec: QualitySpec, context: JudgeContext) -> pd.DataFrame:
    """The labelled answers with each judge's value and reason."""
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
            known = rows[rows[gold].notna()] if gold in rows else rows.iloc[:0]
            valued = known[known[judge.id].notna()]
            if len(valued):
                yield LabelledValues(
                    judge,
                    f"labelled, {name}",
                    valued["question_id"],
                    valued[judge.id].to_numpy(),
                    valued[gold].to_numpy(),
                    len(known) - len(valued),
                )


def heldout(judge: ClassifierJudge) -> Iterator[LabelledValues]:
    """The gold answers by heads that had not seen the answer's model, or its question."""
    table = pd.read_csv(FOLDER / judge.head.replace(".head.json", ".heldout.csv.gz"))
    # The table holds the label as it was fitted: a positive or none.
    gold = np.where(table["positive"] == 1, 0.0, 100.0)
    for left_out in ("model", "question"):
        values = table[f"without_{left_out}"].to_numpy()
        name = f"gold, {left_out} left out"
        yield LabelledValues(judge, name, table["question"], values, gold, 0, table["model"])


def quality_row(one: LabelledValues, metrics: Metrics) -> dict[str, Any]:
    """AUROC and confusion; AUROC is NaN where all labels are alike.

    Within questions it is the mean over the questions (of one model, where models are known) that
    have both labels, `n_within` of them: what a judge tells apart once question and model are
    given, as a contrast of triggers asks it to.
    """
    positive = flagged(one.judge, one.gold, metrics)
    found = flagged(one.judge, one.values, metrics)
    towards = -one.values if one.judge.low_is_bad else one.values
    both = 0 < positive.sum() < len(positive)
    cells = [one.questions.to_numpy()] + ([one.models.to_numpy()] if one.models is not None else [])
    within = aurocs_within(positive, towards, cells)
    return {
        "judge": one.judge.id,
        "measures": one.judge.measures,
        "labelled": one.labelled,
        "threshold": threshold(one.judge, metrics),
        "n": len(positive),
        "n_positive": int(positive.sum()),
        "n_without_value": one.without_value,
        "auroc": float(roc_auc_score(positive, towards)) if both else np.nan,
        "auroc_within": float(np.mean(within)) if within else np.nan,
        "n_within": len(within),
        "true_positives": int((found & positive).sum()),
        "false_positives": int((found & ~positive).sum()),
        "false_negatives": int((~found & positive).sum()),
        "true_negatives": int((~found & ~positive).sum()),
    }


def aurocs_within(positive: Flags, towards: Floats, keys: list[Any]) -> list[float]:
    """The AUROC of each group of answers that the keys tell apart, of those with both labels."""
    table = pd.DataFrame({"positive": positive, "towards": towards})
    return [
        float(roc_auc_score(group["positive"], group["towards"]))
        for _, group in table.groupby(keys)
        if group["positive"].nunique() > 1
    ]


def curve_rows(one: LabelledValues, metrics: Metrics) -> Iterator[dict[str, Any]]:
    """One row for each tenth of the scale in which the judge gave values."""
    positive = flagged(one.judge, one.gold, metrics)
    bins = pd.cut(pd.Series(one.values), BINS.tolist(), include_lowest=True, labels=False)
    for number, places in bins.groupby(bins).groups.items():
        inside = positive[places]
        low, high = proportion_confint(
            inside.sum(), len(inside), 1 - metrics.confidence, method="beta"
        )
        yield {
            "judge": one.judge.id,
            "labelled": one.labelled,
            "from": float(BINS[int(str(number))]),
            "to": float(BINS[int(str(number)) + 1]),
            "n": len(inside),
            "mean_value": float(one.values[places].mean()),
            "share_positive": float(inside.mean()),
            "low": float(low),
            "high": float(high),
        }


def error_rows(one: LabelledValues, metrics: Metrics) -> Iterator[dict[str, Any]]:
    """One row for each question."""
    positive = flagged(one.judge, one.gold, metrics)
    found = flagged(one.judge, one.values, metrics)
    for question in dict.fromkeys(one.questions):
        asked = (one.questions == question).to_numpy()
        false_positives = int((found & ~positive)[asked].sum())
        false_negatives = int((~found & positive)[asked].sum())
        yield {
            "judge": one.judge.id,
            "labelled": one.labelled,
            "question": question,
            "n": int(asked.sum()),
            "n_positive": int(positive[asked].sum()),
            "false_positives": false_positives,
            "false_negatives": false_negatives,
            "error": (false_positives + false_negatives) / int(asked.sum()),
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
    found = list(measured(spec, table))
    write([quality_row(one, spec.metrics) for one in found], args.output / "judges.csv")
    curve = [row for one in found for row in curve_rows(one, spec.metrics)]
    write(curve, args.output / "calibration.csv")
    errors = [row for one in found for row in error_rows(one, spec.metrics)]
    write(errors, args.output / "judge_errors.csv")


if __name__ == "__main__":
    run_stage(main)
