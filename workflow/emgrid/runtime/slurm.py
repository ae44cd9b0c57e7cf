"""A grid's jobs in SLURM: which ones outlived their run, and why others ended.

Reads SLURM's queue and its log of each job, below the grid's folder. Does nothing without SLURM.
Snakemake decides whether a job is tried again.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from emgrid.runtime.errors import EmgridError

LOGS = Path(".snakemake/slurm_logs")
ANSWER = 60.0  # seconds to wait for SLURM's controller
# What SLURM writes to a job's log when it ends the job. The first match counts: a job that exceeds
# its memory or time is also cancelled.
ENDINGS = {
    r"exceeded memory limit|oom.kill|Out Of Memory": "used more memory than its `mem_mb`",
    r"DUE TO TIME LIMIT": "reached its time limit, `runtime`",
    r"DUE TO (PREEMPTION|JOB REQUEUE)": "was preempted, or put back into the queue",
    r"DUE TO NODE FAILURE|NODE_FAIL": "lost its node",
    r"CANCELLED AT": "was cancelled",
    r"^emgrid: (.*)": r"stopped: \1",
}


def refuse_queued(folder: str) -> None:
    """Raise EmgridError if SLURM still has jobs of a killed run, which would write to the same
    files as new ones."""
    if jobs := queued(Path.cwd() / LOGS):
        raise EmgridError(
            f"{folder}: SLURM still has jobs of a run that was killed; end them (finished work is "
            f"kept): scancel {' '.join(jobs)}"
        )


def queued(logs: Path) -> list[str]:
    """The ids of the user's waiting or running jobs whose logs are in this folder."""
    own_jobs = set(output_of("squeue", "--me", "--noheader", "--format=%A").split())
    if not own_jobs:
        return []
    lines = output_of("scontrol", "show", "job", "--oneliner").splitlines()
    matches = [re.match(r"JobId=(\d+) ", line) for line in lines if f" StdOut={logs}/" in line]
    return sorted({job[1] for job in matches if job} & own_jobs, key=int)


def output_of(*command: str) -> str:
    """The output of a SLURM command; empty if the command does not exist or fails."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        process = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWER, check=True, errors="replace"
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return process.stdout


def tell_ended(since: float) -> None:
    """Print why jobs of a run ended early, for each job that SLURM or emgrid ended. since: the
    run's start, in seconds since 1970."""
    lines = list(ended(LOGS, since))
    if lines:
        print(
            "emgrid: jobs that ended early on the cluster, each tried up to `retries` times more:"
        )
        print("\n".join(f"  {line}" for line in lines))


def ended(logs: Path, since: float) -> Iterator[str]:
    """A line for each log that shows why its job ended."""
    for log in sorted(logs.rglob("*.log"), key=lambda path: (path.parent, len(path.name), path)):
        if log.stat().st_mtime < since:
            continue
        if reason := ending(log.read_text(encoding="utf-8", errors="replace")):
            kind, *wildcards = log.relative_to(logs).parts[:-1]
            name = " ".join([kind.removeprefix("rule_"), *wildcards])
            yield f"{name} (SLURM's {log.stem}) {reason}; {log}"


def ending(text: str) -> str | None:
    """Why a job ended, according to its log; None if the log does not say."""
    for pattern, phrase in ENDINGS.items():
        if match := re.search(pattern, text, re.MULTILINE):
            return match.expand(phrase)
    return None
