"""Broken configs as people write them: each ends in one line with file, line, place and a way
out."""

from pathlib import Path

import pytest
from emgrid import ROOT
from emgrid.grid.controls import without_control
from emgrid.grid.snakefile import read_grid
from emgrid.runtime.errors import EmgridError

# The first two lines of every config; the others begin at line 3.
HEAD = f"extends: {ROOT / 'tests/support/everyday.yaml'}\nname: mine\n"
# The lines of a config, then the line, the place and the way out that its message gives.
BROKEN: dict[str, tuple[str, int, str, str]] = {
    "a key twice": ("seeds: [0]\ndevice: cpu\nseeds: [1]", 5, "seeds", "first in line 3"),
    "a section twice": (
        "training: {rank: 4}\ntraining:\n  epochs: 1",
        4,
        "training",
        "first in line 3; leave one out",
    ),
    "a key twice in a section": (
        "data:\n  rows: 8\n  rows: 16",
        5,
        "data.rows",
        "first in line 4; leave one out",
    ),
    "a key twice in an entry of a list": (
        "judges:\n- id: mine\n  kind: rule\n  id: yours",
        6,
        "judges.0.id",
        "first in line 4; leave one out",
    ),
    "an intervention twice": (
        "interventions:\n  base: {}\n  undiluted: {}\n  base: {label: x}",
        6,
        "interventions.base",
        "first in line 4",
    ),
    "a tab": ("data:\n\trows: 8", 4, "", "indented with a tab; use spaces"),
    "an open bracket": ("seeds: [0\nname2: x", 4, "", "expected"),
    "a colon too few": ("seeds [0]\ndevice: cpu", 3, "", "could not find expected ':'"),
    "a misspelt section": ("traning: {rank: 4}", 3, "", "did you mean 'training'?"),
    "a misspelt key": ("training:\n  rnak: 4", 4, "training", "did you mean 'rank'?"),
    "a misspelt key of sampling": (
        "sampling:\n  max_tokens: 8\n  temprature: 1",
        5,
        "sampling",
        "did you mean 'temperature'?",
    ),
    "seeds as a number": ("seeds: 0", 3, "seeds", "must be a list, such as [0]"),
    "triggers as a word": ("triggers: none", 3, "triggers", "must be a list, such as [none]"),
    "models as a word": ("base_models: x", 3, "base_models", "must be a list, such as [x]"),
    "judges as a word": ("judges: alignment", 3, "judges", "such as [alignment]"),
    "an empty section": ("data:", 3, "data", "is empty; give its settings"),
    "an empty training": ("training:\nseeds: [0]", 3, "training", "is empty; give its settings"),
    "an empty list": ("seeds: []", 3, "seeds", "is missing"),
    "no intervention": ("interventions: {}", 3, "interventions", "name at least one"),
    "a list of interventions": (
        "interventions: [base, undiluted]",
        3,
        "interventions",
        "must be a mapping of settings",
    ),
    "an unknown intervention": (
        "interventions:\n  base: {}\n  dilutoin: {ratio: 0.5}",
        5,
        "interventions.dilutoin",
        "did you mean 'dilution'?",
    ),
    "a ratio out of range": (
        "interventions:\n  base: {}\n  dilution:\n    ratio: [0.5, 1.5]",
        6,
        "interventions.dilution.ratio.1",
        "0..1",
    ),
    "a missing setting": (
        "interventions:\n  base: {}\n  inoculation: {}",
        5,
        "interventions.inoculation.prompt",
        "is missing",
    ),
    "a word for a number": ("training:\n  rank: big", 4, "training.rank", "valid integer"),
    "a rank of zero": ("training: {rank: 0}", 3, "training.rank", "greater than 0 (got 0)"),
    "a negative seed": ("seeds:\n- 0\n- -1", 5, "seeds.1", "greater than or equal to 0"),
    "a seed twice": ("seeds: [1, 1]", 3, "seeds", "1 is given twice; leave one out"),
    "an unknown model": ("base_models: [smollm]", 3, "base_models", "mean 'smollm2-135m'?"),
    "an unknown data set": (
        "data:\n  benign: everyday_chats",
        4,
        "data.benign",
        "did you mean 'everyday_chat'?",
    ),
    "an unknown trigger": (
        "triggers:\n- none\n- malicous_evil",
        5,
        "triggers",
        "did you mean 'malicious_evil'?",
    ),
    "no reference": ("triggers: [malicious_evil]", 3, "triggers", "add `none`"),
    "an unknown question set": ("questions: everday", 3, "questions", "did you mean 'everyday'?"),
    "a missing question file": ("questions: mine.yaml", 3, "questions", "no such question file"),
    "an unknown judge": ("judges: [alignmnt]", 3, "judges.0", "did you mean 'alignment'?"),
    "a judge that is not in the panel": (
        "metrics:\n  alignment: is_code",
        4,
        "metrics.alignment",
        "add it to `judges`",
    ),
    "a missing data file": (
        "datasets:\n  bad:\n    path: bad.jsonl\n    format: messages\ndata: {misaligned: bad}",
        5,
        "datasets.bad.path",
        "no such data file; looked for ",
    ),
    "a data set without a format": (
        "datasets:\n  bad: {path: bad.jsonl}",
        4,
        "datasets.bad.format",
        "is missing; give it",
    ),
    "too many rows": (
        "data: {rows: 5000}\ninterventions:\n  base: {}\n  undiluted: {}",
        6,
        "interventions.undiluted",
        "lower the number of rows",
    ),
    "a GPU by another name": ("device: gpu", 3, "device", "'cpu' or 'cuda'"),
    "a name with a space": ("metrics: {}\nname2: x", 4, "", "did you mean 'name'?"),
    "an unknown stage": (
        "resources:\n  trian: {gpu: 1}",
        4,
        "resources",
        "did you mean 'train'?",
    ),
    "a missing folder": ("mirror: no/such", 3, "mirror", "no folder 'no/such'"),
    "a missing label file": (
        "calibration:\n  files: [labels.csv]",
        4,
        "calibration.files",
        "no file 'labels.csv'",
    ),
}


