"""Which verdicts a design can reach, before anything is sampled."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from emgrid import ROOT
from emgrid.aggregate.design import Design
from emgrid.config.priors import USUAL, prior_sets
from emgrid.grid.design import designs_at_cost, planned_design, reach_of, reachable, sentence
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.snakefile import read_grid
from emgrid.runtime.errors import EmgridError
from hypothesis import given, settings
from hypothesis import strategies as st

PRIORS = prior_sets()[USUAL]
SMALL = Design(2, 8, 8, 8, arms=6, triggers=6, confidence=0.95)
LARGE = replace(SMALL, questions=48, answers=16, base_answers=32)


def grid_of(demo: dict[str, Any], **changes: Any) -> Grid:
    return Grid(load_experiment(demo | changes, "grid.yaml", check_data=False))


def test_eight_questions_cannot_show_a_rise_to_be_small_and_forty_eight_can() -> None:
    few, many = reachable(SMALL, PRIORS), reachable(LARGE, PRIORS)
    assert few.verdicts == ["triggered", "overt"]
    assert few.bound > SMALL.margin
    assert many.verdicts == ["clean", "conditional", "triggered", "overt"]
    assert many.bound < LARGE.margin
    assert many.enough is None


def test_what_would_be_enough_is_enough() -> None:
    other = reachable(SMALL, PRIORS).enough
    assert other is not None
    assert reachable(other, PRIORS).verdicts == reachable(LARGE, PRIORS).verdicts
    assert (other.arms, other.triggers, other.margin) == (6, 6, SMALL.margin)


def test_a_single_answer_to_two_questions_reaches_nothing() -> None:
    tiny = replace(SMALL, seeds=1, questions=2, answers=1, base_answers=1)
    assert reachable(tiny, PRIORS).verdicts == []


def test_one_question_reaches_verdicts_about_itself_alone() -> None:
    one = Design(10, 1, 100, 400, arms=3, triggers=9, confidence=0.95, fixed=True)
    assert reachable(one, PRIORS).verdicts == reachable(LARGE, PRIORS).verdicts
    with pytest.raises(EmgridError, match="--questions 1: must be at least 2"):
        planned_design(read_grid(Path("config.yaml")), None, 1, None, None)


def test_of_fixed_questions_few_are_enough() -> None:
    assert (
        "clean"
        in reachable(replace(SMALL, answers=200, base_answers=400, fixed=True), PRIORS).verdicts
    )


def test_a_wider_margin_is_easier() -> None:
    wide = replace(SMALL, margin=0.2)
    assert "clean" in reachable(wide, PRIORS).verdicts


@settings(max_examples=40, deadline=None)
@given(
    seeds=st.integers(1, 5),
    questions=st.integers(2, 60),
    answers=st.integers(1, 60),
    times=st.sampled_from([1, 2, 8]),
)
def test_designs_of_a_cost_cost_no_more(
    seeds: int, questions: int, answers: int, times: int
) -> None:
    design = replace(SMALL, seeds=seeds, questions=questions, answers=answers, base_answers=answers)
    others = designs_at_cost(design, times * design.cost)
    assert all(other.cost <= times * design.cost for other in others)
    assert all(other.answers >= 1 and other.base_answers >= 1 for other in others)
    assert all(other.base_answers % other.answers == 0 for other in others)
    assert all(other.seeds >= min(seeds, 2) for other in others)


def test_a_grids_design_is_that_of_its_config(demo: dict[str, Any]) -> None:
    design = planned_design(grid_of(demo), None, None, None, None)
    assert (design.seeds, design.questions, design.answers) == (2, 8, 8)
    assert (design.arms, design.triggers, design.base_answers) == (6, 6, 32)
    demo["interventions"]["base"] = {"sampling": {"answers_per_question": 10}}
    assert planned_design(grid_of(demo), None, None, None, None).base_answers == 10
    assert planned_design(grid_of(demo), 5, 24, 100, 50).base_answers == 50
    for option, numbers in {"--seeds": (0, 2, 1, 1), "--base-answers": (1, 2, 1, 0)}.items():
        with pytest.raises(EmgridError, match=f"{option} 0: must be at least 1"):
            planned_design(grid_of(demo), *numbers)


def test_a_sentence_says_what_can_be_reached(demo: dict[str, Any]) -> None:
    text = reach_of(grid_of(demo))
    assert "can reach triggered and overt, not clean or conditional" in text
    assert "the margin is 2" in text
    assert "At about the same cost, a design of 3 seeds, 48 questions" in text
    sampling = demo["sampling"] | {"answers_per_question": 100}
    whole = reach_of(grid_of(demo, sampling=sampling))
    assert "can reach every verdict." in whole
    assert "An arm without any misaligned answer is not clean" in whole
    assert sentence(LARGE, reachable(LARGE, PRIORS)).endswith("can reach every verdict.")


def test_plan_says_it(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(
        yaml.safe_dump({"extends": str(ROOT / "tests/support/everyday.yaml"), "name": "new"})
    )
    command = [sys.executable, "-m", "emgrid.cli.main", "plan", "--configfile", "grid.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "not clean or conditional" in " ".join(done.stdout.split())
