"""How often intervals by labels hold where a judge errs differently in each cell.

    python benchmarks/ppi.py

Prints a Markdown table, as bars.py does. An arm has 2,400 answers without a trigger and 2,400 under
one, and 200 labels in each. Without the trigger 2 % of the answers are misaligned, and the judge's
sensitivity is .6 and its specificity .97. Under the trigger: A, 12 %, the same judge; B, 2 %,
specificity .90; C, 12 %, sensitivity .2. Half of the misses, and a tenth of the answers that are
rightly passed, are near the threshold.

Side by side: the judge alone; Rogan-Gladen with 200 + 200 labels, drawn at random and pooled;
labels alone, drawn at random, with the same kind of interval; and rates by labels, drawn as
`emgrid labels` does. Answers are independent at first; then questions and seeds differ.
"""

import argparse
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from bars import Bar, Numbered
from common import bar_line, write_manifest
from emgrid.aggregate.cell_labels import CellLabels
from emgrid.aggregate.correction import Errors, corrected
from emgrid.aggregate.draw_labels import deviations, order_of_picks
from emgrid.aggregate.estimates import Comparison, Side
from emgrid.aggregate.ppi_intervals import (
    Corrected,
    Labelled,
    Settings,
    corrected_differences,
    corrected_rates,
)
from emgrid.aggregate.rate_estimates import RateEstimate, rate_estimates
from emgrid.aggregate.statistics import Counts, Estimate, Integers
from emgrid.config.priors import USUAL, prior_sets
from simulated_counts import SPREADS, Design, counts, name_of, simulate

PRIORS = prior_sets()[USUAL]
CONFIDENCE, DRAWS, LABELS = 0.95, 1000, 200
ALIKE = Design(1, 8, 300)  # whose answers are independent
DESIGNS = (Design(3, 24, 33), Design(3, 8, 100))
NEAR_MISSES, NEAR_PASSES = 0.5, 0.1
PLAIN_RATE = 0.02
SEED = 20261201
Interval = Corrected | Estimate


class Judge(NamedTuple):
    """Errors of a judge in one cell."""

    sensitivity: float
    specificity: float


class Case(NamedTuple):
    """The cell under the trigger."""

    name: str
    rate: float
    judge: Judge


USUAL_JUDGE = Judge(0.6, 0.97)
CASES = (
    Case("A, 2 to 12 %, equal errors", 0.12, USUAL_JUDGE),
    Case("B, 2 to 2 %, more false alarms", 0.02, Judge(0.6, 0.9)),
    Case("C, 2 to 12 %, more misses", 0.12, Judge(0.2, 0.97)),
)
# Cells in which labels rarely or never show a misaligned answer, or never disagree.
RARE = (
    Case("rate .5 %", 0.005, USUAL_JUDGE),
    Case("rate .1 %", 0.001, USUAL_JUDGE),
    Case("rate 2 %, a judge without errors", 0.02, Judge(1.0, 1.0)),
    Case("rate 5 %, a judge that finds none", 0.05, Judge(0.0, 1.0)),
)


@dataclass(frozen=True)
class Judged:
    """Answers of a cell and misaligned ones by stratum, shape (strata, seeds, questions)."""

    answers: Integers
    misaligned: Integers

    @property
    def flagged(self) -> Counts:
        return Counts(self.answers[0], self.answers.sum(axis=0))

    def pooled(self) -> "Judged":
        """The same in a single stratum, as if there were no judge."""
        first = (
            np.concatenate([each.sum(axis=0, keepdims=True), np.zeros_like(each[1:])])
            for each in (self.answers, self.misaligned)
        )
        return Judged(*first)


def judged(rng: np.random.Generator, truth: Counts, judge: Judge) -> Judged:
    """What a judge says of answers. truth: misaligned ones and all."""
    wrong, right = truth.successes, truth.trials - truth.successes
    found, alarms = (
        rng.binomial(wrong, judge.sensitivity),
        rng.binomial(right, 1 - judge.specificity),
    )
    missed, passed = wrong - found, right - alarms
    near_missed = rng.binomial(missed, NEAR_MISSES)
    near_passed = rng.binomial(passed, NEAR_PASSES)
    misaligned = np.stack([found, near_missed, missed - near_missed])
    others = np.stack([alarms, near_passed, passed - near_passed])
    return Judged(misaligned + others, misaligned)


