"""A cell in which no answer survived has a dash and no rate, on the page and in figures."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from emgrid.report.figures.__main__ import draw
from emgrid.report.figures.style import set_style
from emgrid.report.figures.tables import RATE, Comparison, dead_text
from support.figures import ARM, DEMO, GRIDS, grid, rates, words
from support.figures import spec_of as figure_spec
from support.figures import write_tables as write_figure_tables
from support.pages import answer_table, config, spec_of, text_of, write_page, write_tables


@pytest.fixture(autouse=True)
def style() -> None:
    set_style()


def test_a_comparison_has_no_rate_of_a_cell_without_survivors() -> None:
    table = rates(none={"a": 0.0, "b": 0.0}, cue={"a": 0.5, "b": 0.7})
    cells = [(*ARM, "none"), (*ARM, "cue")]
    table.loc[table["trigger"] == "none", "n_survivors"] = 0
    rows = Comparison(table, RATE).rows(cells)
    assert rows.loc[cells[0], list(RATE)].isna().all()
    assert rows.loc[cells[1], RATE.value] == pytest.approx(0.6)
    assert dead_text(rows) == "no answer survived at 1 point"


def test_a_question_without_survivors_still_counts_in_its_cells_rate() -> None:
    table = rates(none={"a": 0.0, "b": 0.4, "c": 0.9}, cue={"a": 0.5, "b": 0.7})
    table.loc[table["question"] == "a", "n_survivors"] = 0
    rows = Comparison(table, RATE).rows([(*ARM, "none"), (*ARM, "cue")])
    assert rows[RATE.value].tolist() == pytest.approx([0.2, 0.6])


@pytest.mark.parametrize("name", ["rates", "heatmap", "dilution", "sequential", "questions"])
def test_figures_show_no_rate_without_survivors(name: str, tmp_path: Path) -> None:
    the_grid = grid(DEMO)
    write_figure_tables(tmp_path, the_grid)
    whole = words(draw(name, tmp_path, figure_spec(the_grid)))
    assert "no answer survived" not in whole
    path = tmp_path / "tables/rates.csv"
    table = pd.read_csv(path, dtype={"ratio": str})
    table.loc[table["trigger"] == "none", "n_survivors"] = 0
    table.to_csv(path, index=False)
    shown = words(draw(name, tmp_path, figure_spec(the_grid)))
    if name == "heatmap":
        arms = table["question"].isna().sum() // len(the_grid.triggers)
        assert shown.count("%") == whole.count("%") - arms
    elif name == "questions":
        assert shown.count("–") > whole.count("–")
    else:
        assert "no answer survived" in shown


def test_the_map_has_a_dash_for_each_cell_without_survivors(tmp_path: Path) -> None:
    the_grid = grid(DEMO)
    write_figure_tables(tmp_path, the_grid)
    path = tmp_path / "tables/rates.csv"
    pd.read_csv(path, dtype={"ratio": str}).assign(n_survivors=0).to_csv(path, index=False)
    figure = draw("heatmap", tmp_path, figure_spec(the_grid))
    cells = [text.get_text() for text in figure.axes[0].texts]
    assert cells
    assert set(cells) == {"–"}


@pytest.mark.parametrize("name", ["rates", "dilution", "sequential", "questions", "seeds"])
def test_figures_can_be_drawn_where_nothing_survived_at_all(name: str, tmp_path: Path) -> None:
    the_grid = grid(GRIDS["many"])
    write_figure_tables(tmp_path, the_grid)
    path = tmp_path / "tables/rates.csv"
    pd.read_csv(path, dtype={"ratio": str}).assign(n_survivors=0).to_csv(path, index=False)
    figure = draw(name, tmp_path, figure_spec(the_grid))
    rates_drawn = [
        line
        for axes in figure.axes
        for line in axes.get_lines()
        if line.get_marker() not in ("None", "", None) and np.isfinite(line.get_xydata()).all()
    ]
    assert not rates_drawn


def test_the_page_has_a_dash_and_the_count_and_says_what_it_means(tmp_path: Path) -> None:
    spec = spec_of(config())
    write_tables(tmp_path, spec, answer_table(spec))
    path = tmp_path / "tables/rates.csv"
    table = pd.read_csv(path, dtype={"ratio": str})
    dead = table["trigger"] == "malicious_evil"
    zero = dict.fromkeys(("n_survivors", "n_misaligned", "rate_all", "rate_all_low"), 0)
    table.loc[dead, list(zero)] = list(zero.values())
    table.loc[dead, "rate_survivors"] = np.nan
    table.to_csv(path, index=False)
    write_page(tmp_path, spec)
    text = text_of((tmp_path / "report.html").read_text())
    number = len(table[dead & table["question"].isna()])
    assert text.count("–0 of 16 survived") == number
    assert "that none of these survived the judges, so there is no rate" in text
    assert "0.0 % [0.0 %" not in text
