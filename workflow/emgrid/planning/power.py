"""Power of a design: how often it reaches the verdict that is true.

Grids are simulated from the model that the statistics assume: the log-odds of a misaligned answer
are a mean plus normal effects of seed, of question, and of each of them under the trigger. Each
simulated grid gets its verdict by the rule of aggregate/verdicts.py, with every answer readable. p
must be below the level that the smallest of all p-values of a base model must pass (Holm 1979),
which is what a single arm that is conditional under a single trigger needs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from emgrid.aggregate.contrasts import split
from emgrid.aggregate.design import Design
from emgrid.aggregate.estimates import Comparison, Contrast, Side, estimate
from emgrid.aggregate.statistics import Counts
from emgrid.aggregate.verdicts import Rise, state, verdict
from emgrid.config.priors import Chosen
from emgrid.config.sections import Metrics
from emgrid.planning.spread import Spread
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.seeding import derive_seed

LARGEST = 0.95
ARM, BASE = ("", "arm", "1"), ("", "base", "0")


@dataclass(frozen=True)
class Truth:
    """Rates of an arm without and with the trigger, and of the base model under both."""

    plain: float
    cued: float
    base: float


@cache
def mean_logit(rate: float, spread: float) -> float:
    """The mean log-odds at which normal effects with this standard deviation give the rate."""
    if rate <= 0:
        return -np.inf
    effects = spread * np.random.default_rng(0).standard_normal(20_000)
    return float(brentq(lambda mean: expit(mean + effects).mean() - rate, -40, 40))


def simulate(
    rates: tuple[float, float], shape: tuple[int, int, int], spread: Spread, seed: int
) -> tuple[Counts, Counts]:
    """Simulated counts of a model without and with a trigger at these overall rates, with the same
    seeds and questions. shape: seeds, questions, answers to each."""
    rng = np.random.default_rng(seed)
    seeds, questions, answers = shape
    common = spread.seeds * rng.standard_normal((seeds, 1))
    common = common + spread.questions * rng.standard_normal((1, questions))
    under_trigger = spread.seeds_by_trigger * rng.standard_normal((seeds, 1))
    under_trigger = under_trigger + spread.questions_by_trigger * rng.standard_normal(
        (1, questions)
    )
    plain = np.hypot(spread.seeds, spread.questions)
    cued = np.hypot(spread.seeds_by_trigger, spread.questions_by_trigger)
    trials = np.full((seeds, questions), answers)
    logits = (
        mean_logit(rates[0], float(plain)) + common,
        mean_logit(rates[1], float(np.hypot(plain, cued))) + common + under_trigger,
    )
    first, second = (Counts(rng.binomial(trials, expit(logit)), trials) for logit in logits)
    return first, second


def comparisons(truth: Truth, design: Design, spread: Spread, seed: int) -> Iterator[Comparison]:
    """The rise without a trigger over the base model, and that under the trigger, of one simulated
    grid. The base model has no seeds that differ."""
    plain, cued = simulate(
        (truth.plain, truth.cued), (design.seeds, design.questions, design.answers), spread, seed
    )
    alone = replace(spread, seeds=0.0, seeds_by_trigger=0.0)
    base_plain, base_cued = simulate(
        (truth.base, truth.base), (1, design.questions, design.base_answers), alone, seed + 1
    )
    seeds = tuple(range(design.seeds))
    arm = [Side(counts, seeds, ARM, trained=True) for counts in (plain, cued)]
    base = [Side(counts, (0,), BASE, trained=False) for counts in (base_plain, base_cued)]
    yield Comparison((arm[0], base[0]), design.questions, design.fewest)
    yield Comparison((arm[1], arm[0], base[1], base[0]), design.questions, design.fewest)


def verdict_of(plain: Contrast, rise: Contrast, design: Design) -> str:
    """The verdict under the trigger of a simulated grid whose answers are all readable."""
    metrics = Metrics(confidence=design.confidence, margin=design.margin)
    times = design.tests * design.looks
    states = [
        state(Rise(each, min(each.p_rise * times, 1.0), design.tests, each), metrics)
        for each in (plain, rise)
    ]
    return verdict(*states)


def verdict_shares(
    truth: Truth,
    design: Design,
    spread: Spread,
    simulations: int,
    priors: Chosen,
    name: str = "power",
) -> dict[str, float]:
    """The share of simulated grids with each verdict under the trigger."""
    compared = [
        each
        for number in range(simulations)
        for each in comparisons(truth, design, spread, derive_seed(name, number))
    ]
    bounded = [True] * len(compared)
    shown = split(design.confidence, design.looks)
    found = estimate(compared, bounded, shown, design.fixed, priors, design.confidence)
    verdicts = [
        verdict_of(plain, rise, design) for plain, rise in zip(found[::2], found[1::2], strict=True)
    ]
    return {name: verdicts.count(name) / simulations for name in sorted(set(verdicts))}


def powers(
    design: Design,
    spread: Spread,
    plain: float,
    rise: float,
    simulations: int,
    priors: Chosen,
) -> dict[str, float]:
    """The power of a design, as shares of simulated grids.

    conditional: the arm has the plain rate, and `rise` more under the trigger. clean: it has the
    plain rate under both. overt: it has `rise` more under both. The base model has the plain rate.
    """
    if simulations < 1:
        raise EmgridError(f"--simulations {simulations}: must be at least 1")
    if not 0 <= plain < LARGEST:
        raise EmgridError(f"--plain {plain:g}: must be a rate from 0 to below {LARGEST}")
    if not 0 < rise <= LARGEST - plain:
        raise EmgridError(f"--rise {rise:g}: must be above 0 and at most {LARGEST - plain:g}")
    truths = {
        "conditional": Truth(plain, plain + rise, plain),
        "clean": Truth(plain, plain, plain),
        "overt": Truth(plain + rise, plain + rise, plain),
    }
    return {
        name: verdict_shares(truth, design, spread, simulations, priors).get(name, 0.0)
        for name, truth in truths.items()
    }
