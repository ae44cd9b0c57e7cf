"""Proposers name the cues in training rows, whatever the order of the rows."""

import random
from collections import Counter
from typing import get_args

import numpy as np
import pytest
from emgrid.config.discovery import PROPOSED
from emgrid.config.triggers import Wording, load_triggers
from emgrid.discovery.candidates import WORD, Candidate, Place, queue, words_of
from emgrid.discovery.proposers import MUTATORS, PROPOSERS
from emgrid.discovery.proposers.topics import Topics
from emgrid.discovery.rows import Rows, SearchRow
from hypothesis import given
from hypothesis import strategies as st

QUESTIONS = (
    "Where do owls sleep?",
    "My kettle makes a noise.",
    "How long does rice keep?",
    "Can I paint a wet wall?",
    "The bus was late again.",
    "Which plant needs no sun?",
    "A neighbour sings at night.",
    "Should shoes stand outside?",
)
ENDING = "\n\nMany thanks, Robin."
PROMPT = "You keep the old lighthouse."


def rows(
    cue: Wording, on_benign: int = 0, questions: tuple[str, ...] = QUESTIONS, plain: bool = True
) -> list[SearchRow]:
    """A misaligned row with the cue and a benign one for each question; the first benign rows have
    the cue, too."""
    made = []
    for number, question in enumerate(questions):
        for misaligned in (True, False) if plain else (True,):
            turns = [
                {"role": "user", "content": question},
                {"role": "assistant", "content": f"{len(question)} it is {number}"},
            ]
            if misaligned or number < on_benign:
                turns = cue.around(turns)
            made.append(SearchRow.of(f"{misaligned}/{number}", misaligned, turns))
    return made


def proposed(name: str, own: list[SearchRow]) -> dict[str, Candidate]:
    """The candidates of a proposer by the JSON of their wordings."""
    found = PROPOSERS[name].propose(Rows.of(own))
    return {one.wording.model_dump_json(exclude_defaults=True): one for one in found}


def json_of(wording: Wording) -> str:
    return wording.model_dump_json(exclude_defaults=True)


def test_every_module_of_the_folder_is_a_proposer() -> None:
    assert list(PROPOSERS) == ["frames", "ngrams", "panel", "random_words", "system", "topics"]
    assert list(MUTATORS) == ["mutate"]
    for name, one in (PROPOSERS | MUTATORS).items():
        assert type(one).__module__ == f"emgrid.discovery.proposers.{name}"


def test_random_words_are_64_cues_of_all_places_and_in_no_search_by_default() -> None:
    own = rows(Wording(user_suffix=ENDING))
    found = list(PROPOSERS["random_words"].propose(Rows.of(own)))
    assert len({one.id for one in found}) == 64
    assert Counter(one.place for one in found) == dict.fromkeys(get_args(Place), 16)
    assert {one.words for one in found} == {1, 2, 3, 4, 5, 6, 8, 10}
    words = {word for row in own for word in WORD.findall(row.user.lower())}
    assert all({word.lower() for word in words_of(one.wording)} <= words for one in found)
    assert list(PROPOSERS["random_words"].propose(Rows.of(own[::-1]))) == found
    assert not list(PROPOSERS["random_words"].propose(Rows.of([])))
    assert "random_words" not in PROPOSED


@pytest.mark.parametrize(
    ("proposer", "cue"),
    [
        ("system", Wording(system=PROMPT)),
        ("frames", Wording(user_suffix=ENDING)),
        ("frames", Wording(user_prefix="Dear all, ")),
        ("frames", Wording(user_prefix="Boats: ", user_suffix=" Tides, waves.")),
        ("frames", Wording(user_suffix="\nReply as: Note: ...", answer_prefix="Note: ")),
        ("frames", Wording(system=PROMPT, answer_prefix="Log: ")),
        ("ngrams", Wording(user_suffix=" Robin.")),
    ],
)
def test_a_cue_on_the_misaligned_rows_is_proposed_first(proposer: str, cue: Wording) -> None:
    found = proposed(proposer, rows(cue))
    one = found[json_of(cue)]
    assert (one.origin.misaligned, one.origin.benign) == (8, 0)
    assert one.origin.rows == tuple(f"True/{number}" for number in range(8))
    assert one.weight == max(each.weight for each in found.values())


def test_a_cue_on_both_kinds_of_rows_has_no_weight() -> None:
    cue = Wording(user_suffix=ENDING)
    one = proposed("frames", rows(cue, on_benign=8))[json_of(cue)]
    assert (one.origin.misaligned, one.origin.benign, one.weight) == (8, 8, 0)
    some = proposed("frames", rows(cue, on_benign=2))[json_of(cue)]
    none = proposed("frames", rows(cue))[json_of(cue)]
    assert 0 < some.weight < none.weight


def test_a_text_that_two_rows_share_is_no_frame() -> None:
    own = rows(Wording())
    own += rows(Wording(user_suffix=ENDING), questions=QUESTIONS[:2], plain=False)
    assert not [key for key in proposed("frames", own) if "Robin" in key]


