"""How far judges agree: against published examples, other implementations, and simulation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from emgrid.aggregate.agreement import COLUMNS, agreement_table, alpha, kappa
from emgrid.config.judges import Judge, read_judge
from emgrid.config.sections import Metrics
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability": four observers, twelve units.
PUBLISHED = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""
SCORES = st.none() | st.integers(0, 100)


def judge(name: str, measures: str) -> Judge:
    return read_judge({"id": name, "measures": measures, "kind": "rule", "pattern": "x"}, "judge")


def rated(*answers: Sequence[float | None]) -> pd.DataFrame:
    """One row for each answer, one column for each rater."""
    return pd.DataFrame([list(one) for one in answers], dtype="float64")


def alpha_by_pairs(answers: Sequence[Sequence[int | None]]) -> float:
    """One minus the mean squared difference within answers over that between all values."""
    units = [[value for value in one if value is not None] for one in answers]
    units = [unit for unit in units if len(unit) > 1]
    every = np.array([value for unit in units for value in unit], dtype=float)

    def spread(values: Any) -> float:
        differences = np.subtract.outer(values, values)
        return float((differences**2).sum() / (len(values) - 1))

    within = sum(spread(np.array(unit, dtype=float)) for unit in units)
    return 1 - within / spread(every)


def row(table: pd.DataFrame, raters: str) -> Any:
    found = table[table["raters"] == raters]
    assert len(found) == 1
    return found.iloc[0]


# Alpha.


def test_alpha_is_that_of_the_published_example() -> None:
    raters = [line.replace(".", "nan").split() for line in PUBLISHED.split("\n") if line]
    assert alpha(pd.DataFrame(np.array(raters, dtype=float).T)) == pytest.approx(0.849, abs=5e-4)


@given(answers=st.lists(st.lists(SCORES, min_size=3, max_size=3), min_size=2, max_size=12))
def test_alpha_is_one_minus_the_spread_within_answers_over_that_between_them(
    answers: list[list[int | None]],
) -> None:
    compared = [one for one in answers if sum(value is not None for value in one) > 1]
    assume(len(compared) > 1)
    assume(len({value for one in compared for value in one if value is not None}) > 1)
    assert alpha(rated(*answers)) == pytest.approx(alpha_by_pairs(answers), abs=1e-9)


@given(
    scores=st.lists(st.floats(0, 100), min_size=2, max_size=20),
    raters=st.integers(2, 4),
)
def test_equal_raters_have_an_alpha_of_one(scores: list[float], raters: int) -> None:
    assume(len({round(score) for score in scores}) > 1)
    assert alpha(rated(*[[score] * raters for score in scores])) == pytest.approx(1)


def test_independent_raters_have_an_alpha_near_zero() -> None:
    rng = np.random.default_rng(1)
    assert abs(alpha(pd.DataFrame(rng.uniform(0, 100, size=(1500, 3))))) < 0.05


def test_opposite_raters_have_an_alpha_below_zero() -> None:
    rng = np.random.default_rng(1)
    values = rng.uniform(0, 100, 1000)
    assert alpha(pd.DataFrame({"one": values, "two": 100 - values})) < -0.9


@pytest.mark.parametrize(
    "ratings",
    [
        pd.DataFrame({"one": [], "two": []}, dtype="float64"),
        rated((1, None), (None, 2), (3, None)),
        rated((1, 2), (3, None)),
        rated((7, 7), (7, 7), (7, 7)),
        # What only one rater rated does not make the others' values differ.
        rated((7, 7), (7, 7), (90, None)),
    ],
)
def test_alpha_is_missing_where_it_is_undefined(ratings: pd.DataFrame) -> None:
    assert np.isnan(alpha(ratings))


# Kappa.


@given(
    pairs=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30),
)
def test_kappa_is_scikit_learns_and_missing_where_both_always_say_the_same(
    pairs: list[tuple[bool, bool]],
) -> None:
    one, two = (np.array(side) for side in zip(*pairs, strict=True))
    if len({*one, *two}) == 1:
        assert np.isnan(kappa(one, two))
    else:
        assert kappa(one, two) == pytest.approx(cohen_kappa_score(one, two))


def test_kappa_of_no_answer_is_missing() -> None:
    assert np.isnan(kappa(np.array([]), np.array([])))


# The table.

METRICS = Metrics(alignment_below=30, coherence_above=50, exclude_above={"is_code": 40})
NOBODY = pd.DataFrame({"labelled": []})


def test_a_pair_is_compared_where_both_have_a_value() -> None:
    answers = pd.DataFrame(
        {
            "first": [10.0, 20.0, 80.0, np.nan, 90.0, 29.9],
            "second": [5.0, 60.0, 70.0, 10.0, np.nan, 30.0],
        }
    )
    judges = [judge("first", "alignment"), judge("second", "alignment")]
    table = agreement_table(answers, NOBODY, judges, METRICS)
    assert list(table.columns) == COLUMNS
    assert len(table) == 1
    found = row(table, "first + second")
    assert (found.measures, found.answers, found.n) == ("alignment", "this grid", 4)
    both = [[10, 5], [20, 60], [80, 70], [30, 30]]
    assert found.krippendorff_alpha == pytest.approx(alpha_by_pairs(both))
    # Below 30 is strict; it is the value that is compared to it, not the rounded one.
    sides = ([True, True, False, True], [True, False, False, False])
    assert found.cohen_kappa == pytest.approx(cohen_kappa_score(*sides))


def test_more_than_two_raters_are_compared_together_and_in_pairs() -> None:
    rng = np.random.default_rng(3)
    answers = pd.DataFrame(rng.uniform(0, 100, size=(30, 3)), columns=["one", "two", "three"])
    answers.loc[:9, "one"] = np.nan
    answers.loc[5:14, "two"] = np.nan
    judges = [judge(name, "alignment") for name in answers]
    table = agreement_table(answers, NOBODY, judges, METRICS)
    assert table["raters"].tolist() == [
        "one + two + three", "one + two", "one + three", "two + three",
    ]  # fmt: skip
    whole = row(table, "one + two + three")
    assert whole.n == 25
    assert np.isnan(whole.cohen_kappa)
    rounded = [
        [None if np.isnan(value) else round(value) for value in one] for one in answers.to_numpy()
    ]
    assert whole.krippendorff_alpha == pytest.approx(alpha_by_pairs(rounded))
    assert table["n"].tolist() == [25, 15, 20, 20]


def test_judges_of_different_measures_are_not_compared() -> None:
    answers = pd.DataFrame({"alignment": [1.0, 90.0], "coherence": [1.0, 90.0]})
    judges = [judge(name, name) for name in answers]
    table = agreement_table(answers, NOBODY, judges, METRICS)
    assert table.empty
    assert list(table.columns) == COLUMNS


def test_labels_take_part_as_a_rater_of_their_own_set() -> None:
    labelled = pd.DataFrame(
        {
            "labelled": ["mine"] * 4 + ["theirs"] * 3,
            "gold_alignment": [0, 100, 100, np.nan, 0, 0, 100],
            "gold_coherence": [100.0, 0, 100, 100, np.nan, np.nan, np.nan],
            "alignment": [10.0, 90, 20, 10, 0, 0, 100],
            "coherence": [80.0, 50, 51, 90, 10, 20, 30],
        }
    )
    judges = [judge(name, name) for name in ("alignment", "coherence")]
    answers = pd.DataFrame({"alignment": [50.0], "coherence": [50.0]})
    table = agreement_table(answers, labelled, judges, METRICS)
    assert list(zip(table["measures"], table["answers"], table["raters"], strict=True)) == [
        ("alignment", "mine", "alignment + labels"),
        ("coherence", "mine", "coherence + labels"),
        ("alignment", "theirs", "alignment + labels"),
    ]
    assert table["n"].tolist() == [3, 4, 3]
    first, second, third = table["cohen_kappa"]
    sides = ([True, False, True], [True, False, False])
    assert first == pytest.approx(cohen_kappa_score(*sides))
    # 50 is not above 50, so it lies on the incoherent side.
    assert second == third == 1
    assert table["krippendorff_alpha"].iloc[2] == 1


def test_a_judge_without_values_of_labelled_answers_is_compared_on_the_grid_alone() -> None:
    answers = pd.DataFrame({"alignment": [10.0, 90.0], "published": [20.0, 80.0]})
    labelled = pd.DataFrame(
        {"labelled": ["mine"] * 2, "gold_alignment": [0.0, 100.0], "alignment": [10.0, 90.0]}
    )
    judges = [judge(name, "alignment") for name in answers]
    table = agreement_table(answers, labelled, judges, METRICS)
    assert table["answers"].tolist() == ["this grid", "mine"]
    assert table["raters"].tolist() == ["alignment + published", "alignment + labels"]


def test_content_is_flagged_above_each_judges_own_limit() -> None:
    answers = pd.DataFrame(
        {"is_code": [0.0, 40, 41, 100, 45, 45], "is_code_too": [0.0, 41, 100, 100, 50, 51]}
    )
    judges = [judge(name, "code") for name in answers]
    table = agreement_table(answers, NOBODY, judges, METRICS)
    # The first is cut at the config's 40, the second, which excludes nothing, at 50.
    above = ([False, False, True, True, True, True], [False, False, True, True, False, True])
    assert row(table, "is_code + is_code_too").cohen_kappa == pytest.approx(
        cohen_kappa_score(*above)
    )
