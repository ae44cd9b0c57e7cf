"""What the table of rates says of the classifiers that decide."""

import math
from typing import Any

from emgrid.aggregate.citing import GOOD
from emgrid.report.results import Results


def has_means(results: Results) -> bool:
    """Whether rates have means of calibrated probabilities, too."""
    return "rate_mean" in results.rates


def has_quality(results: Results) -> bool:
    """Whether rates say how good their judge is."""
    return "judge_auroc" in results.rates


def is_weak(cell: Any) -> bool:
    """Whether a cell's weakest classifier is below GOOD, or was not measured on such answers."""
    return not cell.judge_auroc >= GOOD


def sentence(cell: Any) -> str:
    """How good a cell's weakest classifier is, on answers of which kind."""
    kind = str(cell.answers_kind).replace("a ", "")
    if math.isnan(cell.judge_auroc):
        return f"{cell.judge_weakest} was not measured on such answers ({kind}): do not trust"
    told = f"{cell.judge_weakest}: AUROC {cell.judge_auroc:.2f} ({kind})"
    return f"{told}: do not trust" if is_weak(cell) else told
