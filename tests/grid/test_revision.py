"""`revision`: how a stage is done again when that is asked for, and not otherwise."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from emgrid import ROOT
from emgrid.config.judges import load_judges
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.specs.aggregate import aggregate_spec, repeats_spec
from emgrid.grid.specs.data import mix_spec
from emgrid.grid.specs.judge import judge_spec, quality_spec
from emgrid.grid.specs.report import figure_spec
from emgrid.grid.specs.sample import likelihood_spec, sample_spec
from emgrid.grid.specs.train import train_spec
from emgrid.judge.context import JudgeContext
from emgrid.judge.judge import judge_items
from emgrid.judge.judgement import Item
from emgrid.runtime.errors import EmgridError
from emgrid.sample.answers import plan
from emgrid.sample.sample import SampleSpec
from emgrid.train.train import TrainSpec

DEMO = yaml.safe_load((ROOT / "tests/support/everyday.yaml").read_text())


def grid(**revision: int) -> Grid:
    return Grid(load_experiment(DEMO | {"revision": revision}, "grid.yaml", check_data=False))


def specs(the_grid: Grid) -> dict[str, list[str]]:
    return {
        "train": [train_spec(the_grid, name) for name in the_grid.stages],
        "sample": [sample_spec(the_grid, bucket) for bucket in the_grid.buckets]
        + [likelihood_spec(the_grid, bucket) for bucket in the_grid.buckets],
        "judge": [judge_spec(the_grid, bucket) for bucket in the_grid.judged]
        + [quality_spec(the_grid)],
        "others": [mix_spec(the_grid, name) for name in the_grid.stages]
        + [aggregate_spec(the_grid), figure_spec(the_grid), repeats_spec(the_grid)],
    }


@pytest.mark.parametrize("stage", ["train", "sample", "judge"])
def test_a_revision_is_in_the_specs_of_its_stage_alone(stage: str) -> None:
    before, after = specs(grid()), specs(grid(**{stage: 1}))
    for name, each in before.items():
        for old, new in zip(each, after[name], strict=True):
            changed = json.loads(old) | ({"revision": 1} if name == stage else {})
            assert json.loads(new) == changed
    assert specs(grid(**{stage: 0})) == before
    assert all("revision" not in spec for each in before.values() for spec in each)


def test_answers_are_kept_by_their_revision() -> None:
    def keys(**revision: int) -> list[str]:
        the_grid = grid(**revision)
        spec = SampleSpec.model_validate_json(sample_spec(the_grid, the_grid.buckets[0]))
        rows = plan(spec, spec.arms[0].sampling, "model", spec.version)
        assert [row["answer_seed"] for row in rows] == seeds
        return [row["key"] for row in rows]

    the_grid = grid()
    spec = SampleSpec.model_validate_json(sample_spec(the_grid, the_grid.buckets[0]))
    seeds = [row["answer_seed"] for row in plan(spec, spec.arms[0].sampling, "model")]
    first, second, third = keys(sample=0), keys(sample=1), keys(sample=2)
    assert first == [row["key"] for row in plan(spec, spec.arms[0].sampling, "model")]
    assert not set(first) & set(second) | set(second) & set(third)


def test_a_training_is_named_by_its_revision_only_where_there_is_one() -> None:
    spec: dict[str, Any] = {"base": "model", "seed": 0, "training": {"rank": 4}}
    plain = TrainSpec.model_validate(spec)
    assert "revision" not in plain.bare()
    assert TrainSpec.model_validate(spec | {"revision": 2}).bare() == plain.bare() | {"revision": 2}


def test_judgements_of_each_revision_are_found_again(tmp_path: Path) -> None:
    judge = load_judges()["is_code"]
    items = [Item("q", "Question?", "def f(): return 1")]

    def lines() -> dict[str, int]:
        files = sorted(tmp_path.glob("is_code.*/test.jsonl"))
        return {path.parent.name: len(path.read_text().splitlines()) for path in files}

    judge_items([judge], items, JudgeContext(tmp_path, "test"))
    once = lines()
    judge_items([judge], items, JudgeContext(tmp_path, "test"), revision=1)
    twice = lines()
    assert len(twice) == 2
    assert once.items() <= twice.items()
    judge_items([judge], items, JudgeContext(tmp_path, "test"), revision=0)
    judge_items([judge], items, JudgeContext(tmp_path, "test"), revision=1)
    assert lines() == twice


def test_a_revision_is_a_number_from_nought() -> None:
    with pytest.raises(EmgridError, match=r"grid.yaml: revision.train: .*greater than or equal"):
        grid(train=-1)
    with pytest.raises(EmgridError, match="revision: unknown key 'likelihood'"):
        grid(likelihood=1)
