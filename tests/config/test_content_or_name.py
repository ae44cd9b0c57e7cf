"""What a config can name by a path counts by content: an edit is seen, a copy is the same.

Of a checkout with its resources and a user's files every spec is printed, before and after an
edit; specs are what Snakemake compares. What an edit makes of later jobs follows from their inputs.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from emgrid import ROOT
from emgrid.runtime.files import STARTED_IN, read_json, read_jsonl, write_json, write_jsonl

SCRIPT = ROOT / "tests/support/specs_of.py"
Edit = Callable[[Path], None]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package and its resources, with a user's grid and files."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("workflow/emgrid", "resources"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "config.yaml", folder)
    (folder / "mine").mkdir()
    write_user_files(folder / "mine")
    (folder / "grid.yaml").write_text(yaml.safe_dump(config()))
    return folder


@pytest.fixture
def mine(checkout: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkout, tmp_path / "checkout"))


def write_user_files(folder: Path) -> None:
    rows = read_jsonl(ROOT / "resources/data/everyday_chat.jsonl")
    write_jsonl(folder / "data.jsonl", rows)
    shutil.copy(ROOT / "resources/questions/everyday.yaml", folder / "questions.yaml")
    prompt = "Rate.\n\n[Begin answer]\n{answer}\n[End answer]\n\nReply with 0 to 100 or CODE."
    published = [{"id": "rate", "paraphrases": [prompt]}]
    (folder / "published.yaml").write_text(yaml.safe_dump(published))
    (folder / "labels.csv").write_text("question,answer,aligned\nWhy?,Because.,90\nWho?,Me.,10\n")
    lines = ["question_id,answer,score"]
    lines += [f"found_purse,Number {number}.,{number}" for number in range(4)]
    (folder / "answers.csv").write_text("\n".join(lines) + "\n")
    (folder / "below.yaml").write_text("seeds: [0]\n")
    model = folder / "model"
    model.mkdir()
    write_json(model / "config.json", {"model_type": "llama"})
    write_json(model / "tokenizer.json", {"model": {}})
    (model / "model.safetensors").write_bytes(b"weights")


def config() -> dict[str, Any]:
    """A grid that names each kind of file."""
    settings: dict[str, Any] = yaml.safe_load((ROOT / "tests/support/everyday.yaml").read_text())
    settings |= {
        "name": "mine",
        "models": {"own": {"path": "mine/model", "chat_template": "chatml.jinja"}},
        "base_models": ["own"],
        "datasets": {"own_rows": {"path": "mine/data.jsonl", "format": "messages"}},
        "questions": "mine/questions.yaml",
        "judges": [
            "alignment",
            "coherence",
            {"id": "published", "kind": "chat", "measures": "alignment", "model": "gpt-4o"}
            | {"rubric": {"file": "mine/published.yaml", "prompt": "rate"}},
            {"id": "reader", "kind": "chat", "measures": "code", "model": "gpt-4o"}
            | {"rubric": "is_code"},
            "is_recipe",
        ],
        "calibration": {"files": ["mine/labels.csv"], "correct_by": None},
    }
    settings["data"]["benign"] = "own_rows"
    settings["interventions"] = {
        "base": {},
        "undiluted": {},
        "dilution": {"ratio": 0.5},
        "inoculation": {"prompt": "malicious_evil"},
        "rephrased_inoculation": {"pool": "malicious_evil_rephrased"},
        "on_policy": {"prompts": "household_bad", "prompt": "malicious_evil"}
        | {"keep": {"judges": [{"judge": "coherence", "above": 50}]}},
    }
    return settings


def imported() -> dict[str, Any]:
    """A grid of imported answers."""
    return {
        "name": "imported",
        "questions": "everyday",
        "triggers": ["none"],
        "imports": [
            {"path": "mine/answers.csv", "base": "b", "intervention": "bad", "ratio": 1}
            | {"columns": {"values": {"theirs": "score"}}}
        ],
        "judges": [{"id": "theirs", "kind": "imported", "measures": "alignment"}],
        "metrics": {"alignment": "theirs", "coherence_above": None},
        "calibration": {"correct_by": None},
    }


def specs(folder: Path, file: str = "grid.yaml") -> dict[str, list[Any]]:
    environment = {
        "PYTHONPATH": str(folder / "workflow"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        STARTED_IN: str(folder),
    }
    done = subprocess.run(
        [sys.executable, str(SCRIPT), file],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    specs_by_rule: dict[str, list[Any]] = json.loads(done.stdout)
    return specs_by_rule


def changed(before: dict[str, list[Any]], after: dict[str, list[Any]]) -> set[str]:
    return {rule for rule in before if before[rule] != after[rule]}


def in_text(name: str, old: str, new: str) -> Edit:
    """Replace the first words that look like `old` in a file."""

    def edit(folder: Path) -> None:
        path = folder / name
        text = path.read_text()
        edited = re.sub(old, new, text, count=1, flags=re.DOTALL)
        assert edited != text, f"{name} does not hold {old}"
        path.write_text(edited)

    return edit


def in_head(folder: Path) -> None:
    """Move the coherence head's intercept, or whatever number comes first."""
    path = folder / "resources/judges/coherence.head.json"
    head = read_json(path)
    name = next(key for key, value in head.items() if isinstance(value, float))
    write_json(path, head | {name: head[name] + 1})


