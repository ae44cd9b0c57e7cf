"""Small jobs that a profile submits to its cluster, and what became of them.

Snakemake submits them (workflow/probes/cluster.smk) through the profile's own plugin, with the
profile's settings. Reads its log, SLURM's accounts or queue, and the files that the jobs write.
"""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from emgrid import ROOT
from emgrid.planning.slurm_site import Line, Profile, Verdict
from emgrid.runtime.slurm import ending, output_of

SNAKEFILE = ROOT / "workflow/probes/cluster.smk"
SUBMITTED = re.compile(r"submitted with SLURM jobid (\d+) \(log: (\S+?)\)")
LOOK = 0.2  # seconds between two looks at the folder
HOLD = 45  # seconds for which a probe holds too much memory
END = 60.0  # seconds in which an interrupted Snakemake cancels its jobs
TASKS = 7  # of the array, of which three may be in the queue at one time
PLACES = 3


@dataclass(frozen=True)
class Job:
    """A submitted job. state: as SLURM names it; empty if it says nothing."""

    rule: str
    number: str
    log: Path
    state: str
    node: str


@dataclass
class Probes:
    """Probes that were run in a folder. seen: when each file was first seen here, in seconds since
    1970."""

    folder: Path
    ended: bool = False
    told: str = ""
    jobs: list[Job] = field(default_factory=list)
    seen: dict[str, float] = field(default_factory=dict)

    def of(self, rule: str) -> list[Job]:
        return [job for job in self.jobs if job.rule == rule]

    def text(self, name: str) -> str | None:
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.exists() else None


def run_probes(
    folder: Path, profile: Profile, files: list[str], minutes: float, words: list[str]
) -> Probes:
    """Have these files made, for at most so many minutes. words: the module that runs Snakemake,
    and further options."""
    found, log = Probes(folder), folder / "snakemake.log"
    module, *options = words
    command = [sys.executable, "-m", module, "--snakefile", str(SNAKEFILE)]
    command += ["--profile", str(profile.folder), "--directory", str(folder), *options]
    command += ["--config", f"hold={HOLD}", "--", *files]
    end = time.monotonic() + 60 * minutes
    with log.open("wb") as output:
        main = subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=output, start_new_session=True
        )
        while main.poll() is None and time.monotonic() < end:
            for path in folder.iterdir():
                found.seen.setdefault(path.name, time.time())
            time.sleep(LOOK)
        found.ended = main.poll() is not None
        stop(main)
    found.told = log.read_text(encoding="utf-8", errors="replace")
    found.jobs = list(submitted(found.told))
    return found


def stop(main: subprocess.Popen[bytes]) -> None:
    """Interrupt Snakemake, which then cancels its jobs."""
    if main.poll() is None:
        main.send_signal(signal.SIGINT)
        try:
            main.wait(END)
        except subprocess.TimeoutExpired:
            main.kill()
    main.wait()


def submitted(log: str) -> Iterator[Job]:
    """The jobs that Snakemake's log names, in their order, with what SLURM says of them."""
    named = SUBMITTED.findall(log)
    if not named:
        return
    numbers = ",".join(number for number, _ in named)
    shown = output_of(
        "sacct",
        "-X",
        "--noheader",
        "-j",
        numbers,
        "--parsable2",
        "--format=JobIDRaw,State,NodeList",
    )
    shown = shown or output_of(
        "squeue", "--states=all", "--noheader", "-j", numbers, "--format=%A|%T|%N"
    )
    known = {words[0]: words[1:] for words in (line.split("|") for line in shown.splitlines())}
    for number, path in named:
        state, node = known.get(number, ["", ""])
        rule = next((part for part in Path(path).parts if part.startswith("rule_")), "")
        # sacct says by whom a job was cancelled.
        yield Job(rule.removeprefix("rule_"), number, Path(path), state.split(" ")[0], node)


# What the probes show, a line each.