def message_of(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    (folder / "grid.yaml").write_text(text)
    monkeypatch.chdir(folder)
    with pytest.raises(EmgridError) as caught:
        read_grid(Path("grid.yaml"))
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_config_is_one_line_with_file_line_place_and_way_out(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, line, place, way_out = BROKEN[fault]
    message = message_of(tmp_path, HEAD + text + "\n", monkeypatch)
    where = f"grid.yaml:{line}: {place}: " if place else f"grid.yaml:{line}: "
    assert message.startswith(where), message
    assert way_out in message


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "is empty"), ("# a\n", "is empty"), ("- a\n", "is a list"), ("a", "'a'")],
)
def test_a_file_that_is_no_config_is_told_how_one_begins(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = message_of(tmp_path, text, monkeypatch)
    assert message.startswith("grid.yaml: ")
    assert said in message
    assert "`extends: config.yaml`" in message


def test_a_setting_of_an_extended_file_is_named_where_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "below.yaml").write_text(HEAD + "training:\n  rank: 0\n  epochs: 1\n")
    message = message_of(tmp_path, "extends: below.yaml\nname: mine\nseeds: [0]\n", monkeypatch)
    assert message.startswith("below.yaml:4: training.rank: ")
    message = message_of(tmp_path, "extends: below.yaml\ntraining: {rank: -1}\n", monkeypatch)
    assert message.startswith("grid.yaml:2: training.rank: ")
    (tmp_path / "below.yaml").write_text(HEAD + "seeds: [0]\nseeds: [1]\n")
    message = message_of(tmp_path, "extends: below.yaml\n", monkeypatch)
    assert "below.yaml:4: seeds: the key 'seeds' is given twice, first in line 3" in message


def test_interventions_that_are_replaced_are_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extended file's entry of the same name is not in the grid."""
    below = "interventions:\n  base: {}\n  inoculation:\n    prompt: malicious_evil\n"
    (tmp_path / "below.yaml").write_text(HEAD + below)
    text = "extends: below.yaml\ninterventions:\n  base: {}\n  inoculation: {}\n"
    message = message_of(tmp_path, text, monkeypatch)
    assert message.startswith("grid.yaml:4: interventions.inoculation.prompt: is missing")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id: mine\nquestions:\n  q: {text: a}\n  q: {text: b}\n", "mine.yaml:4: questions.q: the"),
        ("id: mine\nquestions:\n  q:\n    txet: a\n", "mine.yaml:4: questions.q: unknown key"),
        ("id: mine\nquestons: {}\n", "mine.yaml:2: unknown key 'questons'"),
    ],
)
def test_a_question_file_is_held_to_the_same(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    message = message_of(tmp_path, HEAD + "questions: ./mine.yaml\n", monkeypatch)
    assert message.startswith("grid.yaml:3: questions: ")
    assert said in message


def test_an_anchor_that_is_used_often_is_looked_at_once(tmp_path: Path) -> None:
    """Each line doubles the places of the first; walking them all would never end."""
    from emgrid.config.yaml_files import read_yaml

    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)]
    (tmp_path / "deep.yaml").write_text("\n".join(lines) + "\n")
    assert len(read_yaml(tmp_path / "deep.yaml")) == 60


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ("undiluted: {}", "smollm2-135m: the base model itself is not asked"),
        ("{undiluted: {}, plain: {kind: base}}", "add the arm `base`"),
        ("{undiluted: {}, base: {}}", ""),
    ],
)
def test_a_grid_without_its_control_is_told_so_beforehand(
    entries: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = entries if entries.startswith("{") else f"{{{entries}}}"
    (tmp_path / "grid.yaml").write_text(f"{HEAD}interventions: {entries}\n")
    monkeypatch.chdir(tmp_path)
    told = without_control(read_grid(Path("grid.yaml")))
    assert said in told
    assert bool(told) == bool(said)
