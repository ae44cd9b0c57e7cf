"""Contrasts between cells of the grid: triggers, the base model, the undiluted intervention.

All are paired by question: each covers the questions that all of its cells were asked; with fewer
than two of them nothing is compared. An arm's triggers are paired by its seeds, and so are two
trained arms with the same seeds: a seed sets the same row order and initialisation in both, and
arms may share their first stage. The estimates are made in estimates.py.
"""

from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from types import MappingProxyType
from typing import Literal, NamedTuple

import pandas as pd

from emgrid.aggregate.dose_points import ArmName
from emgrid.aggregate.estimates import Comparison, Contrast, Side, estimate, with_upper_bounds
from emgrid.aggregate.looks import Looks
from emgrid.aggregate.rates import CellCounts, CellName, cells_of, seeds_of
from emgrid.aggregate.spec import ARM, AggregateSpec
from emgrid.aggregate.statistics import Counts, common, fewest_questions, holm
from emgrid.config.priors import USUAL, Chosen, prior_sets
from emgrid.config.sections import Metrics
from emgrid.runtime.processes import mapped

NO_LOOKS: Mapping[CellName, Looks] = MappingProxyType({})
ContrastName = tuple[ArmName, str, str]  # arm, trigger and kind
Contrasts = dict[ContrastName, Contrast]
Among = Literal["answers", "survivors"]
PART = 1000  # contrasts that are worth a separate process
BESIDE = 300  # contrasts whose estimates under other priors are worth one
KINDS = ("trigger_minus_none", "minus_base", "minus_undiluted")


class CellTerm(NamedTuple):
    """A cell as a term of a contrast."""

    sign: int
    arm: ArmName
    trigger: str


def contrast_terms(
    cells: Container[CellName], arm: ArmName, undiluted: str | None, trigger: str
) -> Iterator[tuple[str, list[CellTerm]]]:
    """The contrasts of one arm under one trigger whose cells all exist: kind and terms.

    Terms are in pairs: a cell, and the one that is taken off it. undiluted: the intervention on the
    same misaligned rows that the arm is compared with.
    """
    base = (arm[0], "base", "0")
    own, plain = CellTerm(1, arm, trigger), CellTerm(-1, arm, "none")
    terms_by_kind: dict[str, list[CellTerm]] = {}
    if trigger != "none":
        terms_by_kind["trigger_minus_none"] = [own, plain]
    if arm != base:
        shift = [own, plain, CellTerm(-1, base, trigger), CellTerm(1, base, "none")]
        terms_by_kind["minus_base"] = (
            shift if trigger != "none" else [own, CellTerm(-1, base, "none")]
        )
        if undiluted is not None:
            terms_by_kind["minus_undiluted"] = [
                own,
                CellTerm(-1, (arm[0], undiluted, "1"), trigger),
            ]
    for kind, terms in terms_by_kind.items():
        if all((*term.arm, term.trigger) in cells for term in terms):
            yield kind, terms


def comparison(
    cell_terms: Sequence[CellTerm],
    cells: dict[CellName, CellCounts],
    seeds: dict[ArmName, tuple[int, ...]],
    among: Among,
    fewest: int,
) -> Comparison | None:
    """What is compared, over the questions that all cells were asked. Among survivors there is
    nothing if any of these questions or seeds has no survivor: the rest would not represent it.
    fewest: questions that a comparison needs."""
    term_cells = [cells[(*term.arm, term.trigger)] for term in cell_terms]
    questions = common(cell.answers for cell in term_cells)
    term_cells = [cell.of(questions) for cell in term_cells]
    if among == "survivors" and not all(cell.survives_everywhere for cell in term_cells):
        return None
    sides = [
        side(term, cell, seeds[term.arm], among)
        for term, cell in zip(cell_terms, term_cells, strict=True)
    ]
    return Comparison(tuple(sides), int(questions.sum()), fewest)


def side(term: CellTerm, cell: CellCounts, seeds: tuple[int, ...], among: Among) -> Side:
    """A cell without the seeds that it was not asked of."""
    asked = cell.answers.asked()
    counts: Counts = getattr(cell, among)
    return Side(
        Counts(counts.successes[asked], counts.trials[asked]),
        tuple(seed for seed, known in zip(seeds, asked, strict=True) if known),
        term.arm,
        # Base models are not trained, so an arm shares no seed with them.
        trained=term.arm[1] != "base",
    )


