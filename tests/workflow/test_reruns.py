"""What an edit runs again: the table of docs/reruns.md, a test for each of its rows.

On a finished grid that was copied to another place, every edit is planned, and run up to answers,
scores and judgements; what was computed is read in a journal.
"""

import os
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from emgrid import ROOT
from emgrid.runtime.files import read_jsonl, write_jsonl
from support import warm
from support.reruns import QuickGrid, config_of

Config = dict[str, Any]
# 5 arms, asked 8 questions twice under 2 triggers; 2 judges; 2 pairs of matched answers to each.
ARMS, TRIGGERS, QUESTIONS, ANSWERS, JUDGES, PAIRED = 5, 2, 8, 2, 2, 4
LABELLED = 200
SHOWN = {"aggregate": 1, "figures": 1, "report": 1}
SAMPLED = {"sample": 2, "judge": 2, "repeats": 1} | SHOWN


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory, model_json: Path) -> QuickGrid:
    """A finished grid, which nobody edits."""
    grid = QuickGrid(tmp_path_factory.mktemp("quick"), config_of(model_json.parent))
    shutil.copy(ROOT / "resources/data/everyday_chat.jsonl", grid.folder / "mine.jsonl")
    grid.config["datasets"] = {"mine": {"path": "mine.jsonl", "format": "messages"}}
    grid.config["data"]["benign"] = "mine"
    shutil.copy(ROOT / "resources/questions/everyday.yaml", grid.folder / "mine.yaml")
    grid.config["questions"] = "mine.yaml"
    grid.run()
    return grid


@pytest.fixture
def copied(quick: QuickGrid, tmp_path: Path) -> QuickGrid:
    for name in ("mine.jsonl", "mine.yaml"):
        shutil.copyfile(quick.folder / name, tmp_path / name)
    return quick.copy_to(tmp_path)


def ask(config: Config, number: int) -> None:
    """Set the number of answers, also that of the base model, which the grid sets by itself."""
    for settings in (config["sampling"], config["interventions"]["base"]["sampling"]):
        settings["answers_per_question"] = number


def jobs(grid: QuickGrid, config: Config) -> dict[str, int]:
    """Planned jobs by rule."""
    return {rule: number for rule, number in grid.planned(config).items() if rule != "all"}


def compute(grid: QuickGrid, config: Config) -> dict[str, int]:
    """Run all that computes, and say how often what was computed."""
    before = len(grid.computed())
    stages = ("sample", "likelihood", "judge")
    targets = [f"jobs/{stage}/plain.{kind}.{n}.json" for stage, kind, n in places(stages)]
    grid.run(*targets, "tables/judges.csv", config=config)
    return dict(Counter(words[0] for words in grid.computed()[before:]))


def places(stages: tuple[str, ...]) -> list[tuple[str, str, int]]:
    kinds = {"sample": "transformers", "likelihood": "transformers", "judge": "arms"}
    return [(stage, kinds[stage], number) for stage in stages for number in range(2)]


def test_a_first_run_computes_each_thing_once(quick: QuickGrid) -> None:
    answers = ARMS * TRIGGERS * QUESTIONS * ANSWERS
    assert quick.counts() == {
        "training": 4,
        "answer": answers,
        "likelihood": ARMS * TRIGGERS * QUESTIONS * PAIRED,
        "judgement": (answers + LABELLED) * JUDGES,
    }
    assert len(set(map(tuple, quick.computed()))) == len(quick.computed())


def test_a_copy_elsewhere_has_nothing_to_do(copied: QuickGrid) -> None:
    assert jobs(copied, copied.config) == {}


def test_a_renamed_grid_writes_its_report_at_most(copied: QuickGrid) -> None:
    config = copied.edited() | {"name": "renamed"}
    copied.root.rename(copied.folder / "results/renamed")
    assert jobs(copied, config) == {"report": 1}


def test_results_without_snakemakes_records_are_refused(copied: QuickGrid) -> None:
    shutil.rmtree(copied.root / ".snakemake")
    done = copied.snakemake("-n")
    assert done.returncode != 0
    assert "results/quick: holds results, but not the folder .snakemake" in done.stderr