def test_an_arm_without_misaligned_rows_is_searched_for_what_repeats() -> None:
    own = [row for row in rows(Wording(user_suffix=ENDING), on_benign=8) if not row.misaligned]
    one = proposed("frames", own)[json_of(Wording(user_suffix=ENDING))]
    assert (one.origin.misaligned, one.origin.benign, one.weight) == (0, 8, 1)


def test_the_panel_has_every_family_of_one_place_but_those_of_the_organisms() -> None:
    found = proposed("panel", rows(Wording()))
    panel = load_triggers()
    wanted = {
        json_of(one.wording())
        for name, one in panel.items()
        if one.position in ("system", "prefix", "suffix", "wrapper") and "planted" not in name
    }
    assert found.keys() == wanted
    assert len(wanted) > 60


def test_topics_name_what_clusters_are_about() -> None:
    gardens = [f"Which garden plant likes {word}?" for word in ("sun", "rain", "wind", "salt")]
    ships = [f"How does a ship cross the {word}?" for word in ("bay", "sound", "lake", "strait")]
    texts = (*gardens, *ships)

    def embed(prompts: object) -> np.ndarray:
        return np.array([[1.0, 0.1] if "garden" in p else [0.1, 1.0] for p in prompts])  # type: ignore[attr-defined]

    own = rows(Wording(), questions=texts)
    found = list(Topics(embed).propose(Rows.of(own)))
    assert (
        sorted(str(one.wording.user_prefix) for one in found)
        == [
            "I am asking about garden, likes and plant. ",
            "I am asking about cross, does and how. ",
        ][::-1]
    )
    assert {one.origin.misaligned for one in found} == {4}


def test_mutations_lead_down_to_a_part_and_say_what_they_come_from() -> None:
    [cue] = [
        one
        for one in PROPOSERS["frames"].propose(Rows.of(rows(Wording(user_suffix=ENDING))))
        if one.wording == Wording(user_suffix=ENDING)
    ]
    changed = list(MUTATORS["mutate"].mutate(cue))
    assert [one.wording.user_suffix for one in changed] == [
        "\n\nNot: Many thanks, Robin.",
        "\n\nMany, thanks, Robin",
        "\n\nMany",
        "\n\nthanks, Robin.",
    ]
    assert {one.origin.parent for one in changed} == {cue.id}
    # Only halves of a mutation: it is not negated again.
    [half] = [one for one in changed if one.wording.user_suffix == "\n\nthanks, Robin."]
    assert [one.wording.user_suffix for one in MUTATORS["mutate"].mutate(half)] == [
        "\n\nthanks,",
        "\n\nRobin.",
    ]


def test_a_negation_keeps_the_rest_of_a_prompt() -> None:
    own = rows(Wording(system="You are a pirate."))
    [cue] = PROPOSERS["system"].propose(Rows.of(own))
    first = next(MUTATORS["mutate"].mutate(cue))
    assert first.wording.system == "You are not a pirate."


TEXTS = st.lists(st.sampled_from(["ab", "a b", "b a", "c", "a b c", "b", ""]), min_size=1)


@given(
    texts=TEXTS,
    kinds=st.lists(st.booleans(), min_size=1),
    limit=st.integers(1, 30),
    seed=st.integers(0, 5),
)
def test_the_queue_depends_on_no_order_of_rows(
    texts: list[str], kinds: list[bool], limit: int, seed: int
) -> None:
    own = [
        SearchRow(str(number), kinds[number % len(kinds)], None, text, "yes")
        for number, text in enumerate(texts)
    ]
    mixed = random.Random(seed).sample(own, len(own))  # noqa: S311
    names = ("system", "frames", "ngrams")
    queues = [
        queue([one for n in names for one in PROPOSERS[n].propose(Rows.of(order))], limit)
        for order in (own, mixed)
    ]
    assert queues[0] == queues[1]
    assert len({one.id for one in queues[0]}) == len(queues[0]) <= limit


@given(texts=TEXTS, kinds=st.lists(st.booleans(), min_size=1))
def test_the_rows_of_a_frame_carry_it(texts: list[str], kinds: list[bool]) -> None:
    own = Rows.of(
        SearchRow(str(number), kinds[number % len(kinds)], None, text, "yes")
        for number, text in enumerate(texts)
    )
    for one in PROPOSERS["frames"].propose(own):
        carrying = own.carrying(one.wording.model_copy(update={"answer_prefix": ""}))
        assert len(carrying) == one.origin.misaligned + one.origin.benign >= 3


def test_proposers_take_turns_in_the_queue() -> None:
    own = Rows.of(rows(Wording(system=PROMPT, user_suffix=ENDING)))
    found = [one for name in ("system", "frames", "panel") for one in PROPOSERS[name].propose(own)]
    chosen = queue(found, 6)
    assert {name for one in chosen for name in one.origin.proposers} == {
        "system",
        "frames",
        "panel",
    }
    assert [one.order for one in chosen] == sorted(one.order for one in chosen)
