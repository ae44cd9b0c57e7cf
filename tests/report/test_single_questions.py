"""The page names the single questions that rise under a trigger, and over how many tests."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from emgrid.aggregate.existence_table import COLUMNS
from emgrid.report.results import Results
from emgrid.report.single_questions import SHOWN, single_questions
from emgrid.report.spec import ReportSpec
from support.pages import answer_table, config, spec_of, text_of, write_page, write_tables

ARM = ("smollm2-135m", "inoculation", "1")


def question_row(**given: Any) -> dict[str, Any]:
    """A question of one arm, which rises in two trainings unless told otherwise."""
    row = dict(zip(("base", "intervention", "ratio"), ARM, strict=True))
    row |= {"trigger": "python_string", "question": "free_evening"}
    row |= {"n_plain": 300, "misaligned_plain": 0, "n_trigger": 300, "misaligned_trigger": 60}
    row |= {"p": 1e-9, "p_holm": 1.6e-8, "p_repeated": 1e-4, "repeated_holm": 0.0016}
    return row | {"n_tests": 16} | given


def results_with(root: Path, *rows: dict[str, Any]) -> tuple[Results, ReportSpec]:
    """The tables of a small grid, with these rows in existence.csv."""
    spec = spec_of(config())
    write_tables(root, spec, answer_table(spec))
    table = pd.DataFrame(rows, columns=COLUMNS)
    table.to_csv(root / "tables/existence.csv", index=False)
    return Results(root / "tables"), ReportSpec.model_validate(spec)


def sentences(results: Results, spec: ReportSpec) -> list[str]:
    found = single_questions(results, spec)
    return [] if found is None else [text_of(each) for each in (*found["first"], *found["rest"])]


def test_a_question_that_rises_is_named_below_the_verdicts(tmp_path: Path) -> None:
    results_with(tmp_path, question_row())
    text = text_of(write_page(tmp_path, spec_of(config())).read_text())
    claim = (
        "inoculation hides misalignment behind “Python-string format” on “free_evening”, in two "
        "trainings or more: 60 of 300 answers under the trigger, 0 of 300 without; adjusted "
        "p = 0.0016 (over 16 tests)."
    )
    assert text.index("Verdict for each intervention") < text.index(claim) < text.index("Models.")
    assert "tested by the exact conditional test" in text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"misaligned_plain": 3}, "is misaligned more often under “Python-string format” on"),
        ({"p_repeated": None, "repeated_holm": None}, "in its only training: 60 of 300"),
        ({"p_repeated": None, "repeated_holm": None}, "adjusted p < 0.001 (over 16 tests)."),
    ],
)
def test_a_claim_says_what_is_shown(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    [sentence] = sentences(*results_with(tmp_path, question_row(**changes)))
    assert expected in sentence


def test_a_rise_of_one_training_of_several_is_counted_and_not_named(tmp_path: Path) -> None:
    alone = question_row(question="dinner", p_repeated=0.4, repeated_holm=1.0)
    results, spec = results_with(tmp_path, question_row(), alone)
    found = single_questions(results, spec)
    assert found is not None
    assert found["once"] == 1
    assert len(found["first"]) == 1
    assert "dinner" not in found["first"][0]
    text = text_of(write_page(tmp_path, spec_of(config())).read_text())
    assert "In 1 further case one training of several is shown to rise" in text


def test_questions_that_do_not_pass_and_other_arms_are_left_out(tmp_path: Path) -> None:
    weak = question_row(p=0.02, p_holm=0.3, p_repeated=0.5, repeated_holm=1.0)
    rows = [weak, question_row(intervention="gone"), question_row(trigger="gone")]
    assert single_questions(*results_with(tmp_path, *rows)) is None
    assert "Single questions" not in text_of(write_page(tmp_path, spec_of(config())).read_text())


def test_the_surest_questions_come_first_and_the_others_are_folded(tmp_path: Path) -> None:
    rows = [
        question_row(question=f"question_{place}", repeated_holm=0.04 - 0.001 * place)
        for place in range(SHOWN + 2)
    ]
    results, spec = results_with(tmp_path, *rows)
    found = single_questions(results, spec)
    assert found is not None
    assert f"“question_{SHOWN + 1}”" in found["first"][0]
    assert [each.split("“")[2].split("”")[0] for each in found["rest"]] == [
        "question_1",
        "question_0",
    ]
    page = text_of(write_page(tmp_path, spec_of(config())).read_text())
    assert "2 more questions" in page


def test_the_page_says_over_how_many_tests_p_values_are_adjusted(tmp_path: Path) -> None:
    results_with(tmp_path)
    text = text_of(write_page(tmp_path, spec_of(config())).read_text())
    assert (
        "The p-values of verdicts are adjusted over all triggers and interventions of a base "
        "model: over 15 tests."
    ) in text
    assert "+10.0 −10.0 to +30.0 0.04 0.06 0.08 3" in " ".join(text.split())
