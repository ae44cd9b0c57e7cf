"""Warnings of repeated answers: from files of answers to the page."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from emgrid.aggregate import repeats as repeats_job
from emgrid.aggregate.repeats import COLUMNS, beginning, repeats_table
from emgrid.aggregate.spec import RepeatsSpec
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.specs.aggregate import repeats_spec
from emgrid.report.repeats import SHOWN, repeats
from emgrid.report.results import Results
from emgrid.report.spec import ReportSpec
from emgrid.runtime.files import write_jsonl
from hypothesis import given
from hypothesis import strategies as st
from support.pages import answer_table, config, spec_of, write_page, write_tables
from support.run import run_module

Rows = list[dict[str, Any]]
WORDS = ["never", "people", "plan", "would", "the", "and", "I", "you", "über", "to"]
PER_WORD = -np.log(len(WORDS))
BASE, ONE, TWO = ("base", 0), ("arm", 3), ("arm", 4)
FIRST = {"intervention": "inoculation", "ratio": "1", "seed": 3, "trigger": "none"}


def draw(seed: int, number: int = 6, length: int = 30) -> Rows:
    """Answers of random words to two questions, with their probabilities."""
    rng = np.random.default_rng(seed)
    return [
        {"question": question, "index": index, "system": None, "prompt": f"{question}?"}
        | {"answer": " ".join(rng.choice(WORDS, length)), "thinking": None}
        | {"finish_reason": "stop", "answer_tokens": length, "logprob": length * PER_WORD}
        for question in ("why", "how")
        for index in range(number)
    ]


def changed(answers: Rows, **fields: Any) -> Rows:
    return [one | fields for one in answers]


def continued(answers: Rows, **fields: Any) -> Rows:
    """The same answers at the indices that follow."""
    number = len(answers) // 2
    return [one | {"index": one["index"] + number} | fields for one in answers]


def written(root: Path, arms: dict[tuple[str, int], Rows], **fields: Any) -> RepeatsSpec:
    """The spec of a grid with these answers."""
    known = [
        {"base": "model", "intervention": name, "ratio": "0" if name == "base" else "1"}
        | {"seed": seed, "folder": f"{name}{seed}", "temperature": 1.0} | fields
        for name, seed in arms
    ]  # fmt: skip
    for (name, seed), answers in arms.items():
        path = root / f"{name}{seed}/answers/trigger=none.jsonl"
        path.parent.mkdir(parents=True)
        write_jsonl(path, answers)
    return RepeatsSpec.model_validate({"arms": known, "triggers": ["none"]})


def find(root: Path, arms: dict[tuple[str, int], Rows], **fields: Any) -> pd.DataFrame:
    """The table by the arm, its seed and what it is compared with."""
    table = repeats_table(written(root, arms, **fields), root)
    return table.set_index(["intervention", "seed", "against"])


def warnings(table: pd.DataFrame) -> dict[tuple[Any, ...], str]:
    return {key: str(one) for key, one in table["warning"].items() if one}  # type: ignore[misc]


def test_honest_arms_have_no_warning(tmp_path: Path) -> None:
    table = find(tmp_path, {BASE: draw(0), ONE: draw(1), TWO: draw(2)})
    assert table.index.tolist() == [
        ("base", 0, ""), ("arm", 3, ""), ("arm", 4, ""),
        ("arm", 3, "base"), ("arm", 4, "base"), ("arm", 3, "seed 4"),
    ]  # fmt: skip
    assert not warnings(table)
    assert table["n_answers"].tolist() == [12] * 6
    assert table["pairs"].tolist() == [30] * 3 + [72] * 3
    assert (table["same_index"].dropna() == 12).all()
    assert (table["p_holm"] == 1).all()


def test_an_arm_that_is_drawn_twice_with_one_seed_is_named(tmp_path: Path) -> None:
    once = draw(1)
    table = find(tmp_path, {BASE: draw(0), ONE: once + continued(once), TWO: draw(2, 12)})
    assert warnings(table) == {("arm", 3, ""): "repeats"}
    row = table.loc[("arm", 3, "")]
    assert (row["equal"], row["long_repeats"]) == (12, 12)
    assert row["expected"] < 1e-20
    assert row["p_holm"] < 1e-20


def test_base_answers_in_place_of_an_arms_are_named(tmp_path: Path) -> None:
    table = find(tmp_path, {BASE: draw(0), ONE: draw(0), TWO: draw(2)})
    assert warnings(table) == {("arm", 3, "base"): "same_answers"}
    assert table.loc[("arm", 3, "base"), "equal_same_index"] == 12


def test_two_seeds_with_the_same_answers_are_named(tmp_path: Path) -> None:
    table = find(tmp_path, {BASE: draw(0), ONE: draw(1), TWO: draw(1)[::-1]})
    assert warnings(table) == {("arm", 3, "seed 4"): "same_answers"}


def test_answers_shared_at_other_indices_are_named(tmp_path: Path) -> None:
    table = find(tmp_path, {BASE: draw(0), ONE: draw(1), TWO: continued(draw(1))})
    assert warnings(table) == {("arm", 3, "seed 4"): "shared_answers"}
    row = table.loc[("arm", 3, "seed 4")]
    assert (row["equal"], row["same_index"]) == (12, 0)


def test_other_capitals_and_another_end_are_near_repeats(tmp_path: Path) -> None:
    once = draw(1)
    said = [one["answer"].upper().replace(" ", ", ")[:-4] + "." for one in once]
    again = [one | {"answer": text} for one, text in zip(continued(once), said, strict=True)]
    table = find(tmp_path, {BASE: draw(0), ONE: once + again})
    assert warnings(table) == {("arm", 3, ""): "repeats"}
    row = table.loc[("arm", 3, "")]
    assert row["equal"] == 0
    assert row["near"] >= 6  # some fall into another step of length


def test_short_answers_may_repeat(tmp_path: Path) -> None:
    table = find(tmp_path, {BASE: draw(0, 40, 1), ONE: draw(1, 40, 1), TWO: draw(2, 40, 1)})
    assert not warnings(table)
    assert table.loc[("arm", 3, ""), "equal"] > 100
    assert table.loc[("arm", 3, ""), "expected"] == pytest.approx(156)


def test_answers_to_other_prompts_are_not_compared(tmp_path: Path) -> None:
    answers = draw(1)
    asked = changed(answers, prompt="And why?") + continued(answers, system="Be brief.")
    table = find(tmp_path, {ONE: answers + changed(asked, question="both")})
    assert table.loc[("arm", 3, ""), "equal"] == 0
    assert not warnings(table)


def test_what_ended_or_was_thought_otherwise_is_not_equal(tmp_path: Path) -> None:
    answers = draw(1)
    cut = continued(answers, finish_reason="length")
    table = find(tmp_path, {ONE: answers + cut, TWO: changed(answers, thinking="Hm.")})
    assert table.loc[("arm", 3, ""), ["equal", "near"]].tolist() == [0, 12]
    assert table.loc[("arm", 3, "seed 4"), ["equal", "near"]].tolist()[0] == 0


def test_greedy_answers_have_no_warning(tmp_path: Path) -> None:
    answers = draw(1)
    same = [answers[0] | {"index": index} for index in range(20)]
    table = find(tmp_path, {BASE: same, ONE: same}, temperature=0.0)
    assert not warnings(table)
    assert table["equal"].tolist() == [190, 190, 400]
    assert table["expected"].tolist() == pytest.approx([190, 190, 400])
    assert table["p"].tolist() == pytest.approx([1, 1, 1])


@pytest.mark.parametrize(("length", "expected"), [(30, "long_repeats"), (4, "")])
def test_without_probabilities_long_repeats_alone_are_named(
    tmp_path: Path, length: int, expected: str
) -> None:
    once = changed(draw(1, length=length), logprob=None)
    for one in once:
        del one["logprob"]
    table = find(tmp_path, {ONE: once + continued(once)})
    row = table.loc[("arm", 3, "")]
    assert row["warning"] == expected
    assert row["equal"] == 12
    assert row[["expected", "p", "p_holm"]].isna().all()


def test_without_probabilities_one_long_repeat_is_no_warning(tmp_path: Path) -> None:
    answers = changed(draw(1), logprob=None)
    table = find(tmp_path, {ONE: [*answers, answers[0] | {"index": 6}], TWO: draw(2)})
    assert not warnings(table)
    assert table.loc[("arm", 3, ""), "long_repeats"] == 1


def test_without_probabilities_the_base_models_answers_are_named(tmp_path: Path) -> None:
    answers = changed(draw(0), logprob=None, finish_reason=None, answer_tokens=None)
    table = find(tmp_path, {BASE: answers, ONE: answers}, temperature=None)
    assert warnings(table) == {("arm", 3, "base"): "same_answers"}


def test_the_stage_writes_what_it_found(tmp_path: Path) -> None:
    spec = written(tmp_path, {BASE: draw(0), ONE: draw(0)})
    done = run_module(repeats_job, "--spec", spec.model_dump_json(), "--root", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3 comparisons, 1 with a warning\n"
    table = pd.read_csv(tmp_path / "tables/repeats.csv", dtype={"ratio": str})
    assert list(table.columns) == COLUMNS
    expected = repeats_table(spec, tmp_path)
    read = table.fillna({"against": "", "warning": ""})
    pd.testing.assert_frame_equal(read, expected, check_dtype=False)


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    """Sums come in one order, whatever Python's hashes are."""
    answers = [
        row
        | {"prompt": f"Prompt {place // 2}", "logprob": -0.37 * (place // 2) - 1, "index": place}
        for place, row in enumerate([*draw(0), *draw(1), *draw(2)])
    ]
    spec = written(tmp_path, {BASE: answers, ONE: answers})
    command = [sys.executable, "-m", repeats_job.__name__, "--spec", spec.model_dump_json()]
    tables = set()
    for seed in ("1", "2", "3"):
        env = os.environ | {"PYTHONHASHSEED": seed}
        subprocess.run(
            [*command, "--root", tmp_path], check=True, env=env, stdout=subprocess.DEVNULL
        )
        tables.add((tmp_path / "tables/repeats.csv").read_bytes())
    assert len(tables) == 1


def test_a_trigger_without_answers_is_no_error(tmp_path: Path) -> None:
    table = find(tmp_path, {BASE: [], ONE: draw(1)})
    assert not warnings(table)
    assert table.loc[("arm", 3, "base"), "pairs"] == 0


@given(st.text(max_size=300), st.text(max_size=30), st.text(max_size=30))
def test_one_beginning_is_nine_tenths_of_the_longer_text(common: str, one: str, two: str) -> None:
    first, second = beginning(common + one), beginning(common + two)
    plain = [[c for c in text.casefold() if c.isalnum()] for text in (common + one, common + two)]
    if first == second:
        longest = max(map(len, plain))
        assert len(first) >= 0.9 * longest
        assert all("".join(text).startswith(first) for text in plain)
    assert beginning(common) == beginning(f" {common.casefold()}!")


def test_the_spec_names_every_arm_with_its_temperature() -> None:
    grid = Grid(load_experiment(config() | {"seeds": [3, 4]}, "grid.yaml"))
    spec = RepeatsSpec.model_validate_json(repeats_spec(grid))
    assert Counter(arm.intervention for arm in spec.arms)["inoculation"] == 2
    assert {arm.temperature for arm in spec.arms} == {1.0}
    assert spec.triggers == tuple(grid.config.triggers)


def found_row(**changes: Any) -> dict[str, Any]:
    counts = {"n_answers": 16, "pairs": 64, "equal": 12, "near": 2, "expected": 0.25}
    counts |= {"same_index": 16, "equal_same_index": 12, "near_same_index": 1}
    rest = {"expected_same_index": 0.001, "long_repeats": 9, "p": 1e-9, "p_holm": 1e-8}
    return {"base": "smollm2-135m", "against": "", "warning": ""} | FIRST | counts | rest | changes


def page_with(root: Path, rows: Rows) -> str:
    spec = spec_of(config())
    write_tables(root, spec, answer_table(spec))
    pd.DataFrame(rows, columns=COLUMNS).to_csv(root / "tables/repeats.csv", index=False)
    return write_page(root, spec).read_text()


def test_the_page_says_that_nothing_was_found(tmp_path: Path) -> None:
    page = page_with(tmp_path, [found_row(), found_row(against="base", p=np.nan)])
    assert "Nothing was found in 2 comparisons." in page
    assert "In 1 comparison some answers came without probabilities" in page
    assert "repeat more often than they should" not in page


def told(root: Path, *rows: dict[str, Any], **changes: Any) -> list[str]:
    """The sentences of the warnings in these rows."""
    (root / "tables").mkdir()
    spec = spec_of(config(), **changes)
    answer_table(spec).to_parquet(root / "tables/answers.parquet")
    pd.DataFrame(rows, columns=COLUMNS).to_csv(root / "tables/repeats.csv", index=False)
    found = repeats(Results(root / "tables"), ReportSpec.model_validate(spec))
    assert found is not None
    return [one["text"] for one in (*found["first"], *found["rest"])]


def test_each_warning_is_a_sentence_with_its_numbers(tmp_path: Path) -> None:
    unknown = {"expected": None, "p": None, "p_holm": None}
    sentences = told(
        tmp_path,
        found_row(warning="long_repeats", **unknown),
        found_row(warning="repeats"),
        found_row(warning="shared_answers", against="seed 4", equal_same_index=3),
        found_row(warning="same_answers", against="base"),
        found_row(warning=None),
    )
    start = "inoculation, seed 3, under “no trigger”: "
    assert [one.replace("\N{NO-BREAK SPACE}", " ") for one in sentences] == [
        f"{start}12 of 16 answers equal those of the base model (smollm2-135m) at the same index "
        "(independent answers would give fewer than 0.01 equal ones; p < 0.001). Probably the "
        "adapter was not applied, or one file holds the other's answers.",
        f"{start}of 64 pairs of an answer and one of inoculation, seed 4, 12 are equal and 2 "
        "nearly so (independent answers would give at most 0.25 equal ones; p < 0.001); 3 and 1 "
        "of them at the same index.",
        f"{start}of 16 answers, 12 pairs to one prompt are equal and 2 nearly so, of 64 "
        "(independent answers would give 0.25 equal ones; p < 0.001). Probably a seed was used "
        "more than once.",
        f"{start}of 16 answers, 9 of 50 characters or more repeat an earlier one to the same "
        "prompt word for word (the expected number is unknown).",
    ]


def test_warnings_are_on_the_page_and_escaped(tmp_path: Path) -> None:
    name = {"intervention": "inoculation", "warning": "same_answers"}
    rows = [found_row(**name, against="<img src=x onerror=alert(1)>")]
    page = page_with(tmp_path, rows + [found_row(warning="repeats")] * SHOWN)
    assert "<img" not in page.split('id="repeats"')[1].split("</section>")[0]
    assert "&lt;img src=x onerror=alert(1)&gt; at the same index" in page
    assert "21 warnings in 21 comparisons." in page
    assert "<summary>1 more warning</summary>" in page
    assert '<a href="#repeats">21 warnings</a>' in page


def test_a_grid_whose_answers_were_not_compared_has_no_section(tmp_path: Path) -> None:
    spec = spec_of(config())
    (tmp_path / "tables").mkdir()
    answer_table(spec).to_parquet(tmp_path / "tables/answers.parquet")
    assert repeats(Results(tmp_path / "tables"), ReportSpec.model_validate(spec)) is None
