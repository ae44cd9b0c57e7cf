"""What SLURM has of a grid, in plain words: jobs that outlived their run, and why jobs ended.

Reads SLURM's queue and its log of each job, below the grid's folder. Without a SLURM it has nothing
to say. Whether a job is tried again is Snakemake's affair.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from emgrid.runtime.errors import EmgridError

LOGS = Path(".snakemake/slurm_logs")
ANSWER = 60.0  # seconds to wait for SLURM's controller
# What SLURM writes into a job's log as it ends it. The first that is found holds: a job whose
# memory or time is up is also cancelled.
ENDINGS = {
    r"exceeded memory limit|oom.kill|Out Of Memory": "used more memory than its `mem_mb`",
    r"DUE TO TIME LIMIT": "reached its time limit, `runtime`",
    r"DUE TO (PREEMPTION|JOB REQUEUE)": "was preempted, or put back into the queue",
    r"DUE TO NODE FAILURE|NODE_FAIL": "lost its node",
    r"CANCELLED AT": "was cancelled",
    r"^emgrid: (.*)": r"stopped: \1",
}


def refuse_queued(folder: str) -> None:
    """A run that is killed leaves its jobs in SLURM's queue, where they would write beside new
    ones."""
    if jobs := queued(Path.cwd() / LOGS):
        raise EmgridError(
            f"{folder}: SLURM still has jobs of a run that was killed; end them, as what they drew "
            f"is kept: scancel {' '.join(jobs)}"
        )


def queued(logs: Path) -> list[str]:
    """The user's jobs that wait or run and whose logs lie in this folder."""
    own = set(asked("squeue", "--me", "--noheader", "--format=%A").split())
    if not own:
        return []
    lines = asked("scontrol", "show", "job", "--oneliner").splitlines()
    found = [re.match(r"JobId=(\d+) ", line) for line in lines if f" StdOut={logs}/" in line]
    return sorted({job[1] for job in found if job} & own, key=int)


def asked(*command: str) -> str:
    """What a command of SLURM's prints; nothing where there is none, or it fails."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWER, check=True, errors="replace"
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def tell_ended(since: float) -> None:
    """Print, for each job of a run that SLURM or emgrid ended, why. since: when the run began."""
    lines = list(ended(LOGS, since))
    if lines:
        print("emgrid: jobs that were ended on the cluster, each tried `retries` times more:")
        print("\n".join(f"  {line}" for line in lines))


def ended(logs: Path, since: float) -> Iterator[str]:
    """A line for each log that says why its job ended."""
    for log in sorted(logs.rglob("*.log"), key=lambda path: (path.parent, len(path.name), path)):
        if log.stat().st_mtime < since:
            continue
        if why := ending(log.read_text(encoding="utf-8", errors="replace")):
            kind, *wildcards = log.relative_to(logs).parts[:-1]
            name = " ".join([kind.removeprefix("rule_"), *wildcards])
            yield f"{name} (SLURM's {log.stem}) {why}; {log}"


def ending(text: str) -> str | None:
    """Why a job ended, by its log."""
    for pattern, words in ENDINGS.items():
        if found := re.search(pattern, text, re.MULTILINE):
            return found.expand(words)
    return None