def plain_line(found: Probes) -> Line:
    """Whether a job runs, ends, and finds the package."""
    what = "a job runs and is seen to end"
    text, jobs = found.text("plain.txt"), found.of("plain")
    if text is None or not jobs:
        return Line("fail", what, f"{reason(found, 'plain')}; see {found.folder}/snakemake.log")
    host, offline, package, *_ = text.splitlines()
    if package != str(ROOT):
        return Line(
            "fail", what, f"on {host} Python finds emgrid in {package}, not {ROOT}; install it in "
            "a folder that all nodes share",
        )  # fmt: skip
    if offline != "offline 1":
        return Line(
            "fail", what, f"on {host}, without HF_HUB_OFFLINE=1: jobs look for a network; set "
            "precommand in the profile as workflow/profiles/slurm does",
        )  # fmt: skip
    return Line("pass", what, f"{jobs[-1].state} on {host}")


def files_line(found: Probes, profile: Profile) -> Line:
    """How late a file of another node is seen here; their clocks count, too."""
    what = "files are seen in time"
    text = found.text("plain.txt")
    if text is None:
        return Line("not available", what, "no job has written a file")
    late = max(found.seen["plain.txt"] - float(text.splitlines()[-1]), 0.0)
    told = f"{late:.1f} s after another node wrote it; latency-wait is {profile.latency:g} s"
    if late > profile.latency / 2:
        return Line("fail", what, f"{told}; set it to {3 * late:.0f} or more in the profile")
    return Line("pass", what, told)


def memory_line(found: Probes) -> Line:
    first = next(iter(found.of("greedy")), None)
    if first is not None and first.state == "COMPLETED":
        return Line(
            "fail",
            "memory limits are enforced",
            f"a job that held 900 MB for {HOLD} s and asked for 600 ended well; one that takes too "
            "much can take its node down, so ask the site for ConstrainRAMSpace (cgroups)",
        )
    return ended_line(found, "greedy", "memory limits are enforced", ("OUT_OF_MEMORY", "FAILED"))


def time_line(found: Probes) -> Line:
    return ended_line(found, "slow", "time limits are enforced", ("TIMEOUT",))


def ended_line(found: Probes, rule: str, what: str, states: tuple[str, ...]) -> Line:
    """Whether SLURM has ended the first job of a rule, and the second one, with more, was let."""
    jobs = found.of(rule)
    if not jobs:
        return Line("fail", what, reason(found, rule))
    first = jobs[0]
    why = ending(first.log.read_text(errors="replace")) if first.log.exists() else None
    told = f"{first.state or 'unknown to SLURM'}{f': it {why}' if why else ''}"
    if first.state not in states:
        return Line("fail", what, f"{told}, where {' or '.join(states)} was expected")
    if found.text(f"{rule}.txt") is None:
        return Line("fail", what, f"{told}; it was not tried again: set retries in the profile")
    return Line("pass", what, f"{told}; tried again with twice as much, {jobs[-1].state}")


def gpu_line(found: Probes) -> Line:
    """Whether a job of training's that asks for a GPU is given one."""
    what = "a job has a GPU of its own"
    text = found.text("train.txt")
    if text is None:
        return Line(
            "fail", what, f"{reason(found, 'train')}; set partition and GPU model of `train` "
            "in the profile's set-resources",
        )  # fmt: skip
    host, visible, *names = text.splitlines()
    verdict: Verdict = "fail" if visible == "none" else "pass"
    told = f"on {host}, CUDA_VISIBLE_DEVICES {visible}; {', '.join(names) or 'no nvidia-smi there'}"
    return Line(verdict, what, told)


def array_line(found: Probes) -> Line:
    """Whether the plugin's job arrays can be used, which the profile does without."""
    what = "job arrays"
    made = sum(found.text(f"task{number}.txt") is not None for number in range(TASKS))
    if made == TASKS and found.ended:
        return Line("pass", what, f"{TASKS} tasks in {PLACES} places; the profile does without")
    return Line(
        "not available",
        what,
        f"{made} of {TASKS} tasks ended, then the run hung; leave slurm-array-jobs unset, as it is "
        "in workflow/profiles/slurm",
    )


def reason(found: Probes, rule: str) -> str:
    """Why a rule's probe has written nothing."""
    jobs = found.of(rule)
    if jobs:
        state = jobs[-1].state or "unknown to SLURM"
        return f"its job {jobs[-1].number} is {state}, and its file is not here"
    lines = [line.strip() for line in found.told.splitlines() if line.strip()]
    told = [line for line in lines if "rror" in line]
    return f"no job was submitted: {(told or lines or ['Snakemake said nothing'])[-1]}"
