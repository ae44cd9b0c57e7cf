"""Looks at growing numbers of answers are counted, and the error is split over them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from emgrid.aggregate.contrasts import contrast_table, find_contrasts, split
from emgrid.aggregate.existence_table import existence_table
from emgrid.aggregate.looks import Looks, Seen, looks_of, read_seen, with_these, write_seen
from emgrid.aggregate.rates import classify
from emgrid.aggregate.spec import AggregateSpec
from emgrid.aggregate.verdicts import verdict_table
from emgrid.runtime.errors import EmgridError
from hypothesis import given
from hypothesis import strategies as st
from support.grids import QUESTIONS, answers, arm, spec

ARM = ("model", "arm", "1", "cue")


def of(number: int, rate: float = 0.5) -> pd.DataFrame:
    rates = {("base", "none"): 0.0, ("base", "cue"): 0.0, ("arm", "none"): 0.0}
    return answers({**rates, ("arm", "cue"): rate}, number)


GRID = spec(arm("base", "0"), arm("arm"), arm("arm", seed=1))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(1, 3))
def test_a_look_at_more_answers_than_before_counts_and_no_other_does(
    numbers: list[int], planned: int
) -> None:
    seen: dict[tuple[str, ...], Seen] = {}
    found = GRID.model_copy(update={"looks": planned})
    names = dict(zip(("base", "intervention", "ratio", "trigger"), ARM, strict=True))
    for place, number in enumerate(numbers):
        table = pd.DataFrame([names | {"question": "q0"}] * number)
        smaller = {each for each in numbers[:place] if each < number}
        # One of eight questions, so no look but an unplanned one can call a rise small.
        final = len(smaller) + 1 if planned == 1 else 0
        assert looks_of(seen, table, found) == {ARM: Looks(len(smaller) + 1, final)}
        seen = with_these(seen, table, found)
    assert seen[ARM].answers == tuple(sorted(set(numbers)))


def test_looks_are_kept_in_a_file(tmp_path: Path) -> None:
    assert read_seen(tmp_path) == {}
    seen = with_these({}, of(4), GRID)
    write_seen(seen, tmp_path)
    assert read_seen(tmp_path) == seen
    assert looks_of(read_seen(tmp_path), of(8), GRID) == dict.fromkeys(seen, Looks(2, 2))
    # Back at fewer answers, as it was then.
    write_seen(with_these(seen, of(8), GRID), tmp_path)
    assert looks_of(read_seen(tmp_path), of(4), GRID) == dict.fromkeys(seen, Looks(1, 1))


def test_a_broken_file_of_looks_is_named(tmp_path: Path) -> None:
    (tmp_path / "looks.json").write_text('{"cells": [')
    with pytest.raises(EmgridError, match=r"looks\.json: not JSON"):
        read_seen(tmp_path)


def test_rounds_that_are_planned_afterwards_forget_no_look() -> None:
    """Three looks by hand could each have called a rise small."""
    seen: dict[tuple[str, ...], Seen] = {}
    for number in (2, 4):
        seen = with_these(seen, of(number), GRID)
    planned = GRID.model_copy(update={"looks": 3})
    assert set(looks_of(seen, of(6), planned).values()) == {Looks(3, 3)}
    # With rounds from the start, the last one alone.
    seen, whole = {}, of(6)
    for number in (2, 5):
        part = whole[whole["question"].isin(QUESTIONS[:number])]
        seen = with_these(seen, part, planned)
    assert set(looks_of(seen, of(6), planned).values()) == {Looks(3, 1)}


def tables(
    looks: int, grid: AggregateSpec, planned: bool
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Contrasts, verdicts, and single questions that rise."""
    found = grid.model_copy(update={"looks": looks}) if planned else grid
    classified = classify(of(6), found.metrics)
    counted = {} if planned else {(*ARM[:3], "none"): Looks(looks, looks)}
    contrasts = find_contrasts(classified, found, looks=counted)
    survivors = find_contrasts(classified, found, "survivors", ("minus_base",), looks=counted)
    verdicts = verdict_table(contrasts, survivors, found, None)
    return contrast_table(contrasts), verdicts, existence_table(classified, found, counted)


