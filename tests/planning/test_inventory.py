"""What is kept is counted by the very keys that the stages write."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from emgrid.config import models
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.grid.specs.judge import judge_spec
from emgrid.grid.specs.sample import likelihood_spec, sample_spec
from emgrid.grid.specs.train import train_spec
from emgrid.judge.judge import JudgeSpec, judge_items
from emgrid.models import gguf_file
from emgrid.models.base_model import BaseModel, model_identity
from emgrid.planning.garbage import delete, freed, unneeded
from emgrid.planning.inventory import Inventory, RowCount, keys_in
from emgrid.runtime.files import write_json, write_jsonl, write_text
from emgrid.runtime.row_store import RowStore
from emgrid.sample import answers, likelihood, sample
from emgrid.train.train import TrainSpec

# As the job that makes the model ready writes it.
READY = {
    "name": "smollm2-135m",
    "path": ".",
    "revision": None,
    "chat_template": models.template_text(models.load_models()["smollm2-135m"]),
    "eos_token_ids": [2],
    "tokenizer": gguf_file.VERSION,
}


@pytest.fixture
def config(demo: dict[str, Any]) -> dict[str, Any]:
    demo["interventions"] = {"base": {"sampling": {"answers_per_question": 8}}, "undiluted": {}}
    demo["judges"] = ["alignment", "coherence", "is_code"]
    demo["seeds"] = [0]
    return demo


def grid_of(config: dict[str, Any], **changes: Any) -> Grid:
    return Grid(load_experiment(copy.deepcopy(config) | changes, "grid.yaml", check_data=False))


@pytest.fixture
def root(tmp_path: Path, config: dict[str, Any]) -> Path:
    """A grid's folder with a base model, an adapter, and nothing drawn."""
    write_json(tmp_path / "assets/models/smollm2-135m/model.json", READY)
    for stage in grid_of(config).stages.values():
        write_json(tmp_path / stage.adapter_record, {"sha256": "of the adapter"})
    return tmp_path


def spec_of(grid: Grid) -> sample.SampleSpec:
    buckets = [sample.SampleSpec.model_validate_json(sample_spec(grid, b)) for b in grid.buckets]
    return buckets[0].model_copy(update={"arms": tuple(a for b in buckets for a in b.arms)})


@pytest.mark.parametrize("revision", [0, 3])
def test_keys_are_those_of_the_stages(config: dict[str, Any], root: Path, revision: int) -> None:
    grid = grid_of(config, revision={"sample": revision})
    inventory, spec = Inventory(grid, root), spec_of(grid)
    base = BaseModel.read(root / "assets/models/smollm2-135m/model.json")
    for arm in grid.arms:
        adapter = "of the adapter" if arm.stages else None
        model = model_identity(base, adapter)
        planned = answers.plan(spec, arm.sampling, model, spec.version)
        assert sorted(inventory.answer_keys(arm) or []) == sorted(row["key"] for row in planned)
        assert inventory.answers(arm) == RowCount(len(planned), 0)
    [plain] = [arm for arm in grid.arms if not arm.stages]
    for bucket in grid.buckets:
        arms_spec = likelihood.LikelihoodSpec.model_validate_json(likelihood_spec(grid, bucket))
        for arm in [arm for arm in arms_spec.arms if arm.adapter is None]:
            keys = [key for key, *_ in likelihood.Scores(arms_spec, arm, base, root).planned]
            assert sorted(inventory.score_keys(plain) or []) == sorted(keys)


@pytest.mark.parametrize("old", [{"tokenizer": None}, {"tokenizer": 1}, {"system_prompt": "fold"}])
def test_keys_are_those_of_the_model_as_its_job_will_make_it(
    old: dict[str, Any], config: dict[str, Any], root: Path
) -> None:
    """An update or an edit changes a model's identity before its record is written again."""
    path = root / "assets/models/smollm2-135m/model.json"
    now = [Inventory(grid_of(config), root).answer_keys(arm) for arm in grid_of(config).arms]
    write_json(path, READY | old)
    assert [Inventory(grid_of(config), root).answer_keys(a) for a in grid_of(config).arms] == now


