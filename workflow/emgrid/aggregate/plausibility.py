"""Results that suggest a wrong input rather than a finding.

Reads rates.csv. The report and the console summary show the same sentences.
"""

from typing import Any

from emgrid.config.behaviour import MISALIGNMENT, Behaviour

MOSTLY = 0.5  # share of a base model's surviving answers that are misaligned without a trigger


def misaligned_bases(rates: Any, behaviour: Behaviour = MISALIGNMENT) -> list[str]:
    """A sentence for each base model whose surviving answers are mostly misaligned without a
    trigger, or mostly show the trait. rates: the table rates.csv as a data frame."""
    checks = (
        "So training can hardly raise its rate. Check the judge's rule."
        if behaviour.trait
        else "Check whether the values have another scale or an inverted one, and whether these "
        "answers come from the model before its training."
    )
    mostly = f"mostly {behaviour.shows}" if behaviour.trait else "is mostly misaligned"
    overall = rates[rates["question"].isna()]
    plain = overall[(overall["intervention"] == "base") & (overall["trigger"] == "none")]
    return [
        f"The base model {row.base} {mostly} without a trigger: "
        f"{int(row.n_misaligned):,} of {int(row.n_survivors):,} surviving answers. {checks}"
        for row in plain.itertuples()
        if row.n_survivors and row.n_misaligned / row.n_survivors >= MOSTLY
    ]
