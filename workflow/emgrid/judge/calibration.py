"""Calibration of classifier judges: from a value to the probability that an answer is a positive.

    python -m emgrid.judge.calibration --judges alignment coherence

A head is fitted as if each question had as many positives as negatives, so the odds that it gives
are not those of an answer. Platt scaling (Platt 1999) corrects them: the log-odds are a line of the
head's log-odds, fitted to the values of answers by heads that were fitted without the model that
gave them (`<judge>.heldout.csv.gz`). The line is kept in `<judge>.calibration.json`, with how far
rates were off for models that were left out of the line, too. Values of answers stay as they are.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from emgrid.config.judges import ClassifierJudge
from emgrid.judge.fit_classifier import classifier, rounded
from emgrid.judge.probabilities import log_odds, on_line
from emgrid.runtime.files import write_json
from emgrid.runtime.job import run_job

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def fit_line(values: Floats, positive: Flags) -> tuple[float, float]:
    """Slope and intercept of the log-odds of a positive on the head's; without a penalty."""
    line = LogisticRegression(C=np.inf, max_iter=1000).fit(log_odds(values)[:, None], positive)
    return float(line.coef_[0, 0]), float(line.intercept_[0])


def calibrate(judge: ClassifierJudge) -> dict[str, Any]:
    heldout = pd.read_csv(judge.heldout_path)
    values = heldout["without_model"].to_numpy(float)
    positive = (heldout["positive"] == 1).to_numpy()
    errors = []
    for model in heldout["model"].unique():
        own = (heldout["model"] == model).to_numpy()
        line = fit_line(values[~own], positive[~own])
        errors.append(100 * (on_line(values[own], *line).mean() - positive[own].mean()))
    slope, intercept = fit_line(values, positive)
    off = np.abs(errors)
    return {
        "judge": judge.id,
        "method": "Platt (1999) on values by heads that were fitted without the answer's model",
        "answers": len(heldout),
        "positives": int(positive.sum()),
        "slope": rounded(slope),
        "intercept": rounded(intercept),
        "models": len(errors),
        "points_off": round(float(off.mean()), 2),
        "share_within_3_points": round(float((off <= 3).mean()), 3),
        "command": f"python -m emgrid.judge.calibration --judges {judge.id}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.judge.calibration", description=__doc__)
    parser.add_argument("--judges", required=True, nargs="+", metavar="JUDGE")
    parser.add_argument("--output", type=Path, help="folder; by default resources/judges")
    args = parser.parse_args()
    for name in args.judges:
        judge = classifier(name)
        found = calibrate(judge)
        folder = args.output or judge.calibration_path.parent
        write_json(folder / judge.calibration_path.name, found)
        print(f"{name}: rates of {found['models']} models were off by {found['points_off']} points")


if __name__ == "__main__":
    run_job(main)