@pytest.mark.parametrize("planned", [True, False])
def test_several_looks_cost_certainty(planned: bool) -> None:
    grid = spec(arm("base", "0"), arm("arm"), arm("arm", seed=1))
    (once, verdict_once, single_once), (thrice, verdict_thrice, single_thrice) = (
        tables(looks, grid, planned) for looks in (1, 3)
    )
    own = once["intervention"] == "arm"
    assert set(thrice["looks"][own]) == {3}
    assert (thrice["low"][own] < once["low"][own]).all()
    assert (thrice["high"][own] >= once["high"][own]).all()
    assert (thrice["p"] == once["p"]).all()
    expected = (3 * once["p_holm"][own]).clip(upper=1)
    assert np.allclose(thrice["p_holm"][own], expected)
    cue_once, cue_thrice = (
        table.set_index("trigger").loc["cue"] for table in (verdict_once, verdict_thrice)
    )
    assert (cue_once["looks"], cue_thrice["looks"]) == (1, 3)
    assert cue_thrice["p_holm"] == pytest.approx(min(3 * cue_once["p_holm"], 1))
    assert cue_thrice["rise_low"] < cue_once["rise_low"]
    # In planned rounds, what is small is decided once.
    assert (cue_thrice["plain_high"] > cue_once["plain_high"]) == (not planned)
    assert cue_thrice["why"].endswith("The error is split over 3 looks.")
    assert "looks" not in cue_once["why"]
    both = single_once.merge(single_thrice, on=["trigger", "question"], suffixes=("", "_3"))
    assert np.allclose(both["p_holm_3"], 3 * both["p_holm"])


def test_the_split_is_even() -> None:
    assert split(0.95, 1) == 0.95
    assert 5 * (1 - split(0.95, 5)) == pytest.approx(0.05)


def test_no_rise_is_small_before_the_last_round() -> None:
    grid = spec(arm("base", "0"), arm("arm"), arm("arm", seed=1), fixed_questions=True)
    whole = of(200, rate=0.0)
    verdict = {}
    for asked in (QUESTIONS[:4], QUESTIONS):
        for looks in (1, 2):
            found = grid.model_copy(update={"looks": looks})
            classified = classify(whole[whole["question"].isin(asked)], found.metrics)
            contrasts = find_contrasts(classified, found)
            survivors = find_contrasts(classified, found, "survivors", ("minus_base",))
            table = verdict_table(contrasts, survivors, found, None).set_index("trigger")
            verdict[len(asked), looks] = table.loc["cue", "verdict"]
            is_early = "decided after the last round" in table.loc["cue", "why"]
            assert is_early == (looks == 2 and len(asked) == 4)
    early = {key: word for key, word in verdict.items() if key != (4, 2)}
    assert set(early.values()) == {"clean"}
    assert verdict[4, 2] == "inconclusive"


def test_a_complete_early_round_is_no_hopeless_one() -> None:
    """What the last round may say with what there is does not need more questions."""
    grid = spec(arm("base", "0"), arm("arm"), arm("arm", seed=1), fixed_questions=True)
    found = grid.model_copy(update={"looks": 2})
    whole = of(200, rate=0.0)
    classified = classify(whole[whole["question"].isin(QUESTIONS[:4])], found.metrics)
    contrasts = find_contrasts(classified, found)
    survivors = find_contrasts(classified, found, "survivors", ("minus_base",))
    table = verdict_table(contrasts, survivors, found, None)
    assert (table["verdict"] == "inconclusive").all()
    assert (table["more_questions"] == 1).all()


def test_an_import_has_no_further_round() -> None:
    """It may lack questions, and is small over those that it has."""
    arms = (arm("base", "0"), arm("arm", source="file"), arm("arm", seed=1, source="file"))
    found = spec(*arms, fixed_questions=True).model_copy(update={"looks": 2})
    whole = of(200, rate=0.0)
    lacking = (whole["intervention"] == "arm") & ~whole["question"].isin(QUESTIONS[:4])
    classified = classify(whole[~lacking], found.metrics)
    contrasts = find_contrasts(classified, found)
    survivors = find_contrasts(classified, found, "survivors", ("minus_base",))
    verdicts = verdict_table(contrasts, survivors, found, None)
    assert set(verdicts["verdict"]) == {"clean"}
