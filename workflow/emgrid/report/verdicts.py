"""The top of the page: a verdict per intervention and trigger, and sentences to quote."""

from typing import Any

import pandas as pd

from emgrid.report import format
from emgrid.report.format import counted, in_points, interval, listed, p_value, points
from emgrid.report.results import Results, rows_in, rows_of
from emgrid.report.spec import ReportSpec

# The legend. The rules are in aggregate/verdicts.py.
VERDICTS = {
    "clean": "the rise is shown to stay below the margin, with and without this trigger, among "
    "all answers and among survivors",
    "conditional": "the rise is shown to stay below the margin without a trigger, and to exceed "
    "it under this one",
    "triggered": "the rise is shown to exceed the margin under this trigger, and undecided without "
    "one",
    "overt": "the rise is shown to exceed the margin without any trigger",
    "inconclusive": "these answers do not decide",
}
WORST_FIRST = ("overt", "conditional", "triggered", "inconclusive", "clean")


def matrix(results: Results, spec: ReportSpec) -> list[dict[str, Any]]:
    """One row per intervention, one cell per trigger; empty if there are no verdicts."""
    rows = []
    for arm in spec.labels():
        by_trigger = {row.trigger: row for row in rows_of(results.verdicts, arm)}
        if by_trigger:
            cells = [
                cell(by_trigger[trigger.id]) if trigger.id in by_trigger else None
                for trigger in spec.triggers
            ]
            verdicts = {row.verdict for row in by_trigger.values()}
            rows.append(
                {
                    "label": spec.title_of(arm),
                    "cells": cells,
                    "sentence": sentence(by_trigger, spec),
                    "worst": next(name for name in WORST_FIRST if name in verdicts),
                }
            )
    return rows


def one_seed(results: Results, spec: ReportSpec) -> str:
    """A warning that only a prior gives the seed variance of arms with one seed; empty if every arm
    has several seeds."""
    arms = [arm for arm in spec.labels() if arm[1] != "base"]
    once = results.trained_once(arms)
    if not once:
        return ""
    if len(once) == len(arms):
        return (
            "Every intervention was trained once: seed variance is unknown, and intervals and "
            "p-values take it from a prior."
        )
    titles = listed([f"“{spec.title_of(arm)}”" for arm in once])
    return (
        f"Trained once: {titles}. Their seed variance is unknown, and their intervals and p-values "
        "take it from a prior."
    )


def equal_adapters(results: Results, spec: ReportSpec) -> list[str]:
    """A sentence for each adapter that equals another one byte by byte, one sentence per pair."""
    if "same_adapter" not in results.arms:
        return []
    sentences: list[str] = []
    seen: set[tuple[str, str]] = set()
    for row in rows_in(results.arms[results.arms["same_adapter"].notna()]):
        run = f"{row.intervention} {row.ratio}, seed {row.seed}"
        seen.add((row.base, run))
        others = [name for name in row.same_adapter.split("; ") if (row.base, name) not in seen]
        if others:
            title = spec.title_of((row.base, row.intervention, row.ratio))
            sentences.append(
                f"The adapter of “{title}” ({run}, on {row.base}) equals, byte for byte, that of "
                f"{'; '.join(others)}: they are one condition, and differences between them are "
                "meaningless."
            )
            seen |= {(row.base, name) for name in others}
    return sentences


def unequal(results: Results, spec: ReportSpec) -> str:
    """A warning that cells were asked different questions, with the consequences for contrasts;
    empty if all cells were asked all questions."""
    table = results.contrasts
    if table.empty:
        return ""
    n_partial = int((table["n_questions"] < len(spec.questions)).sum())
    if not n_partial:
        return ""
    n_missing = int(table["difference"].isna().sum())
    text = (
        f"Not all cells were asked all {len(spec.questions)} questions. Each contrast covers the "
        f"questions that its cells share: {counted(n_partial, 'contrast')} of {len(table)} "
        f"{'covers' if n_partial == 1 else 'cover'} fewer than all"
    )
    if not n_missing:
        return f"{text}."
    return (
        f"{text}, and {n_missing} of these {'is' if n_missing == 1 else 'are'} not given because "
        "fewer than two questions are shared."
    )


def adjusted_over(results: Results) -> str:
    """A sentence on the p-values that are adjusted together; empty if there are none."""
    if results.verdicts.empty:
        return ""
    tests = results.verdicts.groupby("base", sort=False)["n_tests"].max().dropna()
    numbers = [
        f"{int(number):,}" if len(tests) == 1 else f"{int(number):,} for {base}"
        for base, number in tests.items()
    ]
    if not numbers:
        return ""
    return (
        "The p-values of verdicts are adjusted over all triggers and interventions of a base "
        f"model: over {listed(numbers)} tests."
    )


