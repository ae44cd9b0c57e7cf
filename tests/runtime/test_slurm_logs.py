"""What SLURM's logs and queue say of a grid's jobs."""

import os
from pathlib import Path

import pytest
from emgrid.runtime.slurm import ended, ending, output_of

# As SLURM 22.05 words them, and a later one the second about memory.
STEP = "slurmstepd: error: *** STEP 24.0 ON node1 CANCELLED AT 2026-11-25T23:10:38"
LOGS = {
    f"{STEP} ***": "was cancelled",
    f"{STEP} DUE TO TIME LIMIT ***": "reached its time limit, `runtime`",
    f"{STEP} DUE TO PREEMPTION ***": "was preempted, or put back into the queue",
    f"{STEP} DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ***": "lost its node",
    f"slurmstepd: error: StepId=27.0 exceeded memory limit (7 > 4), being killed\n{STEP} ***": (
        "used more memory than its `mem_mb`"
    ),
    "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=3.batch. Some of your processes may "
    "have been killed by the cgroup out-of-memory handler.": "used more memory than its `mem_mb`",
    "slurmstepd: error: Detected 1 oom_kill event in StepId=3.batch. Some of the step tasks "
    "have been OOM Killed.": "used more memory than its `mem_mb`",
    "Building DAG\nemgrid: my.yaml was edited while the grid runs": (
        "stopped: my.yaml was edited while the grid runs"
    ),
    "srun: error: node1: task 0: Exited with exit code 1": None,
}


@pytest.mark.parametrize(("log", "why"), LOGS.items())
def test_a_log_says_why_its_job_ended(log: str, why: str | None) -> None:
    assert ending(log) == why


def test_jobs_of_this_run_are_told_with_rule_wildcards_and_number(tmp_path: Path) -> None:
    for number, since in (("24", 1000), ("31", 3000)):
        log = tmp_path / f"rule_train/one/{number}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"{STEP} DUE TO TIME LIMIT ***")
        os.utime(log, (since, since))
    log = tmp_path / "rule_train/one/31.log"
    line = f"train one (SLURM's 31) reached its time limit, `runtime`; {log}"
    assert list(ended(tmp_path, since=2000)) == [line]


def test_without_slurm_there_is_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert output_of("squeue") == ""


def test_a_command_of_slurms_that_fails_says_nothing() -> None:
    assert output_of("false") == ""
