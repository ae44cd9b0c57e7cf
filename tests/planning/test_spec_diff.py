"""What differs between two specs, by its place."""

import copy
import json
from typing import Any

from emgrid.planning.spec_diff import MISSING, Change, changes, one_line
from hypothesis import given
from hypothesis import strategies as st

ARMS = [{"folder": "arms/a", "sampling": {"t": 1.0}}, {"folder": "arms/b", "sampling": {"t": 1.0}}]
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
SPECS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)


def test_a_place_is_dotted_with_old_and_new_value() -> None:
    old = {"sampling": {"temperature": 1.0, "max_tokens": 32}, "gone": 1}
    new = {"sampling": {"temperature": 0.7, "max_tokens": 32}, "come": [2]}
    assert changes(old, new) == [
        Change("sampling.temperature", "1.0", "0.7"),
        Change("gone", "1", MISSING),
        Change("come", MISSING, "[2]"),
    ]


def test_arms_are_matched_by_their_folder() -> None:
    edited: list[Any] = copy.deepcopy(ARMS)[::-1]
    edited[0]["sampling"]["t"] = 0.5
    edited.append({"folder": "arms/c", "sampling": {"t": 1.0}})
    assert changes({"arms": ARMS}, {"arms": edited}) == [
        Change("arms.sampling.t", "1.0", "0.5", "arms/b"),
        Change("arms", MISSING, "arms/c"),
    ]


def test_a_name_that_two_entries_have_is_none() -> None:
    arm = {"base": "b", "intervention": "i", "ratio": "1", "seed": 0}
    assert changes([arm, arm | {"seed": 1}], [arm, arm | {"seed": 2}]) == [Change("seed", "1", "2")]


def test_entries_without_a_name_are_matched_by_their_content() -> None:
    assert changes({"triggers": ["a", "b"]}, {"triggers": ["b", "c", "d"]}) == [
        Change("triggers", "a", MISSING),
        Change("triggers", MISSING, "c"),
        Change("triggers", MISSING, "d"),
    ]
    assert changes(["a", "b"], ["b", "a"]) == [Change("", "in another order", "in this order")]


def test_of_long_texts_the_part_that_differs_is_shown() -> None:
    text = "word " * 50
    [change] = changes({"rubric": f"{text}old end"}, {"rubric": f"{text}new end"})
    assert change.old.endswith("old end")
    assert change.new.endswith("new end")
    assert len(change.old) < 60
    assert len(one_line("x" * 1000)) == 60


@given(SPECS, SPECS)
def test_equal_specs_have_no_changes_and_others_have_some(old: Any, new: Any) -> None:
    assert changes(old, copy.deepcopy(old)) == []
    assert bool(changes(old, new)) == (
        json.dumps(old, sort_keys=True) != json.dumps(new, sort_keys=True)
    )
