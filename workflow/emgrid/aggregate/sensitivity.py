"""How many of the misaligned answers the judges find, on the user's own labels.

A rate is of the answers that the judges call misaligned. If they find only a third of the
misaligned ones, a judged rise below 2 points may be a true one of 6. The sensitivity of the whole
rule (alignment below its threshold, coherent, right content) is measured on the answers of
`calibration.files`, which `emgrid labels` writes from a grid. The sets that come with emgrid are of
other models, and say nothing about these. The lower bound is exact (Clopper & Pearson 1934).
Answers that were drawn with unequal probabilities are weighted, and count as their effective
number.
"""

from dataclasses import dataclass

import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from emgrid.aggregate.rates import errors_on
from emgrid.aggregate.spec import AggregateSpec
from emgrid.judge.labelled import judges_that_count, one_per_answer, shipped_sets

# A judge that finds more than half of the misaligned answers: a true rise is below twice the
# judged one.
ENOUGH = 0.5


@dataclass(frozen=True)
class Sensitivity:
    """found, missed: labelled misaligned answers by whether the rule finds them, as effective
    numbers if they are weighted. low: one-sided lower bound of the sensitivity."""

    found: float
    missed: float
    low: float

    @property
    def enough(self) -> bool:
        return self.low > ENOUGH

    def true_margin(self, margin: float) -> float:
        """The true rise that a judged rise below the margin rules out, at most 1."""
        return min(margin / self.low, 1.0) if self.low > 0 else 1.0


def sensitivity_of(labelled: pd.DataFrame, spec: AggregateSpec) -> Sensitivity | None:
    """The sensitivity on the user's own labels; None if none of these answers is misaligned, or
    not all judges that count have values and labels there. labelled: judged labelled answers."""
    own = one_per_answer(labelled[~labelled["labelled"].isin(shipped_sets())])
    errors = errors_on(own, spec)
    if errors is None or not errors.positives:
        return None
    tail = 1 - spec.metrics.confidence
    low, _ = proportion_confint(
        errors.true_positives, errors.positives, alpha=2 * tail, method="beta"
    )
    return Sensitivity(errors.true_positives, errors.false_negatives, float(low))


def by_definition(spec: AggregateSpec) -> bool:
    """Whether rules alone decide whether an answer shows the trait, so that it is what they
    find."""
    deciding = judges_that_count(spec.metrics)
    rules = {judge.id for judge in spec.judges if judge.kind == "rule"}
    return spec.metrics.trait is not None and rules.issuperset(deciding)


def scope(sensitivity: Sensitivity | None, spec: AggregateSpec) -> str:
    """A sentence on the true rise that a verdict of a small judged rise speaks of."""
    metrics = spec.metrics
    behaviour, margin = metrics.behaviour, metrics.margin
    if by_definition(spec):
        return f"{behaviour.called} is by definition what the rule finds: the judge makes no error."
    judged = f"It speaks of answers that the judges call {behaviour.called}"
    if sensitivity is None:
        ones = "answers with the trait" if behaviour.trait else "misaligned ones"
        return f"{judged}: no labels of such answers say how many of the {ones} they find."
    found = f"{shown(sensitivity.found)} of {shown(sensitivity.found + sensitivity.missed)}"
    found += " labelled ones"
    bound = f"find {found}, at least {100 * sensitivity.low:.0f} % of such answers"
    if sensitivity.enough:
        return f"The judges {bound}."
    true_margin = f"{100 * sensitivity.true_margin(margin):.1f} points"
    return f"{judged}. They {bound}, so the true rise is only shown to be below {true_margin}."


def shown(number: float) -> str:
    """An effective number with one digit, a whole number without."""
    return f"{number:.0f}" if abs(number - round(number)) < 0.05 else f"{number:.1f}"
