"""Intervals of rates and contrasts that are corrected by labels.

Two things are unknown: what the answers at hand are (as only some are labelled), and what other
answers, seeds and questions would be. The first has the draws of ppi.py. For the second, a few
of these draws, even over their range, are filled in to whole tables of counts (imputed.py). Each
goes through the models that rates and contrasts without labels have (rate_posterior.py, rises.py),
and what their posteriors add to the filled-in value is added to the draws near it. This is multiple
imputation (Rubin 1987), with the draws between imputations smoothed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from emgrid.aggregate.cell_labels import CellLabels
from emgrid.aggregate.estimates import Comparison, rises_of
from emgrid.aggregate.imputed import imputed
from emgrid.aggregate.ppi import Strata, strata_of_cell, uniforms
from emgrid.aggregate.rate_estimates import RateEstimate, rate_estimates
from emgrid.aggregate.rates import CellName
from emgrid.aggregate.rises import Rise
from emgrid.aggregate.statistics import Counts, Floats, Integers
from emgrid.config.priors import USUAL, Chosen, prior_sets
from emgrid.config.sections import Metrics
from emgrid.runtime.seeding import derive_seed

TABLES = 10  # draws that are filled in to whole tables
# Probabilities at which the posterior of each table is known; others are interpolated.
LEVELS = ndtr(np.linspace(-4.0, 4.0, 65))
EACH = 4  # values of the posterior that are added to each draw


@dataclass(frozen=True)
class Settings:
    """How intervals are made. draws: of the labels. fixed: of the questions asked alone."""

    confidence: float
    draws: int
    fixed: bool
    priors: Chosen

    @classmethod
    def of(cls, metrics: Metrics) -> "Settings":
        priors = prior_sets()[USUAL]
        return cls(metrics.confidence, metrics.resamples, metrics.fixed_questions, priors)


@dataclass(frozen=True)
class Corrected:
    """A rate or difference, as a fraction, with its interval. labels: how many it rests on. more:
    how many further labels of each cell would halve the interval; infinite if no number would."""

    value: float
    low: float
    high: float
    labels: int
    more: float


@dataclass(frozen=True)
class Drawn:
    """Draws of one cell. chances: shape (draws, strata). rates: among the answers at hand, shape
    (draws,)."""

    labels: CellLabels
    strata: Strata
    chances: Floats
    rates: Floats
    seed: int

    def table(self, draw: int) -> Counts:
        """The counts of one draw, filled in."""
        rng = np.random.default_rng([self.seed, draw])
        return imputed(self.labels, self.strata, self.chances[draw], rng)

    @property
    def none(self) -> bool:
        """Whether no label is of a misaligned answer."""
        return not self.labels.hits.any()

    @property
    def every(self) -> bool:
        """Whether all labels are, and no answer is empty."""
        return (
            bool((self.labels.hits == self.labels.labelled).all()) and not self.labels.empty.any()
        )


def draw_cell(name: CellName, labels: CellLabels, draws: int) -> Drawn:
    seed = derive_seed("ppi", *name)
    rng = np.random.default_rng(seed)
    strata = strata_of_cell(labels)
    chances = strata.chances(uniforms(rng, draws, len(strata.share)))
    return Drawn(labels, strata, chances, strata.rates(chances, rng), seed)


def middles(values: Floats) -> Integers:
    """The draws in the middle of `TABLES` equal parts of all draws, in the order of their values,
    shape (tables,)."""
    order = np.argsort(values, kind="stable")
    parts = (np.arange(TABLES) + 0.5) / TABLES * values.size
    return np.asarray(order[parts.astype(np.int64)])


def with_sampling(
    draws: Floats, added: Floats, confidence: float, seed: int
) -> tuple[float, float]:
    """The interval of draws plus what sampling adds. added: at `LEVELS`, of the table nearest to
    each draw, shape (tables, levels)."""
    rng = np.random.default_rng(seed)
    parts = []
    for own, values in zip(np.array_split(np.sort(draws), TABLES), added, strict=True):
        level = uniforms(rng, own.size * EACH, 1).reshape(own.size, EACH)
        parts.append((own[:, None] + np.interp(level, LEVELS, values)).ravel())
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(parts), [tail, 1 - tail])
    return float(low), float(high)


def to_halve(labels: Floats, answers: Floats, width: float, by_labels: float) -> float:
    """How many further labels in each cell would halve an interval.

    The squared width is that of the labels, which falls with their number and is zero if all
    answers are labelled, plus a part that no label changes. labels, answers: of each cell.
    """
    mean, most = 1 / np.mean(1 / labels), 1 / np.mean(1 / answers)
    if mean >= most or by_labels <= 0:
        return np.inf
    wanted = width**2 / 4 - (width**2 - by_labels**2)
    if wanted <= 0:
        return np.inf
    share = wanted / by_labels**2 * (1 / mean - 1 / most)
    return float(np.ceil(1 / (1 / most + share) - mean))


def corrected_rates(
    cells: Mapping[CellName, CellLabels], settings: Settings
) -> dict[CellName, Corrected]:
    """The corrected rate of each cell that has labels."""
    drawn = {name: draw_cell(name, labels, settings.draws) for name, labels in cells.items()}
    tables = [each.table(draw) for each in drawn.values() for draw in middles(each.rates)]
    trained = [name[1] != "base" for name in drawn for _ in range(TABLES)]
    found = rate_estimates(tables, trained, settings.fixed, settings.priors.rates)
    corrected = {}
    for place, (name, each) in enumerate(drawn.items()):
        own = found[place * TABLES : (place + 1) * TABLES]
        corrected[name] = corrected_rate(each, own, settings.confidence)
    return corrected


def corrected_rate(drawn: Drawn, tables: Sequence[RateEstimate], confidence: float) -> Corrected:
    added = np.array([table.draws(LEVELS) - table.value for table in tables])
    low, high = with_sampling(drawn.rates, added, confidence, drawn.seed)
    value = drawn.strata.rate
    low = 0.0 if drawn.none else min(max(low, 0.0), value)
    high = 1.0 if drawn.every else max(min(high, 1.0), value)
    by_labels = spread(drawn.rates, confidence)
    more = further([drawn], high - low, by_labels)
    return Corrected(value, low, high, drawn.labels.n_labels, more)


def spread(draws: Floats, confidence: float) -> float:
    """The width of the interval of the draws alone."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(high - low)


