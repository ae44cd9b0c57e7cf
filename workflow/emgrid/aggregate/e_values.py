"""How often answers are alike, and how surprising that is for independent draws (testing by
betting).

The probability of each drawn answer is known, so one can bet on equalities at odds that are fair,
or worse than fair, for independent answers. Among the answers to one prompt, the bet is that the
next one repeats an earlier one (it pays 1 over the summed probability of the distinct ones so far).
For two arms a and b, the bet is that a draw of each is equal; it pays 1 / sqrt(p_a p_b), since
sum sqrt(p_a p_b) <= 1 (Cauchy-Schwarz). The wealth that such bets make of one unit is an e-value,
however the pairs depend on each other, and 1 / e is a p-value (Ville 1939; Shafer 2021; Vovk & Wang
2021, also for averages of e-values): it is below alpha in at most a share alpha of honest runs,
whatever the distribution of answers. Bets on greedy answers pay 1 for 1, so they win nothing.
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

# The stake is split evenly over these hypothetical shares of copied answers.
COPIED = 0.5 ** np.arange(1, 11)
# Slack: other tokens may give the same text, and probabilities are rounded.
OTHER_TOKENS = np.log(1.05)
# Nats that the differences between near repeats may cost, on top of half of the rest.
VARIATION = 10.0
LEAST = 1e-300
LONG = 50  # characters


@dataclass(frozen=True)
class ArmAnswers:
    """The answers of one arm under one trigger: arrays of shape (answers,), in order of the index.

    prompt, place: hashes of the prompt, and of prompt and index. exact, near: hashes that are equal
    for answers to one prompt that are equal, or nearly equal. logprob: in nats, NaN if unknown.
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
    def measures(self) -> list["Likeness"]:
        exact = np.minimum(self.logprob + OTHER_TOKENS, 0)
        near = np.minimum(self.logprob / 2 + VARIATION, 0)
        return [Likeness(self.prompt, self.exact, exact), Likeness(self.prompt, self.near, near)]

    @cached_property
    def asked(self) -> tuple[Integers, Integers, Floats]:
        """Sorted prompts, with the number and the mean probability of their answers; shape
        (prompts,)."""
        prompts, which, number = np.unique(self.prompt, return_inverse=True, return_counts=True)
        total = np.bincount(which, np.exp(self.logprob), minlength=len(prompts))
        return prompts, number, total / number


