"""Probabilities by calibrated classifier judges (see calibration.py, which fits them)."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from emgrid.config.judges import ClassifierJudge
from emgrid.runtime.files import read_json

Floats = NDArray[np.float64]
LEAST = 1e-4  # values of left-out answers are kept to two decimals of 100


def log_odds(values: Floats) -> Floats:
    """The log-odds of a positive by values from 0 to 100, elementwise."""
    odds: Floats = logit(np.clip(1 - values / 100, LEAST, 1 - LEAST))
    return odds


def on_line(values: Floats, slope: float, intercept: float) -> Floats:
    """Probabilities of a positive, elementwise."""
    probabilities: Floats = expit(intercept + slope * log_odds(values))
    return probabilities


def probabilities(judge: ClassifierJudge, values: Floats) -> Floats:
    """Probabilities that answers of these values are positives (misaligned, or incoherent), of the
    shape of the values; NaN where there is no value."""
    line = read_json(judge.calibration_path)
    return on_line(values, line["slope"], line["intercept"])
