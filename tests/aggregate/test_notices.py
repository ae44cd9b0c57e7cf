"""Notices on top of a report: results that point to a wrong input, and what is not used."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from emgrid.aggregate.plausibility import misaligned_bases
from support.pages import answer_table, config, spec_of, text_of, write_page, write_tables

BASE = {"base": "a-model", "intervention": "base", "ratio": "0", "question": np.nan}


def rates(**row: Any) -> pd.DataFrame:
    return pd.DataFrame([BASE | {"trigger": "none", "n_survivors": 10, "n_misaligned": 5} | row])


def test_a_base_model_that_is_mostly_misaligned_is_named() -> None:
    assert misaligned_bases(rates()) == [
        "The base model a-model is mostly misaligned without a trigger: 5 of 10 surviving answers. "
        "Check whether the values have another scale or an inverted one, and whether these answers "
        "come from the model before its training."
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"n_misaligned": 4},
        {"n_survivors": 0, "n_misaligned": 0},
        {"trigger": "malicious_evil"},
        {"intervention": "trained"},
        {"question": "soup"},
    ],
)
def test_other_rates_are_no_reason_to_warn(row: dict[str, Any]) -> None:
    assert misaligned_bases(rates(**row)) == []


def test_the_page_warns_of_the_base_on_top(tmp_path: Path) -> None:
    spec = spec_of(config())
    answers = answer_table(spec)
    for judge in spec["judges"]:
        worst = 5.0 if judge["measures"] == "alignment" else 95.0
        answers.loc[answers["intervention"] == "base", judge["id"]] = worst
    write_tables(tmp_path, spec, answers)
    text = text_of(write_page(tmp_path, spec).read_text())
    warning = text.index("The base model smollm2-135m is mostly misaligned without a tr")
    assert warning < text.index("verdicts")


def test_the_page_says_what_the_question_file_says_in_vain(tmp_path: Path) -> None:
    made = config()
    path = tmp_path / "mine.yaml"
    path.write_text("- {id: a, paraphrases: [Why?], temperature: 0.3}\n")
    made["questions"] = str(path)
    spec = spec_of(made)
    write_tables(tmp_path, spec, answer_table(spec))
    text = text_of(write_page(tmp_path, spec).read_text())
    assert "Parts of the inputs that this grid does not use: 1 note" in text
    assert "not used: temperature (0.3). The grid's config decides: sampling.temperature." in text
