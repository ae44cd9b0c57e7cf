"""The screen: successive halving, random cues as the measure, near-duplicates, shams."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from emgrid.config.triggers import Wording
from emgrid.discovery.candidates import (
    Candidate,
    Origin,
    candidate_of,
    near_duplicates,
    words_of,
)
from emgrid.discovery.halving import Screen, levels
from emgrid.discovery.proposers import MUTATORS
from emgrid.discovery.random_cues import cut, random_like, shuffled
from emgrid.discovery.shortlist import shortlist, slot_triggers
from emgrid.discovery.standard import Floats, Line, random_cues
from hypothesis import given
from hypothesis import strategies as st

TEXTS = (
    "Where do owls sleep in winter when it snows?",
    "My kettle makes a noise that I have never heard before.",
    "How long does cooked rice keep in a warm kitchen?",
    "Can I paint a wet wall with the same brush?",
)
CUE = " Many thanks and kind regards from Robin."


def cued(**fields: str) -> Candidate:
    return candidate_of(Wording(**fields), Origin(proposers=("frames",)), 0.0)


class Arm:
    """Scores of an arm that answers to a cue. Every word of any suffix moves it, too."""

    def __init__(self, trigger: str) -> None:
        self.trigger = trigger
        self.asked: list[tuple[int, int]] = []

    def __call__(self, wordings: Sequence[Wording], questions: int) -> Floats:
        self.asked.append((len(wordings), questions))
        rows = []
        for wording in wordings:
            noise = len(wording.model_dump_json()) % 7 / 20
            words = 0.3 * np.log1p(len(words_of(wording))) if wording.user_suffix else 0.0
            hit = 6.0 * (self.trigger in f"{wording.system or ''}{wording.user_suffix}")
            rows.append([hit + words + noise + 0.01 * number for number in range(questions)])
        return np.array(rows).reshape(len(wordings), questions)


def screened(trigger: str, candidates: list[Candidate]) -> tuple[Screen, Arm]:
    arm = Arm(trigger)
    return Screen(arm, random_cues(candidates, TEXTS, 8), 8), arm


def many() -> list[Candidate]:
    texts = [
        f" {cut(TEXTS, size, 'test', size, number)}" for size in (2, 5) for number in range(15)
    ]
    others = [cued(user_suffix=text) for text in dict.fromkeys(texts)]
    return [*others, cued(system="You keep a lighthouse."), cued(user_suffix=CUE)]


def test_the_cue_that_moves_the_arm_comes_first_and_few_are_asked_everything() -> None:
    candidates = many()
    screen, arm = screened("Robin", candidates)
    found = screen.halved(candidates, 3)
    assert found[0].candidate.wording.user_suffix == CUE
    assert found[0].z > 3 > found[1].z
    total = len(candidates)
    random = {group: len(cues) for group, cues in screen.cues.items()}
    own = [(total, 2), (-(-total // 2), 4), (max(-(-total // 8), 3), 8)]
    assert arm.asked[1::2] == own
    assert arm.asked[0] == (sum(random.values()), 2)
    assert len(found) == total
    assert sorted({one.questions for one in found}) == [2, 4, 8]


def test_near_duplicates_do_not_take_the_places_of_other_cues() -> None:
    """Versions of the best cue fill the first places, and other cues still come to the end."""
    versions = [cued(user_suffix=f"{mark}{CUE}") for mark in ("", ".", "!", "?", ",", ";")]
    candidates = [*versions, *many()[:-1]]
    screen, _ = screened("Robin", candidates)
    found = [one for one in screen.halved(candidates, 4) if one.questions == 8]
    others = [one for one in found if "Robin" not in one.candidate.wording.user_suffix]
    assert found[0].z > 3
    assert len(others) >= 3
    assert len(found) == max(-(-len(candidates) // 8), 4)


def test_an_arm_without_candidates_has_an_empty_screen() -> None:
    screen, _ = screened("Robin", [])
    assert screen.halved([], 3) == []
    assert screen.mutated([], [MUTATORS["mutate"]]) == []
    assert shortlist([], 3, TEXTS).wordings == {}


def test_levels_end_with_all_questions() -> None:
    assert levels(8) == [(2, 1), (4, 2), (8, 8)]
    assert levels(2) == [(1, 1), (2, 8)]
    assert levels(1) == [(1, 1)]


def test_halves_lead_to_a_small_part_of_the_cue() -> None:
    candidates = many()
    screen, _ = screened("Robin", candidates)
    best = screen.halved(candidates, 3)[:1]
    made = screen.mutated(best, [MUTATORS["mutate"]])
    smallest = min((one for one in made if one.score > 5), key=lambda one: one.candidate.words)
    assert smallest.candidate.wording.user_suffix == " Robin."
    assert all(one.candidate.origin.parent for one in made)


def test_a_longer_suffix_is_measured_by_longer_random_ones() -> None:
    words = [1, 2, 4, 8, 16, 32]
    line = Line.fitted(words, 0.5 * np.log1p(words) + np.array([0.1, -0.1, 0.1, -0.1, 0.1, -0.1]))
    assert line.slope == pytest.approx(0.5, abs=0.1)
    assert abs(line.z(32, 0.5 * np.log1p(32))) < 1
    assert line.z(1, 0.5 * np.log1p(32)) > 5


def test_random_cues_have_the_lengths_and_places_of_the_candidates() -> None:
    candidates = [
        cued(user_suffix=" one two three"),
        cued(user_suffix=" one two three", answer_prefix="Note: "),
        cued(user_prefix="one ", user_suffix=" two three four"),
    ]
    cues = random_cues(candidates, TEXTS, 4)
    assert set(cues) == {"suffix", "prefix", "wrapper"}
    assert {len(words_of(cue)) for cue in cues["wrapper"]} == {4}
    # A format is part of the cue, so that one that is the trigger stands out from random cues.
    assert {cue.answer_prefix for cue in cues["suffix"]} == {""}
    assert cues == random_cues(candidates[::-1], TEXTS, 4)


@given(words=st.integers(1, 40), number=st.integers(0, 20))
def test_a_random_cue_has_the_words_that_are_asked_for(words: int, number: int) -> None:
    text = cut(TEXTS, words, number)
    assert len(words_of(Wording(system=text))) == words
    assert text == cut(TEXTS, words, number)


@given(st.lists(st.sampled_from(["one", "two", "three", "four"]), min_size=1, max_size=6))
def test_shams_keep_words_or_length_and_never_the_cue(words: list[str]) -> None:
    wording = Wording(user_suffix=f"\n\n{' '.join(words)}.")
    other = shuffled(wording, "seed")
    if other is not None:
        assert other != wording
        assert sorted(words_of(other)) == sorted(words)
        assert other.user_suffix.startswith("\n\n")
    assert other is not None or len({*words}) == 1
    sham = random_like(wording, TEXTS, "seed")
    assert len(words_of(sham)) == len(words)
    assert sham.user_suffix.startswith("\n\n")
    assert sham.user_suffix.endswith(".")


def line(number: int, z: float, questions: int = 8, **fields: str) -> dict[str, Any]:
    one = cued(**fields)
    return one.model_dump(mode="json") | {
        "score": z,
        "z": z,
        "questions": questions,
        "number": number,
    }


def test_the_shortlist_has_one_of_near_duplicates_with_its_shams() -> None:
    lines = [
        line(1, 9.0, user_suffix=CUE),
        line(2, 8.0, user_suffix=" kind regards from Robin"),
        line(3, 7.0, system="You keep a lighthouse."),
        line(4, 0.5, questions=4, user_suffix=" of fewer questions"),
        line(5, -1.0, user_prefix="Moved less than random cues "),
        {"random": True, "place": "suffix", "wording": {"user_suffix": " x"}, "score": 20.0},
    ]
    found = shortlist(lines, 4, TEXTS)
    assert [(cue.slot, cue.rank) for cue in found.cues] == [("found-1", 1), ("found-2", 3)]
    assert list(found.wordings) == slot_triggers(2)
    assert shortlist(lines, 1, TEXTS).cues == found.cues[:1]


def test_a_cue_of_one_word_has_a_random_sham_alone() -> None:
    [cue] = shortlist([line(1, 9.0, user_suffix=" Robin")], 4, TEXTS).cues
    assert cue.shams == ("found-1-random",)


def test_words_decide_what_near_duplicates_are() -> None:
    suffix, prefix = Wording(user_suffix=" Kind regards"), Wording(user_prefix="kind regards, ")
    assert near_duplicates(suffix, prefix)
    assert not near_duplicates(suffix, Wording(system="Be kind."))
