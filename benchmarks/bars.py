"""How often p-values, intervals and verdicts hold, and how often they decide, against the bars.

    python benchmarks/bars.py

Prints a Markdown table: what is measured, the bar, the measured share, the number of simulated
grids of each cell and the largest Monte-Carlo standard error. If several cells have one bar, the
table has the lowest and the highest share; the record (--json) has all. rates.py and rises.py
print more about single cells.
"""

import argparse
import itertools
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rates
from common import bar_line, write_manifest
from emgrid.aggregate.estimates import Comparison, estimate
from emgrid.aggregate.statistics import holm
from emgrid.config.priors import USUAL, prior_sets
from published_counts import ANSWERS, PLAIN, TEMPLATE
from rises import Case, intervals, pairs_of
from rises import rises as posteriors
from simulated_counts import Design, name_of, sides_of
from simulated_verdicts import SHOWN, Truth, Verdicts, simulated_verdicts

EIGHT, MORE, MOST = Design(3, 8, 100), Design(3, 24, 33), Design(3, 48, 16)
ONE_SEED, TEN_SEEDS = Design(1, 8, 100), Design(10, 8, 100)
SEED = 20261129


@dataclass(frozen=True)
class Bar:
    """A bar: shares from `low` to `high`, of cells by name. grids: of each cell."""

    what: str
    low: float
    high: float
    cells: dict[str, float]
    grids: int

    def error(self) -> float:
        """The largest Monte-Carlo standard error of a cell."""
        return max(math.sqrt(share * (1 - share) / self.grids) for share in self.cells.values())

    def beyond(self, limit: float, sign: int) -> int:
        """The number of cells that are beyond a limit by more than two of its standard errors.
        sign: of what is beyond."""
        allowed = 2 * math.sqrt(limit * (1 - limit) / self.grids)
        return sum(sign * (share - limit) > allowed for share in self.cells.values())

    def wanted(self) -> str:
        if self.low <= 0 and self.high >= 1:
            return ""
        if self.low <= 0:
            return f"at most {self.high:.0%}"
        return (
            f"at least {self.low:.0%}" if self.high >= 1 else f"{self.low:.0%} to {self.high:.0%}"
        )

    def measured(self) -> str:
        worst, best = (pick(self.cells, key=self.cells.__getitem__) for pick in (min, max))
        if self.cells[worst] == self.cells[best]:
            return f"{self.cells[worst]:.1%}"
        low, high = (f"{self.cells[name]:.1%} ({name})" for name in (worst, best))
        return f"{low} to {high}"

    def verdict(self) -> str:
        if not self.wanted():
            return ""
        below, above = self.beyond(self.low, -1), self.beyond(self.high, 1)
        if not below and not above:
            return "yes"
        if len(self.cells) == 1:
            return "no"
        parts = [f"{number} {side}" for number, side in ((below, "below"), (above, "above"))]
        return f"no: {', '.join(part for part in parts if part[0] != '0')} of {len(self.cells)}"

    def row(self) -> dict[str, Any]:
        texts = {"bar": self.wanted(), "measured": self.measured(), "verdict": self.verdict()}
        return asdict(self) | texts | {"error": self.error()}


def seeds_of(design: Design) -> str:
    return "1 seed" if design.seeds == 1 else f"{design.seeds} seeds"


class Numbered:
    """Random numbers for one cell after the other, so that no cell depends on the number of grids
    of another."""

    def __init__(self, seed: int) -> None:
        self.seed, self.numbers = seed, itertools.count()

    def rng(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, next(self.numbers)])


def intervals_of_rates(grids: int, random: Numbered) -> Iterator[Bar]:
    for of in rates.QUESTIONS:
        for number, designs in (
            (8, (ONE_SEED, EIGHT, TEN_SEEDS)),
            (24, (Design(1, *MORE[1:]), MORE, Design(10, *MORE[1:]))),
            (48, (Design(1, *MOST[1:]), MOST, Design(10, *MOST[1:]))),
        ):
            cells = {
                f"{seeds_of(design)}, rate {rate:.1%}": rates.coverage(
                    design, of, rate, grids, random.rng()
                )
                for design in designs
                for rate in of.rates
            }
            low = 0.9 if of.kind != "normal" and number == 8 else 0.92
            what = f"95 % intervals of rates hold: {number} questions, {of.name}"
            yield Bar(what, low, 0.98, cells, grids)


def intervals_of_rises(grids: int, random: Numbered) -> Iterator[Bar]:
    for truth in ((0.005, 0.05), (0.005, 0.2), (0.05, 0.2)):
        cells = {}
        for design in (EIGHT, MORE, MOST):
            case = Case("usual", truth, design)
            found = posteriors(pairs_of(case, grids, random.rng()))
            cells[name_of(design)] = float(intervals(case, found)[2].mean())
        what = f"95 % intervals of a rise from {truth[0]:.1%} to {truth[1]:.0%} hold"
        yield Bar(what, 0.92, 0.98, cells, grids)


