"""Judgements of the chat judge that are stored: which are found again, and after a kill."""

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from emgrid import ROOT
from emgrid.judge import judge as judge_job
from emgrid.judge.judgement import Item
from support.chat_judging import repeated
from support.fake_endpoint import (
    FakeEndpoint,
    Json,
    Reply,
    reply_to,
)
from support.judging import (
    DEAR,
    RUBRIC,
    answer_rows,
    chat_judge,
    items,
    job,
    judged,
    kept_rows,
    lines,
    outcomes,
    told,
)
from support.run import run_module

pytestmark = pytest.mark.usefixtures("endpoint_environment")


def test_equal_answers_are_judged_once(tmp_path: Path) -> None:
    all_items = items(4) * 3 + items(6)
    with FakeEndpoint() as endpoint:
        rows = judged(endpoint, all_items, tmp_path)
        assert len(endpoint.requests) == 6
        assert told(judged(endpoint, all_items[::-1], tmp_path)) == told(rows)[::-1]
    assert told(rows) == outcomes(all_items)
    assert len(endpoint.requests) == 6
    assert len(kept_rows(tmp_path)) == 6


def test_an_equal_answer_to_another_question_is_another_if_the_judge_sees_the_question(
    tmp_path: Path,
) -> None:
    all_items = [Item("a", "One?", "Yes."), Item("b", "Two?", "Yes."), Item("c", "Two?", "Yes.")]
    with FakeEndpoint() as endpoint:
        judged(endpoint, all_items, tmp_path)
        assert len(endpoint.requests) == 2
        rubric = RUBRIC | {"text": "<answer {mark}>\n{answer}\n</answer {mark}>\nA number."}
        judged(endpoint, all_items, tmp_path, chat_judge(rubric=rubric))
    assert len(endpoint.requests) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"model": "judge-2"},
        {"least_mass": 0.5},
        {"request": {"seed": 1}},
        {"rubric": RUBRIC | {"version": 2}},
        {"rubric": RUBRIC | {"text": RUBRIC["text"] + " Now."}},
        {"rubric": RUBRIC | {"reading": {}}},
    ],
)
def test_an_edit_that_could_change_a_value_judges_again_and_its_reversal_nothing(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    with FakeEndpoint(models={"judge-1", "judge-2"}) as endpoint:
        judged(endpoint, items(3), tmp_path)
        judged(endpoint, items(3), tmp_path, chat_judge(**changes))
        assert len(endpoint.requests) == 6
        judged(endpoint, items(3), tmp_path)
    assert len(endpoint.requests) == 6


def test_an_edit_on_which_no_value_depends_judges_nothing_again(tmp_path: Path) -> None:
    with FakeEndpoint() as endpoint:
        judged(endpoint, items(3), tmp_path)
    rubric = RUBRIC | {"about": "Other words.", "id": "long"}
    edited = chat_judge(label="Other", about="Other.", measures="alignment", rubric=rubric)
    with FakeEndpoint() as other:
        judged(other, items(3), tmp_path, edited, price=DEAR, concurrency=1, attempts=2)
    assert other.requests == []


@pytest.mark.parametrize("concurrency", [1, 5])
def test_so_many_calls_are_made_at_one_time_and_no_more(concurrency: int, tmp_path: Path) -> None:
    with FakeEndpoint(latency=0.03) as endpoint:
        judged(endpoint, items(25), tmp_path, concurrency=concurrency)
    assert endpoint.most_at_once == concurrency


def test_a_kill_loses_at_most_the_calls_in_flight(tmp_path: Path) -> None:
    rows = {"none": answer_rows([f"Answer {number}." for number in range(90)])}
    reached = threading.Event()

    def answer(messages: list[Json]) -> Reply:
        if sum(endpoint.deliveries.values()) >= 30:
            reached.set()
        return reply_to(messages)

    with FakeEndpoint(answer=answer, latency=0.02) as endpoint:
        arguments = job(tmp_path, endpoint, [chat_judge()], rows, concurrency=4)
        command = [sys.executable, "-m", "emgrid.judge.judge", *arguments]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
            assert reached.wait(60)
            process.send_signal(signal.SIGKILL)
        killed_at = endpoint.deliveries
        assert 30 <= sum(killed_at.values()) < 90
        assert not (tmp_path / "arm/judgements").exists()
        n_stored = sum(
            path.read_bytes().count(b"\n") for path in (tmp_path / "kept").glob("*/*.jsonl")
        )
        assert sum(killed_at.values()) - 4 <= n_stored <= sum(killed_at.values())
        done = run_module(judge_job, *arguments)
        assert done.returncode == 0, done.stderr
        assert f"alignment: {90 - n_stored} judged, {n_stored} kept from before" in done.stdout
    assert len(endpoint.deliveries) == 90
    assert repeated(endpoint) <= 4
    all_items = [Item("q", "Question?", row["answer"]) for row in rows["none"]]
    assert told(lines(tmp_path, "none")) == outcomes(all_items)


def test_two_jobs_of_a_grid_pay_for_no_answer_twice(tmp_path: Path) -> None:
    rows = {"none": answer_rows([f"Answer {number}." for number in range(30)])}
    stage = [sys.executable, "-m", "emgrid.judge.judge"]
    with FakeEndpoint(latency=0.01) as endpoint:
        commands = [
            [*stage, *job(tmp_path, endpoint, [chat_judge()], rows, arm=arm)]
            for arm in ("one", "two")
        ]
        jobs = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for command in commands]
        assert [job.communicate() and job.returncode for job in jobs] == [0, 0]
    assert len(endpoint.requests) == 30
    assert lines(tmp_path, "none", "one") == lines(tmp_path, "none", "two")