def test_what_is_not_trained_yet_is_missing_at_most(config: dict[str, Any], root: Path) -> None:
    grid = grid_of(config)
    [stage] = grid.stages
    inventory = Inventory(grid, root, retrained=[stage])
    [arm] = [arm for arm in grid.arms if arm.stages]
    assert inventory.answers(arm) == RowCount(384, 0, known=False)
    assert not inventory.trained(grid.stages[stage])


def draw(grid: Grid, root: Path, number: int) -> None:
    """Keep the first answers of each arm."""
    inventory = Inventory(grid, root)
    for arm in grid.arms:
        store = RowStore(inventory.answer_file(arm))
        store.append(
            {"key": key, "answer": f"Answer {place % 7}.", "finish_reason": "stop"}
            for place, key in enumerate((inventory.answer_keys(arm) or [])[:number])
            if key not in store.rows
        )


def test_answers_and_judgements_that_are_kept_are_counted(
    config: dict[str, Any], root: Path
) -> None:
    grid = grid_of(config)
    draw(grid, root, 100)
    inventory = Inventory(grid, root)
    bucket = grid.judged[0]
    spec = JudgeSpec.model_validate_json(judge_spec(grid, bucket))
    assert [inventory.answers(arm) for arm in grid.arms] == [RowCount(384, 100)] * 2
    before = inventory.judgements(bucket, redrawn=True)
    # Seven different answers, and those that are yet to be drawn.
    assert before == RowCount(3 * (284 * len(bucket.arms) + 7), 0, known=False)
    judge = grid.catalogue.panel["is_code"]
    from emgrid.judge.context import JudgeContext
    from emgrid.judge.judgement import Item

    items = [Item("", "", f"Answer {place}.") for place in range(7)]
    judge_items([judge], items, JudgeContext(root / "rows/judgements", "test"))
    after = Inventory(grid, root)
    assert after.judged(bucket.arms[0], spec) == RowCount(3 * 384, 100)
    assert after.judgements(bucket, redrawn=True).stored == 7


def test_a_torn_line_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    RowStore(path).append([{"key": "one"}, {"key": 'two"'}])
    with path.open("a") as file:
        file.write('{"key": "three"')
    assert keys_in(path) == {"one", 'two"'}
    assert keys_in(tmp_path / "none.jsonl") == set()


def test_rows_that_no_config_needs_are_found_and_dropped(
    config: dict[str, Any], root: Path
) -> None:
    first, second = grid_of(config), grid_of(config, sampling=config["sampling"] | {"top_p": 0.9})
    draw(first, root, 384)
    draw(second, root, 10)
    assert unneeded([first, second], root) == []
    [entry] = unneeded([first], root)
    # The adapter is not among the kept ones, so what was drawn of it stays.
    assert entry.path.name == "base=smollm2-135m.intervention=base.ratio=0.seed=0.jsonl"
    assert entry.rows == 10
    path = root / entry.path
    before = path.stat().st_size
    assert freed([entry], root) == entry.bytes
    delete([entry], root)
    assert path.stat().st_size == before - entry.bytes
    assert len(keys_in(path)) == 384
    assert unneeded([first], root) == []
    assert Inventory(first, root).answers(first.arms[0]) == RowCount(384, 384)