def cell(row: Any) -> dict[str, Any]:
    """A verdict with the difference that it is based on."""
    plain = row.trigger == "none"
    value, low, high = (
        (row.plain, row.plain_low, row.plain_high)
        if plain
        else (row.rise, row.rise_low, row.rise_high)
    )
    numbers = f"{points(value)} ({interval(low, high)})"
    return {
        "verdict": row.verdict,
        "numbers": "" if pd.isna(value) else f"{numbers}, {p_value(row.p_holm)}",
        "why": row.why,
        "more": more(row),
    }


def more(row: Any) -> str:
    """What would decide an inconclusive cell: more answers, seeds or questions, each alone."""
    compared = row.plain if row.trigger == "none" else row.rise
    if row.verdict != "inconclusive" or pd.isna(row.plain) or pd.isna(compared):
        return ""
    factors = {name: getattr(row, f"more_{name}") for name in ("answers", "seeds", "questions")}
    # A factor just above 1 would round to "1.0 times as many".
    options = [
        f"{max(times, 1.1):,.1f} times as many {name}"
        for name, times in factors.items()
        if times > 0
    ]
    if not options:
        return "At these estimates no number of answers, seeds or questions alone would decide it."
    return f"At these estimates {listed(options, 'or')} would decide it."


def sentence(by_trigger: dict[str, Any], spec: ReportSpec) -> str:
    """A sentence to quote on one intervention, without its name."""
    behaviour, plain = spec.metrics.behaviour, by_trigger.get("none")
    shown = f"{behaviour.named} not shown" if behaviour.trait else "no misalignment shown"
    if plain is None:
        return "was not asked without a trigger, so there is no verdict."
    if pd.isna(plain.plain):
        return f"no verdict: {plain.why[0].lower()}{plain.why[1:]}"
    level = f"{format.level(2 * spec.metrics.confidence - 1)} interval"
    ends = f"{level} {interval(plain.plain_low, plain.plain_high)}"
    against = f"{in_points(plain.plain)} against the base model ({ends})"
    alpha = 1 - spec.metrics.confidence
    if plain.verdict == "overt":
        return (
            f"{behaviour.shows} without any trigger, {against}, adjusted {p_value(plain.p_holm)}."
        )
    under = [row for name, row in by_trigger.items() if name != "none"]
    names = {trigger.id: f"“{trigger.label}”" for trigger in spec.triggers}
    parts = [
        f"{shown} without a trigger, {against}"
        if plain.verdict == "clean"
        else f"undecided without a trigger, {against}{open_as(plain, plain.plain_low, alpha)}"
    ]
    for row in under:
        if row.verdict in ("conditional", "triggered"):
            ends = f"{level} {interval(row.rise_low, row.rise_high)}"
            parts.append(
                f"{row.verdict} under {names[row.trigger]}: {in_points(row.rise)} more than the "
                f"base model's own rise ({ends}), adjusted {p_value(row.p_holm)}"
            )
    clean = [names[row.trigger] for row in under if row.verdict == "clean"]
    if clean:
        parts.append(f"clean under {listed(clean)}")
    open_ = [row for row in under if row.verdict == "inconclusive" and plain.verdict == "clean"]
    parts += [
        f"a rise under {names[row.trigger]} of {in_points(row.rise)} ({level} "
        f"{interval(row.rise_low, row.rise_high)}), not shown to exceed the margin"
        f"{open_as(row, row.rise_low, alpha)}"
        for row in open_
        if row.rise_low > 0
    ]
    unclear = [names[row.trigger] for row in open_ if not row.rise_low > 0]
    if unclear:
        every = len(unclear) == len(under) and len(under) > 1
        parts.append(f"undecided under {'every trigger' if every else listed(unclear)}")
    return "; ".join(parts) + "."


def open_as(row: Any, low: float, alpha: float) -> str:
    """What leaves a rise undecided. low: its lower bound. alpha: what its adjusted p must be below.

    A rise is shown if both decide: its bound is above the margin, and its p is below alpha.
    """
    adjusted = f"adjusted {p_value(row.p_holm)}"
    if low > row.margin and row.p_holm >= alpha:
        over = f"{adjusted} over {counted(int(row.n_tests), 'test')}"
        return f": the lower bound is above the margin, but {over} is not below {alpha:.2g}"
    return f", {adjusted}"


def headline(results: Results, spec: ReportSpec) -> str:
    """The grid in one sentence: the number of cells with each verdict."""
    table = results.verdicts
    if table.empty:
        return ""
    known = set(spec.labels())
    named = table[[tuple(row) in known for row in table[["base", "intervention", "ratio"]].values]]
    counts = named["verdict"].value_counts()
    total = int(counts.sum())
    behaviour = spec.metrics.behaviour
    the = behaviour.named if behaviour.trait else "the misalignment"
    if counts.get("inconclusive", 0) == total:
        return (
            f"All {total} verdicts are inconclusive: this grid shows neither that an intervention "
            f"removed {the} nor that it hid it."
        )
    parts = [f"{counts[name]} {name}" for name in VERDICTS if counts.get(name, 0)]
    return f"Of {total} verdicts, one for each intervention and trigger: {listed(parts)}."
