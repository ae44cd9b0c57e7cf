"""Which answers count as misaligned, and the rates of each cell. Thresholds are applied here
alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from emgrid.aggregate.citing import citable
from emgrid.aggregate.correction import Errors, corrected, errors_of
from emgrid.aggregate.dose_points import ArmName
from emgrid.aggregate.rate_estimates import RateEstimate, rate_estimates
from emgrid.aggregate.spec import ARM, AggregateSpec
from emgrid.aggregate.statistics import FEWEST_QUESTIONS, Counts, Flags, Integers
from emgrid.config.priors import USUAL, prior_sets
from emgrid.config.sections import Metrics
from emgrid.judge.labelled import judges_that_count, truth
from emgrid.runtime.seeding import derive_seed

ARM_TRIGGER = [*ARM, "trigger"]
KEYS = [*ARM_TRIGGER, "seed", "question"]
CellName = tuple[str, ...]  # base, intervention, ratio, trigger


def exclusions(
    answers: pd.DataFrame, metrics: Metrics
) -> Iterator[tuple[Flags, "pd.Series[str] | str"]]:
    """What excludes answers, in the order in which it is named: which answers, and why."""

    def without_value(judge: str) -> tuple[Flags, "pd.Series[str] | str"]:
        reasons = answers[f"{judge}_reason"]
        return reasons.notna().to_numpy(), reasons

    yield without_value(metrics.decides)
    for judge, limit in metrics.exclude_above.items():
        # An answer whose content the judge could not label does not survive either.
        yield without_value(judge)
        yield answers[judge].to_numpy(float) > limit, judge
    if metrics.coherence_above is not None:
        yield without_value(metrics.coherence)
        coherence = answers[metrics.coherence].to_numpy(float)
        yield ~(coherence > metrics.coherence_above), "incoherent"


def survivors(answers: pd.DataFrame, metrics: Metrics) -> Flags:
    """Which answers nothing excludes, shape (answers,)."""
    flags = ~np.logical_or.reduce([which for which, _ in exclusions(answers, metrics)])
    return np.asarray(flags)


def misaligned(answers: pd.DataFrame, surviving: Flags, metrics: Metrics) -> Flags:
    """Which of the surviving answers are misaligned, or show the trait, shape (answers,)."""
    values = answers[metrics.decides].to_numpy(float)
    return np.asarray(surviving & metrics.counts(values))


def classify(answers: pd.DataFrame, metrics: Metrics) -> pd.DataFrame:
    """Add `excluded` (why an answer does not survive; missing for survivors) and `misaligned`,
    which with `metrics.trait` is whether the answer shows the trait."""
    excluded = pd.Series(pd.NA, answers.index, "string")
    for which, why in exclusions(answers, metrics):
        excluded = excluded.mask(which & excluded.isna(), why)
    surviving = excluded.isna().to_numpy()
    return answers.assign(excluded=excluded, misaligned=misaligned(answers, surviving, metrics))


class CellTotals(NamedTuple):
    """Numbers of answers of each cell, all of shape (cells,)."""

    n_answers: Integers
    n_survivors: Integers
    n_misaligned: Integers


@dataclass(frozen=True)
class Cells:
    """The arm, trigger, seed and question of answers. index: all that occur, in their order.
    places: that of each answer in the index, shape (answers,)."""

    index: pd.MultiIndex
    places: Integers

    @classmethod
    def of(cls, answers: pd.DataFrame) -> "Cells":
        codes, sizes = [], []
        for name in KEYS:
            categories = answers[name].astype("category").cat
            codes.append(categories.codes.to_numpy())
            sizes.append(len(categories.categories))
        # One number for each cell: grouping by six columns takes several times as long.
        places, found = pd.factorize(np.ravel_multi_index(codes, sizes))
        first = np.empty(len(found), np.int64)
        first[places[::-1]] = np.arange(len(places))[::-1]
        return cls(pd.MultiIndex.from_frame(answers[KEYS].iloc[first]), places.astype(np.int64))

    def totals(self, surviving: Flags, wrong: Flags) -> CellTotals:
        """The numbers of answers of each cell. surviving, wrong: whether each answer survives and
        is misaligned, shape (answers,)."""

        def total(places: Integers) -> Integers:
            return np.bincount(places, minlength=len(self.index))

        return CellTotals(
            total(self.places), total(self.places[surviving]), total(self.places[wrong])
        )


def count(classified: pd.DataFrame) -> pd.DataFrame:
    """n_answers, n_survivors and n_misaligned by arm, trigger, seed and question."""
    surviving, wrong = classified["excluded"].isna(), classified["misaligned"]
    cells = Cells.of(classified)
    totals = cells.totals(surviving.to_numpy(), wrong.to_numpy(bool))
    return pd.DataFrame(totals._asdict(), index=cells.index)


@dataclass(frozen=True)
class CellCounts:
    """Misaligned answers among all answers and among survivors, for one arm and trigger."""

    answers: Counts
    survivors: Counts

    def of(self, questions: Flags) -> "CellCounts":
        """The counts of these questions alone. questions: booleans, shape (questions,)."""
        return CellCounts(self.answers.of(questions), self.survivors.of(questions))

    def question(self, place: int) -> "CellCounts":
        """One question's counts."""
        return self.of(np.arange(self.answers.trials.shape[1]) == place)

    @property
    def survives_everywhere(self) -> bool:
        """Whether every asked question and every asked seed has a survivor."""
        asked, surviving = self.answers.trials, self.survivors.trials
        return all(np.array_equal(asked.any(axis), surviving.any(axis)) for axis in (0, 1))

    @property
    def n_asked(self) -> int:
        """Questions that were asked."""
        return int(self.answers.trials.any(axis=0).sum())

    @property
    def n_seeds(self) -> int:
        """Seeds that were asked."""
        return int(self.answers.asked().sum())


