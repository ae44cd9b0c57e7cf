"""What a SLURM says of itself and of a user's limits, before anything is submitted.

Asks SLURM's own commands and changes nothing. Each line says whether something is as the profile
needs it, and if not, what to do.
"""

import getpass
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from emgrid.config.yaml_files import read_yaml
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.slurm import output_of

Verdict = Literal["pass", "fail", "not available"]


@dataclass(frozen=True)
class Line:
    """A line of the checklist. told: what was seen, and what to do unless it passes."""

    verdict: Verdict
    what: str
    told: str


@dataclass(frozen=True)
class Profile:
    """What a profile sets that the checks depend on. Seconds."""

    folder: Path
    jobs: int
    latency: float
    status: str
    first_look: float


def read_profile(folder: Path) -> Profile:
    """Raises EmgridError if the profile submits to no SLURM."""
    path = folder / "config.yaml"
    settings: dict[str, Any] = read_yaml(path) or {}
    if settings.get("executor") != "slurm":
        raise EmgridError(
            f"{path}: executor is {settings.get('executor')!r}, not slurm, so there is no cluster "
            "to check; give PROFILE=slurm, or the folder of your own profile"
        )
    return Profile(
        folder,
        int(settings.get("jobs", 1)),
        float(settings.get("latency-wait", 5)),
        str(settings.get("slurm-status-command", "sacct")),
        float(settings.get("slurm-init-seconds-before-status-checks", 40)),
    )


def site_lines(profile: Profile) -> Iterator[Line]:
    version = output_of("sbatch", "--version").strip()
    if not version:
        yield Line("fail", "SLURM", "no sbatch on PATH; run this on a login node of the cluster")
        return
    settings = dict(
        line.split("=", 1) for line in output_of("scontrol", "show", "config").splitlines()
        if "=" in line
    )  # fmt: skip
    settings = {name.strip(): value.strip() for name, value in settings.items()}
    if not settings:
        yield Line("fail", "SLURM", f"{version}, but `scontrol show config` says nothing; "
                   "is slurmctld up (`scontrol ping`)?")  # fmt: skip
        return
    yield Line("pass", "SLURM", f"{version}; cluster {settings.get('ClusterName')}")
    yield accounting_line(profile, settings)
    yield account_line(settings)
    yield limits_line(profile)


def accounting_line(profile: Profile, settings: dict[str, str]) -> Line:
    """Whether ended jobs can be asked after in the way that the profile sets."""
    kept = settings.get("AccountingStorageType", "")
    age = int(re.sub(r"\D", "", settings.get("MinJobAge", "")) or 0)
    if profile.status == "sacct":
        if kept.endswith("slurmdbd"):
            return Line(
                "pass",
                "status of jobs",
                "sacct; but version 2.8.0 of the plugin waits forever for a cancelled job: with "
                "slurm-status-command: squeue it does not",
            )
        return Line(
            "fail",
            "status of jobs",
            f"accounts are not kept ({kept}), so a run would never end; set "
            "slurm-status-command: squeue in the profile",
        )
    if age >= 3 * profile.first_look:
        return Line("pass", "status of jobs", f"squeue; ended jobs are shown for {age} s")
    return Line(
        "fail",
        "status of jobs",
        f"squeue shows ended jobs for {age} s (MinJobAge), less than three times "
        f"{profile.first_look:g} s; set slurm-init-seconds-before-status-checks to {age // 3} or "
        "less, or slurm-status-command to sacct",
    )


def table(*words: str) -> list[list[str]]:
    """The cells that sacctmgr shows."""
    shown = output_of("sacctmgr", "--noheader", "--parsable2", *words)
    return [line.split("|") for line in shown.splitlines()]


def account_line(settings: dict[str, str]) -> Line:
    user = getpass.getuser()
    mine = table("show", "associations", f"user={user}", "format=Account,QOS")
    enforced = "associations" in settings.get("AccountingStorageEnforce", "")
    accounts = "; ".join(
        f"{account} (QoS {qos or 'none'})" for account, qos in dict.fromkeys(map(tuple, mine))
    )
    if mine:
        return Line("pass", "account and QoS", accounts)
    if enforced:
        return Line(
            "fail",
            "account and QoS",
            f"{user} has no account, and jobs need one; ask the site for one, and name it as "
            "slurm_account under default-resources of the profile",
        )
    return Line(
        "not available",
        "account and QoS",
        "the cluster asks for none; set slurm-no-account: true in the profile",
    )


def limits_line(profile: Profile) -> Line:
    """Whether the user may have as many jobs in the queue as the profile submits."""
    user = getpass.getuser()
    limits = {
        f"account {name}": (jobs, submitted, wall)
        for name, jobs, submitted, wall in table(
            "show", "associations", f"user={user}", "format=Account,MaxJobs,MaxSubmit,MaxWall"
        )
    }
    limits |= {
        f"QoS {name}": (jobs, submitted, wall)
        for name, jobs, submitted, wall in table(
            "show", "qos", "format=Name,MaxJobsPU,MaxSubmitPU,MaxWall"
        )
    }
    if not limits:
        return Line("not available", "limits", "no accounts are kept; ask the site for its limits")
    told = "; ".join(f"{name}: {worded(each)}" for name, each in limits.items() if any(each))
    fewest = min((int(each[1]) for each in limits.values() if each[1]), default=profile.jobs)
    if fewest < profile.jobs:
        return Line("fail", "limits", f"{told}; set jobs: {fewest} or less in the profile")
    return Line("pass", "limits", told or f"none; the profile submits up to {profile.jobs} jobs")


def worded(limits: tuple[str, str, str]) -> str:
    """The limits that there are, in words."""
    words = ("jobs running", "jobs in the queue", "time of a job")
    return ", ".join(f"{word} {limit}" for word, limit in zip(words, limits, strict=True) if limit)