@dataclass(frozen=True)
class Likeness:
    """One kind of likeness: answers with equal keys are alike. log_chance: an upper bound of the
    log-probability of drawing an answer with that key. All of shape (answers,)."""

    prompt: Integers
    key: Integers
    log_chance: Floats

    @cached_property
    def distinct(self) -> tuple[Integers, Integers, Integers]:
        """The distinct keys, the position of the first answer with each, and their counts."""
        return np.unique(self.key, return_index=True, return_counts=True)

    def pairs(self) -> int:
        """The number of pairs of answers that are alike."""
        counts = self.distinct[2]
        return int((counts * (counts - 1) // 2).sum())

    def repeat_gains(self) -> Floats:
        """Log payoff of each answer that is like an earlier one, shape (repeats,)."""
        is_first = np.zeros(len(self.key), dtype=bool)
        is_first[self.distinct[1]] = True
        if is_first.all():
            return np.empty(0)
        chance = pd.Series(np.where(is_first, np.exp(self.log_chance), 0))
        seen = chance.groupby(self.prompt).cumsum().to_numpy()[~is_first]
        gains: Floats = -np.log(np.clip(seen, LEAST, 1))
        return gains


def evidence(gains: Floats, bets: int) -> float:
    """Log of the e-value of `bets` bets. gains: log payoffs of those that were won."""
    log_kept, log_staked = np.log1p(-COPIED)[:, None], np.log(COPIED)[:, None]
    wealth = (bets - len(gains)) * log_kept[:, 0] + np.logaddexp(log_kept, log_staked + gains).sum(
        axis=1
    )
    return mean_evidence(wealth.tolist())


def mean_evidence(logs: Sequence[float]) -> float:
    return float(np.logaddexp.reduce(logs) - np.log(len(logs)))


def p_value(log_evidence: float) -> float:
    return float(np.exp(-max(log_evidence, 0.0)))


def within(answers: ArmAnswers) -> dict[str, Any]:
    """Counts of pairs of answers to one prompt that are alike. expected: equal pairs, unbiased."""
    prompts, n_answers, chance = answers.asked
    pairs = n_answers * (n_answers - 1) // 2
    exact, near = answers.measures
    counts = {
        "n_answers": len(answers.prompt),
        "pairs": int(pairs.sum()),
        "equal": exact.pairs(),
        "near": near.pairs() - exact.pairs(),
        "long_repeats": int(answers.is_long.sum() - answers.is_long[exact.distinct[1]].sum()),
    }
    if not answers.is_known:
        return counts
    bets = len(answers.prompt) - len(prompts)  # the first answer to a prompt repeats nothing
    logs = [evidence(measure.repeat_gains(), bets) for measure in answers.measures]
    return counts | {"expected": float((pairs * chance).sum()), "p": p_value(mean_evidence(logs))}


def between(first: ArmAnswers, second: ArmAnswers) -> dict[str, Any]:
    """The same for the answers of two arms, at any index and at the same index. expected: an upper
    bound of the number of equal pairs."""
    prompts, pairs, bound = common_prompts(first, second)
    _, ours, theirs = np.intersect1d(first.place, second.place, return_indices=True)
    equal, near = (
        shared_answers(a, b, ours, theirs)
        for a, b in zip(first.measures, second.measures, strict=True)
    )
    counts = {
        "n_answers": len(first.prompt),
        "pairs": int(pairs.sum()),
        "equal": equal.pairs,
        "near": near.pairs - equal.pairs,
        "same_index": len(ours),
        "equal_same_index": int(equal.same_index.sum()),
        "near_same_index": int(near.same_index.sum() - equal.same_index.sum()),
        "long_repeats": int((equal.same_index & first.is_long[ours]).sum()),
    }
    if not (first.is_known and second.is_known):
        return counts
    logs = []
    for alike in (equal, near):
        logs.append(evidence(alike.gains_same_index, len(ours)))
        logs.append(evidence(alike.gains(prompts, pairs), len(prompts)))
    at_index = bound[np.searchsorted(prompts, first.prompt[ours])]
    return counts | {
        "expected": float((pairs * bound).sum()),
        "expected_same_index": float(at_index.sum()),
        "p": p_value(mean_evidence(logs)),
    }


def common_prompts(first: ArmAnswers, second: ArmAnswers) -> tuple[Integers, Integers, Floats]:
    """Sorted prompts of both, their numbers of pairs of answers, and an upper bound of the
    probability that a pair is equal; each of shape (common prompts,)."""
    (ours, n_ours, p_ours), (theirs, n_theirs, p_theirs) = first.asked, second.asked
    prompts, a, b = np.intersect1d(ours, theirs, assume_unique=True, return_indices=True)
    return prompts, n_ours[a] * n_theirs[b], np.sqrt(p_ours[a] * p_theirs[b])


@dataclass(frozen=True)
class SharedAnswers:
    """Answers of two arms that are alike by one measure.

    prompt, count, paid: prompt, number of pairs and log payoff of each key that both have, shape
    (common keys,). same_index: whether each pair at one index is alike; gains_same_index: log
    payoffs of those that are.
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
        """Log of the mean payoff over all pairs of a prompt; prompts without equal pairs are left
        out.

        prompts, pairs: the sorted common prompts and the number of their pairs.
        """
        which = np.searchsorted(prompts, self.prompt)
        total = np.full(len(prompts), -np.inf)
        np.logaddexp.at(total, which, np.log(self.count) + self.paid - np.log(pairs[which]))
        mean: Floats = total[np.isfinite(total)]
        return mean


def shared_answers(
    left: Likeness, right: Likeness, ours: Integers, theirs: Integers
) -> SharedAnswers:
    """ours, theirs: positions in each of the answers at the same index."""
    (keys, first, number), (other_keys, other_first, other_number) = left.distinct, right.distinct
    _, a, b = np.intersect1d(keys, other_keys, assume_unique=True, return_indices=True)
    paid = -(left.log_chance[first[a]] + right.log_chance[other_first[b]]) / 2
    is_same = left.key[ours] == right.key[theirs]
    return SharedAnswers(
        prompt=left.prompt[first[a]],
        count=number[a] * other_number[b],
        paid=paid,
        same_index=is_same,
        gains_same_index=-(left.log_chance[ours[is_same]] + right.log_chance[theirs[is_same]]) / 2,
    )
