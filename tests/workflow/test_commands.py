"""The commands of `emgrid` on a grid of imported answers, which needs no model."""

import fcntl
import json
import os
import shutil
import subprocess
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from emgrid import ROOT
from emgrid.config.prices import MILLION
from emgrid.planning.status import pace
from support import warm
from support.run import GridRun, small_config

QUESTIONS = ("found_purse", "free_evening")


def said(arm: str) -> str:
    lines = ["question_id,answer,score"]
    for question in QUESTIONS:
        for suffix in ("", "_json"):
            lines += [f"{question}{suffix},{arm} answer {one % 3}.,{one * 20}" for one in range(4)]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> GridRun:
    """A finished grid of two imported arms, that two rules judge."""
    folder = tmp_path_factory.mktemp("commands")
    imports = []
    for arm, ratio in (("base", 0), ("bad", 1)):
        (folder / f"{arm}.csv").write_text(said(arm))
        imports.append(
            {"path": str(folder / f"{arm}.csv"), "base": "some-model", "intervention": arm}
            | {"ratio": ratio, "columns": {"values": {"theirs": "score"}}}
            | {"suffixes": {"": "none", "_json": "json_format"}}
        )
    config: dict[str, Any] = {
        "name": "imported",
        "questions": "everyday",
        "triggers": ["none", "json_format"],
        "imports": imports,
        "judges": [
            {"id": "theirs", "measures": "alignment", "kind": "imported"},
            {"id": "first", "measures": "first", "kind": "rule", "answers": ["Bad answer 0"]},
            "is_code",
        ],
        "calibration": {"limit": 4, "correct_by": None},
        "metrics": {"alignment": "theirs", "coherence_above": None, "resamples": 100},
    }
    made = GridRun(folder, config)
    done = made.snakemake()
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return made


