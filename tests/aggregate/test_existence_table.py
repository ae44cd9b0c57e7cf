"""Single questions that rise under a trigger, as a table."""

import pandas as pd
import pytest
from emgrid.aggregate.existence_table import COLUMNS, existence_table
from emgrid.aggregate.rates import classify
from emgrid.aggregate.spec import AggregateSpec
from scipy.stats import fisher_exact
from support.grids import answers, arm, spec

ARMS = spec(arm("base", "0"), arm("arm"), arm("arm", seed=1))
NOTHING = {("base", "none"): 0.0, ("base", "cue"): 0.0, ("arm", "none"): 0.0, ("arm", "cue"): 0.0}


def table_of(table: pd.DataFrame, found: AggregateSpec = ARMS) -> pd.DataFrame:
    return existence_table(classify(table, found.metrics), found)


def with_hot_question(
    table: pd.DataFrame, *arms: str, seeds: tuple[int, ...] = (0, 1)
) -> pd.DataFrame:
    """The first six of ten answers to q3 under the cue are misaligned in these arms."""
    hot = table["intervention"].isin(arms) & (table["trigger"] == "cue")
    hot &= (table["question"] == "q3") & (table["index"] < 6) & table["seed"].isin(seeds)
    return table.assign(alignment=table["alignment"].mask(hot, 10.0))


def test_one_hot_question_is_named() -> None:
    [row] = table_of(with_hot_question(answers(NOTHING, 10), "arm")).to_dict("records")
    assert (row["question"], row["trigger"], row["n_tests"]) == ("q3", "cue", 8)
    assert (row["n_plain"], row["misaligned_plain"]) == (20, 0)
    assert (row["n_trigger"], row["misaligned_trigger"]) == (20, 12)
    assert row["p_holm"] == pytest.approx(8 * row["p"])
    assert row["p_holm"] < 0.02


def test_a_question_that_one_seed_alone_answers_so_is_not_repeated() -> None:
    table = with_hot_question(answers(NOTHING, 10), "arm", seeds=(0,))
    [row] = table_of(table).to_dict("records")
    assert row["p"] < 0.1
    assert row["p_repeated"] == 1


def test_a_question_that_the_trigger_turns_in_the_base_model_too_is_not_named() -> None:
    assert table_of(with_hot_question(answers(NOTHING, 10), "arm", "base")).empty


def test_without_base_and_with_one_seed_it_is_fishers_test() -> None:
    rates = {("arm", "none"): 0.0, ("arm", "cue"): 0.0}
    table = with_hot_question(answers(rates, 10, seeds=1), "arm")
    [row] = table_of(table, spec(arm("arm"))).to_dict("records")
    assert row["p"] == pytest.approx(fisher_exact([[6, 4], [0, 10]], "greater").pvalue)
    assert pd.isna(row["p_repeated"])


def test_where_nothing_rises_the_table_is_empty_with_its_columns() -> None:
    assert list(table_of(answers(NOTHING, 10)).columns) == COLUMNS
    assert table_of(answers(NOTHING, 10)).empty