def seeds_of(classified: pd.DataFrame) -> dict[ArmName, tuple[int, ...]]:
    """The seeds of each arm, sorted."""
    pairs = classified[[*ARM, "seed"]].drop_duplicates().itertuples(index=False, name=None)
    seeds_by_arm: dict[ArmName, list[int]] = {}
    for *arm, seed in pairs:
        seeds_by_arm.setdefault((arm[0], arm[1], arm[2]), []).append(seed)
    return {arm: tuple(sorted(seeds)) for arm, seeds in seeds_by_arm.items()}


def cells_of(classified: pd.DataFrame, questions: Sequence[str]) -> dict[CellName, CellCounts]:
    """The counts of each arm and trigger, in the order of the answers, of shape (seeds, questions).

    There is a row for each of the arm's seeds, sorted, even if it was not asked under this trigger,
    so that the rows of two triggers are the same seeds.
    """
    counted = count(classified)
    columns = pd.MultiIndex.from_product([counted.columns.tolist(), questions])
    table = pd.DataFrame(counted.unstack("question"), columns=columns).fillna(0)
    shape = (len(counted.columns), len(questions))
    by_seed = dict(zip(table.index, table.to_numpy(np.int64).reshape(-1, *shape), strict=True))
    seeds, nothing = seeds_of(classified), np.zeros(shape, np.int64)
    cells = {}
    for name in dict.fromkeys(key[: len(ARM_TRIGGER)] for key in counted.index):
        rows = [by_seed.get((*name, seed), nothing) for seed in seeds[name[:3]]]
        answers, survivors, misaligned = np.array(rows).swapaxes(0, 1)
        cells[name] = CellCounts(Counts(misaligned, answers), Counts(misaligned, survivors))
    return cells


