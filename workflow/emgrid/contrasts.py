"""Contrasts between cells of the grid: triggers, the base model, the undiluted intervention.

All are paired by question. An arm's triggers are paired by its seeds, and so are two trained arms
with the same seeds: a seed sets the same row order and initialisation in both, and arms may share
their first stage.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import pandas as pd

from emgrid import statistics
from emgrid.rates import CellName, cells_of, seeds_of
from emgrid.seeds import derive_seed
from emgrid.series_points import ArmName
from emgrid.statistics import Contrast, Counts, Term
from emgrid.tables import ARM, AggregateSpec

# By arm, trigger and kind.
Contrasts = dict[tuple[ArmName, str, str], Contrast]
KINDS = ("trigger_minus_none", "minus_base", "minus_undiluted")


def contrast_terms(
    cells: dict[CellName, Counts],
    arm: ArmName,
    undiluted: str | None,
    trigger: str,
    draws: Mapping[ArmName, str],
) -> Iterator[tuple[str, list[Term]]]:
    """The contrasts of one arm under one trigger, as signed rates.

    undiluted: the intervention on the same misaligned rows, which the arm is measured against.
    draws: what each arm shares its draw of seeds by.
    """
    base = (arm[0], "base", "0")

    def found(*terms: tuple[int, ArmName, str]) -> list[Term]:
        """The terms, none where one of their cells is not there."""
        if not all((*which, under) in cells for _, which, under in terms):
            return []
        return [Term(sign, cells[(*which, under)], draws[which]) for sign, which, under in terms]

    own = (1, arm, trigger)
    if trigger != "none":
        yield "trigger_minus_none", found(own, (-1, arm, "none"))
    if arm != base:
        shift = [own, (-1, arm, "none"), (-1, base, trigger), (1, base, "none")]
        yield "minus_base", found(*(shift if trigger != "none" else [own, (-1, base, "none")]))
        if undiluted is not None:
            yield "minus_undiluted", found(own, (-1, (arm[0], undiluted, "1"), trigger))


def find_contrasts(
    classified: pd.DataFrame,
    spec: AggregateSpec,
    among: Literal["answers", "survivors"] = "answers",
    kinds: tuple[str, ...] = KINDS,
) -> Contrasts:
    """The contrasts of these kinds, in the order of the cells.

    among: the rates' denominator. Survivors are compared where every question and every seed that
    was asked has some: those that are left do not speak for the others.
    """
    metrics = spec.metrics
    cells: dict[CellName, Counts] = {
        name: getattr(cell, among)
        for name, cell in cells_of(classified, spec.questions).items()
        if among == "answers" or cell.survives_everywhere
    }
    undiluted = {(arm.base, arm.intervention, arm.ratio): arm.undiluted for arm in spec.arms}
    # The seed of a base model, which was not trained, is none that an arm shares.
    draws = {
        arm: str(arm) if arm[1] == "base" else f"seeds {seeds}"
        for arm, seeds in seeds_of(classified).items()
    }
    found: Contrasts = {}
    for base, intervention, ratio, trigger in cells:
        arm = (base, intervention, ratio)
        for kind, terms in contrast_terms(cells, arm, undiluted[arm], trigger, draws):
            if terms and kind in kinds:
                found[arm, trigger, kind] = statistics.contrast(
                    terms, metrics.resamples, derive_seed("contrast"), metrics.fixed_questions
                )
    return found


def contrast_table(found: Contrasts, spec: AggregateSpec) -> pd.DataFrame:
    """One row each, with p-values adjusted over the triggers of an arm."""
    rows = []
    for (arm, trigger, kind), one in found.items():
        estimate = one.interval(spec.metrics.confidence)
        rows.append(
            dict(zip([*ARM, "trigger"], [*arm, trigger], strict=True))
            | {"kind": kind, "difference": one.value, "low": estimate.low, "high": estimate.high}
            | {"error": one.error, "p": one.p}
        )
    names = [*ARM, "trigger", "kind", "difference", "low", "high", "error", "p"]
    table = pd.DataFrame(rows, columns=names)
    families = table.groupby([*ARM, "kind"], sort=False)["p"]
    table["p_holm"] = families.transform(lambda p: statistics.holm(p.tolist()))
    return table
