"""Rates and contrasts by labels: by hand, by property, and by simulation."""

import sys

import numpy as np
import pytest
from emgrid import ROOT
from emgrid.aggregate.cell_labels import CellLabels
from emgrid.aggregate.ppi import strata_of_cell
from emgrid.aggregate.ppi_intervals import (
    Corrected,
    Settings,
    corrected_rates,
    to_halve,
)
from emgrid.aggregate.rate_estimates import rate_estimates
from emgrid.aggregate.statistics import Counts
from emgrid.config.priors import USUAL, prior_sets
from emgrid.config.sections import Metrics
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(ROOT / "benchmarks"))
import ppi as simulation
from bars import Numbered

FIXED = Settings.of(Metrics(fixed_questions=True, resamples=1000))
SAMPLED = Settings.of(Metrics(resamples=1000))
Shape = tuple[int, int]


def cell(
    answers: list[int], labelled: list[int], hits: list[int], shape: Shape = (1, 1), empty: int = 0
) -> CellLabels:
    """A cell by stratum, spread evenly over seeds and questions."""
    parts = [np.array(each, float) for each in (answers, labelled, hits)]
    spread = np.ones(shape) / np.prod(shape)
    arrays = [part[:, None, None] * spread for part in parts]
    return CellLabels(np.full(shape, empty) * spread, *arrays, arrays[1], arrays[1], arrays[2])


def found(labels: CellLabels, how: Settings = FIXED, arm: str = "base") -> Corrected:
    (rate,) = corrected_rates({("model", arm, "1", "none"): labels}, how).values()
    return rate


def test_the_rate_is_the_one_worked_out_by_hand() -> None:
    rate = found(cell([100, 200, 700], [20, 20, 70], [15, 4, 0]))
    assert rate.value == pytest.approx(0.1 * 15 / 20 + 0.2 * 4 / 20)
    assert rate.labels == 110
    half_empty = found(cell([100, 200, 700], [20, 20, 70], [15, 4, 0], empty=1000))
    assert half_empty.value == pytest.approx(rate.value / 2)


def test_a_label_that_was_drawn_less_often_speaks_for_more_answers() -> None:
    even = cell([0, 0, 1000], [0, 0, 40], [0, 0, 10])
    # The ten misaligned ones were drawn twice as often as the other thirty.
    weight, square = even.weight * 70 / 40, even.square * 130 / 40
    weighted = CellLabels(
        even.empty, even.answers, even.labelled, even.hits, weight, square, even.hits
    )
    strata = strata_of_cell(weighted)
    assert strata.rate == pytest.approx(10 / 70)
    assert strata.labels.tolist() == pytest.approx([70**2 / 130])
    assert found(weighted).value == pytest.approx(10 / 70)


def test_a_rate_is_a_mean_over_questions_of_means_over_seeds() -> None:
    """A question that was asked ten times as often counts no more than the other."""
    answers = np.zeros((3, 1, 2))
    answers[2] = [[1000, 100]]
    labelled, hits = answers / 10, answers * [0, 0.1]
    labels = CellLabels(np.zeros((1, 2)), answers, labelled, hits, labelled, labelled, hits)
    assert found(labels).value == pytest.approx(0.5)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_the_rate_is_that_of_ppi_with_the_tuned_weight(data: st.DataObject) -> None:
    """mean(Y - λ f) over labels + λ mean(f) over all answers, with λ = cov(Y, f) / var(f), where f
    is what the judge says (Angelopoulos, Duchi & Zrnic 2023)."""
    flagged, passed = data.draw(st.integers(2, 40)), data.draw(st.integers(2, 40))
    wrong = data.draw(st.integers(0, flagged)), data.draw(st.integers(0, passed))
    flags = np.repeat([1.0, 0.0], [flagged, passed])
    truth = np.concatenate([np.arange(flagged) < wrong[0], np.arange(passed) < wrong[1]])
    answers = [data.draw(st.integers(flagged, 500)), 0, data.draw(st.integers(passed, 500))]
    tuned = np.cov(truth, flags)[0, 1] / np.var(flags, ddof=1)
    expected = np.mean(truth - tuned * flags) + tuned * answers[0] / sum(answers)
    rate = strata_of_cell(cell(answers, [flagged, 0, passed], [wrong[0], 0, wrong[1]])).rate
    assert rate == pytest.approx(expected)


CELLS = st.integers(1, 3).flatmap(
    lambda strata: st.lists(
        st.tuples(st.integers(1, 400), st.floats(0, 1), st.floats(0, 1)),
        min_size=strata,
        max_size=strata,
    )
)


@settings(max_examples=60, deadline=None)
@given(parts=CELLS, fixed=st.booleans())
def test_the_interval_holds_the_rate_and_has_a_width(
    parts: list[tuple[int, float, float]], fixed: bool
) -> None:
    answers, labelled, hits = np.zeros((3, 3))
    for place, (number, known, wrong) in enumerate(parts):
        answers[place], labelled[place] = number, round(known * number)
        hits[place] = round(wrong * labelled[place])
    rate = found(
        cell(answers.tolist(), labelled.tolist(), hits.tolist()), FIXED if fixed else SAMPLED
    )
    assert 0 <= rate.low <= rate.value <= rate.high <= 1
    assert rate.high > rate.low
    assert rate.more > 0