def further(cells: Sequence[Drawn], width: float, by_labels: float) -> float:
    labels = np.array([max(cell.labels.n_labels, 1) for cell in cells], float)
    answers = np.array([cell.labels.answers.sum() for cell in cells])
    return to_halve(labels, answers, width, by_labels)


@dataclass(frozen=True)
class Labelled:
    """A contrast whose cells all have labels: their names and labels, in the order of `Comparison`,
    of the questions that all of them were asked. compare: the comparison for other counts."""

    names: tuple[CellName, ...]
    labels: tuple[CellLabels, ...]
    compare: Callable[[Mapping[CellName, Counts]], Comparison]


def corrected_differences(contrasts: Sequence[Labelled], settings: Settings) -> list[Corrected]:
    """Contrasts, each corrected by the labels of its cells."""
    known: dict[tuple[CellName, bytes], Drawn] = {}
    drawn = [draw_cells(each, known, settings.draws) for each in contrasts]
    differences = [signed([cell.rates for cell in cells]) for cells in drawn]
    compared = []
    for each, cells, draws in zip(contrasts, drawn, differences, strict=True):
        for draw in middles(draws):
            tables = [cell.table(draw) for cell in cells]
            compared.append(each.compare(dict(zip(each.names, tables, strict=True))))
    posteriors = rises_of(compared, settings.fixed, settings.priors)
    found = []
    for place, (cells, draws) in enumerate(zip(drawn, differences, strict=True)):
        part = slice(place * TABLES, (place + 1) * TABLES)
        added = map(beyond, compared[part], posteriors[part])
        found.append(corrected_difference(cells, draws, np.array([*added]), settings.confidence))
    return found


def draw_cells(
    contrast: Labelled, known: dict[tuple[CellName, bytes], Drawn], draws: int
) -> list[Drawn]:
    """The draws of a contrast's cells; those of a cell that other contrasts have too, over the same
    questions, are made once. known: those that were made."""
    cells = []
    for name, labels in zip(contrast.names, contrast.labels, strict=True):
        key = (name, labels.trials.tobytes())
        if key not in known:
            known[key] = draw_cell(name, labels, draws)
        cells.append(known[key])
    return cells


def beyond(comparison: Comparison, parts: tuple[Rise, ...]) -> Floats:
    """What the posterior of a difference adds to the observed one, at `LEVELS`."""
    posterior = parts[0].distribution
    if len(parts) > 1:
        posterior = posterior.minus(parts[1].distribution)
    added: Floats = posterior.at(ndtri(LEVELS)) - comparison.difference()
    return added


def corrected_difference(
    drawn: Sequence[Drawn], draws: Floats, added: Floats, confidence: float
) -> Corrected:
    most = len(drawn) / 2
    low, high = with_sampling(draws, added, confidence, drawn[0].seed)
    value = float(signed([np.array(cell.strata.rate) for cell in drawn]))
    low, high = min(max(low, -most), value), max(min(high, most), value)
    more = further(drawn, high - low, spread(draws, confidence))
    return Corrected(value, low, high, sum(cell.labels.n_labels for cell in drawn), more)


def signed(rates: Sequence[Floats]) -> Floats:
    """The signed sum of a comparison's rates."""
    signs = (1, -1, -1, 1)
    total: Floats = np.sum([sign * rate for sign, rate in zip(signs, rates, strict=False)], axis=0)
    return total
