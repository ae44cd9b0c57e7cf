"""What the rule files look up in a grid, without Snakemake."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from emgrid import ROOT
from emgrid.grid.figures import figure_names
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.rule_inputs import Inputs, bucket_records, folder_above, option, options
from emgrid.grid.snakefile import SpecFiles
from emgrid.runtime import layout


@pytest.fixture
def grid(demo: dict[str, Any]) -> Grid:
    demo["interventions"] = {"base": {}, "undiluted": {}, "sequential": {"benign_rows": [8]}}
    demo["seeds"] = [0]
    return Grid(load_experiment(demo, "grid.yaml", check_data=False))


def test_a_stage_continues_the_adapter_of_the_stage_before(grid: Grid) -> None:
    [arm] = [arm for arm in grid.arms if len(arm.stages) == 2]
    first, second = arm.stages
    inputs = Inputs(grid)
    assert inputs.parent_record(SimpleNamespace(stage=first.name)) == []
    assert inputs.parent_folder(SimpleNamespace(stage=first.name)) is None
    assert inputs.parent_record(SimpleNamespace(stage=second.name)) == first.adapter_record
    assert inputs.parent_folder(SimpleNamespace(stage=second.name)) == first.adapter_folder
    model = inputs.model_of_stage(SimpleNamespace(stage=second.name))
    assert model == "assets/models/smollm2-135m/model.json"


def test_a_training_is_told_where_the_other_trainings_are(demo: dict[str, Any]) -> None:
    kl = {"weight": 1, "prompts": "household_good"}
    half = {"kind": "dilution", "ratio": 0.5}
    seal = {"kind": "sealing", "prompts": "household_good", "sealing_rows": 4}
    demo |= {"seeds": [0], "triggers": ["none", "malicious_evil", "python_string"]}
    demo["interventions"] = {
        "kept": {"training": {"kl": kl}, "steps": [half]},
        "adapter": [half, {"kind": "inoculation_adapter"}],
        "gap": [half, {"kind": "perplexity_gap"}],
        "stopped": [half, {"kind": "early_stop", "fraction": 0.5}],
        "sealed": [half, seal | {"wrappers": ["malicious_evil"]}],
    }
    grid = Grid(load_experiment(demo, "grid.yaml", check_data=False))
    inputs = Inputs(grid)
    runs = {arm.intervention: arm.stages[-1] for arm in grid.arms}

    def told(name: str) -> tuple[list[str], list[str]]:
        wildcards = SimpleNamespace(stage=runs[name].name)
        return inputs.needed_records(wildcards), inputs.needed_options(wildcards).split()

    rows = "assets/datasets/household_good.jsonl"
    assert told("kept") == ([rows], ["--kl-rows", rows])
    under, whole = runs["adapter"].under, runs["stopped"].whole
    assert under is not None
    assert whole is not None
    assert told("adapter") == ([under.adapter_record], ["--under", under.adapter_folder])
    assert told("stopped") == ([whole.adapter_record], ["--whole", whole.folder])
    assert told("gap") == told("sealed") == ([], [])
    [selected] = grid.selected
    assert inputs.chooser(SimpleNamespace(selected=selected)) == under
    [drawn] = grid.drawn
    parent = grid.stages[runs["sealed"].parent or ""]
    wildcards = SimpleNamespace(drawn=drawn)
    assert inputs.record_of_generator(wildcards) == parent.adapter_record
    assert inputs.adapter_of_generator(wildcards) == parent.adapter_folder


def test_answers_are_read_by_the_records_of_their_jobs_each_once(grid: Grid) -> None:
    records = Inputs(grid).answers_of([*grid.arms, *grid.arms])
    assert records == bucket_records("sample", grid.buckets)


def test_only_the_loss_figure_reads_every_stage(grid: Grid) -> None:
    inputs = Inputs(grid)
    losses = [f"{stage.folder}/loss.csv" for stage in grid.stages.values()]
    assert inputs.tables_of_figures(["loss"]) == ["tables/arms.csv", *losses]
    others = [name for name in figure_names(grid) if name != "loss"]
    assert not set(inputs.tables_of_figures(others)) & set(losses)


def test_the_job_of_the_figures_reads_each_table_once(grid: Grid) -> None:
    inputs = Inputs(grid)
    assert inputs.tables_of_figures(["rates", "heatmap"]) == ["tables/rates.csv"]
    assert inputs.tables_of_figures(["rates", "seeds"]) == ["tables/rates.csv", "tables/seeds.csv"]


def test_a_users_own_file_is_no_input(demo: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text("{}\n")
    demo["datasets"] = {"mine": {"path": str(path), "format": "messages"}}
    grid = Grid(load_experiment(demo, "grid.yaml", check_data=False))
    inputs = Inputs(grid)
    assert inputs.fetched_file(SimpleNamespace(dataset="mine")) == []
    fetched = [name for name in grid.catalogue.datasets if grid.own_file(name) is None]
    assert inputs.fetched_file(SimpleNamespace(dataset=fetched[0])) == (
        f"assets/sources/{fetched[0]}.jsonl"
    )


def test_options_that_a_job_need_not_have() -> None:
    assert option("source", None) == ""
    assert option("source", Path("a b")) == "--source 'a b'"
    assert options("unused", ()) == ""
    assert options("unused", ("a", "b c")) == "--unused a 'b c'"


def test_a_folder_above_the_first_output() -> None:
    output = ["stages/stage=a/adapter/adapter_model.safetensors", "stages/stage=a/loss.csv"]
    assert folder_above(2)(None, output) == "stages/stage=a"
    assert folder_above(1)(None, ["tables/judges.csv"]) == "tables"


def test_specs_are_made_when_a_run_begins() -> None:
    calls: list[int] = []
    specs = SpecFiles()
    assert specs.add("sample.a", lambda: json.dumps(calls)) == "specs/sample.a.json"
    calls.append(1)
    assert specs.texts() == {"specs/sample.a.json": "[1]"}


def test_an_arm_is_found_by_its_folder(grid: Grid) -> None:
    for arm in grid.arms:
        assert arm.folder == layout.arm_folder(**arm.cell)
        assert grid.arm(**arm.cell) is arm
        assert arm.writer == layout.arm_name(**arm.cell)


def test_rule_files_ask_grids_and_inputs_for_what_they_have(grid: Grid) -> None:
    files = [ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")]
    text = "\n".join(path.read_text() for path in files)
    for name, value in (("GRID", grid), ("INPUTS", Inputs(grid)), ("SPECS", SpecFiles())):
        attributes = set(re.findall(rf"\b{name}\.(\w+)", text))
        assert attributes
        assert [each for each in attributes if not hasattr(value, each)] == []