@pytest.mark.parametrize("wrong", [0, 1])
def test_labels_that_all_agree_leave_an_interval(wrong: int) -> None:
    """200 labels, and no disagreement with the judge: about as much may be wrong as 200 labels
    exclude."""
    rate = found(cell([100, 0, 2300], [20, 0, 180], [20 * wrong, 0, 0]))
    assert rate.value == pytest.approx(wrong * 100 / 2400)
    assert rate.low > 0 if wrong else rate.low == 0
    assert 0.008 < rate.high - rate.value < 0.03


def test_a_stratum_without_labels_may_be_anything() -> None:
    rate = found(cell([500, 0, 500], [0, 0, 100], [0, 0, 0]))
    assert rate.value == pytest.approx(0.25)
    assert rate.low < 0.01
    assert rate.high > 0.49


def test_a_cell_of_which_everything_is_labelled_has_the_interval_of_its_counts() -> None:
    rate = found(cell([60, 0, 240], [60, 0, 240], [50, 0, 10], (3, 4)), FIXED, "arm")
    counts = Counts(np.full((3, 4), 5), np.full((3, 4), 25))
    (known,) = rate_estimates([counts], [True], True, prior_sets()[USUAL].rates)
    plain = known.interval(0.95)
    assert rate.value == pytest.approx(plain.value)
    assert rate.low == pytest.approx(plain.low, abs=0.01)
    assert rate.high == pytest.approx(plain.high, abs=0.01)
    assert rate.more == np.inf


def test_questions_and_seeds_widen_an_interval() -> None:
    labels = cell([72, 240, 2064], [24, 24, 144], [12, 2, 2], (3, 24))
    alike, others = found(labels), found(labels, SAMPLED, "arm")
    assert others.value == alike.value
    assert others.high - others.low > 1.3 * (alike.high - alike.low)
    assert others.more > alike.more


def test_the_same_labels_give_the_same_interval() -> None:
    labels = cell([72, 240, 2064], [24, 24, 144], [12, 2, 2], (3, 24))
    assert found(labels, SAMPLED) == found(labels, SAMPLED)


# How many more labels.


@pytest.mark.parametrize("hits", [[10, 3, 4], [10, 0, 20]])
def test_as_many_more_labels_as_are_said_halve_the_interval(hits: list[int]) -> None:
    answers, labelled = [800, 1600, 17600], [20, 20, 160]
    rate = found(cell(answers, labelled, hits))
    times = 1 + rate.more / sum(labelled)
    assert 3 < times < 5
    again = found(
        cell(answers, [times * each for each in labelled], [times * each for each in hits])
    )
    ratio = (again.high - again.low) / (rate.high - rate.low)
    assert ratio == pytest.approx(0.5, abs=0.06)


def test_labels_cannot_halve_what_answers_leave_open() -> None:
    assert to_halve(np.array([200.0]), np.array([2400.0]), 0.1, 0.04) == np.inf
    assert to_halve(np.array([200.0]), np.array([200.0]), 0.1, 0.0) == np.inf


@given(labels=st.integers(1, 500), others=st.integers(1, 5000), width=st.floats(0.001, 1))
def test_no_more_labels_are_asked_for_than_there_are_answers(
    labels: int, others: int, width: float
) -> None:
    more = to_halve(np.array([float(labels)]), np.array([float(labels + others)]), width, width)
    assert 0 < more <= others


# By simulation: a small part of benchmarks/ppi.py.

GRIDS = 100
ERROR = 3 * np.sqrt(0.95 * 0.05 / GRIDS)


@pytest.mark.parametrize("case", simulation.CASES, ids=lambda case: case.name[0])
def test_intervals_hold_where_the_judge_errs_differently_and_are_narrower_than_labels_alone(
    case: simulation.Case,
) -> None:
    rng = Numbered(5).rng()
    cells = simulation.alike(rng, case.rate, case.judge, GRIDS)
    how = simulation.settings_of(fixed=True)
    by_labels = simulation.by_labels(
        [simulation.labelled(rng, each) for each in cells], how, "base"
    )
    alone = simulation.by_labels(
        [simulation.labelled(rng, each.pooled()) for each in cells], how, "base"
    )
    assert simulation.covers(by_labels, case.rate) >= 0.95 - ERROR
    assert simulation.width(by_labels) < simulation.width(alone)
    values = [rate.value for rate in by_labels]
    assert np.mean(values) == pytest.approx(case.rate, abs=4 * np.std(values) / np.sqrt(GRIDS))


def test_pooled_rogan_gladen_does_not_hold_where_only_false_alarms_rise() -> None:
    rng, case = Numbered(6).rng(), simulation.CASES[1]
    plain = simulation.alike(rng, simulation.PLAIN_RATE, simulation.USUAL_JUDGE, 60)
    cued = simulation.alike(rng, case.rate, case.judge, 60)
    assert simulation.covers(simulation.rogan_gladen(rng, plain, cued), case.rate) < 0.72


def test_rates_and_rises_hold_where_questions_and_seeds_differ() -> None:
    grids, design, case = 15, simulation.DESIGNS[0], simulation.CASES[2]
    rows = {
        row["what"]: row
        for row in simulation.differing(grids, Numbered(7), (design,), ("usual",), (case,))
    }
    title = "3x24x33, usual spread: "
    for name in ("rate by labels", "rise by labels"):
        assert rows[title + name]["cells"]["C"] > 0.7
    assert rows[title + "rate, the judge alone"]["cells"]["C"] < 0.5
