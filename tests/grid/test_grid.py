"""Expansion of a config into arms and stages."""

import json
from typing import Any

import pytest
import yaml
from emgrid import ROOT
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.specs.aggregate import aggregate_spec, repeats_spec, similarity_spec
from emgrid.grid.specs.data import dataset_spec
from emgrid.grid.specs.judge import judge_spec
from emgrid.grid.specs.models import model_spec
from emgrid.grid.specs.report import figure_spec, report_spec
from emgrid.grid.specs.sample import likelihood_spec, sample_spec
from emgrid.grid.specs.train import train_spec
from hypothesis import given
from hypothesis import strategies as st

DEMO = yaml.safe_load((ROOT / "tests/support/everyday.yaml").read_text())


def grid(**changes: Any) -> Grid:
    return Grid(load_experiment(DEMO | changes, "grid.yaml", check_data=False))


def test_the_default_grid_has_these_arms() -> None:
    arms = [(arm.intervention, arm.ratio, arm.seed) for arm in grid().arms]
    assert arms == [
        ("base", "0", 0),
        ("benign_only", "0", 0),
        ("benign_only", "0", 1),
        ("undiluted", "1", 0),
        ("undiluted", "1", 1),
        ("dilution", "0.25", 0),
        ("dilution", "0.25", 1),
        ("dilution", "0.5", 0),
        ("dilution", "0.5", 1),
        ("sequential-64", "1", 0),
        ("sequential-64", "1", 1),
        ("inoculation", "1", 0),
        ("inoculation", "1", 1),
    ]


@given(
    ratios=st.lists(st.integers(0, 100), min_size=1, max_size=6, unique=True),
    seeds=st.lists(st.integers(0, 999), min_size=1, max_size=5, unique=True),
    benign_rows=st.lists(st.integers(1, 264), min_size=1, max_size=4, unique=True),
)
def test_every_arm_occurs_once(ratios: list[int], seeds: list[int], benign_rows: list[int]) -> None:
    interventions = {
        "base": {},
        "undiluted": {},
        "dilution": {"ratio": [percent / 100 for percent in ratios]},
        "sequential": {"benign_rows": benign_rows},
    }
    the_grid = grid(interventions=interventions, seeds=seeds)
    folders = [arm.folder for arm in the_grid.arms]
    assert len(set(folders)) == len(folders)
    assert len(folders) == 1 + len(seeds) * (1 + len(ratios) + len(benign_rows))
    assert {arm.folder: the_grid.arm(**arm.cell) for arm in the_grid.arms} == the_grid.by_folder
    # The misaligned stage is shared by all of a seed's sequential arms, and by undiluted.
    firsts = {arm.stages[0].name for arm in the_grid.arms if arm.intervention.startswith("seq")}
    assert len(firsts) == len(seeds)
    assert firsts == {a.stages[0].name for a in the_grid.arms if a.intervention == "undiluted"}


@pytest.mark.parametrize(("given", "scored"), [(None, 2), (5, 2), (1, 1), (0, 0)])
def test_so_many_matched_answers_are_scored(given: int | None, scored: int) -> None:
    grid = Grid(load_experiment(DEMO | {"matched_pairs": given}, "config.yaml"))
    assert {len(question.pairs) for question in grid.questions.values()} == {scored}
    assert grid.has_pairs is bool(scored)


def test_a_stage_is_named_by_all_that_its_adapter_depends_on() -> None:
    names = set(grid().stages)
    assert set(grid(report={"examples": 1}, triggers=["none"]).stages) == names
    assert not set(grid(training=DEMO["training"] | {"learning_rate": 1e-3}).stages) & names
    assert not set(grid(data=DEMO["data"] | {"rows": 47}).stages) & names
    assert set(grid(seeds=[0, 1, 2]).stages) > names


def test_specs_hold_only_what_their_job_depends_on() -> None:
    before, after = grid(), grid(name="other", metrics=DEMO["metrics"] | {"alignment_below": 20})
    for bucket, same in zip(before.buckets, after.buckets, strict=True):
        assert sample_spec(before, bucket) == sample_spec(after, same)
        assert likelihood_spec(before, bucket) == likelihood_spec(after, same)
        assert judge_spec(before, bucket) == judge_spec(after, same)
    assert aggregate_spec(before) != aggregate_spec(after)


def test_the_order_of_what_is_listed_changes_no_spec() -> None:
    entries = dict(reversed(DEMO["interventions"].items()))
    entries["dilution"] = {"ratio": [0.5, 0.25]}
    listed = {name: DEMO[name][::-1] for name in ("triggers", "seeds", "judges")}
    before, after = grid(), grid(interventions=entries, **listed)
    for bucket, same in zip(before.buckets, after.buckets, strict=True):
        assert sample_spec(before, bucket) == sample_spec(after, same)
        assert likelihood_spec(before, bucket) == likelihood_spec(after, same)
        assert judge_spec(before, bucket) == judge_spec(after, same)
    for make_spec in (aggregate_spec, figure_spec, similarity_spec, repeats_spec):
        assert make_spec(before) == make_spec(after), make_spec.__name__
    assert report_spec(before) == report_spec(after)
    assert list(before.stages) == list(after.stages)


@given(jobs=st.integers(1, 12), seeds=st.lists(st.integers(0, 99), min_size=2, unique=True))
def test_a_new_arm_moves_no_other_to_another_job(jobs: int, seeds: list[int]) -> None:
    fewer, all_of_them = (
        {arm.folder: bucket.name for bucket in the_grid.buckets for arm in bucket.arms}
        for the_grid in (grid(seeds=some, engines={"jobs": jobs}) for some in (seeds[:-1], seeds))
    )
    assert fewer.items() <= all_of_them.items()
    assert len(all_of_them) == 1 + 6 * len(seeds)
    assert len(set(all_of_them.values())) <= jobs


def test_arms_of_other_base_models_and_engines_share_no_job() -> None:
    interventions = {"base": {}, "undiluted": {}, "benign_only": {"sampling": {"engine": "vllm"}}}
    models = ["smollm2-135m", "qwen2.5-7b"]
    the_grid = grid(base_models=models, interventions=interventions, engines={"jobs": 1})
    buckets = {(bucket.base, bucket.kind, len(bucket.arms)) for bucket in the_grid.buckets}
    both = {("transformers", 3), ("vllm", 2)}
    assert buckets == {(base, *kind_and_arms) for base in models for kind_and_arms in both}


def test_arms_of_other_precisions_share_no_job() -> None:
    """Two loaded models in one job would need the memory of both."""
    interventions = {"base": {}, "undiluted": {"sampling": {"precision": "float32"}}}
    the_grid = grid(interventions=interventions, engines={"jobs": 1})
    kinds = {bucket.kind: len(bucket.arms) for bucket in the_grid.buckets}
    assert kinds == {"transformers": 1, "transformers-float32": 2}


def test_no_spec_holds_a_path_of_this_machine() -> None:
    the_grid = grid()
    specs = [dataset_spec(the_grid, "household_bad"), model_spec(the_grid, "smollm2-135m")]
    specs += [train_spec(the_grid, name) for name in the_grid.stages]
    for spec in specs:
        assert str(ROOT) not in spec
        assert json.loads(spec)
