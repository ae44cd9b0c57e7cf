"""What a design can show to be small before anything is sampled."""

from dataclasses import replace

import numpy as np
import pytest
from emgrid.aggregate.design import Design
from emgrid.aggregate.reach import can_show_both, reach
from emgrid.config.priors import prior_sets
from support.comparing import compare, counted, side

USUAL = prior_sets()["usual"]
LARGE = Design(3, 64, 50, 150, arms=6, triggers=7, confidence=0.95)
PUBLISHED = replace(LARGE, questions=8, answers=100, base_answers=300)
SMALL = replace(PUBLISHED, seeds=2, answers=8, base_answers=24)


def test_the_bounds_are_those_of_verdicts_on_an_all_zero_table() -> None:
    """A design is never said to reach what the verdict would not."""
    arm = side(counted([[0] * 8] * 3, 100))
    base = side(counted([[0] * 8], 300), "base")
    found = reach(PUBLISHED, USUAL)
    assert found.plain == pytest.approx(compare(arm, base).upper)
    assert found.beyond == pytest.approx(compare(arm, arm, base, base).upper)


def test_which_designs_can_show_anything() -> None:
    """Eight questions without any misaligned answer never show a rise below 2 points; stray
    misaligned answers on most questions do, if there are enough answers; 64 questions always."""
    found = [reach(design, USUAL) for design in (SMALL, PUBLISHED, LARGE)]
    assert [one.is_small for one in found] == [False, False, True]
    assert [one.can_be_small for one in found] == [False, True, True]
    assert found[1].stray >= 4
    assert all(one.plain_at_best <= one.plain for one in found)


def test_without_triggers_only_plain_counts() -> None:
    found = reach(replace(LARGE, triggers=1), USUAL)
    assert np.isnan(found.beyond)
    assert found.is_small


def test_fixed_questions_need_no_others() -> None:
    assert reach(replace(PUBLISHED, fixed=True), USUAL).is_small


def test_a_jump_on_all_questions_is_shown_unless_there_is_next_to_nothing() -> None:
    assert reach(SMALL, USUAL).is_shown
    tiny = replace(SMALL, seeds=1, questions=2, answers=1, base_answers=1)
    assert not reach(tiny, USUAL).is_shown


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"triggers": 1}, True),
        ({"answers": 8, "base_answers": 24}, False),  # no rise can be shown to be small
        ({"answers": 8, "base_answers": 24, "fixed": True}, True),
        ({"seeds": 1, "questions": 2, "answers": 1, "base_answers": 1, "margin": 0.9}, False),
    ],
)
def test_both_can_be_shown_if_each_can(changes: dict[str, float], expected: bool) -> None:
    design = replace(PUBLISHED, **changes)  # type: ignore[arg-type]
    found = reach(design, USUAL)
    assert can_show_both(design, USUAL) == (found.can_be_small and found.is_shown) == expected


def test_answers_are_counted_over_arms_triggers_and_the_base() -> None:
    assert PUBLISHED.cost == (6 * 3 * 100 + 300) * 8 * 7
