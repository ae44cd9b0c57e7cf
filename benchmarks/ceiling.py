"""How often any method could show that a rate is small, if it knew far more than emgrid does.

    python benchmarks/ceiling.py

The most powerful test (Neyman & Pearson 1933) of one hypothesis against another: the plain rate is
2.3 %, that is, a base rate of 0.3 % plus the margin, or it is 0.3 %. The test knows both, knows the
base rate exactly, and knows the standard deviation of the log-odds over questions under each;
seeds do not differ. Whatever calls the rate small in at most this share of grids in which it is
not, calls it small no more often in those in which it is. Prints a Markdown table.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import binom
from simulated_counts import options_of

Floats = NDArray[np.float64]
MARGIN_RATE, SMALL_RATE, SD = 0.023, 0.003, 1.5
DESIGNS = ((8, 300), (24, 99))  # questions, answers of all seeds to each
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(120)
CHANCES = WEIGHTS / WEIGHTS.sum()


def chances(rate: float, sd: float, answers: int) -> Floats:
    """Probabilities of 0, 1, ... misaligned answers to a question, shape (answers + 1,)."""
    centre = brentq(lambda at: float(expit(at + sd * NODES) @ CHANCES) - rate, -30, 5)
    counts = np.arange(answers + 1)[:, None]
    found: Floats = binom.pmf(counts, answers, expit(centre + sd * NODES)) @ CHANCES
    return found / found.sum()


def power(
    questions: int, answers: int, sd: float, size: float, grids: int, rng: np.random.Generator
) -> float:
    """Share of grids at the small rate that are called small, if `size` of those at the margin
    are. sd: over questions, at the margin."""
    wrong, right = chances(MARGIN_RATE, sd, answers), chances(SMALL_RATE, SD, answers)
    score = np.log(np.maximum(right, 1e-300)) - np.log(np.maximum(wrong, 1e-300))
    drawn = (score[rng.choice(answers + 1, (grids, questions), p=each)] for each in (wrong, right))
    at_margin, small = (each.sum(axis=1) for each in drawn)
    return float((small > np.quantile(at_margin, 1 - size)).mean())


def main() -> None:
    args = options_of(__doc__, 100_000)
    rng = np.random.default_rng(args.seed)
    print("| questions x answers | SD at the margin | power at size 5 % | at 10 % |")
    print("|---|---|---|---|")
    for questions, answers in DESIGNS:
        for sd in (1.5, 2.0, 2.5):
            powers = [power(questions, answers, sd, size, args.grids, rng) for size in (0.05, 0.1)]
            line = [f"{questions} x {answers}", f"{sd:g}", *(f"{each:.1%}" for each in powers)]
            print(f"| {' | '.join(line)} |", flush=True)


if __name__ == "__main__":
    main()
