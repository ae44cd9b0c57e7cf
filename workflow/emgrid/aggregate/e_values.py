"""How often answers are alike, and how surprising that is of independent draws.

A draw tells its own probability, so each equality can be bet on at odds that are fair, or worse,
if answers are drawn independently: among the answers to one prompt, that the next one repeats an
earlier one (at odds of 1 to the summed probability of the distinct ones so far); of two arms a and
b, that a draw of each is equal, paid 1 / sqrt(p_a p_b), since sum sqrt(p_a p_b) <= 1
(Cauchy-Schwarz). What such bets have made of one unit is an e-value, however the pairs depend on
one another, and 1 / e is a p-value (Ville 1939; Shafer 2021; Vovk & Wang 2021, also for averages of
e-values): it is below alpha in at most a share alpha of honest runs, whatever the distribution of
answers. Greedy answers pay 1 for 1, so nothing can be won of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# The stake is split evenly over these shares of answers that may be copies.
COPIED = 0.5 ** np.arange(1, 11)
# An answer's text may be drawn as other tokens too, and probabilities are rounded.
OTHER_TOKENS = np.log(1.05)
# Nats that the differences between near repeats may have cost, beside half of the rest.
VARIATION = 10.0
LEAST = 1e-300
LONG = 50  # characters


@dataclass(frozen=True)
class Drawn:
    """The answers of one arm under one trigger: arrays of one length, in the order of the index.

    prompt: which prompt was asked. place: which prompt, at which index. exact, near: what is equal
    of answers to one prompt that are equal, or nearly. logprob: in nats, NaN where it is unknown.
    """

    prompt: Integers
    place: Integers
    exact: Integers
    near: Integers
    logprob: Floats
    is_long: NDArray[np.bool_]

    @property
    def is_known(self) -> bool:
        return bool(np.isfinite(self.logprob).all())

    @cached_property
    def measures(self) -> list["Measure"]:
        exact = np.minimum(self.logprob + OTHER_TOKENS, 0)
        near = np.minimum(self.logprob / 2 + VARIATION, 0)
        return [Measure(self.prompt, self.exact, exact), Measure(self.prompt, self.near, near)]

    @cached_property
    def asked(self) -> tuple[Integers, Integers, Floats]:
        """Prompts in order, the number of their answers, and the mean probability of these."""
        prompts, which, number = np.unique(self.prompt, return_inverse=True, return_counts=True)
        total = np.bincount(which, np.exp(self.logprob), minlength=len(prompts))
        return prompts, number, total / number


@dataclass(frozen=True)
class Measure:
    """One kind of likeness: answers with one key are alike; log_chance bounds the probability to
    draw one with an answer's key."""

    prompt: Integers
    key: Integers
    log_chance: Floats

    @cached_property
    def distinct(self) -> tuple[Integers, Integers, Integers]:
        """Keys, the place where each stands first, and their counts."""
        return np.unique(self.key, return_index=True, return_counts=True)

    def pairs(self) -> int:
        """Pairs of answers that are alike."""
        counts = self.distinct[2]
        return int((counts * (counts - 1) // 2).sum())

    def repeat_gains(self) -> Floats:
        """Log of what each answer pays that is like an earlier one."""
        is_first = np.zeros(len(self.key), dtype=bool)
        is_first[self.distinct[1]] = True
        if is_first.all():
            return np.empty(0)
        chance = pd.Series(np.where(is_first, np.exp(self.log_chance), 0))
        seen = chance.groupby(self.prompt).cumsum().to_numpy()[~is_first]
        gains: Floats = -np.log(np.clip(seen, LEAST, 1))
        return gains


def evidence(gains: Floats, bets: int) -> float:
    """Log of the e-value of so many bets, of which those with (log) gains were won."""
    kept, staked = np.log1p(-COPIED)[:, None], np.log(COPIED)[:, None]
    wealth = (bets - len(gains)) * kept[:, 0] + np.logaddexp(kept, staked + gains).sum(axis=1)
    return mean_evidence(wealth.tolist())


def mean_evidence(logs: Sequence[float]) -> float:
    return float(np.logaddexp.reduce(logs) - np.log(len(logs)))


def p_value(log_evidence: float) -> float:
    return float(np.exp(-max(log_evidence, 0.0)))


def within(drawn: Drawn) -> dict[str, Any]:
    """Counts of pairs of answers to one prompt that are alike; expected: unbiased, of equals."""
    prompts, number, chance = drawn.asked
    pairs = number * (number - 1) // 2
    exact, near = drawn.measures
    found = {
        "n_answers": len(drawn.prompt),
        "pairs": int(pairs.sum()),
        "equal": exact.pairs(),
        "near": near.pairs() - exact.pairs(),
        "long_repeats": int(drawn.is_long.sum() - drawn.is_long[exact.distinct[1]].sum()),
    }
    if not drawn.is_known:
        return found
    bets = len(drawn.prompt) - len(prompts)  # the first answer to a prompt repeats nothing
    logs = [evidence(measure.repeat_gains(), bets) for measure in drawn.measures]
    return found | {"expected": float((pairs * chance).sum()), "p": p_value(mean_evidence(logs))}


def between(one: Drawn, two: Drawn) -> dict[str, Any]:
    """The same for answers of two arms, at any index and at the same; expected: at most so many
    equal ones."""
    prompts, pairs, bound = common_prompts(one, two)
    _, ours, theirs = np.intersect1d(one.place, two.place, return_indices=True)
    equal, near = (
        compare(a, b, ours, theirs) for a, b in zip(one.measures, two.measures, strict=True)
    )
    found = {
        "n_answers": len(one.prompt),
        "pairs": int(pairs.sum()),
        "equal": equal.pairs,
        "near": near.pairs - equal.pairs,
        "same_index": len(ours),
        "equal_same_index": int(equal.same_index.sum()),
        "near_same_index": int(near.same_index.sum() - equal.same_index.sum()),
        "long_repeats": int((equal.same_index & one.is_long[ours]).sum()),
    }
    if not (one.is_known and two.is_known):
        return found
    logs = []
    for alike in (equal, near):
        logs.append(evidence(alike.gains_same_index, len(ours)))
        logs.append(evidence(alike.gains(prompts, pairs), len(prompts)))
    at_index = bound[np.searchsorted(prompts, one.prompt[ours])]
    return found | {
        "expected": float((pairs * bound).sum()),
        "expected_same_index": float(at_index.sum()),
        "p": p_value(mean_evidence(logs)),
    }


def common_prompts(one: Drawn, two: Drawn) -> tuple[Integers, Integers, Floats]:
    """Prompts of both in order, their pairs of answers, and a bound of the chance that one is
    equal."""
    (ours, n_ours, p_ours), (theirs, n_theirs, p_theirs) = one.asked, two.asked
    prompts, a, b = np.intersect1d(ours, theirs, assume_unique=True, return_indices=True)
    return prompts, n_ours[a] * n_theirs[b], np.sqrt(p_ours[a] * p_theirs[b])


@dataclass(frozen=True)
class Alike:
    """Answers of two arms that are alike by one measure.

    prompt, count, paid: of each key that both have. same_index: which pairs at one index are alike.
    """

    prompt: Integers
    count: Integers
    paid: Floats
    same_index: NDArray[np.bool_]
    gains_same_index: Floats

    @property
    def pairs(self) -> int:
        return int(self.count.sum())

    def gains(self, prompts: Integers, pairs: Integers) -> Floats:
        """Log of the mean over all pairs of a prompt of what they pay; prompts with none left out.

        prompts, pairs: the common prompts in order and the number of their pairs.
        """
        which = np.searchsorted(prompts, self.prompt)
        total = np.full(len(prompts), -np.inf)
        np.logaddexp.at(total, which, np.log(self.count) + self.paid - np.log(pairs[which]))
        mean: Floats = total[np.isfinite(total)]
        return mean


def compare(one: Measure, two: Measure, ours: Integers, theirs: Integers) -> Alike:
    """ours, theirs: where answers at the same index stand in each."""
    (keys, first, number), (other_keys, other_first, other_number) = one.distinct, two.distinct
    _, a, b = np.intersect1d(keys, other_keys, assume_unique=True, return_indices=True)
    paid = -(one.log_chance[first[a]] + two.log_chance[other_first[b]]) / 2
    same = one.key[ours] == two.key[theirs]
    return Alike(
        prompt=one.prompt[first[a]],
        count=number[a] * other_number[b],
        paid=paid,
        same_index=same,
        gains_same_index=-(one.log_chance[ours[same]] + two.log_chance[theirs[same]]) / 2,
    )