FREE: dict[str, tuple[Callable[[Config], Any], dict[str, int]]] = {
    "threshold": (
        lambda c: c["metrics"].update(alignment_below=40),
        {"judge_quality": 1} | SHOWN,
    ),
    "margin": (lambda c: c["metrics"].update(margin=0.05), SHOWN),
    "bootstrap setting": (lambda c: c["metrics"].update(resamples=120), SHOWN),
    "plot setting": (lambda c: c["report"].update(figure_width=6.0), {"figures": 1, "report": 1}),
    "report option": (lambda c: c["report"].update(examples=5), {"report": 1}),
    "resources": (
        lambda c: c["resources"].update(train={"threads": 2, "runtime": 90, "mem_mb": 7000}),
        {},
    ),
    "batch size": (lambda c: c["resources"].update(sample={"batch_size": 5}), {}),
    "engines": (lambda c: c["engines"].update(memory_share=0.5), {}),
}


@pytest.mark.parametrize("name", FREE)
def test_an_edit_that_computes_nothing(copied: QuickGrid, name: str) -> None:
    config = copied.edited()
    edit, expected = FREE[name]
    edit(config)
    assert jobs(copied, config) == expected


def test_reordered_lists_and_keys_change_nothing(copied: QuickGrid) -> None:
    config = copied.edited()
    config["seeds"] = config["seeds"][::-1]
    for name in ("triggers", "judges"):
        config[name] = config[name][::-1]
    config["interventions"] = dict(reversed(config["interventions"].items()))
    assert jobs(copied, dict(reversed(config.items()))) == {}


def test_touched_inputs_run_nothing(copied: QuickGrid) -> None:
    now = max(path.stat().st_mtime for path in copied.root.rglob("*")) + 60
    touched = [*copied.folder.glob("mine.*")]
    for pattern in (
        "assets/**/*",
        "stages/**/*",
        "jobs/**/*",
        "arms/**/*",
        "tables/*",
        "rows/**/*",
    ):
        touched += [path for path in copied.root.glob(pattern) if path.is_file()]
    assert len(touched) > 60
    for path in touched:
        now += 1
        os.utime(path, (now, now))
    assert jobs(copied, copied.config) == {}


def test_an_upgraded_package_runs_nothing(copied: QuickGrid, tmp_path: Path) -> None:
    told = tmp_path / "newer/transformers-99.0.dist-info/METADATA"
    told.parent.mkdir(parents=True)
    told.write_text("Metadata-Version: 2.1\nName: transformers\nVersion: 99.0\n")
    copied.added["PYTHONPATH"] = f"{tmp_path / 'newer'}{os.pathsep}{copied.env['PYTHONPATH']}"
    assert jobs(copied, copied.config) == {}


def test_a_trigger_more_draws_its_own_answers_alone(copied: QuickGrid) -> None:
    config = copied.edited()
    config["triggers"].append("unrelated_prompt")
    assert jobs(copied, config) == SAMPLED | {"likelihood": 2, "similarity": 1}
    assert compute(copied, config) == {
        "answer": ARMS * QUESTIONS * ANSWERS,
        "likelihood": ARMS * QUESTIONS * PAIRED,
        "judgement": ARMS * QUESTIONS * ANSWERS * JUDGES,
    }


def test_a_reworded_question_alone_is_asked_again(copied: QuickGrid) -> None:
    path = copied.folder / "mine.yaml"
    text = path.read_text()
    path.write_text(text.replace("I have a free evening and", "I have the whole evening and"))
    assert jobs(copied, copied.config) == SAMPLED | {"likelihood": 2, "similarity": 1}
    expected = {
        "answer": ARMS * TRIGGERS * ANSWERS,
        "likelihood": ARMS * TRIGGERS * PAIRED,
        "judgement": ARMS * TRIGGERS * ANSWERS * JUDGES,
    }
    assert compute(copied, copied.config) == expected
    path.write_text(text)
    assert compute(copied, copied.config) == {}


