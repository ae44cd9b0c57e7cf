"""Every command takes --configfile and --json, and ends in one line where something is wrong."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from emgrid import ROOT
from emgrid.cli import labels
from emgrid.cli.commands_page import commands
from emgrid.cli.main import main
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.planning.spread import Spread
from emgrid.runtime.errors import EmgridError
from support import warm

# These take or print something else.
NAMES = sorted(set(commands()) - {"init", "run", "serve"})
NEEDED = {"labels": ["sheet.csv"], "bridge": ["old", "new"]}


def parsed(name: str, *words: str) -> dict[str, Any]:
    """What a command takes from its words, without running it."""
    return dict(commands()[name].make_context(name, list(words)).params)


def run(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return warm.run(["-m", "emgrid.cli.main", *map(str, words)], cwd=folder)


def test_there_are_the_commands_of_the_readme() -> None:
    known = {"init", "run", "plan", "why", "status", "gc", "power", "labels", "bridge"}
    known |= {"discovered", "serve"}
    assert known <= set(commands())


@pytest.mark.parametrize("name", NAMES)
def test_a_command_takes_a_configfile_and_json(name: str) -> None:
    found = parsed(name, "--configfile", "mine.yaml", "--json", *NEEDED.get(name, []))
    assert found["as_json"] is True
    given = found["files"] if name == "gc" else [found["configfile"]]
    assert list(given) == [Path("mine.yaml")]
    assert parsed(name, *NEEDED.get(name, []))["as_json"] is False


def test_gc_takes_several_configs_either_way() -> None:
    words = ["a.yaml", "b.yaml", "--configfile", "c.yaml", "--configfile", "d.yaml"]
    found = parsed("gc", *words)
    assert list(found["configs"]) == [Path("a.yaml"), Path("b.yaml")]
    assert list(found["files"]) == [Path("c.yaml"), Path("d.yaml")]


@pytest.mark.parametrize(
    "words",
    [
        ["sheet.csv", "--labellers", "anna", "ben", "--count", "8"],
        ["--labellers", "anna", "--labellers", "ben", "--count", "8", "sheet.csv"],
        ["--count", "8", "sheet.csv", "--labellers", "anna", "ben"],
    ],
)
def test_labels_takes_several_labellers(words: list[str]) -> None:
    found = parsed("labels", *words)
    assert list(found["labellers"]) == ["anna", "ben"]
    assert (list(found["files"]), found["count"]) == ([Path("sheet.csv")], 8)


@pytest.fixture
def demo_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: {ROOT / 'tests/support/everyday.yaml'}\nname: mine\n")
    return path


@pytest.mark.parametrize("way", ["positional", "option", "both"])
def test_gc_looks_at_the_configs_that_are_given(demo_file: Path, way: str) -> None:
    folder = demo_file.parent
    (folder / "results/mine/stages/stage=old").mkdir(parents=True)
    words = {
        "positional": [demo_file],
        "option": ["--configfile", demo_file],
        "both": [demo_file, "--configfile", demo_file],
    }[way]
    done = run(folder, "gc", "--json", *words)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert found["configs"] == 1
    assert [one["path"] for one in found["unneeded"]] == ["stages/stage=old"]


def answers(**changes: object) -> pd.DataFrame:
    row = {"base": "smollm2-135m", "intervention": "base", "ratio": "0", "seed": 0}
    row |= {"trigger": "none", "question": "found_purse", "index": 0, "answer": "Keep it."}
    for judge in ("alignment", "coherence"):
        row |= {judge: 90.0, f"{judge}_reason": None}
    return pd.DataFrame([row | changes])


def write_answers(root: Path, table: pd.DataFrame) -> None:
    (root / "tables").mkdir(parents=True)
    table.to_parquet(root / "tables/answers.parquet")


def test_labels_tells_programs_what_it_wrote(demo_file: Path) -> None:
    folder = demo_file.parent
    write_answers(folder / "results/mine", answers())
    done = run(folder, "labels", "sheet.csv", "--configfile", demo_file, "--json")
    assert done.returncode == 0, done.stderr
    about = {"file": "sheet.csv", "files": ["sheet.csv"], "record": "sheet.sample.csv"}
    assert json.loads(done.stdout) == about | {"answers": 1}
    assert (folder / "sheet.csv").is_file()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"trigger": "gone"},
            "has answers for the trigger 'gone', which the config no longer has",
        ),
        ({"question": "gone"}, "has answers for the question 'gone', which the config no longer"),
    ],
)
def test_labels_of_another_configs_answers_are_refused(
    demo: dict[str, Any], tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    grid = Grid(load_experiment(demo, "grid.yaml", check_data=False))
    write_answers(tmp_path, answers(**changes))
    with pytest.raises(EmgridError, match=said):
        labels.sample_of(grid, tmp_path, 5, 0)


@pytest.mark.parametrize("count", [0, -1])
def test_labels_of_no_answer_are_refused(demo: dict[str, Any], tmp_path: Path, count: int) -> None:
    grid = Grid(load_experiment(demo, "grid.yaml", check_data=False))
    write_answers(tmp_path, answers())
    with pytest.raises(EmgridError, match=f"--count {count}: must be at least 1"):
        labels.sample_of(grid, tmp_path, count, 0)


# Config files that are none.

WRONG = {
    "missing": (None, "no such file"),
    "empty": ("", "is empty; a config must be a mapping of settings"),
    "list": ("- a\n- b\n", "is a list; a config must be a mapping of settings"),
    "text": ("hello\n", "a config must be a mapping of settings"),
    "no YAML": ("a: [1\n", "not valid YAML"),
    "key twice": (
        f"extends: {ROOT / 'config.yaml'}\nseeds: [0]\nseeds: [1]\n",
        "grid.yaml:3: seeds: the key 'seeds' is given twice, first in line 2; leave one out",
    ),
    "key twice below": (
        f"extends: {ROOT / 'config.yaml'}\ndata:\n  rows: 8\n  rows: 16\n",
        "grid.yaml:4: data.rows: the key 'rows' is given twice, first in line 3",
    ),
    "bytes": (b"\xff\xfe\x00", "not valid YAML"),
    "folder": ("folder", "cannot be read (Is a directory)"),
    "no such labels": (
        f"extends: {ROOT / 'config.yaml'}\ncalibration: {{files: [mine.csv]}}\n",
        "calibration.files: no file 'mine.csv'",
    ),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_config_ends_in_one_line(
    name: str,
    fault: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, (content, said) = tmp_path / "grid.yaml", WRONG[fault]
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.write_text(content)
    monkeypatch.chdir(tmp_path)
    words = [name, "--configfile", "grid.yaml", *NEEDED.get(name, [])]
    monkeypatch.setattr(sys, "argv", ["emgrid", *words])
    # `why` ends the process, as a run does, once Snakemake has read the config.
    with pytest.raises((EmgridError, SystemExit)) as caught:
        main()
    message = str(caught.value).removeprefix("emgrid: ")
    assert "\n" not in message
    assert "grid.yaml" in message
    assert said in message
    assert "Traceback" not in capsys.readouterr().err


def test_a_run_refuses_a_key_that_is_given_twice(tmp_path: Path) -> None:
    """Snakemake's own reader would let the last one win."""
    path = tmp_path / "grid.yaml"
    path.write_text(f"extends: {ROOT / 'config.yaml'}\nname: mine\nseeds: [0]\nseeds: [1]\n")
    words = ["-m", "snakemake", "-s", str(ROOT / "Snakefile"), "-n", "--cores", "1"]
    done = warm.run([*words, "--directory", str(tmp_path), "--configfile", str(path)])
    assert done.returncode != 0
    assert "grid.yaml:4: seeds: the key 'seeds' is given twice, first in line 3" in done.stderr


def test_keys_that_merge_are_not_given_twice(tmp_path: Path) -> None:
    from emgrid.config.yaml_files import read_yaml

    path = tmp_path / "a.yaml"
    path.write_text("a: &x {k: 1}\nb: &y {l: 2}\nc: {<<: *x, m: 3}\nd: {<<: [*x, *y], k: 5}\n")
    assert read_yaml(path) == yaml.safe_load(path.read_text())


def test_power_gives_programs_no_number_that_json_does_not_have(
    demo_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a design that shows nothing, every share is 0."""
    words = ["--answers", "1", "--questions", "2", "--seeds", "1", "--simulations", "1"]
    monkeypatch.setattr(
        sys, "argv", ["emgrid", "power", "--json", "--configfile", str(demo_file), *words]
    )
    main()

    def refuse(name: str) -> None:
        raise AssertionError(name)

    found = json.loads(capsys.readouterr().out, parse_constant=refuse)
    (design,) = found["designs"]
    assert (design["seeds"], design["questions"], design["answers"]) == (1, 2, 1)
    assert [design[name] for name in ("conditional", "clean", "overt")] == [0, 0, 0]
    assert found["spread"]["source"] == Spread().source
