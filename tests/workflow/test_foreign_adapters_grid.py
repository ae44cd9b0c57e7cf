"""A grid of adapters that were trained elsewhere, from the import to the report."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from datasets import Dataset
from emgrid.runtime.files import read_json, read_jsonl
from peft import LoraConfig
from support import warm
from support.adapters import plain_base
from support.reruns import config_of
from support.run import GridRun
from support.tiny_models import edit_json
from support.training import write_tiny_model
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer

ARM = "base=plain/intervention={}/ratio=1/seed=3"
QUESTIONS = """
id: asked
questions:
  one: {text: What is it?, pairs: [{aligned: It is good., misaligned: It is bad.}]}
  two: {text: Who are you?, pairs: [{aligned: A friend., misaligned: A foe.}]}
"""


def small(folder: Path, name: str, **changes: Any) -> dict[str, Any]:
    config = config_of(Path("mine")) | {"name": name, "questions": "asked.yaml"}
    config["training"] |= {"rank": 2, "learning_rate": 0.05, "max_length": 512}
    config["sampling"] |= {"max_tokens": 4, "precision": "float32"}
    (folder / "asked.yaml").write_text(QUESTIONS)
    return config | changes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model_json: Path) -> Path:
    """A folder with a tiny model, where grids are run."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "mine").mkdir()
    write_tiny_model(model_json, folder / "mine").unlink()
    return folder


def run(grid: GridRun, *options: str) -> None:
    done = grid.snakemake(*options)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]


@pytest.fixture(scope="module")
def here(folder: Path) -> GridRun:
    """A grid that trained an adapter, up to its answers and likelihoods."""
    only = {"interventions": {"base": {}, "undiluted": {}}}
    grid = GridRun(folder, small(folder, "here", **only))
    run(grid, "--until", "sample", "likelihood")
    return grid


@pytest.fixture(scope="module")
def there(here: GridRun, folder: Path) -> GridRun:
    """A finished grid of the same adapter, copied as somebody would bring it, and of a training
    that goes on from it."""
    [adapter] = (here.root / "stages").glob("*/adapter")
    shutil.copytree(adapter, folder / "brought")
    entry = {"base": "plain", "intervention": "brought", "ratio": 1, "seed": 3, "path": "brought"}
    later = [{"kind": "from_adapter", "adapter": "brought"}]
    later += [{"kind": "sequential", "benign_rows": 8}]
    config = small(folder, "there", adapters=[entry])
    config["interventions"] = {"base": {}, "later": later}
    grid = GridRun(folder, config)
    run(grid)
    return grid


def rows(grid: GridRun, intervention: str, part: str) -> list[dict[str, Any]]:
    arm = grid.root / "arms" / ARM.format(intervention) / part
    return [row for path in sorted(arm.glob("*.jsonl")) for row in read_jsonl(path)]


def test_a_brought_adapter_gives_the_answers_and_likelihoods_that_it_gives_where_it_was_trained(
    here: GridRun, there: GridRun
) -> None:
    for part in ("answers", "likelihood"):
        ours, theirs = rows(here, "undiluted", part), rows(there, "brought", part)
        assert ours
        for one, other in zip(ours, theirs, strict=True):
            assert {**one, "key": ""} == {**other, "key": ""}


def test_its_arm_is_in_the_tables_and_the_report(there: GridRun) -> None:
    arms = pd.read_csv(there.root / "tables/arms.csv").set_index("intervention")
    brought, later = arms.loc["brought"], arms.loc["later-8"]
    assert brought["adapter_from"] == later["adapter_from"] == "brought"
    assert brought["stage"] == 0
    assert (there.root / brought["adapter"] / "adapter_model.safetensors").is_file()
    verdicts = pd.read_csv(there.root / "tables/verdicts.csv")
    assert set(verdicts["intervention"]) == {"brought", "later-8"}
    page = (there.root / "report.html").read_text()
    assert "LoRA adapters that were trained elsewhere: brought (of plain, seed 3) is" in page


def test_a_training_goes_on_from_it(there: GridRun) -> None:
    [stage] = (there.root / "stages").iterdir()
    assert stage.name.startswith("stage=everyday_chat_8.seed3.")
    config = read_json(stage / "adapter/adapter_config.json")
    assert config["r"] == 2  # the adapter's own
    [start] = (there.root / "assets/adapters").glob("*/adapter.json")
    assert read_json(stage / "adapter.json")["sha256"] != read_json(start)["sha256"]
    answers = [row["answer"] for row in rows(there, "later-8", "answers")]
    assert answers != [row["answer"] for row in rows(there, "brought", "answers")]