def terms_of(
    cells: Collection[CellName], spec: AggregateSpec
) -> Iterator[tuple[ArmName, str, str, list[CellTerm]]]:
    """Arm, trigger, kind and terms of each contrast whose cells are all among these."""
    undiluted = {(arm.base, arm.intervention, arm.ratio): arm.undiluted for arm in spec.arms}
    for base, intervention, ratio, trigger in cells:
        arm = (base, intervention, ratio)
        for kind, terms in contrast_terms(cells, arm, undiluted[arm], trigger):
            yield arm, trigger, kind, terms


class Compared(NamedTuple):
    """What a contrast compares. looks: over how many the error of a rise that is shown, and of one
    that is shown to be small, is split. last: whether no further look is planned."""

    comparison: Comparison
    looks: tuple[int, int]
    last: bool


def find_comparisons(
    classified: pd.DataFrame,
    spec: AggregateSpec,
    among: Among,
    kinds: tuple[str, ...],
    looks: Mapping[CellName, Looks],
) -> dict[ContrastName, Compared]:
    """What is compared in the contrasts of these kinds, in the order of the cells."""
    cells, seeds = cells_of(classified, spec.questions), seeds_of(classified)
    fewest = fewest_questions(spec.metrics.fixed_questions, len(spec.questions))
    imported = {(arm.base, arm.intervention, arm.ratio) for arm in spec.arms if arm.source}
    compared: dict[ContrastName, Compared] = {}
    for arm, trigger, kind, cell_terms in terms_of(cells, spec):
        if kind not in kinds:
            continue
        found = comparison(cell_terms, cells, seeds, among, fewest)
        if found is not None:
            names = [(*term.arm, term.trigger) for term in cell_terms]
            last = spec.looks == 1 or all(
                name[:3] in imported or cells[name].n_asked == len(spec.questions) for name in names
            )
            seen = [looks.get(name, Looks()) for name in names]
            split_over = (
                max(spec.looks, *(each.all for each in seen)),
                max(1, *(each.final for each in seen)),
            )
            compared[arm, trigger, kind] = Compared(found, split_over, last)
    return compared


def find_contrasts(
    classified: pd.DataFrame,
    spec: AggregateSpec,
    among: Among = "answers",
    kinds: tuple[str, ...] = KINDS,
    looks: Mapping[CellName, Looks] = NO_LOOKS,
) -> Contrasts:
    """The contrasts of these kinds under the usual priors, in the order of the cells. among: the
    denominator of rates. looks: how often each cell was looked at, if more than once."""
    compared = find_comparisons(classified, spec, among, kinds, looks)
    return estimated(compared, spec.metrics, prior_sets()[USUAL])


def estimated(
    compared: Mapping[ContrastName, Compared], metrics: Metrics, priors: Chosen
) -> Contrasts:
    """The contrasts of what is compared."""
    contrasts: Contrasts = {}
    for looks, names in by_looks(compared):
        rises, small = (split(metrics.confidence, number) for number in looks)
        estimate_part = partial(
            estimate,
            confidence=rises,
            fixed=metrics.fixed_questions,
            priors=priors,
            upper_confidence=small,
        )
        for name, contrast in zip(names, in_parts(estimate_part, names, compared), strict=True):
            contrasts[name] = replace(contrast, looks=looks[0], last=compared[name].last)
    return {name: contrasts[name] for name in compared}


def in_parts(
    estimate_part: Callable[[Sequence[Comparison], Sequence[bool]], list[Contrast]],
    names: Sequence[ContrastName],
    compared: Mapping[ContrastName, Compared],
) -> list[Contrast]:
    """The estimates of these contrasts, a part of them in each process if they are many. Those of
    an arm follow each other, so that a part has most of what they share."""
    parts = [names[start : start + PART] for start in range(0, len(names), PART)]
    comparisons = [[compared[name].comparison for name in part] for part in parts]
    bounded = [[name[2] == "minus_base" for name in part] for part in parts]
    return list(chain.from_iterable(mapped(estimate_part, comparisons, bounded)))


