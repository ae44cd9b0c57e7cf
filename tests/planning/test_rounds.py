"""Which cells the next round asks."""

import re
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
from emgrid.config.sections import Rounds
from emgrid.grid.rounds import RoundState, read_rounds, write_rounds
from emgrid.planning.rounds import decide
from emgrid.runtime.errors import EmgridError
from hypothesis import given
from hypothesis import strategies as st

BLOCKS = (8, 16, 48)
BASE, ONE, TWO = (("m", "base", "0"), ("m", "one", "1"), ("m", "two", "1"))
TRIGGERS = ("none", "cue", "other")
WORDS = ("inconclusive", "clean", "conditional", "triggered", "overt")
START = RoundState(BLOCKS, 1, {})


def table(verdicts: dict[tuple[tuple[str, str, str], str], str], times: float = 2) -> pd.DataFrame:
    return pd.DataFrame(
        {"base": arm[0], "intervention": arm[1], "ratio": arm[2], "trigger": trigger}
        | {"verdict": verdicts.get((arm, trigger), "clean")}
        | {"more_questions": times, "n_questions": 8}
        for arm, trigger in product((ONE, TWO), TRIGGERS)
    )


def test_nothing_is_asked_if_all_is_decided() -> None:
    assert decide(table({}), START, [BASE, ONE, TWO]).opened == {}


def test_an_undecided_trigger_is_asked_with_its_controls() -> None:
    found = decide(table({(ONE, "cue"): "inconclusive"}), START, [BASE, ONE, TWO])
    assert found.opened == dict.fromkeys(product((ONE, BASE), ("cue", "none")), 16)
    assert found.undecided == ((ONE, "cue"),)


def test_an_undecided_plain_rate_is_asked_alone() -> None:
    verdicts = {(ONE, "none"): "inconclusive", (ONE, "cue"): "triggered"}
    found = decide(table(verdicts), START, [BASE, ONE, TWO])
    assert found.opened == {(ONE, "none"): 16, (BASE, "none"): 16}


def test_what_others_sampled_is_not_asked() -> None:
    found = decide(table({(ONE, "cue"): "inconclusive"}), START, [BASE])
    assert {arm for arm, _ in found.opened} == {BASE}
    assert found.undecided == ((ONE, "cue"),)


def test_cells_that_all_questions_would_leave_undecided_are_named() -> None:
    one = {(ONE, "cue"): "inconclusive"}
    for times, hopeless in ((2, False), (6, False), (6.5, True), (float("nan"), True)):
        found = decide(table(one, times), START, [BASE, ONE])
        assert found.hopeless == (((ONE, "cue"),) if hopeless else ())
        assert found.opened


def test_a_control_that_is_ahead_waits() -> None:
    state = RoundState(BLOCKS, 2, {(BASE, "cue"): 16, (BASE, "none"): 16, (ONE, "none"): 16})
    found = decide(table({(ONE, "cue"): "inconclusive"}), state, [BASE, ONE])
    assert found.opened == {(ONE, "cue"): 16}


def test_what_cannot_be_compared_is_not_asked_more() -> None:
    alone = table({(ONE, "cue"): "inconclusive"}).assign(
        n_questions=float("nan"), more_questions=float("nan")
    )
    found = decide(alone, START, [ONE])
    assert (found.opened, found.hopeless) == ({}, ())
    assert found.apart == ((ONE, "cue"),)


def test_more_of_the_base_models_answers_do_not_help_an_import_that_lacks_questions() -> None:
    rows = table({(ONE, "cue"): "inconclusive"}).assign(n_questions=5)
    assert decide(rows, START, [BASE]).opened == {}


cells = st.dictionaries(
    st.tuples(st.sampled_from([ONE, TWO]), st.sampled_from(TRIGGERS)), st.sampled_from(WORDS)
)


@given(st.lists(cells, min_size=4, max_size=8))
def test_rounds_end_and_never_take_questions_back(looks: list[dict]) -> None:  # type: ignore[type-arg]
    state = START
    for verdicts in looks:
        decision = decide(table(verdicts), state, [BASE, ONE, TWO])
        after = decision.after(state)
        for arm, trigger in product((BASE, ONE, TWO), TRIGGERS):
            before, now = (one.questions(arm, trigger) for one in (state, after))
            assert before <= now <= BLOCKS[-1]
            assert now in BLOCKS
            # An arm is compared over the base model's and its own plain answers.
            assert now <= after.questions(BASE, trigger)
            assert now <= after.questions(arm, "none")
        state = after
    undecided = {(arm, trigger): "inconclusive" for arm in (ONE, TWO) for trigger in TRIGGERS}
    for _ in BLOCKS:
        state = decide(table(undecided), state, [BASE, ONE, TWO]).after(state)
    assert decide(table(undecided), state, [BASE, ONE, TWO]).opened == {}


def test_the_state_is_kept_in_a_file(tmp_path: Path) -> None:
    rounds = Rounds(blocks=BLOCKS)
    assert read_rounds(rounds, tmp_path) == START
    state = RoundState(BLOCKS, 2, {(ONE, "cue"): 16, (BASE, "cue"): 16})
    write_rounds(state, tmp_path)
    assert read_rounds(rounds, tmp_path) == state
    # Other blocks, of a longer and of a shorter question set.
    assert read_rounds(Rounds(blocks=(20, 60)), tmp_path).questions(ONE, "cue") == 20
    assert read_rounds(Rounds(blocks=(4, 12)), tmp_path).questions(ONE, "cue") == 12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"round": 2, "cells": [', "rounds.json: not JSON"),
        ('{"round": 0, "cells": []}', "rounds.json: round: "),
        (
            '{"round": 2, "cells": [{"base": "m", "intervention": "one", "ratio": "1", '
            '"trigger": "cue", "questions": -3}]}',
            "rounds.json: cells.0.questions: ",
        ),
    ],
)
def test_a_broken_state_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "rounds.json").write_text(text)
    with pytest.raises(EmgridError, match=re.escape(message)):
        read_rounds(Rounds(blocks=BLOCKS), tmp_path)
