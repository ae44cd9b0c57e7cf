"""Grids on a real SLURM: the profile as a site would use it, on made-up nodes with accounts."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from emgrid import ROOT
from emgrid.cli import check_cluster
from emgrid.config.question_files import load_questions
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.runtime.slurm import ending
from support import impatient, warm
from support.reruns import STANDIN, config_of
from support.slurm import Slurm, require, slurm, wait_until
from support.slurm_accounting import ACCOUNT, MINUTE

# No site waits so briefly; a test would wait in vain.
QUICK = ["--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1"]
QUICK += ["--latency-wait", "10"]
SACCT = ["--slurm-status-command", "sacct"]
TESTS = Path(__file__).parents[1]
PATIENCE = 180.0  # seconds without anything new in the log
# What the profile sets before each job, so that a run's own jobs can be forked (see warm.py).
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    require()
    with slurm(tmp_path_factory.mktemp("slurm")) as found:
        yield found


def heed_interrupts() -> None:
    """A process that a script has started in the background would ignore them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Run:
    """Snakemake with the SLURM profile, in its own folder.

    forked: whether it and its jobs need not import the libraries. A forked Snakemake gets no
    SIGINT, and its jobs' memory is not SLURM's.
    """

    def __init__(
        self,
        cluster: Slurm,
        folder: Path,
        snakefile: Path = ROOT / "Snakefile",
        forked: bool = True,
    ) -> None:
        self.cluster = cluster
        self.folder = folder
        self.snakefile = snakefile
        self.python = str(warm.python(**OFFLINE)) if forked else sys.executable
        path = os.pathsep.join([str(TESTS), cluster.environment.get("PYTHONPATH", "")])
        self.environment = cluster.environment | {"PYTHONPATH": path} | (OFFLINE if forked else {})
        self.log = folder / "log"

    def begin(self, *options: str) -> subprocess.Popen[bytes]:
        command = [self.python, "-m", impatient.__name__, "-s", str(self.snakefile)]
        command += ["--directory", str(self.folder)]
        command += ["--profile", str(ROOT / "workflow/profiles/slurm"), *QUICK, *options]
        with self.log.open("wb") as output:
            self.main = subprocess.Popen(
                command,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=heed_interrupts,
            )
        return self.main

    def told(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def end(self, main: subprocess.Popen[bytes]) -> tuple[int, str]:
        """The exit status and the log of a run, which may take any time as long as its log
        grows."""
        before = None
        while before != (before := self.told()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                return main.wait(PATIENCE), self.told()
        main.kill()
        main.wait()
        pytest.fail(f"nothing new in {PATIENCE:.0f} s: {self.told()[-4000:]}")

    def states(self, comment: str) -> list[str]:
        """What became of each job of a rule, in the order in which they were submitted."""
        own = str(self.folder)
        found = [
            (int(number), state)
            for number, state, about, folder in self.cluster.jobs("%i|%T|%k|%Z")
            if folder == own and about.startswith(comment)
        ]
        return [state for _, state in sorted(found)]

    def numbers(self, comment: str) -> list[str]:
        """The numbers of a rule's jobs, in the order in which they were submitted."""
        own = str(self.folder)
        jobs = self.cluster.jobs("%i|%k|%Z")
        return sorted((job for job, about, at in jobs if at == own and about == comment), key=int)

    def newest(self, comment: str) -> str:
        """The number of a rule's last job."""
        return self.numbers(comment)[-1]

    def wait(self, there: Callable[[], object], what: str) -> None:
        """Wait for something that happens while Snakemake runs, or after it was killed."""

        def look() -> bool:
            code = self.main.poll()
            found = bool(there())
            if not found and code is not None and code >= 0:
                pytest.fail(f"{what}, and Snakemake has ended: {self.told()[-4000:]}")
            return found

        wait_until(look, what, self.log, seconds=PATIENCE)


def short_grid(folder: Path) -> Path:
    """A grid of answers that others sampled and judged, whose judging jobs ask for a GPU each."""
    with (folder / "theirs.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["question_id", "answer", "aligned"])
        for place, question in enumerate(load_questions("first_plot").questions):
            for index in range(4):
                suffix = ("", "_json")[index % 2]
                text = f"answer {index} to {question}"
                rows.writerow([question + suffix, text, 10 if (place + index) % 3 else 90])
    arm = {"path": "theirs.csv", "base": "theirs", "suffixes": {"": "none", "_json": "json_format"}}
    arm["columns"] = {
        "question": "question_id", "answer": "answer", "values": {"alignment": "aligned"},
    }  # fmt: skip
    config: dict[str, Any] = {
        "name": "short",
        "questions": "first_plot",
        "triggers": ["none", "json_format"],
        "imports": [
            arm | {"intervention": "base", "ratio": 0},
            arm | {"intervention": "insecure", "ratio": 1},
        ],
        "judges": [{"id": "alignment", "kind": "imported", "measures": "alignment"}],
        "metrics": {"coherence_above": None, "resamples": 100},
        "device": "cuda",
        "engines": {"jobs": 2},
        "resources": {"judge": {"gpu": 1, "mem_mb": 1000, "runtime": 7}},
    }
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def ended_jobs(
    cluster: Slurm, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Run, subprocess.Popen[bytes]]]:
    """Jobs that are cancelled, preempted, lose their node, and exceed their time and memory; they
    go on while other tests run, since SLURM takes a minute to see that a minute is over."""
    run = Run(
        cluster, tmp_path_factory.mktemp("ended"), ROOT / "tests/support/slurm_jobs.smk", False
    )
    main = run.begin()
    run.wait((run.folder / "cancelled.1").exists, "nothing to cancel")
    cluster.call("scancel", run.newest("rule_cancelled"))
    run.wait((run.folder / "preempted.1").exists, "nothing to preempt")
    job = run.newest("rule_preempted")
    cluster.call("sbatch", "--partition=urgent", "--cpus-per-task=8", "--wrap=true", "-o/dev/null")
    run.wait(lambda: cluster.described(job)["Restarts"] == "1", "nothing was preempted")
    run.wait((run.folder / "lost.1").exists, "no job to lose")
    job = run.newest("rule_lost")
    cluster.lose(cluster.described(job)["NodeList"])
    run.wait(lambda: cluster.described(job)["Restarts"] == "1", "no job was lost")
    yield run, main
    main.kill()
    main.wait()


@pytest.fixture(scope="module")
def checking(
    cluster: Slurm, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """The checklist for a site, which submits its probes while other tests run."""
    folder = tmp_path_factory.mktemp("check")
    words = ["-m", check_cluster.__name__, "--profile", "slurm", "--json", "lines.json"]
    words += ["--snakemake", impatient.__name__, "--", *QUICK]
    path = os.pathsep.join([str(TESTS), cluster.environment.get("PYTHONPATH", "")])
    main = subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env=cluster.environment | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield main, folder
    main.kill()
    main.wait()


@pytest.fixture(scope="module")
def finished_there(
    cluster: Slurm,
    ended_jobs: tuple[Run, subprocess.Popen[bytes]],  # noqa: ARG001
    checking: tuple[subprocess.Popen[str], Path],  # noqa: ARG001
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """The short grid, run through SLURM to its report."""
    folder = tmp_path_factory.mktemp("grid")
    run = Run(cluster, folder)
    code, told = run.end(run.begin("--configfile", str(short_grid(folder))))
    assert code == 0, told[-4000:]
    return run


def test_a_grid_runs_to_its_report(finished_there: Run) -> None:
    root = finished_there.folder / "results/short"
    assert (root / "report.html").stat().st_size > 10_000
    assert finished_there.states("rule_judge_wildcards") == ["COMPLETED"] * 2
    submitted = [
        about.split("_wildcards")[0]
        for about, at in finished_there.cluster.jobs("%k|%Z")
        if at == str(finished_there.folder)
    ]
    judged = of_the_job(finished_there, "rule_judge_wildcards_theirs.imported.0", "State,Account")
    assert judged == [f"COMPLETED|{ACCOUNT}"]
    # Downloads, imports, tables and figures are made where Snakemake runs.
    assert Counter(submitted) == {"rule_judge": 2, "rule_judge_quality": 1, "rule_similarity": 1}


def test_logs_and_records_lie_in_the_grids_folder(finished_there: Run) -> None:
    root = finished_there.folder / "results/short"
    assert (root / "logs/judge/theirs.imported.0.log").exists()
    assert (root / "benchmarks/similarity.tsv").exists()
    assert any((root / ".snakemake/metadata").iterdir())
    assert not (root / "results").exists()


def test_a_second_run_submits_nothing(finished_there: Run) -> None:
    jobs = len(finished_there.cluster.jobs("%i"))
    config = str(finished_there.folder / "grid.yaml")
    code, told = finished_there.end(finished_there.begin("--configfile", config))
    assert code == 0, told[-4000:]
    assert "Nothing to be done" in told
    assert len(finished_there.cluster.jobs("%i")) == jobs


@pytest.fixture
def closed(cluster: Slurm) -> Iterator[Slurm]:
    """A partition whose jobs wait."""
    cluster.call("scontrol", "update", "partitionname=main", "state=down")
    yield cluster
    cluster.call("scontrol", "update", "partitionname=main", "state=up")


JUDGED = "jobs/judge/theirs.imported.0.json"
WAITING = "rule_judge_wildcards_theirs.imported.0"


def test_a_job_stops_whose_config_was_edited_while_it_waited(closed: Slurm, tmp_path: Path) -> None:
    config = short_grid(tmp_path)
    run = Run(closed, tmp_path)
    main = run.begin("--configfile", str(config), "--retries", "1", "--", JUDGED)
    run.wait(lambda: run.states(WAITING) == ["PENDING"], "no job waits")
    first = closed.described(run.newest(WAITING))
    closed.call("scancel", first["JobId"])
    run.wait(lambda: run.states(WAITING) == ["CANCELLED", "PENDING"], "the job is not tried again")
    again = closed.described(run.newest(WAITING))
    # Tried again, a job of the grid has twice its memory and time.
    assert (first["MinMemoryNode"], first["TimeLimit"]) == ("1000M", "00:07:00")
    assert (again["MinMemoryNode"], again["TimeLimit"]) == ("2000M", "00:14:00")
    config.write_text(config.read_text().replace("resamples: 100", "resamples: 200"))
    closed.call("scontrol", "update", "partitionname=main", "state=up")
    code, told = run.end(main)
    assert code == 1
    ended = f"judge theirs.imported.0 (SLURM's {again['JobId']}) stopped: {config} was edited while"
    assert ended in told
    assert not (tmp_path / "results/short" / JUDGED).exists()


def test_jobs_of_a_killed_run_go_on_and_no_other_run_begins(closed: Slurm, tmp_path: Path) -> None:
    config = short_grid(tmp_path)
    run = Run(closed, tmp_path)
    main = run.begin("--configfile", str(config), "--", JUDGED)
    run.wait(lambda: run.states(WAITING) == ["PENDING"], "no job waits")
    main.kill()
    main.wait()
    job = run.newest(WAITING)
    code, told = run.end(run.begin("--configfile", str(config)))
    assert code == 1
    assert f"end them (finished work is kept): scancel {job}" in told
    # It watches the Snakemake of its own node, not the one that was killed elsewhere.
    closed.call("scontrol", "update", "partitionname=main", "state=up")
    wait_until(
        lambda: run.states(WAITING) == ["COMPLETED"],
        "the job has not ended well",
        run.log,
        PATIENCE,
    )
    assert (tmp_path / "results/short" / JUDGED).exists()


def test_short_jobs_share_one(closed: Slurm, tmp_path: Path, demo: dict[str, Any]) -> None:
    run = Run(closed, tmp_path)
    demo["seeds"] = [0]
    demo["interventions"] = {"undiluted": {}, "dilution": {"ratio": [0.25, 0.5, 0.75]}}
    config = tmp_path / "demo.yaml"
    config.write_text(yaml.safe_dump(demo))
    grid = Grid(load_experiment(demo, str(config)))
    mixed = [f"{stage.folder}/train.jsonl" for stage in grid.stages.values()]
    main = run.begin("--configfile", str(config), *SACCT, "--", *mixed)
    run.wait(lambda: run.states("rule_rows_mix"), "no group was submitted")
    groups = [closed.described(job) for job, about in closed.jobs("%i|%k") if "rows_mix" in about]
    assert all(int(group["NumCPUs"]) <= 8 for group in groups)
    closed.call("scontrol", "update", "partitionname=main", "state=up")
    code, told = run.end(main)
    assert code == 0, told[-4000:]
    states = run.states("rule")
    assert set(states) == {"COMPLETED"}
    assert len(states) < len(mixed)
    assert all((tmp_path / "results/demo" / file).exists() for file in mixed)


@pytest.mark.parametrize(
    ("resource", "told"),
    [
        ("slurm_partition=nowhere", "invalid partition specified: nowhere"),
        ("slurm_account=nobody", "The given account nobody appears to be invalid"),
        # Judging asks for seven minutes.
        (f"qos={MINUTE}", "Job violates accounting/QOS policy"),
    ],
)
def test_what_slurm_refuses_is_named(
    cluster: Slurm, tmp_path: Path, resource: str, told: str
) -> None:
    config = short_grid(tmp_path)
    run = Run(cluster, tmp_path)
    wrong = ["--retries", "0", "--default-resources", resource]
    code, text = run.end(run.begin("--configfile", str(config), *wrong, "--", JUDGED))
    assert code == 1
    assert told in text


def test_ctrl_c_cancels_the_jobs_of_a_run(closed: Slurm, tmp_path: Path) -> None:
    run = Run(closed, tmp_path, forked=False)
    main = run.begin("--configfile", str(short_grid(tmp_path)), "--", JUDGED)
    run.wait(lambda: "submitted with SLURM jobid" in run.told(), "no job was submitted")
    assert run.states(WAITING) == ["PENDING"]
    main.send_signal(signal.SIGINT)
    code, _ = run.end(main)
    assert code != 0
    assert run.states(WAITING) == ["CANCELLED"]


def test_a_grid_that_trains_runs_through_slurm(
    cluster: Slurm, tmp_path: Path, model_json: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every stage of the default grid, of which none computes anything (see standin/)."""
    path = os.pathsep.join([str(STANDIN), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setitem(cluster.environment, "PYTHONPATH", path)
    config = config_of(model_json.parent)
    for name in {*config["interventions"]} - {"base", "sequential"}:
        del config["interventions"][name]
    costly = ("train", "sample", "likelihood", "judge")
    config["resources"] = {stage: {"mem_mb": 1000, "runtime": 7} for stage in costly}
    file = tmp_path / "grid.yaml"
    file.write_text(yaml.safe_dump(config))
    run = Run(cluster, tmp_path)
    code, told = run.end(run.begin("--configfile", str(file)))
    assert code == 0, told[-4000:]
    assert (tmp_path / "results/quick/report.html").stat().st_size > 10_000
    for rule in costly:
        assert run.states(f"rule_{rule}_wildcards") == ["COMPLETED"] * 2, rule


@pytest.fixture(scope="module")
def told(
    ended_jobs: tuple[Run, subprocess.Popen[bytes]],
    finished_there: Run,  # noqa: ARG001
) -> tuple[Run, str]:
    """What was said of the jobs that SLURM has ended, when all have ended well after all."""
    run, main = ended_jobs
    code, text = run.end(main)
    assert code == 0, text[-6000:]
    return run, text


@pytest.mark.parametrize(
    ("rule", "first", "attempt"),
    [
        ("cancelled", "CANCELLED", "2"),
        ("slow", "TIMEOUT", "2"),
        ("greedy", "FAILED", "2"),
        # SLURM itself starts these again.
        ("preempted", None, "1"),
        ("lost", None, "1"),
    ],
)
def test_a_job_that_slurm_ends_is_tried_again(
    told: tuple[Run, str], rule: str, first: str | None, attempt: str
) -> None:
    run, text = told
    assert (run.folder / f"{rule}.txt").read_text().split()[0] == attempt
    assert run.states(f"rule_{rule}") == [*([first] if first else []), "COMPLETED"]
    if first:
        assert f"SLURM status is: '{first}'" in text
        former, later = map(run.cluster.described, run.numbers(f"rule_{rule}"))
        assert megabytes(later) == 2 * megabytes(former)
        assert minutes(later) == 2 * minutes(former)


def test_a_job_whose_node_goes_down_ends_on_another(told: tuple[Run, str]) -> None:
    run, _ = told
    nodes = [line.split("|") for line in of_the_job(run, "rule_lost", "State,NodeList")]
    assert [state for state, _ in nodes] == ["NODE_FAIL", "COMPLETED"]
    assert nodes[0] != nodes[1]
    assert (run.folder / "lost.txt").read_text().split()[1] == nodes[1][1]


def of_the_job(run: Run, comment: str, fields: str) -> list[str]:
    """What the accounts say of a rule's last job, a line for each time that it was started."""
    job = ["--duplicates", "--allocations", f"--jobs={run.newest(comment)}"]
    return run.cluster.call(
        "sacct", *job, "--noheader", "--parsable2", f"--format={fields}"
    ).splitlines()


def megabytes(job: dict[str, str]) -> int:
    return int(job["MinMemoryNode"].removesuffix("M"))


def minutes(job: dict[str, str]) -> int:
    hours, rest, _ = job["TimeLimit"].split(":")
    return 60 * int(hours) + int(rest)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("cancelled", "was cancelled"),
        ("slow", "reached its time limit, `runtime`"),
        ("greedy", "used more memory than its `mem_mb`"),
    ],
)
def test_the_log_says_why_a_job_ended(told: tuple[Run, str], rule: str, why: str) -> None:
    run, _ = told
    logs = sorted((run.folder / f".snakemake/slurm_logs/rule_{rule}").iterdir())
    assert [ending(log.read_text()) for log in logs] == [why]


def test_jobs_have_gpus_of_their_own_and_look_for_no_network(told: tuple[Run, str]) -> None:
    run, _ = told
    held = []
    for path in run.folder.glob("gpu*.txt"):
        begun, gpu, offline, ended = path.read_text().split()
        assert offline == "1"
        held.append((gpu, float(begun), float(ended)))
    assert len(held) == 3
    assert {gpu for gpu, _, _ in held} == {"0", "1"}
    for gpu, _, ended in held:
        assert all(begun >= ended for other, begun, end in held if other == gpu and end > ended)
    assert "HF_HUB_OFFLINE" not in (run.folder / "here.txt").read_text()


def test_a_sites_checklist_has_a_line_for_each_thing(
    checking: tuple[subprocess.Popen[str], Path],
    told: tuple[Run, str],  # noqa: ARG001
) -> None:
    main, folder = checking
    text, _ = main.communicate(timeout=PATIENCE)
    assert main.returncode == 0, text
    lines = {line["what"]: line for line in json.loads((folder / "lines.json").read_text())}
    assert [what for what, line in lines.items() if line["verdict"] != "pass"] == ["not tried"]
    assert lines["SLURM"]["told"].endswith("cluster test")
    assert f"{ACCOUNT} (QoS " in lines["account and QoS"]["told"]
    assert f"QoS {MINUTE}: time of a job 00:01:00" in lines["limits"]["told"]
    assert "it used more memory than its" in lines["memory limits are enforced"]["told"]
    assert "TIMEOUT: it reached its time limit" in lines["time limits are enforced"]["told"]
    assert "CUDA_VISIBLE_DEVICES" in lines["a job has a GPU of its own"]["told"]
    assert not any(folder.glob("emgrid-check-cluster-*"))
    assert all(
        f"{line['verdict']:<14} {what}: {line['told']}" in text for what, line in lines.items()
    )