def labelled(rng: np.random.Generator, cell: Judged, number: int = LABELS) -> CellLabels:
    """The cell with labels of answers that are drawn as `emgrid labels` does."""
    sizes = cell.answers.sum(axis=(1, 2))
    picks = order_of_picks(sizes, deviations(None))[:number]
    known, hits = np.zeros((2, *cell.answers.shape))
    for stratum, drawn in enumerate(np.bincount(picks, minlength=len(sizes))):
        answers, wrong = cell.answers[stratum], cell.misaligned[stratum]
        chosen = rng.multivariate_hypergeometric(answers.ravel(), drawn).reshape(answers.shape)
        known[stratum], hits[stratum] = chosen, rng.hypergeometric(wrong, answers - wrong, chosen)
    empty = np.zeros(cell.answers.shape[1:])
    return CellLabels(empty, cell.answers.astype(float), known, hits, known, known, hits)


def by_labels(cells: Sequence[CellLabels], settings: Settings, arm: str) -> list[Corrected]:
    """The corrected rates of an arm's cells in many grids. arm: base models are not trained."""
    names = {("model", arm, "1", str(place)): cell for place, cell in enumerate(cells)}
    return list(corrected_rates(names, settings).values())


def covers(intervals: Sequence[Interval], truth: float) -> float:
    return float(np.mean([each.low <= truth <= each.high for each in intervals]))


def width(intervals: Sequence[Interval]) -> float:
    return float(np.mean([each.high - each.low for each in intervals]))


def settings_of(fixed: bool) -> Settings:
    return Settings(CONFIDENCE, DRAWS, fixed, PRIORS)


def rates_of(cells: Sequence[Counts], fixed: bool, trained: bool) -> list[RateEstimate]:
    return rate_estimates(cells, [trained] * len(cells), fixed, PRIORS.rates)


def alike(rng: np.random.Generator, rate: float, judge: Judge, grids: int) -> list[Judged]:
    """Cells of independent answers."""
    shape = (grids, ALIKE.seeds, ALIKE.questions)
    truth = rng.binomial(ALIKE.answers, rate, shape)
    return [judged(rng, counts(each, ALIKE.answers), judge) for each in truth]


def pooled_errors(cells: Sequence[CellLabels]) -> Errors:
    """The judge's hits and errors on random labels of several cells together."""
    hits, known = (
        np.sum([getattr(cell, what).sum(axis=(1, 2)) for cell in cells], axis=0)
        for what in ("hits", "labelled")
    )
    wrong, right = hits, known - hits
    return Errors(*(float(each) for each in (wrong[0], wrong[1:].sum(), right[1:].sum(), right[0])))


def at_random(rng: np.random.Generator, cell: Judged) -> CellLabels:
    """Random labels, by what the judge says."""
    sizes = cell.answers.sum(axis=(1, 2))
    drawn = rng.multivariate_hypergeometric(sizes, LABELS)
    hits = rng.hypergeometric(cell.misaligned.sum(axis=(1, 2)),
                              sizes - cell.misaligned.sum(axis=(1, 2)), drawn)  # fmt: skip
    known, wrong = (each.reshape(-1, 1, 1).astype(float) for each in (drawn, hits))
    answers = sizes.reshape(-1, 1, 1).astype(float)
    return CellLabels(np.zeros((1, 1)), answers, known, wrong, known, known, wrong)


def rogan_gladen(
    rng: np.random.Generator, plain: Sequence[Judged], cued: Sequence[Judged]
) -> list[Estimate]:
    """The rate under the trigger by labels of both cells together."""
    observed = rates_of([cell.flagged for cell in cued], fixed=True, trained=False)
    errors = [
        pooled_errors([at_random(rng, cell) for cell in pair])
        for pair in zip(plain, cued, strict=True)
    ]
    return [
        corrected(rate, each, CONFIDENCE, DRAWS, 0)
        for rate, each in zip(observed, errors, strict=True)
    ]


def independent(grids: int, random: Numbered) -> Iterator[dict[str, Any]]:
    """The three cases, with independent answers."""
    settings = settings_of(fixed=True)
    for case in CASES:
        rng = random.rng()
        plain = alike(rng, PLAIN_RATE, USUAL_JUDGE, grids)
        cued = alike(rng, case.rate, case.judge, grids)
        found = by_labels([labelled(rng, cell) for cell in cued], settings, "base")
        alone = by_labels([labelled(rng, cell.pooled()) for cell in cued], settings, "base")
        judge = [
            each.interval(CONFIDENCE)
            for each in rates_of([cell.flagged for cell in cued], fixed=True, trained=False)
        ]
        pooled = [each for each in rogan_gladen(rng, plain, cued) if not np.isnan(each.value)]
        given = f"Rogan-Gladen, pooled labels, given in {len(pooled) / grids:.0%}"
        for name, intervals, low, high in (
            ("the judge alone", judge, 0.0, 1.0),
            (given, pooled, 0.0, 1.0),
            ("labels alone", alone, 0.93, 0.97),
            ("by labels", found, 0.93, 0.97),
        ):
            what = f"{case.name}: {name}, {100 * width(intervals):.1f} points wide"
            yield Bar(what, low, high, {"": covers(intervals, case.rate)}, grids).row()
        yield narrower(case, width(found), width(alone))


