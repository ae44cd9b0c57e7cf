"""The log-odds of matched answers (likelihood.csv), and how far training moved them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emgrid.aggregate.answers import cell
from emgrid.aggregate.spec import ARM, QUESTION_OF_ARM, AggregateSpec
from emgrid.aggregate.statistics import FEWEST_QUESTIONS, Flags, Floats, mean_with_interval
from emgrid.runtime import layout
from emgrid.runtime.files import read_jsonl

COLUMNS = [*ARM, "trigger", "question", "n_seeds", "n_questions", "log_odds"]
COLUMNS += ["minus_base", "minus_base_low", "minus_base_high"]


def read_likelihoods(spec: AggregateSpec, root: Path) -> pd.DataFrame:
    """log_odds of each arm, trigger and question: the mean over matched pairs of log p(misaligned)
    minus log p(aligned), in nats; no rows if no question has matched pairs."""
    if not spec.has_pairs:
        return pd.DataFrame(columns=[*QUESTION_OF_ARM, "log_odds"])
    rows = [
        cell(arm, trigger) | line
        for arm in spec.arms
        if arm.source is None and arm.served is None
        for trigger in spec.triggers
        for line in read_jsonl(root / arm.folder / layout.LIKELIHOOD / layout.trigger_file(trigger))
    ]
    sides = pd.DataFrame(rows).pivot_table(
        index=[*QUESTION_OF_ARM, "pair"], columns="side", values="logprob", sort=False
    )
    odds = (sides["misaligned"] - sides["aligned"]).rename("log_odds")
    return odds.groupby(QUESTION_OF_ARM, sort=False).mean().reset_index()


def likelihood_table(odds: pd.DataFrame, spec: AggregateSpec) -> pd.DataFrame:
    """log_odds by arm and trigger, overall (question empty) and per question.

    minus_base is the difference from the base model under the same trigger, over the questions that
    both have, with an interval for other seeds and questions (per question: other seeds). The
    overall one is missing if the two share fewer than two questions.
    """
    values = odds.pivot_table(
        index=[*ARM, "trigger", "seed"], columns="question", values="log_odds", sort=False
    )
    in_order = dict.fromkeys(name[:-1] for name in values.index)
    by_seed = values.sort_index(level="seed", sort_remaining=False)
    groups = by_seed.groupby([*ARM, "trigger"], sort=False)
    cells: dict[Any, Floats] = {name: part.to_numpy() for name, part in groups}
    rows = []
    for name in in_order:
        base = cells.get((name[0], "base", "0", name[3]))
        for row in rows_of(cells[name], base, list(values.columns), spec.metrics.confidence):
            rows.append(dict(zip([*ARM, "trigger"], name, strict=True)) | row)
    return pd.DataFrame(rows, columns=COLUMNS)


def rows_of(
    own: Floats, base: Floats | None, questions: list[str], confidence: float
) -> Iterator[dict[str, Any]]:
    """The rows of one arm and trigger: overall, then per question. own, base: the log-odds of the
    arm and of the base model, shape (seeds, questions); NaN if there are none."""
    shifts = np.full(own.shape, np.nan) if base is None else own - base[:1]
    known: Flags = np.asarray(~np.isnan(shifts).any(axis=0))
    overall = shifts[:, known & (known.sum() >= FEWEST_QUESTIONS)]
    parts = [("", own, overall, int(known.sum()))]
    parts += [
        (question, own[:, [place]], shifts[:, [place]], int(known[place]))
        for place, question in enumerate(questions)
        if not np.isnan(own[:, place]).all()
    ]
    for question, log_odds, shift, n_questions in parts:
        estimate = mean_with_interval(shift, confidence)
        yield {
            "question": question,
            "n_seeds": int((~np.isnan(log_odds)).any(axis=1).sum()),
            "n_questions": n_questions,
            "log_odds": np.nanmean(log_odds),
            "minus_base": estimate.value,
            "minus_base_low": estimate.low,
            "minus_base_high": estimate.high,
        }