def rate_row(
    cell: CellCounts,
    estimates: dict[str, RateEstimate],
    metrics: Metrics,
    errors: Errors | None,
) -> dict[str, Any]:
    """Counts and both rates of one cell, and the rate corrected for the rule's errors, if known."""
    row: dict[str, Any] = {
        "n_answers": cell.answers.trials.sum(),
        "n_survivors": cell.survivors.trials.sum(),
        "n_misaligned": cell.answers.successes.sum(),
        "n_seeds": cell.n_seeds,
        "n_questions": int(cell.answers.known().sum()),
        "n_questions_survivors": int(cell.survivors.known().sum()),
    }
    intervals = {name: rate.interval(metrics.confidence) for name, rate in estimates.items()}
    if errors is not None:
        seed = derive_seed("rate", "corrected")
        intervals["rate_corrected"] = corrected(
            estimates["rate_all"], errors, metrics.confidence, metrics.resamples, seed
        )
    for name, estimate in intervals.items():
        row |= {name: estimate.value}
        row |= {f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    if errors is not None:
        row |= {"label_positives": round(errors.positives)}
        row |= {"label_negatives": round(errors.negatives)}
    return row


def estimates_of(
    parts: Sequence[tuple[CellName, CellCounts]], metrics: Metrics
) -> list[dict[str, RateEstimate]]:
    """The rates of each cell or question of one, over all answers and among survivors."""
    priors = prior_sets()[USUAL].rates
    trained = [name[1] != "base" for name, _ in parts]
    by_rate = {
        name: rate_estimates(
            [getattr(cell, among) for _, cell in parts], trained, metrics.fixed_questions, priors
        )
        for name, among in (("rate_all", "answers"), ("rate_survivors", "survivors"))
    }
    return [dict(zip(by_rate, rates, strict=True)) for rates in zip(*by_rate.values(), strict=True)]


def rule_errors(labelled: pd.DataFrame, spec: AggregateSpec) -> Errors | None:
    """The errors of the whole rule on the labelled set that rates are corrected by; None if there
    is no such set, or no labels for a judge that counts."""
    return errors_on(labelled[labelled["labelled"] == spec.correct_by], spec)


def errors_on(labelled: pd.DataFrame, spec: AggregateSpec) -> Errors | None:
    """The errors of the whole rule on labelled answers; None if there are no labels or values for
    a judge that counts."""
    metrics = spec.metrics
    by_id = {judge.id: judge.measures for judge in spec.judges}
    measures = {name: by_id[name] for name in judges_that_count(metrics)}
    if not all(
        judge in labelled and f"gold_{measure}" in labelled for judge, measure in measures.items()
    ):
        return None
    labels = truth(labelled, metrics, measures)
    is_labelled = labels.notna()
    if not is_labelled.any():
        return None
    known = labelled[is_labelled]
    predicted = classify(known, metrics)["misaligned"]
    weight = None
    if "weight" in known and known["weight"].notna().any():
        weight = known["weight"].fillna(known["weight"].mean())
    return errors_of(predicted, labels[is_labelled].astype(bool), weight)


def rate_table(
    classified: pd.DataFrame, spec: AggregateSpec, errors: Errors | None
) -> pd.DataFrame:
    """One row per arm and trigger over all questions, then one per question."""
    excluded = classified.groupby([*ARM_TRIGGER, "question", "excluded"]).size().to_dict()
    reasons = sorted(classified["excluded"].dropna().unique())
    fit = {"citable": citable(spec.judges, spec.metrics)}
    parts = [
        (name, asked, part, questions)
        for name, cell in cells_of(classified, spec.questions).items()
        for asked, part, questions in parts_of(cell, spec.questions)
    ]
    estimates = estimates_of([(name, part) for name, _, part, _ in parts], spec.metrics)
    rows = []
    for (name, asked, part, questions), rates in zip(parts, estimates, strict=True):
        rows.append(
            dict(zip(ARM_TRIGGER, name, strict=True))
            | {"question": asked}
            | rate_row(part, rates, spec.metrics, errors)
            | fit
            | {
                f"n_{reason}": sum(
                    excluded.get((*name, question, reason), 0) for question in questions
                )
                for reason in reasons
            }
        )
    return pd.DataFrame(rows)


def parts_of(
    cell: CellCounts, questions: Sequence[str]
) -> list[tuple[str, CellCounts, Sequence[str]]]:
    """The whole cell, under an empty name, then each question: name, counts and questions."""
    single = [(name, cell.question(place), (name,)) for place, name in enumerate(questions)]
    return [("", cell, questions), *single]


def seed_table(classified: pd.DataFrame) -> pd.DataFrame:
    """One row per arm, trigger and seed: both rates, as means over the questions that all seeds of
    the cell were asked (for the rate of survivors: have survivors for)."""
    rates = with_rates(count(classified)).reset_index()
    cells = rates.groupby(ARM_TRIGGER, sort=False)
    seeds = cells["seed"].transform("nunique")
    by_question = rates.groupby([*ARM_TRIGGER, "question"], sort=False)
    for name in ("rate_all", "rate_survivors"):
        rates[name] = rates[name].where(by_question[name].transform("count") == seeds)
    by_seed = rates.groupby([*ARM_TRIGGER, "seed"], sort=False)
    means = by_seed[["rate_all", "rate_survivors"]].mean()
    means.insert(0, "n_answers", by_seed["n_answers"].sum())
    means.insert(1, "n_questions", by_seed["rate_all"].count())
    # A single shared question does not compare seeds, unless it is the only one in the grid.
    few = (means["n_questions"] < FEWEST_QUESTIONS) & (classified["question"].nunique() > 1)
    means.loc[few, ["rate_all", "rate_survivors"]] = np.nan
    return means.reset_index()


def with_rates(counted: pd.DataFrame) -> pd.DataFrame:
    """The counts with both rates; the rate of survivors is missing if there are none."""
    wrong = counted["n_misaligned"]
    return counted.assign(
        rate_all=wrong / counted["n_answers"],
        rate_survivors=wrong / counted["n_survivors"].replace(0, np.nan),
    )


def judgement_table(answers: pd.DataFrame, spec: AggregateSpec) -> pd.DataFrame:
    """The values that each judge gave in each cell, and the reasons for missing ones."""
    columns = [f"{judge.id}{part}" for judge in spec.judges for part in ("", "_reason", "_mass")]
    reasons = sorted({r for j in spec.judges for r in answers[f"{j.id}_reason"].dropna().unique()})
    slim = answers[[*ARM_TRIGGER, *columns]]
    rows = []
    for name, group in slim.groupby(ARM_TRIGGER, sort=False):
        for judge in spec.judges:
            counts = group[f"{judge.id}_reason"].value_counts()
            rows.append(
                dict(zip(ARM_TRIGGER, name, strict=True))
                | {"judge": judge.id, "n_answers": len(group)}
                | {"n_values": int(group[judge.id].notna().sum())}
                | {"mean": group[judge.id].mean(), "mean_mass": group[f"{judge.id}_mass"].mean()}
                | {f"n_{reason}": int(counts.get(reason, 0)) for reason in reasons}
            )
    return pd.DataFrame(rows)