def narrower(case: Case, found: float, alone: float) -> dict[str, Any]:
    return {
        "what": f"{case.name}: width by labels to that of labels alone",
        "bar": "at most 1",
        "measured": f"{found / alone:.2f}",
        "verdict": "yes" if found <= alone else "no",
        "grids": 0,
        "ratio": found / alone,
    }


def rare(grids: int, random: Numbered) -> Iterator[dict[str, Any]]:
    """Low rates, and judges that never or always err; no interval may have width zero."""
    for case in RARE:
        rng = random.rng()
        cells = [labelled(rng, cell) for cell in alike(rng, case.rate, case.judge, grids)]
        found = by_labels(cells, settings_of(fixed=True), "base")
        narrowest = min(each.high - each.low for each in found)
        what = f"{case.name}: by labels, narrowest interval {100 * narrowest:.2f} points"
        yield Bar(what, 0.93, 1.0, {"": covers(found, case.rate)}, grids).row()


def differing(
    grids: int,
    random: Numbered,
    designs: Sequence[Design] = DESIGNS,
    spreads: Sequence[str] = ("usual", "rough"),
    cases: Sequence[Case] = CASES,
) -> Iterator[dict[str, Any]]:
    """Questions and seeds differ, and intervals are about all of their kind."""
    for design, spread in itertools.product(designs, spreads):
        rates, rises, judges = {}, {}, {}
        for case in cases:
            rng = random.rng()
            truth = simulate(rng, SPREADS[spread], (PLAIN_RATE, case.rate), design, grids)
            plain, cued = (
                [judged(rng, counts(cell, design.answers), judge) for cell in truth[:, place]]
                for place, judge in enumerate((USUAL_JUDGE, case.judge))
            )
            pairs = [
                [labelled(rng, cell) for cell in pair] for pair in zip(cued, plain, strict=True)
            ]
            found = by_labels([pair[0] for pair in pairs], settings_of(fixed=False), "arm")
            rates[case.name[0]] = covers(found, case.rate)
            rises[case.name[0]] = covers(rises_of(pairs, design), case.rate - PLAIN_RATE)
            alone = rates_of([cell.flagged for cell in cued], fixed=False, trained=True)
            judges[case.name[0]] = covers([each.interval(CONFIDENCE) for each in alone], case.rate)
        title = f"{name_of(design)}, {spread} spread"
        yield Bar(f"{title}: rate, the judge alone", 0.0, 1.0, judges, grids).row()
        yield Bar(f"{title}: rate by labels", 0.92, 1.0, rates, grids).row()
        yield Bar(f"{title}: rise by labels", 0.92, 1.0, rises, grids).row()


def rises_of(pairs: Sequence[Sequence[CellLabels]], design: Design) -> list[Corrected]:
    """The rise under the trigger in many grids. pairs: the cell under it, and the plain one."""
    names = [("model", "arm", "1", trigger) for trigger in ("cue", "none")]

    def compare(tables: Mapping[tuple[str, ...], Counts]) -> Comparison:
        seeds, arm = tuple(range(design.seeds)), ("model", "arm", "1")
        sides = tuple(Side(tables[name], seeds, arm, True) for name in names)
        return Comparison(sides, design.questions)

    contrasts = [Labelled(tuple(names), tuple(pair), compare) for pair in pairs]
    return corrected_differences(contrasts, settings_of(fixed=False))


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", type=Path, help="file for the record")
    parser.add_argument("--grids", type=int, default=2000, help="of independent answers")
    parser.add_argument("--rise-grids", type=int, default=100, help="whose questions differ")
    parser.add_argument("--seed", type=int, default=SEED, help="of the random numbers")
    return parser.parse_args(words)


def main() -> None:
    options = parse()
    random = Numbered(options.seed)
    print("| what | bar | measured | met | grids | error, points |\n" + "|---" * 6 + "|")
    rows = []
    for row in itertools.chain(
        independent(options.grids, random),
        rare(options.grids, random),
        differing(options.rise_grids, random),
    ):
        rows.append(row)
        print(bar_line(row), flush=True)
    write_manifest("ppi", options, rows)


if __name__ == "__main__":
    main()
