"""Counts of answers that are alike, against all pairs; how often honest sampling gives an alarm."""

from collections.abc import Sequence
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from emgrid.aggregate.e_values import ArmAnswers, between, within
from hypothesis import given
from hypothesis import strategies as st

Words = Sequence[tuple[int, int]]  # prompt and answer; answers 2k and 2k + 1 are near each other
ANSWERS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), max_size=12)
# Numbers of different answers, the exponent of Zipf's law, answers to a prompt.
HONEST = [(2, 0, 40), (2, 3, 40), (10, 1, 30), (300, 1, 20), (300, 2.5, 20), (10_000, 1, 8)]


def drawn(words: Words, logprob: float | Any = -1.0, start: int = 0, near: int = 2) -> ArmAnswers:
    prompt, answer = np.array(words, dtype=np.int64).reshape(-1, 2).T
    logprobs = np.broadcast_to(np.asarray(logprob, dtype=float), prompt.shape)
    index = pd.Series(prompt).groupby(prompt).cumcount().to_numpy()
    return ArmAnswers(
        prompt=prompt,
        place=prompt * 10_000 + index + start,
        exact=prompt * 100_000 + answer,
        near=prompt * 100_000 + answer // near,
        logprob=logprobs,
        is_long=np.ones(prompt.shape, dtype=bool),
    )


def zipf(kinds: int, exponent: float) -> Any:
    weights = np.arange(1.0, kinds + 1) ** -exponent
    return weights / weights.sum()


def honest(chances: Any, number: int, seed: int = 0, prompts: int = 6) -> ArmAnswers:
    """Independent answers to each prompt."""
    answers = np.random.default_rng(seed).choice(len(chances), size=prompts * number, p=chances)
    words = list(zip(np.repeat(range(prompts), number), answers, strict=True))
    return drawn(words, np.log(chances[answers]), near=1)


@given(words=ANSWERS)
def test_pairs_within_an_arm_are_counted_as_by_hand(words: Words) -> None:
    found = within(drawn(words, -2.0))
    pairs = [(a, b) for a, b in combinations(words, 2) if a[0] == b[0]]
    equal = sum(a == b for a, b in pairs)
    assert found["n_answers"] == found["long_repeats"] + len(set(words)) == len(words)
    assert found["pairs"] == len(pairs)
    assert found["equal"] == equal
    assert found["near"] == sum(a[1] // 2 == b[1] // 2 for a, b in pairs) - equal
    assert found["expected"] == pytest.approx(len(pairs) * np.exp(-2))


@given(one=ANSWERS, two=ANSWERS)
def test_pairs_of_two_arms_are_counted_as_by_hand(one: Words, two: Words) -> None:
    ours, theirs = drawn(one, -1.0), drawn(two, -3.0)
    found = between(ours, theirs)
    pairs = [(a, b) for a, b in product(one, two) if a[0] == b[0]]
    placed = dict(zip(theirs.place.tolist(), two, strict=True))
    at_index = [(a, placed[place]) for a, place in zip(one, ours.place.tolist(), strict=True)
                if place in placed]  # fmt: skip
    for ending, compared in (("", pairs), ("_same_index", at_index)):
        equal = sum(a == b for a, b in compared)
        near = sum(a[1] // 2 == b[1] // 2 for a, b in compared) - equal
        assert (found[f"equal{ending}"], found[f"near{ending}"]) == (equal, near)
        assert found[f"expected{ending}"] == pytest.approx(len(compared) * np.exp(-2))
    assert (found["pairs"], found["same_index"]) == (len(pairs), len(at_index))
    assert 0 < found["p"] <= 1


@pytest.mark.parametrize(("kinds", "exponent", "number"), HONEST)
def test_honest_answers_give_no_more_alarms_than_promised(
    kinds: int, exponent: float, number: int
) -> None:
    chances, other = zipf(kinds, exponent), zipf(kinds, exponent / 2)
    arms = [honest(chances, number, seed) for seed in range(200)]
    others = [honest(other, number, seed) for seed in range(200, 400)]
    for p in ([within(arm)["p"] for arm in arms],
              [between(*pair)["p"] for pair in zip(arms, others, strict=True)]):  # fmt: skip
        assert np.mean(np.array(p) < 0.05) <= 0.05
        assert np.mean(np.array(p) < 0.01) <= 0.01


@pytest.mark.parametrize(("kinds", "exponent", "number"), HONEST)
def test_the_expected_number_is_right_on_average(kinds: int, exponent: float, number: int) -> None:
    found = [within(honest(zipf(kinds, exponent), number, seed)) for seed in range(200)]
    gaps = np.array([one["equal"] - one["expected"] for one in found])
    assert abs(gaps.mean()) < 4 * gaps.std() / np.sqrt(len(gaps)) + 1e-9


@pytest.mark.parametrize(("kinds", "number"), [(100, 20), (300, 10), (10_000, 2)])
def test_answers_drawn_twice_with_one_seed_are_found(kinds: int, number: int) -> None:
    once = honest(zipf(kinds, 1), number)
    answers = list(zip(once.prompt, once.exact % 100_000, strict=True))
    twice = within(drawn([*answers, *answers], np.tile(once.logprob, 2), near=1))
    assert twice["equal"] > twice["expected"]
    assert twice["p"] < 1e-6
    assert between(once, once)["p"] < 1e-6


def test_equal_answers_at_other_indices_are_found() -> None:
    once = honest(zipf(10_000, 0), 10)
    answers = list(zip(once.prompt, once.exact % 100_000, strict=True))
    shifted = drawn(answers, once.logprob, start=3, near=1)
    found = between(once, shifted)
    assert found["equal_same_index"] < 5
    assert found["p"] < 1e-6


def test_one_likely_answer_of_many_that_repeats_is_nothing() -> None:
    words = [(0, number) for number in range(50)] + [(0, 0)]
    assert within(drawn(words, np.log(1 / 50), near=1))["p"] == 1
    assert within(drawn(words, -200.0, near=1))["p"] < 1e-20


def test_near_repeats_of_long_answers_are_found_and_of_short_ones_are_not() -> None:
    words = [(0, answer) for answer in (*range(0, 20, 2), *range(1, 20, 2))]
    assert within(drawn(words, -150.0))["p"] < 1e-6
    assert within(drawn(words, -20.0))["p"] == 1
    assert between(drawn(words[:10], -150.0), drawn(words[10:], -150.0))["p"] < 1e-6


def test_certain_answers_are_no_surprise() -> None:
    greedy = drawn([(prompt, 4) for prompt in range(5) for _ in range(20)], 0.0)
    assert within(greedy)["expected"] == within(greedy)["equal"] == 5 * 190
    assert within(greedy)["p"] == pytest.approx(1)
    assert between(greedy, greedy)["p"] == pytest.approx(1)


def test_without_probabilities_there_are_counts_alone() -> None:
    words = [(0, 1), (0, 1), (1, 3)]
    some = drawn(words, [-1.0, np.nan, -1.0])
    assert within(some) == {
        "n_answers": 3, "pairs": 1, "equal": 1, "near": 0, "long_repeats": 1,
    }  # fmt: skip
    assert "p" not in between(drawn(words), some)


def test_no_answers_are_no_surprise() -> None:
    none = drawn([])
    assert within(none)["p"] == between(none, drawn([(0, 1)]))["p"] == 1