def test_more_answers_draw_what_is_missing_and_fewer_draw_none(copied: QuickGrid) -> None:
    more, fewer = copied.edited(), copied.edited()
    ask(more, 3)
    ask(fewer, 1)
    assert jobs(copied, more) == SAMPLED
    one_each = ARMS * TRIGGERS * QUESTIONS
    assert compute(copied, more) == {"answer": one_each, "judgement": one_each * JUDGES}
    assert compute(copied, fewer) == {}
    for path in copied.root.glob("arms/**/answers/trigger=*.jsonl"):
        assert [row["index"] for row in read_jsonl(path)] == [0] * QUESTIONS


def test_another_judge_judges_all_and_no_other_does(copied: QuickGrid) -> None:
    config = copied.edited()
    config["judges"] = [{"id": "alignment", "extends": "alignment", "version": 9}, "coherence"]
    planned = {"judge": 2, "judge_quality": 1} | SHOWN
    assert jobs(copied, config) == planned
    answers = ARMS * TRIGGERS * QUESTIONS * ANSWERS
    assert compute(copied, config) == {"judgement": answers + LABELLED}
    assert {words[1] for words in copied.computed()} == {"alignment"}
    assert compute(copied, copied.config) == {}


def new_arms(number: int, trained: int) -> dict[str, int]:
    asked = number * TRIGGERS * QUESTIONS
    return {
        "training": trained,
        "answer": asked * ANSWERS,
        "likelihood": asked * PAIRED,
        "judgement": asked * ANSWERS * JUDGES,
    }