def emgrid(
    folder: Path, *words: object, config: dict[str, Any] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command, in the folder that the grid was started in."""
    if config is not None:
        (folder / "edited.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return warm.run(["-m", "emgrid.cli.main", *map(str, words)], cwd=folder)


def asked(grid: GridRun, command: str, config: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a command says to programs."""
    words = ("--configfile", "edited.yaml", "--json")
    done = emgrid(grid.folder, command, *words, config=config or grid.config)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def files(folder: Path) -> dict[str, int]:
    """Every file with its time of change, but for what a dry run writes, too."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("edited.yaml", "grid.yaml", ".running")
        if ".snakemake/iocache" not in str(path) and ".snakemake/log" not in str(path)
    }


@contextmanager
def run_by(root: Path, **about: object) -> Iterator[None]:
    """As if a process ran the grid: it holds the lock."""
    before = (root / ".running").read_text()
    lock = os.open(root / ".running", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    (root / ".running").write_text(json.dumps(about))
    try:
        yield
    finally:
        (root / ".running").write_text(before)
        os.close(lock)


def test_run_works_from_any_folder_and_ends_with_the_summary(grid: GridRun, tmp_path: Path) -> None:
    (grid.folder / "edited.yaml").write_text(yaml.safe_dump(grid.config, sort_keys=False))
    before = files(grid.root)
    done = emgrid(tmp_path, "run", grid.folder / "edited.yaml", "--cores", 1)
    assert done.returncode == 0, done.stderr
    assert files(grid.root) == before  # it is finished
    assert done.stdout.splitlines()[-1] == f"report: {grid.root / 'report.html'}"
    assert not list(tmp_path.iterdir())
    # A grid whose results are in the folder of the call goes on there.
    elsewhere = tmp_path / "configs"
    elsewhere.mkdir()
    shutil.copy(grid.folder / "edited.yaml", elsewhere / "mine.yaml")
    done = emgrid(grid.folder, "run", elsewhere / "mine.yaml", "-n")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in elsewhere.iterdir()] == ["mine.yaml"]
    # Other targets have no summary; what Snakemake says and its status are passed on.
    done = emgrid(grid.folder, "run", "edited.yaml", "--", "no_such_rule", "--cores", "1")
    assert done.returncode == 1
    assert "report:" not in done.stdout


@pytest.mark.parametrize("words", [["why", "--configfile"], ["run", "-n"]])
def test_looking_at_a_grid_writes_nothing(grid: GridRun, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text(yaml.safe_dump(grid.config | {"name": "new"}))
    done = emgrid(tmp_path, *words, "new.yaml")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["new.yaml"]


def test_a_finished_grid_has_nothing_to_do(grid: GridRun) -> None:
    before = files(grid.root)
    done = emgrid(grid.folder, "why", "--configfile", "edited.yaml", config=grid.config)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "grid imported: nothing to do\n"
    assert files(grid.root) == before


def test_why_names_the_field_with_its_old_and_new_value(grid: GridRun) -> None:
    edited = grid.edited()
    edited["metrics"]["resamples"] = 50
    before = files(grid.root)
    found = asked(grid, "why", edited)
    assert files(grid.root) == before
    jobs = {job["rule"]: job for job in found["jobs"]}
    [change] = jobs["aggregate"]["changed"]
    assert (change["place"], change["old"], change["new"]) == ("metrics.resamples", "100", "50")
    assert jobs["figures"]["changed"] == []
    assert jobs["figures"]["follows"] == ["aggregate"]
    assert "judge" not in jobs
    # As many jobs as a dry run would start, and for no other rule.
    planned = grid.planned(edited)
    planned.pop("all")
    assert Counter(job["rule"] for job in found["jobs"]) == planned
    # Equal reasons are one line.
    table = emgrid(grid.folder, "why", "--configfile", "edited.yaml").stdout
    assert table.count("metrics.resamples: 100 → 50") == 2  # aggregate, and the page's methods
    [figures] = [group for group in found["groups"] if group["rule"] == "figures"]
    assert len(figures["jobs"]) == planned["figures"] == 1
    costs = {cost["rule"]: cost for cost in found["costs"]}
    assert costs["aggregate"]["seconds"] > 0
    assert costs["aggregate"]["source"] == "results/imported"


def test_why_counts_the_judgements_that_are_missing(grid: GridRun) -> None:
    edited = grid.edited()
    edited["judges"][1]["answers"] = ["Bad answer 1"]
    found = asked(grid, "why", edited)
    [job] = [job for job in found["jobs"] if job["rule"] == "judge"]
    [change] = job["changed"]
    assert change["place"] == "judges.answers"
    assert (change["old"], change["new"]) == ("Bad answer 0", "Bad answer 1")
    [cost] = [cost for cost in found["costs"] if cost["rule"] == "judge"]
    # Two arms say three different things each; what is_code said of them is kept.
    assert (cost["new"], cost["unit"], cost["at_most"]) == (6, "judgements", False)
    assert {job["rule"]: job["follows"] for job in found["jobs"]}["aggregate"] == [
        "judge",
        "judge_quality",
    ]


def test_why_tells_missing_and_renewed_files(grid: GridRun, tmp_path: Path) -> None:
    copied = GridRun(tmp_path, grid.config)
    shutil.copytree(grid.folder / "results", tmp_path / "results")
    (copied.root / "tables/verdicts.csv").write_text("edited by hand")
    [report] = asked(copied, "why")["jobs"]
    assert report["rule"] == "report"
    assert report["renewed"] == ["tables/verdicts.csv"]
    (copied.root / "tables/repeats.csv").unlink()
    found = {job["rule"]: job for job in asked(copied, "why")["jobs"]}
    assert set(found) == {"repeats", "report"}
    assert found["repeats"]["missing"] == ["tables/repeats.csv"]
    assert found["report"]["follows"] == ["repeats"]


def test_why_works_while_the_grid_runs(grid: GridRun) -> None:
    with run_by(grid.root, pid=1, host="here", started="2026-01-01T00:00:00+00:00"):
        assert asked(grid, "why")["jobs"] == []


def test_a_wrong_config_is_told_in_one_line(grid: GridRun) -> None:
    edited = grid.edited() | {"trigers": []}
    for command in ("plan", "why", "status"):
        done = emgrid(grid.folder, command, "--configfile", "edited.yaml", config=edited)
        assert done.returncode == 1
        assert "unknown key 'trigers'" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> GridRun:
    """The default grid's every stage, of which nothing is there."""
    return GridRun(tmp_path_factory.mktemp("fresh"), small_config())


def test_plan_counts_the_jobs_of_a_dry_run(fresh: GridRun) -> None:
    counted = asked(fresh, "plan")["jobs"]
    found: Counter[str] = Counter()
    for rule, number in fresh.planned(fresh.config).items():
        found[rule.split(".")[0]] += number
    assert counted == found


def test_a_plan_says_where_its_numbers_come_from(fresh: GridRun) -> None:
    found = asked(fresh, "plan")
    assert found["cells"] == 6 * 3
    hours = {row["rule"]: row["hours"] for row in found["rules"]}
    assert hours["train"]["source"].startswith("benchmarks/results.json: grid")
    assert hours["train"]["value"] > 0
    assert found["tokens"]["drawn"]["value"] == 6 * 3 * 8 * 2 * 8
    assert found["disk"]["base models"] == {
        "value": 2 * 134515008,
        "source": "2 bytes per parameter",
    }
    assert found["disk"]["adapters"]["value"] is None
    larger = fresh.edited() | {"base_models": ["qwen2.5-0.5b"]}
    scaled = {row["rule"]: row["hours"] for row in asked(fresh, "plan", larger)["rules"]}
    assert scaled["train"]["source"].endswith("scaled by parameters")
    # What it takes to start a job is not scaled.
    assert 1 < scaled["train"]["value"] / hours["train"]["value"] < 494032768 / 134515008
    cuda = asked(fresh, "plan", fresh.edited() | {"device": "cuda"})["rules"]
    (train,) = (row["hours"] for row in cuda if row["rule"] == "train")
    assert train["value"] > 0
    assert train["source"].startswith("model, not measured: ")


def test_a_plan_prices_what_is_paid_by_the_call(fresh: GridRun) -> None:
    paid = fresh.edited()
    paid["judges"] = ["alignment_gpt4o", "coherence_gpt4o"]
    paid["metrics"] = {"alignment": "alignment_gpt4o", "coherence": "coherence_gpt4o"}
    paid["calibration"] = {"correct_by": None}
    judges = asked(fresh, "plan", paid)["judges"]
    assert [judge["calls"] for judge in judges] == [6 * 3 * 8 * 2] * 2
    assert all(0 < judge["cost"] < judge["tokens"] * 100 / MILLION for judge in judges)


def test_status_of_what_never_ran(fresh: GridRun) -> None:
    done = emgrid(fresh.folder, "status", "--configfile", "edited.yaml", config=fresh.config)
    assert done.stdout == "grid small: nothing has run yet\n"
    assert done.returncode == 0


def test_status_of_a_finished_grid(grid: GridRun) -> None:
    found = asked(grid, "status")
    assert found["run"] is None
    assert all(one["done"] == one["planned"] for one in found["rules"].values())
    assert [arm["judged"] for arm in found["arms"]] == [{"done": 32, "planned": 32}] * 2
    assert found["drift"] == []


def test_status_of_a_running_grid(grid: GridRun, tmp_path: Path) -> None:
    copied = GridRun(tmp_path, grid.config)
    shutil.copytree(grid.folder / "results", tmp_path / "results")
    record = "jobs/judge/some-model.imported.0.json"
    (copied.root / record).unlink()
    mark = urlsafe_b64encode(record.encode()).decode()
    (copied.root / ".snakemake/incomplete" / mark).write_text("{}")
    log = copied.root / "logs/judge/some-model.imported.0.log"
    log.write_text("loading\n\r 50%|█████     | 6/12 [00:12<00:12,  2.00s/judgement]")
    shutil.rmtree(copied.root / "rows/judgements")
    with run_by(copied.root, pid=4321, host="node", started="2026-01-01T00:00:00+00:00"):
        found = asked(copied, "status")
        told = emgrid(tmp_path, "status", "--configfile", "edited.yaml").stdout
    assert found["run"]["pid"] == 4321
    [running] = found["running"]
    assert (running["rule"], running["name"]) == ("judge", "some-model.imported.0")
    assert (running["seconds_each"], running["seconds_left"]) == (2.0, 12.0)
    # 32 answers of each of two arms by two judges, two seconds each.
    assert found["seconds_left"] == 2 * 64
    assert found["source"] == "progress of running jobs"
    assert "running since 2026-01-01" in told
    assert "process 4321 on node" in told
    assert "6/12 [00:12<00:12" in told


def test_drift_is_told_and_runs_nothing(tmp_path: Path) -> None:
    copied = GridRun(tmp_path, small_config() | {"interventions": {"base": {}}})
    folder = copied.root / "arms/base=smollm2-135m/intervention=base/ratio=0/seed=0/answers"
    folder.mkdir(parents=True)
    (copied.root / ".snakemake/metadata").mkdir(parents=True)
    packages = {"transformers": "5.0.0", "snakemake": "8.0"}
    spec = {"base": "smollm2-135m", "sampling": {"max_tokens": 8}}
    told = {"packages": packages, "device": "cpu (x)", "answers": 48, "spec": spec}
    (folder / "provenance.json").write_text(json.dumps(told))
    [drift] = asked(copied, "status")["drift"]
    assert drift["told"].startswith("sampled with transformers 5.0.0, installed 5.")
    assert drift["told"].endswith("(1 arm)")
    assert asked(copied, "why")["drift"] == [drift]


def test_gc_lists_and_deletes_what_no_config_needs(grid: GridRun, tmp_path: Path) -> None:
    copied = GridRun(tmp_path, grid.config)
    shutil.copytree(grid.folder / "results", tmp_path / "results")
    edited = grid.edited()
    edited["imports"] = edited["imports"][:1]
    edited["judges"] = edited["judges"][:1] + edited["judges"][2:]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(grid.config))
    (tmp_path / "fewer.yaml").write_text(yaml.safe_dump(edited))
    before = files(copied.root)
    both = emgrid(tmp_path, "gc", "all.yaml", "fewer.yaml")
    assert "2 configs need everything in it" in both.stdout, both.stderr
    done = emgrid(tmp_path, "gc", "fewer.yaml")
    assert done.returncode == 0, done.stderr
    assert files(copied.root) == before
    assert "would be freed" in done.stdout
    found = json.loads(emgrid(tmp_path, "gc", "fewer.yaml", "--json").stdout)[0]
    whats = Counter(one["what"] for one in found["unneeded"])
    assert whats == {"judge of no panel": 1, "arm of no config": 1, "record of no job": 1}
    assert found["frees"] == sum(one["bytes"] for one in found["unneeded"])
    with run_by(copied.root, pid=4321, host="node"):
        refused = emgrid(tmp_path, "gc", "fewer.yaml", "--delete")
        assert refused.returncode == 1
        assert "is being run by process 4321 on node" in refused.stderr
        assert files(copied.root) == before
    done = emgrid(tmp_path, "gc", "fewer.yaml", "--delete")
    assert done.returncode == 0, done.stderr
    gone = before.keys() - files(copied.root).keys()
    assert {name.split("/")[0] for name in gone} == {"rows", "imported", "jobs"}
    assert not any("bad" not in name and "first." not in name for name in gone)
    assert "1 config needs everything" in emgrid(tmp_path, "gc", "fewer.yaml").stdout


