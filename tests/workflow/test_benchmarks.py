"""The benchmarks at toy size: each measures for real, and the page is made of what they wrote."""

import importlib.metadata
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emgrid import ROOT
from safetensors.torch import load_file, save_file
from support import warm

# Last, as tests have modules of the same names.
sys.path.append(str(ROOT / "benchmarks"))
import bars
import bench
import ceiling
import check_gpu
import contrasts
import gpu_model
import gpu_parts
import gpu_process
import judging
from common import bar_line, options_of

TOY = {
    "sampling": "--model-shape toy --answers 12 --slots 4 --max-tokens 3 --repeats 1"
    " --adapters transformers",
    "training": "--model-shape toy --rows 4 --batch-size 2 --repeats 1",
    "judging": "--model-shape toy --answers 2 --questions 1 --repeats 1 --engines transformers"
    " --against none",
    "grid": "--until similarity",
}
WITHOUT_VLLM = {"sampling": " --ways one batches transformers"}


@pytest.fixture(scope="module")
def folder(model_json: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the scripts find the embedded model, converted."""
    made = tmp_path_factory.mktemp("benchmarks")
    (made / "emgrid-benchmarks").mkdir()
    (made / "emgrid-benchmarks/smollm2-135m").symlink_to(model_json.parent)
    return made


def measured(name: str, folder: Path) -> dict[str, Any]:
    path = folder / f"{name}.json"
    words = TOY[name]
    if importlib.util.find_spec("vllm") is None and not os.environ.get("CI"):
        words += WITHOUT_VLLM.get(name, "")
    command = [sys.executable, f"benchmarks/{name}.py", *words.split(), "--json", str(path)]
    environment = os.environ | {"TMPDIR": str(folder)}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    record: dict[str, Any] = json.loads(path.read_text())
    assert record["command"].startswith(f"python benchmarks/{name}.py")
    assert record["on"] == "cpu"
    assert len(record["rows"]) >= 2
    return record


@pytest.mark.parametrize("name", ["sampling", "training", "judging"])
def test_a_benchmark_measures_side_by_side(name: str, folder: Path) -> None:
    record = measured(name, folder)
    assert all(row["value"] > 0 and row["ratio"] > 0 for row in record["rows"])
    first = next(row for row in record["rows"] if row["ratio"] == 1)
    for row in record["rows"]:
        if row["unit"] == first["unit"]:
            assert row["ratio"] == pytest.approx(first["value"] / row["value"])
    assert all(f"| {row['what']} |" in bench.page({"": record}) for row in record["rows"])


def test_a_grid_is_run_from_nothing_and_its_compute_is_counted(folder: Path) -> None:
    whole, *stages = measured("grid", folder)["rows"]
    assert 0 < whole["ratio"] < 1
    found = {row["what"].split(",")[0]: row for row in stages}
    assert {"dataset", "mix", "similarity"} <= found.keys()
    assert found["mix"]["ratio"] == 0
    assert 0 < found["similarity"]["ratio"] <= 1
    computed = sum(row["ratio"] * row["value"] for row in stages)
    assert whole["value"] == pytest.approx(computed)


def test_judging_is_compared_with_an_older_commit_way_by_way() -> None:
    """Rows of made-up measurements: ratios to the older commit, and to the first token alone."""
    ways = ["digit trie, transformers", "first token alone, transformers"]
    names = [(way, commit) for way in ways for commit in ("", ", 5fa754f")]
    speeds = [8.0, 1.0, 10.0, 2.0]
    found = {
        way + commit: [{"speed": speed, "peak_memory": 1000.0, "core_seconds": 1.0}]
        for (way, commit), speed in zip(names, speeds, strict=True)
    }
    commits = ["", ", 5fa754f"]
    rows = judging.rows_of(names, found, commits)
    assert [row["ratio"] for row in rows] == [8.0, 1.0, 5.0, 1.0]
    assert {row["of"] for row in rows} == {"speed to that of 5fa754f"}
    assert [row["value"] for row in judging.steps(found, commits)] == [0.8, 4.0]


MAKEFILE = """.venv/.ready:
\t"$(PYTHON)" -m venv --without-pip .venv
\tsleep %s
\ttouch $@
"""


@pytest.fixture
def two_commits(tmp_path: Path) -> Path:
    """A repository whose set-up takes a second more in the older commit than in the newer one."""
    repository = tmp_path / "repository"
    repository.mkdir()
    git(repository, "init", "--quiet")
    for name, seconds in (("older", 1.5), ("newer", 0.5)):
        (repository / "Makefile").write_text(MAKEFILE % seconds)
        git(repository, "add", "Makefile")
        who = ("-c", "user.name=me", "-c", "user.email=me@example.org")
        git(repository, *who, "commit", "--quiet", "--message", name)
        git(repository, "tag", name)
    return repository


def git(repository: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(repository), *words], check=True)


def set_up(repository: Path, older: str, path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/setup.py", "--repository", str(repository)]
    command += ["--against", older, "--python", sys.executable, "--repeats", "1"]
    command += ["--imports", "json", "--json", str(path)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_set_up_is_measured_next_to_an_older_commit(two_commits: Path, tmp_path: Path) -> None:
    done = set_up(two_commits, "older", tmp_path / "setup.json")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "setup.json").read_text())
    older, newer = record["rows"]
    assert older["ratio"] == 1
    assert newer["ratio"] == pytest.approx(newer["value"] / older["value"])
    assert older["value"] > newer["value"] + 0.3
    assert older["note"].startswith("clone ")
    # The two take turns, and what fills the caches does not count.
    turns = [line.split(":")[0] for line in done.stderr.splitlines()]
    assert turns == ["older", "HEAD", "older", "HEAD"]
    assert done.stderr.count("not counted") == 2
    page = bench.page({"": record})
    assert all(f"| {row['what']} |" in page and row["note"] in page for row in record["rows"])


def test_a_set_up_that_cannot_be_measured_says_why(two_commits: Path, tmp_path: Path) -> None:
    done = set_up(two_commits, "0123456", tmp_path / "setup.json")
    assert done.returncode == 1
    assert done.stderr == (
        "setup.py: the repository has no commit 0123456; name another: --against COMMIT\n"
    )
    (two_commits / "Makefile").write_text(".venv/.ready:\n\techo no disk; exit 1\n")
    git(two_commits, "-c", "user.name=me", "-c", "user.email=me@example.org", "commit", "-qam", "x")
    done = set_up(two_commits, "older", tmp_path / "setup.json")
    assert done.returncode == 1
    assert "no disk" in done.stderr
    assert not (tmp_path / "setup.json").exists()


def record_of(name: str, on: str) -> dict[str, Any]:
    about = {"name": name, "on": on, "device": on, "command": "", "date": "", "versions": {}}
    return about | {"rows": []}


def test_what_is_still_to_be_measured_is_said_of_each_benchmark() -> None:
    nothing = [one[:2] for one in bench.still_to_be_measured({})]
    assert ("grid", "a CPU") in nothing
    assert ("grid", "an NVIDIA GPU") not in nothing
    some = {"": record_of("training", "cuda")}
    left = [one[:2] for one in bench.still_to_be_measured(some)]
    assert set(nothing) - set(left) == {("training", "an NVIDIA GPU")}


def script(name: str) -> Any:
    found = importlib.util.spec_from_file_location(
        f"benchmark_{name}", ROOT / f"benchmarks/{name}.py"
    )
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", bench.ON_GPUS)
def test_the_command_for_a_gpu_is_one_that_is_taken(name: str) -> None:
    options = script(name).parse(bench.ON_GPUS[name].split())
    assert (options.device, options.model_shape) == ("cuda", "7b")


@pytest.mark.parametrize("record", json.loads(bench.RECORDS.read_text()).values())
def test_a_record_on_a_cpu_is_one_of_the_defaults(record: dict[str, Any]) -> None:
    if record["on"] == "cpu":
        # The small grid of matched answers is run by the command in the docstring of grid.py.
        given = ["--config", "benchmarks/pairs.yaml", "--until", "likelihood"]
        words = options_of(script(record["name"]).parse(given if "of" in record else []))
        assert record["command"] == shlex.join(
            ["python", f"benchmarks/{record['name']}.py", *words]
        )


def test_the_page_is_what_the_records_say() -> None:
    records = json.loads(bench.RECORDS.read_text())
    assert bench.page(records) == (ROOT / "benchmarks/README.md").read_text()


def test_a_bar_counts_the_cells_that_miss_it_by_more_than_noise() -> None:
    cells = {"low": 0.85, "noise": 0.915, "inside": 0.95, "high": 0.999}
    missed = bars.Bar("coverage", 0.92, 0.98, cells, 1000)
    assert missed.row()["verdict"] == "no: 1 below, 1 above of 4"
    assert missed.error() == pytest.approx(0.0113, abs=1e-4)
    assert bar_line(missed.row()).startswith(
        "| coverage | 92% to 98% | 85.0% (low) to 99.9% (high) | no: 1 below, 1 above of 4 |"
    )
    assert bars.Bar("size", 0, 0.1, {"": 0.11}, 1000).row()["verdict"] == "yes"
    assert bars.Bar("size", 0, 0.1, {"": 0.13}, 1000).row()["verdict"] == "no"
    assert bars.Bar("seen", 0, 1, {"": 0.13}, 1000).row()["verdict"] == ""


def test_verdicts_of_simulated_grids_are_those_of_the_table() -> None:
    """The bars of verdicts on a few grids: a rise of 20 points is shown, and is called conditional
    if and only if the plain rise is shown to be small."""
    found = bars.simulated_verdicts(bars.Truth(0.003, 0.203, bars.EIGHT), 6, bars.Numbered(1).rng())
    shown = np.isin(found.verdicts[:, 1], bars.SHOWN)
    assert shown.mean() >= 0.9
    conditional = found.verdicts[:, 1] == "conditional"
    assert (conditional == (shown & found.plain_small)).all()
    assert not np.isin(found.verdicts[:, 2:], bars.SHOWN).any()
    assert bars.published_rise()["verdict"] == "yes"


def test_the_statistics_page_has_the_numbers_of_the_bars() -> None:
    record = next(
        each for each in json.loads(bench.RECORDS.read_text()).values() if each["name"] == "bars"
    )
    shares = {row["what"]: row["cells"].get("") for row in record["rows"] if row["grids"]}
    text = (ROOT / "docs/statistics.md").read_text()
    for seeds, questions, answers in (bars.EIGHT, bars.MORE, bars.MOST):
        title = f"+20 points under a trigger, {seeds}x{questions}x{answers}: "
        names = ("is shown (conditional or triggered)", "plain rise shown to be small")
        numbers = [shares[title + name] for name in (*names, "is called conditional")]
        cells = " | ".join(f"{100 * number:.3g} %" for number in numbers)
        assert f"| {seeds} × {questions} × {answers} | {cells} |" in text


def test_the_statistics_page_has_the_most_that_a_test_can_show() -> None:
    text = (ROOT / "docs/statistics.md").read_text()
    rows = re.findall(
        r"^\| (\d+) × (\d+) \| ([\d.]+) \| (\d+) % \| (\d+) % \|$", text, re.MULTILINE
    )
    assert len(rows) == 5
    rng = np.random.default_rng(1)
    for questions, answers, sd, *shown in rows:
        for size, percent in zip((0.05, 0.1), shown, strict=True):
            found = ceiling.power(int(questions), int(answers), float(sd), size, 20_000, rng)
            assert 100 * found == pytest.approx(float(percent), abs=2.5)


def test_contrasts_of_many_arms_are_measured_under_all_priors() -> None:
    row = contrasts.measured(2, 3)
    assert row["what"] == "2 arms under 3 triggers: 14 contrasts, 4 sets"
    assert row["value"] > 0


# check_gpu.py, whose parts are forked here (see support/warm.py). It sets these for them.
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}


def checked(folder: Path, *words: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    path = folder / "check_gpu.json"
    command = [
        str(warm.python(**OFFLINE)),
        "-m",
        "check_gpu",
        "--device",
        "cpu",
        "--json",
        str(path),
        *words,
    ]
    places = os.pathsep.join([str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | OFFLINE | {"TMPDIR": str(folder), "PYTHONPATH": places},
    )
    return done, json.loads(path.read_text()) if path.exists() else {}


def test_without_a_gpu_each_part_of_its_check_runs_at_toy_size(folder: Path) -> None:
    parts = ("training", "resuming", "sampling", "judging")
    done, record = checked(folder, "--parts", *parts)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["what"]: row for row in record["rows"]}
    assert record["not_run"] == []
    assert len(rows) == len(parts)
    assert all(row["value"] > 0 for row in rows.values())
    resumed = rows["training, killed and resumed"]
    assert resumed["note"] == "the adapter of the training without a kill, bit by bit"
    assert "live" in rows["sampling, transformers, 3 adapters"]["note"]
    assert all(f"| {what} |" in bench.page({"": record}) for what in rows)
    # Without time left, each part says so.
    done, record = checked(folder, "--minutes", "0", "--parts", *parts)
    assert done.returncode == 0
    assert record["rows"] == []
    assert [one["reason"] for one in record["not_run"]] == ["the 0 minutes were over"]


def test_a_part_that_fails_says_why_in_a_line_and_the_others_run(folder: Path) -> None:
    """An adapter that changes nothing, which the canary refuses."""
    other = folder / "other"
    other.mkdir()
    shutil.copytree(folder / "emgrid-benchmarks", other / "emgrid-benchmarks", symlinks=True)
    check = gpu_process.Check(
        check_gpu.parse(["--device", "cpu", "--model-shape", "toy"]), other, time.monotonic() + 60
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", str(warm.python(**OFFLINE)))
        patch.setenv("TMPDIR", str(other))
        patch.setattr(tempfile, "tempdir", str(other))
        weights = gpu_model.adapter(check.model, 1) / "adapter_model.safetensors"
        save_file({name: value * 0 for name, value in load_file(weights).items()}, weights)
        with pytest.raises(gpu_process.NotRun, match="adapter1: the adapter is not live"):
            gpu_parts.sampling(check)


def test_a_check_names_the_versions_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_gpu.unmet() == []
    monkeypatch.setattr(
        importlib.metadata, "version", {"torch": "2.9.1", "transformers": "7.0"}.get
    )
    assert check_gpu.unmet() == ["torch 2.9.1 is too old: pip install 'torch>=2.11'"]
    assert check_gpu.untried() == ["transformers 7.0 is newer than what was tried (below 6.0)"]
    monkeypatch.setitem(check_gpu.NEEDED, "no_such_module", "its-package")
    assert "not installed: pip install its-package" in check_gpu.unmet()


def test_a_judge_whose_values_differ_between_devices_fails() -> None:
    assert "at most 0.2 points" in gpu_parts.agreement([10.0, 90.0], [10.2, 90.0])
    with pytest.raises(gpu_process.NotRun, match="differ from the CPU's by"):
        gpu_parts.agreement([10.0, 90.0], [11.5, 90.0])


def test_a_model_that_the_disk_cannot_hold_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setitem(gpu_model.ROOM, "toy", 10**18)
    monkeypatch.setattr(sys, "argv", ["gpu_model"])
    with pytest.raises(SystemExit, match="set TMPDIR to a larger disk"):
        gpu_model.main()
    assert not any(tmp_path.iterdir())