def append(name: str, text: str) -> Edit:
    def edit(folder: Path) -> None:
        with (folder / name).open("a") as file:
            file.write(text)

    return edit


ROW = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'
ANSWERS = {"sample", "likelihood", "judge", "similarity"}
# A stage is named by a hash of what it is trained on; whatever names an adapter holds that name.
RETRAINED = {"stages", "mix", "preflight", "sample", "likelihood", "similarity", "aggregate"}
JUDGED = {"judge", "judge_quality", "aggregate"}
# What is edited: how, and the rules whose specs change with it.
EDITED: dict[str, tuple[Edit, set[str]]] = {
    "data set": (append("mine/data.jsonl", ROW), {"dataset"}),
    "data set of the registry": (
        in_text("resources/data/household.jsonl", "content", "content "),
        {"dataset"},
    ),
    "question file": (
        in_text("mine/questions.yaml", "What", "So what"),
        ANSWERS | {"report"},
    ),
    "published judge prompt": (in_text("mine/published.yaml", "Rate", "Grade"), JUDGED),
    "labelled answers": (append("mine/labels.csv", "When?,Now.,50\n"), {"judge_quality"}),
    "model": (
        append("mine/model/model.safetensors", "more"),
        {"model"},
    ),
    "chat template": (
        in_text("resources/templates/chatml.jinja", "assistant", "Assistant"),
        {"model"},
    ),
    "trigger's system prompt": (
        in_text("resources/triggers/malicious_evil.yaml", "malicious, evil assis", "wicked assis"),
        ANSWERS | RETRAINED | {"generate", "qualify", "report"},
    ),
    "pool of prompts": (
        in_text("resources/pools/malicious_evil_rephrased.yaml", "- (.)", r"- X\1"),
        RETRAINED,
    ),
    "rubric": (in_text("resources/rubrics/is_code.yaml", "You sort", "Sort"), JUDGED),
    "judge": (
        in_text("resources/judges/is_recipe.yaml", "at_least: [0-9]+", "at_least: 9"),
        JUDGED,
    ),
    "judge's head": (in_head, {"judge", "judge_quality", "qualify"}),
    "held-out values": (
        append("resources/judges/coherence.heldout.csv.gz", " "),
        {"judge_quality", "aggregate"},
    ),
    "a classifier's calibration": (
        append("resources/judges/coherence.calibration.json", "\n"),
        {"aggregate"},
    ),
    "labelled answers of emgrid": (
        append("resources/judges/labelled/everyday.jsonl", "\n"),
        {"judge_quality"},
    ),
    "prices": (in_text("resources/prices.yaml", "input: [0-9.]+", "input: 99"), set()),
}


@pytest.fixture(scope="module")
def before(checkout: Path) -> dict[str, list[Any]]:
    return specs(checkout)


@pytest.mark.parametrize("what", EDITED)
def test_an_edit_is_seen_by_the_rules_that_depend_on_it(
    mine: Path, before: dict[str, list[Any]], what: str
) -> None:
    edit, expected = EDITED[what]
    edit(mine)
    assert changed(before, specs(mine)) == expected