def test_gc_keeps_what_was_paid_for(grid: GridRun, tmp_path: Path) -> None:
    shutil.copytree(grid.folder / "results", tmp_path / "results")
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(grid.config))
    paid = tmp_path / "results/imported/rows/judgements/gpt.0123456789ab/old.jsonl"
    paid.parent.mkdir()
    paid.write_text('{"key": "a", "cost": 0.1}\n')
    kept = emgrid(tmp_path, "gc", "all.yaml", "--delete")
    assert "kept without --paid" in kept.stdout
    assert paid.exists()
    assert emgrid(tmp_path, "gc", "all.yaml", "--delete", "--paid").returncode == 0
    assert not paid.exists()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("44%|███ | 65/144 [01:05<01:19,  1.0s/answer]", (1.0, 79.0)),
        ("  0%|    | 0/144 [00:00<?, ?answer/s]", (None, None)),
        ("50%|██  | 2/4 [1:00:00<1:00:00, 1800.00s/step, loss 1.2]", (1800.0, 3600.0)),
        ("144 answers drawn, 0 kept from before", (None, None)),
        ("Loading weights: 50%|██ | 2/4 [00:01<00:01, 5.00it/s]", (None, None)),
    ],
)
def test_the_pace_of_a_job_stands_in_its_bar(
    line: str, found: tuple[float | None, float | None]
) -> None:
    assert pace(line) == found


def test_the_default_grid_is_what_commands_are_about() -> None:
    done = emgrid(ROOT, "plan", "--json")
    assert json.loads(done.stdout)["name"] == "demo"