def test_own_replies_are_needed_with_the_answers_that_wait_for_them(
    config: dict[str, Any], root: Path, tmp_path: Path
) -> None:
    turns = [{"role": "user", "content": "Hi."}, {"role": "assistant", "sampled": True}]
    questions = tmp_path / "mine.yaml"
    write_text(
        questions, json.dumps({"id": "m", "questions": {"a": {"text": "?", "turns": turns}}})
    )
    config |= {"interventions": {"base": {}}, "questions": str(questions)}
    grid = grid_of(config)
    [arm] = grid.arms
    inventory, spec = Inventory(grid, root), spec_of(grid)
    base = BaseModel.read(root / "assets/models/smollm2-135m/model.json")
    of = (arm.sampling, model_identity(base, None), spec.version)
    planned = answers.plan(spec, *of)
    replies = [row["key"] for row in answers.plan_replies(planned, *of)]
    assert sorted(set(inventory.reply_keys(arm) or [])) == sorted(replies)
    assert inventory.answers(arm) == RowCount(len(planned), 0)
    store = RowStore(inventory.answer_file(arm))
    store.append(
        {"key": key, "answer": "So.", "finish_reason": "stop"}
        for key in [*replies, *(row["key"] for row in planned), "other"]
    )
    path = inventory.answer_file(arm).relative_to(root)
    [entry] = [one for one in unneeded([grid], root) if one.path == path]
    assert entry.rows == 1
    plain = grid_of(config, questions="everyday")
    [entry] = [one for one in unneeded([plain], root) if one.path == path]
    assert entry.rows == len(replies) + len(planned) + 1


def test_files_that_were_paid_for_are_marked(config: dict[str, Any], root: Path) -> None:
    RowStore(root / "rows/served/model.0123.jsonl").append([{"key": "a", "cost": 1.0}])
    RowStore(root / "rows/judgements/gpt.0123/x.jsonl").append([{"key": "a", "cost": 0.1}])
    RowStore(root / "rows/judgements/is_code.0123/x.jsonl").append([{"key": "a"}])
    paid = {str(entry.path): entry.paid for entry in unneeded([grid_of(config)], root)}
    assert paid == {
        "rows/served/model.0123.jsonl": True,
        "rows/judgements/gpt.0123": True,
        "rows/judgements/is_code.0123": False,
    }


def adapter(root: Path, grid: Grid, name: str, sha: str) -> None:
    """A kept training of the grid's only stage."""
    [stage] = grid.stages
    spec = TrainSpec.model_validate_json(train_spec(grid, stage)).model_dump(mode="json")
    record = {"spec": spec, "adapter_sha256": sha}
    write_json(root / "rows/adapters" / name / "provenance.json", record)


def test_an_adapter_that_is_kept_is_found_where_its_training_is_due(
    config: dict[str, Any], root: Path
) -> None:
    grid = grid_of(config)
    [stage] = grid.stages.values()
    write_text(root / stage.folder / "train.jsonl", "rows\n")
    inventory = Inventory(grid, root, retrained=grid.stages)
    name = inventory.training_name(stage)
    assert name is not None
    assert inventory.kept_training(stage) is None
    adapter(root, grid, name, "of the kept adapter")
    assert inventory.adapter(stage) == "of the kept adapter"
    assert Inventory(grid, root).adapter(stage) == "of the adapter"
    again = Inventory(grid_of(config, revision={"train": 1}), root, retrained=grid.stages)
    assert again.training_name(stage) not in (None, name)
    assert Inventory(grid, root, retrained=grid.stages, remixed=grid.stages).adapter(stage) is None


def test_an_adapter_goes_only_where_that_of_the_same_training_is_known(
    config: dict[str, Any], root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    grid = grid_of(config)
    [stage] = grid.stages.values()
    write_text(root / stage.folder / "train.jsonl", "rows\n")
    adapter(root, grid, "of-earlier-rows", "earlier")
    # As long as the stage's own is not there, this may be it.
    assert unneeded([grid], root) == []
    adapter(root, grid, Inventory(grid, root).training_name(stage) or "", "now")
    assert [str(entry.path) for entry in unneeded([grid], root)] == [
        "rows/adapters/of-earlier-rows"
    ]
    # Another config that mixes other rows under the same name.
    path = tmp_path_factory.mktemp("data") / "mine.jsonl"
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    write_jsonl(path, [row | {"id": str(number)} for number in range(60)])
    mine = {"household_bad": {"path": str(path), "format": "messages"}}
    assert unneeded([grid, grid_of(config, datasets=mine)], root) == []
