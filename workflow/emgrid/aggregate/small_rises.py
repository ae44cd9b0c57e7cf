"""Whether a rise is shown to be small: differences of posteriors of rates against a margin.

A rise is shown to be small if its posterior probability to be below the margin exceeds the
confidence, that is, if its one-sided upper bound is below the margin.

The posteriors of arm and base are taken as independent. Their questions are the same, so the errors
of both have the same sign more often than not and partly cancel, which is ignored on the safe side.
On the other side, the posterior of a base that was never seen misaligned is above zero, and is
taken off: a base that truly never is makes the bound of the difference too low by that much. In
simulations (benchmarks/bars.py) the bound was below a true rise of the margin in 0 to 13 % of grids
(nominal 5 %), the most with eight questions of standard deviation 2 and such a base.

The base's own change under a trigger is the exception. As a rule no hot question was seen in any of
its cells, and what remains possible is much the same with and without a trigger: from two
independent posteriors it would follow that the base may have lost two points under the trigger
that nobody saw. `common_change` therefore takes the unknown part to be common to both cells;
`Rates.minus` does not.
"""

import numpy as np
from scipy import sparse

from emgrid.aggregate.grid_distribution import Distributions, Floats, pair_bins, split
from emgrid.aggregate.rate_posterior import Rates
from emgrid.aggregate.statistics import distinct

# Probabilities at which both cells are read, finer towards the tails.
LEVELS: Floats = (1 - np.cos(np.pi * (np.arange(400) + 0.5) / 400)) / 2
WEIGHTS: Floats = np.diff((1 - np.cos(np.pi * np.arange(401) / 400)) / 2)


def rise_over_base(arm: Rates, base: Rates) -> Distributions:
    """The rate of an arm minus that of its base in the same cell, for each cell of the arm.

    base: of as many cells, or of one.
    """
    return arm.minus(base)


def common_change(trigger: Rates, plain: Rates) -> Distributions:
    """The rate of one model under triggers minus its rate without, if whatever is not known about
    its questions is common to both cells: both are at the same quantile of their posteriors.

    trigger, plain: of as many cells, of which equal ones are computed once.
    """
    places, inverse = distinct(
        [
            (first.tobytes(), second.tobytes())
            for first, second in zip(trigger.mass, plain.mass, strict=True)
        ]
    )
    return change_at_quantiles(trigger.of(places), plain.of(places)).of(inverse)


def change_at_quantiles(trigger: Rates, plain: Rates) -> Distributions:
    """`common_change` of each cell."""
    edges, _ = pair_bins(trigger.edges.tobytes(), plain.edges.tobytes())
    values = np.stack([trigger.quantile(level) - plain.quantile(level) for level in LEVELS], axis=1)
    known = ~np.isnan(values).any(axis=1)
    mass = np.full((len(values), len(edges) - 1), np.nan)
    grid = (edges[1:] + edges[:-1]) / 2
    parts = split(values[known].ravel(), grid)
    over_levels = sparse.kron(sparse.eye(int(known.sum())), WEIGHTS[None], format="csr")
    mass[known] = (over_levels @ parts).toarray()
    return Distributions(edges, mass)


def rise_beyond_base(trigger: Rates, plain: Rates, base_change: Distributions) -> Distributions:
    """(Trigger - plain) of an arm minus the base's change under the same trigger, for each cell.

    trigger, plain: of the arm, of as many cells (or one cell of plain). base_change: from
    `common_change`, or `Rates.minus` of the base's cells for the bound that assumes nothing.
    """
    return trigger.minus(plain).minus(base_change)
