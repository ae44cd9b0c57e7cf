"""A SLURM of three made-up nodes with accounts, started for the tests that need one and ended with
them.

Root on Debian with slurmctld, slurmd, slurmdbd, slurm-client, mariadb-server-core and munge. Its
state, keys, logs and two GPUs that are none (character devices) lie in one folder; SLURM_CONF
points every command there. The first node has the GPUs and takes the grids' jobs; of the others
one may go down.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.needs import lacking
from support.slurm_accounting import ACCOUNTS, ENFORCED, begin_accounting, begin_database

PROGRAMS = ("munged", "slurmctld", "slurmd", "slurmdbd", "mariadbd", "sbatch", "srun", "sacct")
WAIT = 30.0  # seconds that a part of it may take to answer
NODES = ("node1", "node2", "node3")

# Memory and time are watched closely, so that jobs which exceed them end in seconds.
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
SlurmdParameters=config_overrides
ReturnToService=2
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SchedulerParameters=bf_interval=1,sched_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=1
MinJobAge=600
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=8 RealMemory=16000 Gres=gpu:2 State=UNKNOWN
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=8 RealMemory=16000 State=UNKNOWN
NodeName=node3 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[3]} CPUs=8 RealMemory=16000 State=UNKNOWN
PartitionName=main Nodes=node1 Default=YES MaxTime=INFINITE PriorityTier=1 State=UP
PartitionName=urgent Nodes=node1 MaxTime=INFINITE PriorityTier=2 State=UP
PartitionName=others Nodes=node[2-3] MaxTime=INFINITE PriorityTier=1 State=UP
"""  # noqa: E501
CONF += ENFORCED.replace("ports", "accounting")


class Slurm:
    """What a test may ask of it."""

    def __init__(self, folder: Path) -> None:
        conf = str(folder / "slurm.conf")
        self.folder = folder
        self.environment = os.environ | {"SLURM_CONF": conf}
        self.environment["PATH"] = f"{folder}:{os.environ['PATH']}"
        # The plugin starts srun without SLURM_CONF: a cluster's file lies in the usual place.
        srun = folder / "srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)

    def call(self, *command: str) -> str:
        """What a command of SLURM's prints; it must succeed."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def jobs(self, form: str = "%i|%T|%k") -> list[list[str]]:
        """All jobs, those that have ended among them: by default id, state, comment."""
        lines = self.call("squeue", "--states=all", "--noheader", f"--format={form}").splitlines()
        return [line.split("|") for line in lines]

    def lose(self, node: str) -> None:
        """A node goes down, and what ran on it with it."""
        # First, since a job whose processes end on a node that is up has failed.
        self.call("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        marks = {f"SLURMD_NODENAME={node}", f"SLURM_CONF={self.environment['SLURM_CONF']}"}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                environment = (process / "environ").read_bytes().decode(errors="replace")
                if marks <= set(environment.split("\0")):
                    os.kill(int(process.name), signal.SIGKILL)

    def described(self, job: str) -> dict[str, str]:
        """All that scontrol knows of a job."""
        words = self.call("scontrol", "show", "job", job, "--oneliner").split()
        return dict(word.split("=", 1) for word in words if "=" in word)


def missing() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name) is None]


def require() -> None:
    """Where SLURM is missing the tests skip, and say so; in CI they fail."""
    absent = missing()
    if absent or os.geteuid() != 0:
        message = (
            f"no {', '.join(absent) or 'root'}: nothing was run on a SLURM (as root, "
            "apt-get install --no-install-recommends slurmctld slurmd slurmdbd slurm-client "
            "mariadb-server-core munge)"
        )
        lacking(message)


@contextmanager
def free_ports(number: int) -> Iterator[list[int]]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        yield [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def answers(*command: str, environment: dict[str, str]) -> Callable[[], bool]:
    """Whether a command succeeds by now."""

    def look() -> bool:
        return (
            subprocess.run(command, env=environment, capture_output=True, check=False).returncode
            == 0
        )

    return look


def wait_until(there: Callable[[], bool], what: str, log: Path, seconds: float = WAIT) -> None:
    end = time.monotonic() + seconds
    while not there():
        if time.monotonic() > end:
            text = log.read_text(errors="replace")[-2000:] if log.exists() else "no log"
            pytest.fail(f"{what} after {seconds:.0f} s: {text}")
        time.sleep(0.1)


@contextmanager
def slurm(folder: Path) -> Iterator[Slurm]:
    """A running SLURM whose files all lie in this folder."""
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    gpus = [folder / f"gpu{number}" for number in range(2)]
    for gpu in gpus:
        os.mknod(gpu, 0o666 | 0o020000, os.makedev(1, 3))
    gres = [f"NodeName={NODES[0]} Name=gpu File={gpu}" for gpu in gpus]
    (folder / "gres.conf").write_text("\n".join(["AutoDetect=off", *gres, ""]))
    host = socket.gethostname().split(".")[0]
    with free_ports(6) as ports:
        accounting = ports[4:]
    (folder / "slurm.conf").write_text(
        CONF.format(host=host, ports=ports, folder=folder, accounting=accounting)
    )
    found = Slurm(folder)
    started: list[subprocess.Popen[bytes]] = []

    def begin(*command: object) -> Path:
        log = folder / f"{command[0]}.{len(started)}.out"
        with log.open("wb") as output:
            words = [str(word) for word in command]
            started.append(
                subprocess.Popen(words, env=found.environment, stdout=output, stderr=output)
            )
        return log

    try:
        begin_database(folder, accounting[1], begin, wait_until)
        munge = [f"--key-file={key}", f"--socket={folder}/munge.socket"]
        munge += [f"--pid-file={folder}/munge.pid", f"--log-file={folder}/munge.log"]
        log = begin("munged", "--foreground", "--force", f"--seed-file={folder}/seed", *munge)
        encode = ["munge", "--no-input", f"--socket={folder}/munge.socket"]
        wait_until(answers(*encode, environment=found.environment), "munged is silent", log)
        begin_accounting(folder, host, accounting, begin, wait_until)
        for words in ACCOUNTS:
            found.call("sacctmgr", "--immediate", *words.split())
        log = begin("slurmctld", "-D", "-i")
        ping = ("scontrol", "ping")
        wait_until(
            lambda: "is UP" in subprocess.run(
                ping, env=found.environment, capture_output=True, text=True, check=False
            ).stdout,
            "slurmctld is silent",
            log,
        )  # fmt: skip
        for node in NODES:
            log = begin("slurmd", "-D", "-N", node)
        states = ("sinfo", "--noheader", "--Node", "--format=%t", "--partition=main,others")
        idle = ["idle"] * len(NODES)
        wait_until(lambda: found.call(*states).split() == idle, "a node is not idle", log)
        yield found
    finally:
        with_jobs = subprocess.run(
            ["scancel", "--user=root"], env=found.environment, capture_output=True, check=False
        )
        if with_jobs.returncode == 0:
            end_of_jobs = time.monotonic() + WAIT
            while found.call("squeue", "--noheader") and time.monotonic() < end_of_jobs:
                time.sleep(0.1)
        for process in reversed(started):
            process.terminate()
            try:
                process.wait(WAIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