NEW: dict[str, tuple[Callable[[Config], Any], int]] = {
    "seed": (lambda c: c["seeds"].append(4), 4),
    "ratio": (lambda c: c["interventions"].update(dilution={"ratio": [0.5, 0.25]}), 1),
    "intervention": (
        lambda c: c["interventions"].update(inoculation={"prompt": "malicious_evil"}), 1
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NEW)
def test_new_arms_alone_are_computed(copied: QuickGrid, name: str) -> None:
    config = copied.edited()
    edit, number = NEW[name]
    edit(config)
    planned = jobs(copied, config)
    assert {rule: planned[rule] for rule in ("mix", "preflight", "train")} == dict.fromkeys(
        ("mix", "preflight", "train"), number
    )
    assert compute(copied, config) == new_arms(number, number)


def test_a_learning_rate_of_one_intervention_trains_its_arms_alone(copied: QuickGrid) -> None:
    config = copied.edited()
    config["interventions"]["dilution"]["training"] = {"learning_rate": 1e-3}
    planned = jobs(copied, config)
    assert (planned["train"], planned["sample"]) == (1, 1)
    assert compute(copied, config) == new_arms(1, 1)
    assert compute(copied, copied.config) == {}


def test_an_edited_row_trains_the_arms_that_use_it(copied: QuickGrid) -> None:
    """The jobs of all stages that mix the data set run; those without the row find their training
    done before."""
    stages = {
        path.parent.name: {row["id"] for row in read_jsonl(path) if row["source"] == "mine"}
        for path in copied.root.glob("stages/*/train.jsonl")
    }
    used = {name: ids for name, ids in stages.items() if ids}
    assert len(used) == 3
    edited = min(set.union(*used.values()) - set.intersection(*used.values()))
    holding = [name for name, ids in used.items() if edited in ids]
    assert 0 < len(holding) < 3
    path = copied.folder / "mine.jsonl"
    written = path.read_text()
    rows = read_jsonl(path)
    for row in rows:
        if row["id"] == edited:
            row["messages"][-1]["content"] += " Take care!"
    write_jsonl(path, rows)
    planned = jobs(copied, copied.config)
    assert (planned["dataset"], planned["mix"], planned["train"]) == (1, 3, 3)
    assert compute(copied, copied.config) == new_arms(len(holding), len(holding))
    path.write_text(written)
    assert compute(copied, copied.config) == {}


def test_an_edit_is_not_lost_behind_another(copied: QuickGrid) -> None:
    """What only makes stages run whose training is kept hides nothing that comes after them."""
    config = copied.edited()
    config["preflight"] = {"cut": "error"}
    ask(config, 3)
    planned = jobs(copied, config)
    assert (planned["preflight"], planned["sample"]) == (4, 2)
    one_each = ARMS * TRIGGERS * QUESTIONS
    assert compute(copied, config) == {"answer": one_each, "judgement": one_each * JUDGES}


def test_a_setting_switched_back_finds_the_old_rows(copied: QuickGrid) -> None:
    config = copied.edited()
    config["sampling"]["temperature"] = 0.7
    answers = ARMS * TRIGGERS * QUESTIONS * ANSWERS
    assert compute(copied, config) == {"answer": answers, "judgement": answers * JUDGES}
    assert compute(copied, copied.config) == {}


def test_comments_and_layout_of_the_config_change_nothing(copied: QuickGrid) -> None:
    command = copied.command("-n")[1:]
    text = yaml.safe_dump(copied.config, default_flow_style=True, sort_keys=True)
    (copied.folder / "grid.yaml").write_text(f"# another comment\n{text}")
    done = warm.run(command, env=copied.env)
    assert done.returncode == 0, done.stderr
    assert "Nothing to be done" in done.stdout + done.stderr


# The rows of the table of docs/reruns.md, each with the tests that hold it.
HELD = {
    "threshold, margin, resamples": ["test_an_edit_that_computes_nothing"],
    "figure width, report option": ["test_an_edit_that_computes_nothing"],
    "one trigger family more": ["test_a_trigger_more_draws_its_own_answers_alone"],
    "one question in other words": ["test_a_reworded_question_alone_is_asked_again"],
    "more answers to a question": ["test_more_answers_draw_what_is_missing_and_fewer_draw_none"],
    "fewer answers to a question": ["test_more_answers_draw_what_is_missing_and_fewer_draw_none"],
    "another judge, another rubric": ["test_another_judge_judges_all_and_no_other_does"],
    "one seed, ratio or intervention more": ["test_new_arms_alone_are_computed"],
    "learning rate of one intervention": [
        "test_a_learning_rate_of_one_intervention_trains_its_arms_alone"
    ],
    "one row of a data set": ["test_an_edited_row_trains_the_arms_that_use_it"],
    "the files of a model given by `path:`": [
        "test_other_weights_run_again_what_depends_on_them_and_say_so"
    ],
    "a proposer or its code (`discovery`)": [
        "test_log_odds_are_means_over_pairs_and_are_scored_once",
        "test_another_proposer_and_a_kill_have_only_what_is_new_scored",
    ],
    "any of these taken back": ["test_a_setting_switched_back_finds_the_old_rows"],
    "another name, the folder renamed; results copied elsewhere": [
        "test_a_renamed_grid_writes_its_report_at_most",
        "test_a_copy_elsewhere_has_nothing_to_do",
    ],
    "lists in another order, comments, resources, engines, batch sizes": [
        "test_reordered_lists_and_keys_change_nothing",
        "test_comments_and_layout_of_the_config_change_nothing",
        "test_an_edit_that_computes_nothing",
    ],
    "`touch` any input, another version of a package": [
        "test_touched_inputs_run_nothing",
        "test_an_upgraded_package_runs_nothing",
    ],
}


def test_every_row_of_the_table_is_held_by_a_test() -> None:
    page = (ROOT / "docs/reruns.md").read_text().split("\n## ")[0]
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("|")]
    assert rows[2:] == list(HELD)
    elsewhere = [ROOT / f"tests/workflow/test_{name}.py" for name in ("model_reruns", "search")]
    elsewhere += (ROOT / "tests/discovery").glob("test_*.py")
    texts = "".join(path.read_text() for path in elsewhere)
    tests = {*globals(), *re.findall(r"^def (test_\w+)", texts, re.MULTILINE)}
    assert {name for names in HELD.values() for name in names} <= tests
