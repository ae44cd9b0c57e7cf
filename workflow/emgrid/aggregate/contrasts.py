"""Contrasts between cells of the grid: triggers, the base model, the undiluted intervention.

All are paired by question: each is over the questions that every cell in it knows, and with under
two of them nothing is compared. An arm's triggers are paired by its seeds, and so are two trained
arms with the same seeds: a seed sets the same row order and initialisation in both, and arms may
share their first stage.
"""

from collections.abc import Container, Iterator, Sequence
from typing import Literal, NamedTuple

import pandas as pd

from emgrid.aggregate import statistics
from emgrid.aggregate.dose_points import ArmName
from emgrid.aggregate.rates import Cell, CellName, cells_of, seeds_of
from emgrid.aggregate.spec import ARM, AggregateSpec
from emgrid.aggregate.statistics import Contrast, Counts, Term, common
from emgrid.runtime.seeding import derive_seed

# By arm, trigger and kind.
Contrasts = dict[tuple[ArmName, str, str], Contrast]
Among = Literal["answers", "survivors"]
KINDS = ("trigger_minus_none", "minus_base", "minus_undiluted")


class Named(NamedTuple):
    """A cell as a term of a contrast."""

    sign: int
    arm: ArmName
    trigger: str


def contrast_terms(
    cells: Container[CellName], arm: ArmName, undiluted: str | None, trigger: str
) -> Iterator[tuple[str, list[Named]]]:
    """The contrasts of one arm under one trigger that have all of their cells.

    undiluted: the intervention on the same misaligned rows, which the arm is measured against.
    """
    base = (arm[0], "base", "0")
    own, plain = Named(1, arm, trigger), Named(-1, arm, "none")
    kinds: dict[str, list[Named]] = {}
    if trigger != "none":
        kinds["trigger_minus_none"] = [own, plain]
    if arm != base:
        shift = [own, plain, Named(-1, base, trigger), Named(1, base, "none")]
        kinds["minus_base"] = shift if trigger != "none" else [own, Named(-1, base, "none")]
        if undiluted is not None:
            kinds["minus_undiluted"] = [own, Named(-1, (arm[0], undiluted, "1"), trigger)]
    for kind, named in kinds.items():
        if all((*one.arm, one.trigger) in cells for one in named):
            yield kind, named


def compared(
    named: Sequence[Named],
    cells: dict[CellName, Cell],
    seeds: dict[ArmName, tuple[int, ...]],
    among: Among,
) -> list[Term]:
    """The terms over the questions that all cells were asked. Among survivors none where a
    question or a seed of these has no survivor: those that are left do not speak for the others."""
    own = [cells[(*one.arm, one.trigger)] for one in named]
    questions = common(cell.answers for cell in own)
    own = [cell.of(questions) for cell in own]
    if among == "survivors" and not all(cell.survives_everywhere for cell in own):
        return []
    terms = []
    for one, cell in zip(named, own, strict=True):
        asked = cell.answers.asked()
        # The seed of a base model, which was not trained, is none that an arm shares.
        trained = one.arm[1] != "base"
        shared = [seed for seed, known in zip(seeds[one.arm], asked, strict=True) if known]
        draw = f"seeds {shared}" if trained else f"{one.arm} {shared}"
        counts: Counts = getattr(cell, among)
        terms.append(Term(one.sign, Counts(counts.successes[asked], counts.trials[asked]), draw))
    return terms


def find_contrasts(
    classified: pd.DataFrame,
    spec: AggregateSpec,
    among: Among = "answers",
    kinds: tuple[str, ...] = KINDS,
) -> Contrasts:
    """The contrasts of these kinds, in the order of the cells. among: the rates' denominator."""
    metrics = spec.metrics
    cells, seeds = cells_of(classified, spec.questions), seeds_of(classified)
    undiluted = {(arm.base, arm.intervention, arm.ratio): arm.undiluted for arm in spec.arms}
    found: Contrasts = {}
    for base, intervention, ratio, trigger in cells:
        arm = (base, intervention, ratio)
        for kind, named in contrast_terms(cells, arm, undiluted[arm], trigger):
            terms = compared(named, cells, seeds, among) if kind in kinds else []
            if terms:
                found[arm, trigger, kind] = statistics.contrast(
                    terms, metrics.resamples, derive_seed("contrast"), metrics.fixed_questions
                )
    return found


def contrast_table(found: Contrasts, spec: AggregateSpec) -> pd.DataFrame:
    """One row each, with p-values adjusted over the triggers of an arm. Where too few questions are
    known to all that is compared, numbers are missing."""
    rows = []
    for (arm, trigger, kind), one in found.items():
        estimate = one.interval(spec.metrics.confidence)
        rows.append(
            dict(zip([*ARM, "trigger"], [*arm, trigger], strict=True))
            | {"kind": kind, "difference": one.value, "low": estimate.low, "high": estimate.high}
            | {"error": one.error, "n_questions": one.n_questions, "p": one.p}
        )
    names = [*ARM, "trigger", "kind", "n_questions", "difference", "low", "high", "error", "p"]
    table = pd.DataFrame(rows, columns=names)
    families = table.groupby([*ARM, "kind"], sort=False)["p"]
    table["p_holm"] = families.transform(lambda p: statistics.holm(p.tolist()))
    return table
