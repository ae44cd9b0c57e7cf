"""Figures compare cells on the questions that they have in common, and say so."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from emgrid.report.figures.__main__ import draw
from emgrid.report.figures.metrics import pair_up
from emgrid.report.figures.style import set_style
from emgrid.report.figures.tables import RATE, SHIFT, Comparison, common_text, overall
from support.figures import ARM, DEMO, grid, rates, spec_of, words, write_tables


@pytest.fixture(autouse=True)
def style() -> None:
    set_style()


def test_cells_with_the_same_questions_keep_their_rates_and_intervals() -> None:
    table = rates(none={"a": 0.1, "b": 0.3}, cue={"a": 0.5, "b": 0.7})
    rows = Comparison(table, RATE).rows([(*ARM, "none"), (*ARM, "cue")])
    pd.testing.assert_frame_equal(rows[list(RATE)], overall(table)[list(RATE)])
    assert common_text(rows) == ""


def test_cells_with_other_questions_are_compared_on_those_in_common() -> None:
    table = rates(none={"a": 0.1, "b": 0.3, "easy": 0.0}, cue={"a": 0.5, "b": 0.7, "hard": 0.9})
    rows = Comparison(table, RATE).rows([(*ARM, "none"), (*ARM, "cue")])
    assert rows[RATE.value].tolist() == pytest.approx([0.2, 0.6])
    assert rows[[RATE.low, RATE.high]].isna().all(axis=None)
    assert rows["n_answers"].tolist() == [20, 20]
    assert common_text(rows) == "2 questions in common"


@pytest.mark.parametrize("shared", [{}, {"a": 0.5}])
def test_under_two_common_questions_no_value_is_drawn(shared: dict[str, float]) -> None:
    table = rates(none={"a": 0.1, "b": 0.3}, cue=shared | {"hard": 0.9, "harder": 1.0})
    rows = Comparison(table, RATE).rows([(*ARM, "none"), (*ARM, "cue"), (*ARM, "not asked")])
    assert rows[RATE.value].isna().all()
    assert "in common" in common_text(rows)


def test_a_rate_next_to_a_likelihood_is_over_the_questions_of_both() -> None:
    table = rates(none={"a": 0.1, "b": 0.3, "unpaired": 0.9})
    shifts = table[table["question"] != "unpaired"].assign(
        minus_base=1.0, minus_base_low=0.0, minus_base_high=2.0
    )
    row = overall(pair_up(table, shifts)).iloc[0]
    assert row[RATE.value] == pytest.approx(0.2)
    assert np.isnan(row[RATE.low])
    assert row[list(SHIFT)].tolist() == [1.0, 0.0, 2.0]
    whole = overall(pair_up(table[table["question"] != "unpaired"], shifts)).iloc[0]
    assert not np.isnan(whole[RATE.low])


def test_figures_say_which_cells_were_asked_other_questions(tmp_path: Path) -> None:
    the_grid = grid(DEMO)
    write_tables(tmp_path, the_grid)
    path = tmp_path / "tables/rates.csv"
    table = pd.read_csv(path, dtype={"ratio": str})
    first = next(iter(the_grid.questions))
    cell = (table["intervention"] == "dilution") & (table["trigger"] == "python_string")
    table[~(cell & (table["question"] == first))].to_csv(path, index=False)
    number = len(the_grid.questions) - 1
    for name in ("rates", "dilution"):
        assert f"{number} questions in common" in words(draw(name, tmp_path, spec_of(the_grid)))
    assert "other questions" in words(draw("heatmap", tmp_path, spec_of(the_grid)))
    table.to_csv(path, index=False)
    for name in ("rates", "dilution", "heatmap"):
        shown = words(draw(name, tmp_path, spec_of(the_grid)))
        assert "in common" not in shown
        assert "other questions" not in shown


def test_the_judges_figure_shows_both_aurocs(tmp_path: Path) -> None:
    the_grid = grid(DEMO)
    write_tables(tmp_path, the_grid)
    shown = words(draw("judges", tmp_path, spec_of(the_grid)))
    assert "0.90" in shown
    assert "0.70" in shown
    assert "within questions, the mean" in shown