def rises_called_small(grids: int, random: Numbered) -> Iterator[Bar]:
    for case in rates.CASES:
        cells = {}
        for design in (ONE_SEED, EIGHT, TEN_SEEDS):
            shares = rates.called_small(design, case, grids, random.rng())
            for place, share in zip(("no trigger", "under a trigger"), shares, strict=True):
                cells[f"{name_of(design)}, {place}"] = share
        is_wrong = case.name.startswith("+2")
        title = "a rise of the margin is called small" if is_wrong else "no rise is called small"
        detail = case.name.removeprefix("+2 points, ").removeprefix("no rise, ")
        yield Bar(f"{title}: {detail}", 0.0, 0.1 if is_wrong else 1.0, cells, grids)


def verdicts_of_a_rise(grids: int, random: Numbered) -> Iterator[Bar]:
    """+20 points under one of six triggers, usual spread."""
    by_design = {
        design: simulated_verdicts(Truth(0.003, 0.203, design), grids, random.rng())
        for design in (EIGHT, MORE, MOST)
    }
    for design, found in by_design.items():
        low = 0.7 if design is EIGHT else 0.95
        hot = found.verdicts[:, 1]
        for what, holds, bar in (
            ("is shown (conditional or triggered)", np.isin(hot, SHOWN), low),
            ("is called conditional", hot == "conditional", low),
            ("plain rise shown to be small", found.plain_small, 0.0),
        ):
            title = f"+20 points under a trigger, {name_of(design)}: {what}"
            yield Bar(title, bar, 1.0, {"": float(holds.mean())}, grids)


def false_verdicts(grids: int, random: Numbered) -> Iterator[Bar]:
    truths = [
        Truth(0.003, 0.003, EIGHT),
        Truth(0.05, 0.05, EIGHT),
        Truth(0.3, 0.3, EIGHT),
        Truth(0.05, 0.05, EIGHT, "rough"),
    ]
    found = {truth: simulated_verdicts(truth, grids, random.rng()) for truth in truths}

    def any_of(words: tuple[str, ...], verdicts: Verdicts) -> float:
        return float(np.isin(verdicts.verdicts[:, 1:], words).any(axis=1).mean())

    for words in (("conditional",), SHOWN):
        cells = {each.name: any_of(words, verdicts) for each, verdicts in found.items()}
        title = f"six triggers without effect: any is called {' or '.join(words)}"
        yield Bar(title, 0.0, 0.05, cells, grids)


def published_rise() -> dict[str, Any]:
    """The template's rise in four published LoRAs, adjusted for six triggers."""
    design = Design(len(PLAIN), len(PLAIN[0]), ANSWERS)
    none = np.zeros((2, 1, design.questions), np.int64)
    plain, cued = sides_of(np.array([PLAIN, TEMPLATE]), design)
    base_plain, base_cued = sides_of(none, Design(1, *design[1:]), "base")
    compared = Comparison((cued, plain, base_cued, base_plain), design.questions)
    [found] = estimate([compared], [True], 0.95, False, prior_sets()[USUAL])
    p, p_rise = (holm([each, *[1.0] * 5])[0] for each in (found.p, found.p_rise))
    return {
        "what": "four published LoRAs as seeds, code template less plain, p adjusted for six",
        "bar": "shown",
        "measured": f"{found.value * 100:+.1f} points, lower bound {found.lower * 100:+.1f}, "
        f"p = {p:.2g} two-sided and {p_rise:.2g} for a rise",
        "verdict": "yes" if found.lower > rates.MARGIN and p < 0.05 else "no",
        "grids": 0,
    }


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", type=Path, help="file for the record")
    parser.add_argument("--grids", type=int, default=2000, help="of a cell of rates")
    parser.add_argument("--rise-grids", type=int, default=1000, help="of a cell of rises")
    parser.add_argument("--verdict-grids", type=int, default=200, help="of a cell of verdicts")
    parser.add_argument("--seed", type=int, default=SEED, help="of the random numbers")
    return parser.parse_args(words)


def main() -> None:
    options = parse()
    random = Numbered(options.seed)
    bars = itertools.chain(
        intervals_of_rates(options.grids, random),
        intervals_of_rises(options.rise_grids, random),
        rises_called_small(options.rise_grids, random),
        verdicts_of_a_rise(options.verdict_grids, random),
        false_verdicts(options.verdict_grids, random),
    )
    print("| what | bar | measured | met | grids | error, points |\n" + "|---" * 6 + "|")
    rows = []
    for bar in bars:
        rows.append(bar.row())
        print(bar_line(rows[-1]), flush=True)
    rows.append(published_rise())
    print(bar_line(rows[-1]))
    write_manifest("bars", options, rows)


if __name__ == "__main__":
    main()