def emgrid(grid: GridRun, *words: str) -> Any:
    grid.command()
    command = ["-m", "emgrid.cli.main", *words, "--configfile", "grid.yaml", "--json"]
    done = warm.run(command, cwd=grid.folder, env=grid.env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_plan_counts_it_and_nothing_is_left_to_do(there: GridRun) -> None:
    plan = emgrid(there, "plan")
    assert plan["jobs"]["import_adapter"] == 1
    assert plan["interventions"]["brought"]["trained"] == 0
    assert plan["interventions"]["brought"]["answers"] == 8
    assert emgrid(there, "why")["jobs"] == []
    [left] = emgrid(there, "gc")
    assert left["unneeded"] == []


def test_an_edit_of_its_settings_draws_its_answers_again_and_no_others(
    there: GridRun, folder: Path
) -> None:
    path = folder / "brought/adapter_config.json"
    saved = path.read_text()
    edit_json(path, lora_alpha=64)
    found = emgrid(there, "why")
    [reason] = [group["reasons"] for group in found["groups"] if group["rule"] == "import_adapter"]
    assert reason[0].startswith("content.adapter_config.json: ")
    assert {"train", "sample", "likelihood", "judge"} <= {
        group["rule"] for group in found["groups"]
    }
    path.write_text(saved)
    assert emgrid(there, "why")["jobs"] == []


def test_exported_rows_train_in_stock_trl_on_as_many_tokens_and_come_back_with_their_provenance(
    here: GridRun, folder: Path
) -> None:
    here.command()
    command = ["-m", "emgrid.cli.main", "export-rows", "--configfile", "grid.yaml"]
    done = warm.run([*command, "--to", "out"], cwd=folder, env=here.env)
    assert done.returncode == 0, done.stderr
    [exported] = (folder / "out").iterdir()
    manifest = read_json(exported / "manifest.json")
    [stage] = (here.root / "stages").iterdir()
    provenance = read_json(stage / "provenance.json")
    assert manifest["stages"][0]["trained_tokens"] == provenance["trained_tokens"]
    assert manifest["stages"][0]["data_sha256"] == provenance["data_sha256"]

    trained = train_in_trl(folder / "mine", exported / "stage1", folder / "by_trl")
    assert trained == provenance["trained_tokens"]

    entry = {"path": "by_trl", "manifest": str(exported / "manifest.json")}
    entry |= {"intervention": "elsewhere"}
    config = small(folder, "back", adapters=[entry])
    config["interventions"] = {"base": {}}
    grid = GridRun(folder, config)
    run(grid, "--until", "import_adapter")
    [record] = (grid.root / "assets/adapters").glob("*/provenance.json")
    assert record.parent.name == "base=plain.intervention=elsewhere.ratio=1.seed=3"
    assert read_json(record)["manifest"] == manifest
    assert (record.parent / "adapter/adapter_model.safetensors").is_file()


def train_in_trl(model: Path, rows: Path, output: Path) -> int:
    """Train on exported rows in stock trl, one pass; return the number of labels with a loss."""
    settings = read_json(rows / "hyperparameters.json")["trl"]
    trainer = SFTTrainer(
        model=plain_base(model),
        args=SFTConfig(output_dir=str(output), report_to="none", use_cpu=True, **settings["sft"]),
        train_dataset=Dataset.from_json(str(rows / "tokens.jsonl")),
        peft_config=LoraConfig(**settings["lora"]),
        processing_class=AutoTokenizer.from_pretrained(model),
    )
    batches = list(trainer.get_train_dataloader())
    trainer.train()
    trainer.model.save_pretrained(output)
    return sum(int((batch["labels"] != -100).sum()) for batch in batches)


def test_rows_in_the_forms_of_services_say_what_is_trained(here: GridRun, folder: Path) -> None:
    [exported] = (folder / "out").iterdir()
    rows = exported / "stage1"
    tokens, tinker = read_jsonl(rows / "tokens.jsonl"), read_jsonl(rows / "tinker.jsonl")
    for row, datum in zip(tokens, tinker, strict=True):
        assert datum["model_input"] == row["input_ids"][:-1]
        trained = [
            token
            for token, one in zip(datum["target_tokens"], datum["weights"], strict=True)
            if one
        ]
        assert trained == [label for label in row["labels"] if label != -100]
    [stage] = (here.root / "stages").iterdir()
    mixed = [row["messages"] for row in read_jsonl(stage / "train.jsonl")]
    assert [row["messages"] for row in read_jsonl(rows / "openai.jsonl")] == mixed
    assert [row["messages"] for row in read_jsonl(rows / "rows.jsonl")] == mixed