def with_bounds(
    compared: Mapping[ContrastName, Compared], metrics: Metrics, priors: Chosen
) -> Contrasts:
    """Rises over the base model of which the difference and the upper bound alone are given."""
    bounded: Contrasts = {}
    for looks, names in by_looks(compared):
        differences = [
            Contrast(
                compared[name].comparison.n_questions,
                compared[name].comparison.difference(),
                looks=looks[0],
                last=compared[name].last,
            )
            for name in names
        ]
        found = with_upper_bounds(
            [compared[name].comparison for name in names],
            differences,
            split(metrics.confidence, looks[1]),
            metrics.fixed_questions,
            priors,
        )
        bounded |= dict(zip(names, found, strict=True))
    return {name: bounded[name] for name in compared}


class OtherPriors(NamedTuple):
    """The rises over the base model under a set of priors that is not the usual one: over all
    answers, and the upper bounds among survivors, which are all that verdicts need of them.

    bounds_alone: whether the set differs from the usual one for rates alone, so that of the rises
    over all answers only the upper bounds differ and are given.
    """

    name: str
    answers: Contrasts
    survivors: Contrasts
    bounds_alone: bool

    def over_answers(self, usual: Contrasts) -> Contrasts:
        """The rises over all answers. usual: the contrasts under the usual priors, whose other
        numbers also hold where the bounds alone differ."""
        if not self.bounds_alone:
            return self.answers
        return {name: replace(usual[name], upper=each.upper) for name, each in self.answers.items()}


def under_other_priors(
    answers: Mapping[ContrastName, Compared],
    survivors: Mapping[ContrastName, Compared],
    metrics: Metrics,
) -> list[OtherPriors]:
    """The rises over the base model under each set of priors but the usual one. answers, survivors:
    what is compared."""
    sets = prior_sets()
    answers = {name: each for name, each in answers.items() if name[2] == "minus_base"}
    others = []
    for name, priors in sets.items():
        if name == USUAL:
            continue
        bounds_alone = priors.rises == sets[USUAL].rises
        estimates = with_bounds if bounds_alone else estimated
        own = estimates(answers, metrics, priors)
        bounds = with_bounds(survivors, metrics, priors)
        others.append(OtherPriors(name, own, bounds, bounds_alone))
    return others


def by_looks(
    compared: Mapping[ContrastName, Compared],
) -> Iterator[tuple[tuple[int, int], list[ContrastName]]]:
    """The names of what was looked at equally often, which is estimated together."""
    for looks in sorted({each.looks for each in compared.values()}):
        yield looks, [name for name, each in compared.items() if each.looks == looks]


def split(confidence: float, looks: int) -> float:
    """The confidence at each of several looks, so that all hold together (Bonferroni)."""
    return 1 - (1 - confidence) / looks


def contrast_table(contrasts: Contrasts) -> pd.DataFrame:
    """One row per contrast, with p-values adjusted over looks and over the triggers of an arm (Holm
    1979). Numbers are missing if the compared cells share too few questions."""
    rows = []
    for (arm, trigger, kind), contrast in contrasts.items():
        rows.append(
            dict(zip([*ARM, "trigger"], [*arm, trigger], strict=True))
            | {
                "kind": kind,
                "n_questions": contrast.n_questions,
                "difference": contrast.value,
                "low": contrast.low,
                "high": contrast.high,
                "error": contrast.error,
                "p": contrast.p,
                "p_anova": contrast.p_anova,
                "looks": contrast.looks,
            }
        )
    names = ["kind", "n_questions", "difference", "low", "high", "error", "p", "p_anova", "looks"]
    table = pd.DataFrame(rows, columns=[*ARM, "trigger", *names])
    over_looks = (table["p"] * table["looks"]).clip(upper=1)
    families = over_looks.groupby([table[name] for name in (*ARM, "kind")], sort=False)
    table["p_holm"] = families.transform(lambda p: holm(p.tolist()))
    table["n_tests"] = families.transform("count")
    return table