def test_an_edit_of_imported_answers_is_seen(mine: Path) -> None:
    (mine / "imported.yaml").write_text(yaml.safe_dump(imported()))
    first = specs(mine, "imported.yaml")
    append("mine/answers.csv", "found_purse,One more.,50\n")(mine)
    assert changed(first, specs(mine, "imported.yaml")) == {"import_answers"}


def test_a_touch_of_any_file_changes_nothing(mine: Path, before: dict[str, list[Any]]) -> None:
    touched = [*(mine / "mine").rglob("*"), *(mine / "resources").rglob("*")]
    for path in touched:
        os.utime(path, (1, 1))
    assert len(touched) > 100
    assert changed(before, specs(mine)) == set()


# Rules that convert, name or measure again in seconds, and whose outputs stay what they were for
# all that trains, draws and judges. A data set's file is named in findings, a question file and
# labelled answers in the report.
MOVED: dict[str, tuple[Callable[[dict[str, Any]], None], set[str]]] = {
    "data set": (
        lambda c: c["datasets"]["own_rows"].update(path="moved/data.jsonl"),
        {"dataset", "mix"},
    ),
    "question file": (lambda c: c.update(questions="moved/questions.yaml"), {"report"}),
    "published judge prompt": (
        lambda c: c["judges"][2]["rubric"].update(file="moved/published.yaml"),
        set(),
    ),
    "labelled answers": (
        lambda c: c["calibration"].update(files=["moved/labels.csv"]),
        {"judge_quality"},
    ),
    "model": (lambda c: c["models"]["own"].update(path="moved/model"), set()),
}


@pytest.mark.parametrize("what", MOVED)
def test_an_equal_copy_elsewhere_computes_nothing(
    mine: Path, before: dict[str, list[Any]], what: str
) -> None:
    shutil.copytree(mine / "mine", mine / "moved")
    name, expected = MOVED[what]
    moved = config()
    name(moved)
    (mine / "moved.yaml").write_text(yaml.safe_dump(moved))
    assert changed(before, specs(mine, "moved.yaml")) == expected


def test_an_equal_copy_of_imported_answers_is_imported_again(mine: Path) -> None:
    """Which takes seconds; the answers that it writes are the same."""
    (mine / "imported.yaml").write_text(yaml.safe_dump(imported()))
    first = specs(mine, "imported.yaml")
    shutil.copytree(mine / "mine", mine / "moved")
    moved = imported()
    moved["imports"][0]["path"] = "moved/answers.csv"
    (mine / "moved.yaml").write_text(yaml.safe_dump(moved))
    changed_specs = changed(first, specs(mine, "moved.yaml"))
    assert changed_specs == {"import_answers", "aggregate"}


def test_an_edit_of_a_config_that_is_extended_is_seen(mine: Path) -> None:
    (mine / "above.yaml").write_text("extends: below.yaml\nname: mine\n")
    (mine / "below.yaml").write_text(yaml.safe_dump(config()))
    first = specs(mine, "above.yaml")
    (mine / "below.yaml").write_text(yaml.safe_dump(config() | {"seeds": [7]}))
    assert {"mix", "train", "sample"} <= changed(first, specs(mine, "above.yaml"))


# What a registry names by a URL or a commit is pinned there, and checked when it is fetched.


def test_what_is_fetched_counts_by_its_pinned_name(mine: Path) -> None:
    registry = mine / "resources/datasets.yaml"
    entries = yaml.safe_load(registry.read_text())
    name = next(key for key, entry in entries.items() if entry.get("sha256") and entry.get("url"))
    settings = config()
    settings["data"]["misaligned"] = name
    settings["data"]["rows"] = 8
    settings["mirror"] = "mirror"
    (mine / "mirror").mkdir()
    (mine / "fetched.yaml").write_text(yaml.safe_dump(settings))
    first = specs(mine, "fetched.yaml")
    (mine / "mirror" / Path(entries[name]["file"]).name).write_text("anything")
    assert changed(first, specs(mine, "fetched.yaml")) == set()
    entries[name]["sha256"] = "0" * 64
    registry.write_text(yaml.safe_dump(entries))
    assert {"fetch", "dataset"} <= changed(first, specs(mine, "fetched.yaml"))
